"""Cipher specifications in dm-crypt's grammar: `cipher[:keycount]-mode-iv[:hash]`, such as `aes-xts-plain64`, and
`capi:mode(cipher)-iv[:hash]` in the words of the kernel's crypto API.

Source: the kernel's Documentation/admin-guide/device-mapper/dm-crypt.rst, and for what it takes and refuses
drivers/md/dm-crypt.c and crypto/essiv.c. What is known here is a row in a table; everything else is refused by name.
"""

from __future__ import annotations

from cryptlv.errors import CipherError
from cryptlv.names import printable
from cryptlv.record import Record

DEFAULT_CIPHER = "aes-xts-plain64"
DEFAULT_KEY_BITS = 512
SECTOR_SIZES = (512, 1024, 2048, 4096)
"""Bytes that are encrypted at a time; dm-crypt knows no others."""

_BLOCK_KEY_BITS = {
    "aes": (128, 192, 256),
    "serpent": (128, 192, 256),
    "twofish": (128, 256),
    "camellia": (128, 192, 256),
}
"""Block ciphers of 16 bytes. The kernel's twofish has 192 bits, too; libgcrypt's has not."""
_ADIANTUM = ("xchacha12,aes", "xchacha20,aes")
_IVS = {
    "xts": ("plain", "plain64", "plain64be", "essiv", "benbi", "null", "eboiv"),
    "cbc": ("plain", "plain64", "plain64be", "essiv", "benbi", "null", "eboiv"),
    "ctr": ("plain", "plain64", "plain64be", "essiv", "benbi", "null"),
    "lrw": ("plain", "plain64", "plain64be", "essiv", "benbi", "null"),
    "ecb": ("", "plain", "plain64", "plain64be", "benbi", "null", "eboiv"),
    "adiantum": ("plain", "plain64", "null"),
}
"""For each mode its IVs. The kernel's ecb takes any and uses none."""
_ESSIV_HASH_BITS = {
    "md5": 128, "sha1": 160, "ripemd160": 160, "rmd160": 160, "sha224": 224, "sha256": 256, "sha384": 384,
    "sha512": 512, "sha3-256": 256, "blake2s-256": 256, "sm3": 256,
}  # fmt: skip
"""Hashes by the kernel's names; the digest is the key of the cipher that makes the IV."""


_LONGEST = 128
"""The kernel's longest name (CRYPTO_MAX_ALG_NAME)."""


class CipherSpec(Record):
    """A parsed specification; `iv` is "" for ecb, `iv_hash` is "" unless the IV needs a hash."""

    cipher: str
    mode: str
    iv: str
    iv_hash: str = ""

    def render(self) -> str:
        """The specification as dm-crypt reads it, in its shorter form."""
        return "-".join(filter(None, (self.cipher, self.mode, f"{self.iv}:{self.iv_hash}".rstrip(":"))))

    @property
    def key_bits(self) -> tuple[int, ...]:
        """The key sizes that the kernel takes: XTS uses two keys of the cipher, LRW one and a block."""
        if self.mode == "adiantum":
            return (256,)
        sizes = _BLOCK_KEY_BITS[self.cipher]
        if self.mode == "xts":
            return tuple(2 * size for size in sizes)
        return tuple(size + 128 for size in sizes) if self.mode == "lrw" else sizes


