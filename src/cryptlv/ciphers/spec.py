"""Cipher specifications in dm-crypt's grammar: `cipher-mode-iv[:hash]`, such as `aes-xts-plain64`.

Source: the kernel's Documentation/admin-guide/device-mapper/dm-crypt.rst. What is known here is a row in a table;
everything else is refused by name.
"""

from __future__ import annotations

from cryptlv.errors import CipherError
from cryptlv.names import printable
from cryptlv.record import Record

DEFAULT_CIPHER = "aes-xts-plain64"
DEFAULT_KEY_BITS = 512

_CIPHER_KEY_BITS = {"aes": (128, 192, 256)}
_IVS = {"xts": ("plain", "plain64"), "cbc": ("plain", "plain64", "essiv")}
_ESSIV_HASHES = {"sha256": 256}
"""Hash names for essiv, whose digest is the key of the cipher that makes the IV."""


class CipherSpec(Record):
    """A parsed specification; `iv_hash` is "" unless the IV needs a hash."""

    cipher: str
    mode: str
    iv: str
    iv_hash: str = ""

    def render(self) -> str:
        """The specification as dm-crypt reads it."""
        tail = f":{self.iv_hash}" if self.iv_hash else ""
        return f"{self.cipher}-{self.mode}-{self.iv}{tail}"

    @property
    def key_bits(self) -> tuple[int, ...]:
        """The key sizes that the kernel takes: XTS uses two keys of the cipher, of 128 or 256 bits each."""
        sizes = _CIPHER_KEY_BITS[self.cipher]
        return tuple(2 * size for size in sizes if size != 192) if self.mode == "xts" else sizes


def parse_cipher_spec(text: str) -> CipherSpec:
    """The parts of a specification; raises CipherError naming what is not known.

    `aes` and `aes-plain` are short for aes-cbc-plain, as in dm-crypt.
    """
    words = text.split("-", 2)
    cipher = words[0]
    if len(words) == 1:
        words = [cipher, "cbc", "plain"]
    elif len(words) == 2:
        words = [cipher, "cbc", "plain"] if words[1] == "plain" else [*words, ""]
    _, mode, iv_text = words
    iv, colon, iv_hash = iv_text.partition(":")
    shown = printable(text)
    if colon and not iv_hash:
        raise CipherError(f"cipher {shown!r} ends with a colon and names no hash behind it")
    _known("cipher", cipher, tuple(_CIPHER_KEY_BITS), shown)
    _known("mode", mode, tuple(_IVS), shown)
    _known(f"{mode} IV", iv, _IVS[mode], shown)
    if iv == "essiv":
        _known("essiv hash", iv_hash, tuple(_ESSIV_HASHES), shown)
    elif iv_hash:
        raise CipherError(f"cipher {shown!r}: the IV {iv} takes no hash")
    return CipherSpec(cipher=cipher, mode=mode, iv=iv, iv_hash=iv_hash)


def _known(kind: str, word: str, known: tuple[str, ...], shown: str) -> None:
    if word not in known:
        raise CipherError(f"cipher {shown!r}: unknown {kind} {printable(word)!r}; known are {', '.join(known)}")


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
