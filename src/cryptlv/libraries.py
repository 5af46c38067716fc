"""Ciphers of shared libraries, libgcrypt and OpenSSL's libcrypto, and libargon2, loaded when first needed.

Sources: libgcrypt's manual, "Working with cipher handles", with the numbers of its gcrypt.h; OpenSSL's manual page
EVP_EncryptInit(3); argon2.h of Argon2's reference implementation. Only `ciphers` uses this; it stands on the ground
floor because what looks at the machine cannot be in a pure room, and `ciphers` sees no other floor.
"""

from __future__ import annotations

import ctypes
import time
from functools import cache

from cryptlv.errors import CipherError
from cryptlv.secret import readable_by_c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Call = tuple[int, int, int, int]

LIBGCRYPT, OPENSSL = "libgcrypt", "openssl"
LIBRARIES = (LIBGCRYPT, OPENSSL)
NO_CALL: Call = (0, 0, 0, 0)
"""Stands for a cipher that is not there."""

_GCRYPT_SONAMES = ("libgcrypt.so.20",)
_OPENSSL_SONAMES = ("libcrypto.so.3", "libcrypto.so.1.1")
_GCRYPT_NUMBERS = {
    ("aes", 128): 7, ("aes", 192): 8, ("aes", 256): 9,
    ("twofish", 128): 303, ("twofish", 256): 10,
    ("serpent", 128): 304, ("serpent", 192): 305, ("serpent", 256): 306,
    ("camellia", 128): 310, ("camellia", 192): 311, ("camellia", 256): 312,
}  # fmt: skip
_GCRYPT_MODES = {"ecb": 1, "cbc": 3, "ctr": 6, "xts": 13}
_ARGON2_SONAMES = ("libargon2.so.1", "libargon2.so.0")
_ARGON2_NO_MEMORY = -22
_GCRYPT_SECURE = 1
"""Flag: the handle, which holds the expanded key, lies in libgcrypt's locked memory."""
_SUSPEND_SECMEM_WARNING, _INITIALIZATION_FINISHED, _IS_FINISHED = 28, 38, 40
_ROUNDS = 5


class CipherHandle:
    """One cipher under one key in one direction, for one thread at a time. The key is wiped when it is closed.

    `call` is (convention, handle, function that sets the IV or 0, function that encrypts or decrypts) for the native
    loop: convention 0 is libgcrypt's, 1 OpenSSL's.
    """

    __slots__ = ("_close", "_function", "call")

    def __init__(self, call: Call, function: Callable[..., int], close: Callable[[int], object]) -> None:
        self.call = call
        self._function = function
        self._close: Callable[[int], object] | None = close

    def process(self, buffer: bytearray | memoryview) -> None:
        """Encrypt or decrypt a writable buffer of whole blocks in place, as ECB; raises CipherError."""
        anchor = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        if self.call[0]:
            failed = self._function(self.call[1], anchor, anchor, len(buffer)) <= 0
        else:
            failed = self._function(self.call[1], anchor, len(buffer), None, 0) != 0
        if failed and len(buffer):
            raise CipherError("the cipher library failed")

    def close(self) -> None:
        """Wipe and free the expanded key; may be called twice."""
        close, self._close = self._close, None
        if close is not None:
            close(self.call[1])

    def __del__(self) -> None:
        self.close()


class Libgcrypt:
    """libgcrypt: aes, serpent, twofish and camellia in ecb, cbc, ctr and xts."""

    name = LIBGCRYPT

    def __init__(self) -> None:
        self._functions = functions = _load(_GCRYPT_SONAMES)
        functions.gcry_check_version.restype = ctypes.c_char_p
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        functions.gcry_cipher_open.argtypes = [pointer, ctypes.c_int, ctypes.c_int, ctypes.c_uint]
        functions.gcry_cipher_setkey.argtypes = [pointer, pointer, size]
        functions.gcry_cipher_close.argtypes = [pointer]
        functions.gcry_cipher_close.restype = None
        for function in (functions.gcry_cipher_encrypt, functions.gcry_cipher_decrypt):
            function.argtypes = [pointer, pointer, size, pointer, size]
        version = functions.gcry_check_version(None)  # this also sets the library up
        self.version = version.decode("ascii", "replace") if version else "of unknown version"
        if not functions.gcry_control(_IS_FINISHED):
            functions.gcry_control(_SUSPEND_SECMEM_WARNING)
            functions.gcry_control(_INITIALIZATION_FINISHED, 0)

    def open(self, cipher: str, mode: str, key: memoryview, *, encrypts: bool) -> CipherHandle:
        """A cipher under a key; raises CipherError when the library has not got it."""
        functions = self._functions
        bits = len(key) * 8 // (2 if mode == "xts" else 1)
        number = _GCRYPT_NUMBERS.get((cipher, bits), 0)
        handle = ctypes.c_void_p()
        for flags in (_GCRYPT_SECURE, 0):  # locked memory may be all used up
            if not functions.gcry_cipher_open(ctypes.byref(handle), number, _GCRYPT_MODES[mode], flags):
                break
        else:
            raise CipherError(f"libgcrypt {self.version} has no {cipher}-{mode} with a key of {len(key) * 8} bits")
        set_iv = {"ecb": 0, "ctr": _address(functions.gcry_cipher_setctr)}.get(
            mode, _address(functions.gcry_cipher_setiv)
        )
        function = functions.gcry_cipher_encrypt if encrypts else functions.gcry_cipher_decrypt
        opened = CipherHandle(
            (0, handle.value or 0, set_iv, _address(function)), function, functions.gcry_cipher_close
        )
        with readable_by_c(key) as copy:
            if functions.gcry_cipher_setkey(handle, copy, len(key)):
                opened.close()
                raise CipherError(f"libgcrypt {self.version} does not take this key for {cipher}-{mode}")
        return opened