def parse_cipher_spec(text: str) -> CipherSpec:
    """The parts of a specification; raises CipherError naming what is not known.

    `aes` and `aes-plain` are short for aes-cbc-plain, as in dm-crypt. A `capi:` specification gives what the shorter
    form for the same cipher gives.
    """
    if len(text) > _LONGEST:
        raise CipherError(f"cipher {printable(text[:32])!r}... has {len(text)} characters, more than any known one")
    shown = printable(text)
    cipher, mode, iv_text = _capi_parts(text, shown) if text.startswith("capi:") else _parts(text, shown)
    iv, colon, iv_hash = iv_text.partition(":")
    if colon and not iv_hash:
        raise CipherError(f"cipher {shown!r} ends with a colon and names no hash behind it")
    _known("mode", mode, tuple(_IVS), shown)
    _known("cipher", cipher, _ADIANTUM if mode == "adiantum" else tuple(_BLOCK_KEY_BITS), shown)
    _known(f"{mode} IV", iv, _IVS[mode], shown)
    if iv == "essiv":
        _known("essiv hash", iv_hash, tuple(_ESSIV_HASH_BITS), shown)
        bits, sizes = _ESSIV_HASH_BITS[iv_hash], _BLOCK_KEY_BITS[cipher]
        if bits not in sizes:
            takes = ", ".join(map(str, sizes))
            raise CipherError(f"cipher {shown!r}: {iv_hash} gives a key of {bits} bits, but {cipher} takes {takes}")
    elif iv_hash:
        raise CipherError(f"cipher {shown!r}: the IV {iv} takes no hash")
    return CipherSpec(cipher=cipher, mode=mode, iv="" if mode == "ecb" else iv, iv_hash=iv_hash)


def _parts(text: str, shown: str) -> tuple[str, str, str]:
    """Cipher, mode and IV with its hash."""
    words = text.split("-", 2)
    if len(words) == 1 or words[1:] == ["plain"]:
        words = [words[0], "cbc", "plain"]
    cipher, colon, count = words[0].partition(":")
    if colon and count != "1":
        raise CipherError(f"cipher {shown!r}: only one key is supported, not {printable(count)!r}")
    return cipher, words[1], words[2] if len(words) == 3 else ""


def _capi_parts(text: str, shown: str) -> tuple[str, str, str]:
    """The same of a specification in the crypto API's words, as dm-crypt takes it apart: from the end."""
    rest, colon, options = text.removeprefix("capi:").rpartition(":")
    if not colon:
        rest, options = options, ""
    algorithm, dash, iv = rest.rpartition("-")
    if not dash or ")" in iv:
        algorithm, iv = rest, ""
    essiv_hash = ""
    if algorithm.startswith("essiv(") and algorithm.endswith(")"):
        algorithm, _, essiv_hash = algorithm[6:-1].rpartition(",")
        if not algorithm or not essiv_hash or iv != "plain64" or colon:
            raise CipherError(f"cipher {shown!r}: the crypto API's essiv needs a hash and the IV plain64")
    mode, paren, cipher = algorithm.partition("(")
    if not paren or not cipher.endswith(")"):
        raise CipherError(f"cipher {shown!r}: {printable(algorithm)!r} is not of the form mode(cipher)")
    cipher = cipher[:-1]
    if mode in ("xts", "lrw") and cipher.startswith("ecb(") and cipher.endswith(")"):
        cipher = cipher[4:-1]  # what the kernel builds these modes on, whether it is said or not
    cipher = cipher.removesuffix("-generic")
    return cipher, mode, f"essiv:{essiv_hash}" if essiv_hash else f"{iv}{colon}{options}"


def _known(kind: str, word: str, known: tuple[str, ...], shown: str) -> None:
    if word not in known:
        names = ", ".join(filter(None, known))
        raise CipherError(f"cipher {shown!r}: unknown {kind} {printable(word)!r}; known are {names}")


def check_key_bits(spec: CipherSpec, bits: int) -> None:
    """Raise CipherError when a specification does not take a key of that many bits."""
    if bits not in spec.key_bits:
        sizes = " or ".join(map(str, spec.key_bits))
        raise CipherError(f"cipher {spec.render()} takes a key of {sizes} bits, not {bits}")


def choose(cipher: str, key_bits: int) -> tuple[CipherSpec, int]:
    """The specification and key size for a new volume, "" and 0 standing for the defaults; raises CipherError."""
    spec = parse_cipher_spec(cipher or DEFAULT_CIPHER)
    bits = key_bits or (DEFAULT_KEY_BITS if DEFAULT_KEY_BITS in spec.key_bits else max(spec.key_bits))
    check_key_bits(spec, bits)
    return spec, bits
