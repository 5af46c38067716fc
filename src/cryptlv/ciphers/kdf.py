"""Hashes by cryptsetup's names, PBKDF2, the choice of its iteration count, and key derivation by parameters."""

from __future__ import annotations

import hashlib
from functools import partial

from cryptlv.errors import CipherError
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PBKDF2 = "pbkdf2"
ARGON2 = ("argon2id", "argon2i")
KDFS = (*ARGON2, PBKDF2)
"""The key derivation functions of LUKS2, by their names there."""
_HASHLIB = {
    **{name: name for name in ("sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160")},
    **{f"sha3-{bits}": f"sha3_{bits}" for bits in (224, 256, 384, 512)},
    "blake2b-512": "blake2b",
    "blake2s-256": "blake2s",
}
HASHES = tuple(_HASHLIB)
"""The hash names that this program knows; ripemd160 is there only where OpenSSL still has it."""
MIN_ITERATIONS = 1000
"""cryptsetup's and the LUKS1 specification's lower bound."""
MAX_ITERATIONS = 2**31 - 1
"""OpenSSL takes no more."""
MAX_WORK = 2**28
"""What a header may demand for one keyslot: PBKDF2 iterations, or Argon2's passes times KiB. Minutes here, some ten
times what cryptsetup makes for the slowest passphrase that people put up with; more is an attack, or damage."""
MAX_MEMORY_KIB = 4 * 1024 * 1024
"""What cryptsetup allows Argon2 (lib/crypto_backend/pbkdf_check.c)."""
MAX_LANES = 64
_MEASURED_ITERATIONS = 16_384
_CRYPTOGRAPHY = {
    **{name: name.upper() for name in ("sha1", "sha224", "sha256", "sha384", "sha512")},
    **{f"sha3-{bits}": f"SHA3_{bits}" for bits in (224, 256, 384, 512)},
}
"""Names in `cryptography` of the hashes whose PBKDF2 is faster there than in hashlib."""


class KdfParameters(Record):
    """How a passphrase becomes a key. `iterations` are Argon2's passes for it; `memory_kib` and `lanes` are Argon2's
    alone, `key_hash` PBKDF2's."""

    kind: str
    iterations: int
    salt: bytes = b""
    key_hash: str = ""
    memory_kib: int = 0
    lanes: int = 0

    @property
    def work(self) -> int:
        """What deriving costs, in the units of MAX_WORK."""
        return self.iterations * max(self.memory_kib, 1)


def check_hash(name: str) -> str:
    """The name itself; raises CipherError when there is no such hash here."""
    if name not in _HASHLIB:
        raise CipherError(f"unknown hash {printable(name)!r}; known are {', '.join(HASHES)}")
    try:
        hashlib.new(_HASHLIB[name])
    except ValueError:
        raise CipherError(f"hash {name!r} is not in this system's OpenSSL") from None
    return name


def new_hash(name: str, data: bytes | bytearray | memoryview = b"") -> hashlib._Hash:
    """A hash object of that name; the name has been through `check_hash`."""
    return hashlib.new(_HASHLIB[name], data)


def hash_function(name: str) -> Callable[[bytes], hashlib._Hash]:
    """The function that makes a hash object of bytes: for those who make thousands."""
    found: Callable[[bytes], hashlib._Hash] | None = getattr(hashlib, _HASHLIB[name], None)
    return found or partial(hashlib.new, _HASHLIB[name])


def digest_bytes(name: str) -> int:
    """Bytes of a hash's digest; raises CipherError."""
    return new_hash(check_hash(name)).digest_size


def pbkdf2(name: str, passphrase: memoryview, salt: bytes, iterations: int, length_bytes: int) -> bytearray:
    """PBKDF2 (RFC 8018 section 5.2) with HMAC over the named hash; the caller wipes the result.

    Done by `cryptography` where that has the hash: it takes half of the time that hashlib does. Raises CipherError.
    """
    check_hash(name)
    kind = _CRYPTOGRAPHY.get(name)
    hashes: Any = None
    if kind is not None and iterations > MIN_ITERATIONS:
        try:
            from cryptography.hazmat.primitives import hashes
            from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
        except ModuleNotFoundError:
            hashes = None
    if hashes is None:
        return bytearray(hashlib.pbkdf2_hmac(_HASHLIB[name], passphrase, salt, iterations, length_bytes))
    assert kind is not None  # noqa: S101 - see above
    kdf = PBKDF2HMAC(algorithm=getattr(hashes, kind)(), length=length_bytes, salt=salt, iterations=iterations)
    return derived_into(kdf, passphrase, length_bytes)


def derived_into(kdf: Any, passphrase: memoryview, length_bytes: int) -> bytearray:
    """What a derivation of `cryptography` gives, in memory that can be wiped where its version knows how."""
    if not hasattr(kdf, "derive_into"):
        return bytearray(kdf.derive(passphrase))
    out = bytearray(length_bytes)
    kdf.derive_into(passphrase, out)
    return out


def derive(parameters: KdfParameters, passphrase: memoryview, length_bytes: int) -> bytearray:
    """The key of `length_bytes` for a passphrase; the caller wipes it. Raises CipherError."""
    if parameters.kind == PBKDF2:
        return pbkdf2(parameters.key_hash, passphrase, parameters.salt, parameters.iterations, length_bytes)
    from cryptlv.ciphers.argon2 import argon2

    return argon2(parameters, passphrase, length_bytes)


def check_cost(parameters: KdfParameters) -> None:
    """Raise CipherError for a derivation that is unknown, or would take unreasonable time or memory."""
    kind, memory, lanes = parameters.kind, parameters.memory_kib, parameters.lanes
    if kind not in KDFS:
        raise CipherError(f"unknown key derivation {printable(kind)!r}; known are {', '.join(KDFS)}")
    if kind == PBKDF2:
        check_hash(parameters.key_hash)
    elif not 1 <= lanes <= MAX_LANES:
        raise CipherError(f"{kind} with {lanes} lanes is out of range (1 to {MAX_LANES})")
    elif not 8 * lanes <= memory <= MAX_MEMORY_KIB:
        raise CipherError(f"{kind} with {memory} KiB of memory is out of range ({8 * lanes} to {MAX_MEMORY_KIB})")
    if not 0 < parameters.iterations <= MAX_ITERATIONS or parameters.work > MAX_WORK:
        cost = f"{parameters.iterations} iterations" + (f" over {memory} KiB" if kind in ARGON2 else "")
        raise CipherError(f"{kind} with {cost} is out of range: it would take too long")


def pbkdf2_iterations_per_second(name: str, length_bytes: int, monotonic: Callable[[], float]) -> int:
    """How many PBKDF2 iterations this machine does in a second for a key of `length_bytes`, measured for at least a
    quarter of a second, as cryptsetup's benchmark does."""
    iterations = _MEASURED_ITERATIONS
    salt = bytes(32)
    while True:
        start = monotonic()
        pbkdf2(name, memoryview(b"benchmark"), salt, iterations, length_bytes)
        elapsed = monotonic() - start
        if elapsed >= 0.25 or iterations >= 2**28:
            return int(iterations / max(elapsed, 1e-6))
        iterations *= 2 if elapsed >= 0.05 else 8


def iterations_for(per_second: int, milliseconds: int) -> int:
    """The count that takes that long, within the bounds."""
    return max(MIN_ITERATIONS, min(per_second * milliseconds // 1000, MAX_ITERATIONS))