class Openssl:
    """OpenSSL's libcrypto: aes in ecb, cbc, ctr and xts, camellia in all but xts."""

    name = OPENSSL

    def __init__(self) -> None:
        self._functions = functions = _load(_OPENSSL_SONAMES)
        pointer = ctypes.c_void_p
        functions.EVP_CIPHER_CTX_new.restype = functions.EVP_get_cipherbyname.restype = pointer
        functions.EVP_get_cipherbyname.argtypes = [ctypes.c_char_p]
        functions.EVP_CipherInit_ex.argtypes = [pointer, pointer, pointer, pointer, pointer, ctypes.c_int]
        functions.EVP_CIPHER_CTX_set_padding.argtypes = [pointer, ctypes.c_int]
        functions.EVP_Cipher.argtypes = [pointer, pointer, pointer, ctypes.c_uint]
        functions.EVP_CIPHER_CTX_free.argtypes = [pointer]
        functions.EVP_CIPHER_CTX_free.restype = None
        functions.OpenSSL_version.restype = ctypes.c_char_p
        self.version = functions.OpenSSL_version(0).decode("ascii", "replace").split(" ")[1]

    def open(self, cipher: str, mode: str, key: memoryview, *, encrypts: bool) -> CipherHandle:
        """A cipher under a key; raises CipherError when the library has not got it, or not with this key: its xts
        refuses two halves that are the same."""
        functions = self._functions
        bits = len(key) * 8 // (2 if mode == "xts" else 1)
        found = functions.EVP_get_cipherbyname(f"{cipher}-{bits}-{mode}".encode())
        if not found:
            raise CipherError(f"OpenSSL {self.version} has no {cipher}-{mode} with a key of {len(key) * 8} bits")
        context = functions.EVP_CIPHER_CTX_new()
        set_iv = 0 if mode == "ecb" else _address(functions.EVP_CipherInit_ex)
        call = (1, context, set_iv, _address(functions.EVP_Cipher))
        opened = CipherHandle(call, functions.EVP_Cipher, functions.EVP_CIPHER_CTX_free)
        with readable_by_c(key) as copy:
            done = functions.EVP_CipherInit_ex(context, found, None, copy, bytes(16), int(encrypts))
        if done != 1:
            functions.ERR_clear_error()
            opened.close()
            raise CipherError(f"OpenSSL {self.version} does not take this key for {cipher}-{mode}")
        functions.EVP_CIPHER_CTX_set_padding(context, 0)
        return opened


@cache
def find_library(name: str) -> Libgcrypt | Openssl:
    """The library, loaded; raises CipherError when it is not on this machine."""
    return Libgcrypt() if name == LIBGCRYPT else Openssl()


class Libargon2:
    """Argon2's reference implementation, which cryptsetup uses: a thread for each lane."""

    def __init__(self) -> None:
        functions = _load(_ARGON2_SONAMES)
        number, size, pointer = ctypes.c_uint32, ctypes.c_size_t, ctypes.c_void_p
        self._functions = {"argon2id": functions.argon2id_hash_raw, "argon2i": functions.argon2i_hash_raw}
        for function in self._functions.values():
            function.argtypes = [number, number, number, pointer, size, ctypes.c_char_p, size, pointer, size]
        self._message = functions.argon2_error_message
        self._message.restype = ctypes.c_char_p

    def hash(
        self, kind: str, passphrase: memoryview, salt: bytes, cost: tuple[int, int, int], length_bytes: int
    ) -> bytearray:
        """The tag of `length_bytes` for (passes, KiB, lanes); raises MemoryError, CipherError."""
        tag = bytearray(length_bytes)
        out = (ctypes.c_char * length_bytes).from_buffer(tag)
        passes, memory_kib, lanes = cost
        with readable_by_c(passphrase) as copy:
            status = self._functions[kind](
                passes, memory_kib, lanes, copy, len(passphrase), salt, len(salt), out, length_bytes
            )
        if status == _ARGON2_NO_MEMORY:
            raise MemoryError
        if status:
            raise CipherError(f"{kind} cannot be done here: {self._message(status).decode('ascii', 'replace')}")
        return tag


@cache
def find_libargon2() -> Libargon2:
    """The library, loaded; raises CipherError when it is not on this machine."""
    return Libargon2()


def _load(sonames: tuple[str, ...]) -> ctypes.CDLL:
    reasons = []
    for soname in sonames:
        try:
            return ctypes.CDLL(soname)
        except OSError as error:
            reasons.append(str(error))
    raise CipherError(reasons[0])


def _address(function: Callable[..., int]) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def shortest_seconds(run: Callable[[], None]) -> float:
    """How long something takes when nothing gets in its way: the shortest of a few runs."""
    shortest = float("inf")
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
