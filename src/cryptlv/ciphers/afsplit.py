"""LUKS1's anti-forensic splitter (LUKS1 On-Disk Format Specification 1.2.3, section 2.4).

A key is blown up to `stripes` times its length so that the loss of any one bit of it loses the key: stripes but the
last are random, and the last is the key xored with what the others diffuse to.
"""

from __future__ import annotations

from cryptlv.ciphers.kdf import hash_function, new_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable

_NUMBERS = [number.to_bytes(4, "big") for number in range(64)]
"""Those of a key's pieces: keys have up to 512 bytes, digests 20 and more."""


def _xor(left: bytes | bytearray, right: bytes | bytearray | memoryview) -> bytes:
    length = len(left)
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(length, "little")


def _diffuse(block: bytes, size: int, hash_of: Callable[[bytes], hashlib._Hash]) -> bytes:
    """H1 of the specification: each digest-sized piece becomes the hash of its big-endian number and itself."""
    pieces = range(0, len(block), size)
    out = [hash_of(_NUMBERS[number] + block[at : at + size]).digest() for number, at in enumerate(pieces)]
    return b"".join(out)[: len(block)]


def _diffuse_all(material: bytearray | memoryview, length: int, hash_name: str) -> bytes:
    """What the stripes of `material` diffuse to, one after the other."""
    hash_of, size = hash_function(hash_name), new_hash(hash_name).digest_size
    state = bytes(length)
    for start in range(0, len(material), length):
        state = _diffuse(_xor(state, material[start : start + length]), size, hash_of)
    return state


def split(key: memoryview, stripes: int, hash_name: str, random_bytes: Callable[[int], bytes]) -> bytearray:
    """`stripes * len(key)` bytes from which `merge` makes the key again."""
    length = len(key)
    material = bytearray(random_bytes(length * (stripes - 1)))
    return material + _xor(_diffuse_all(material, length, hash_name), key)


def merge(material: bytearray | memoryview, key_bytes: int, stripes: int, hash_name: str) -> bytearray:
    """The key of `key_bytes` that was split into `material`; any change of the material gives another key."""
    last = key_bytes * (stripes - 1)
    state = _diffuse_all(memoryview(material)[:last], key_bytes, hash_name)
    return bytearray(_xor(state, material[last : last + key_bytes]))
