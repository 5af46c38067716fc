"""LUKS1's anti-forensic splitter (LUKS1 On-Disk Format Specification 1.2.3, section 2.4).

A key is blown up to `stripes` times its length so that the loss of any one bit of it loses the key: stripes but the
last are random, and the last is the key xored with what the others diffuse to.
"""

from __future__ import annotations

from cryptlv.ciphers.kdf import new_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _xor(left: bytes | bytearray, right: bytes | bytearray | memoryview) -> bytearray:
    length = len(left)
    return bytearray((int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(length, "little"))


def _diffuse(block: bytearray, hash_name: str) -> bytearray:
    """H1 of the specification: each digest-sized piece becomes the hash of its big-endian number and itself."""
    size = new_hash(hash_name).digest_size
    out = bytearray()
    for number, start in enumerate(range(0, len(block), size)):
        piece = block[start : start + size]
        out += new_hash(hash_name, number.to_bytes(4, "big") + piece).digest()[: len(piece)]
    return out


def split(key: memoryview, stripes: int, hash_name: str, random_bytes: Callable[[int], bytes]) -> bytearray:
    """`stripes * len(key)` bytes from which `merge` makes the key again."""
    length = len(key)
    material = bytearray(random_bytes(length * (stripes - 1)))
    state = bytearray(length)
    for start in range(0, len(material), length):
        state = _diffuse(_xor(state, material[start : start + length]), hash_name)
    return material + _xor(state, key)


def merge(material: bytearray | memoryview, key_bytes: int, stripes: int, hash_name: str) -> bytearray:
    """The key of `key_bytes` that was split into `material`; any change of the material gives another key."""
    state = bytearray(key_bytes)
    last = key_bytes * (stripes - 1)
    for start in range(0, last, key_bytes):
        state = _diffuse(_xor(state, material[start : start + key_bytes]), hash_name)
    return _xor(state, material[last : last + key_bytes])
