"""LRW: the vectors of IEEE's draft, and the definition computed here; the kernel's are in conformance/."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.lrw import Lrw


def _run(key: bytes, number: int, data: bytes, *, encrypt: bool = True) -> bytes:
    sectors = np.frombuffer(bytearray(data), dtype=np.uint64).reshape(1, -1, 2)
    ivs = np.frombuffer(number.to_bytes(16, "big"), dtype=np.uint64).reshape(1, 2)
    Lrw("aes", memoryview(key)).run(sectors, ivs, encrypt=encrypt)
    return sectors.tobytes()


@pytest.mark.parametrize(
    ("key", "number", "encrypted"),
    [
        # draft 4 of IEEE P1619, "LRW-AES test vectors"; the plaintext is 0123456789ABCDEF
        ("4562ac25f828176d4c268414b5680185258e2a05e73e9d03ee5a830ccc094c87", 1, "f1b273cd65a3df5fe95d489254634eb8"),
        ("59704714f557478cd779e80f54887944 0d48f0b7b15a53ea1caa6b29c2cafbaf", 2, "00c82bae95bbcde5274f0769b260e136"),
        (
            "d82a9134b26a565030fe69e2377f9847cdf90b160c648fb6b00d0d1bae85871f",
            2**33,
            "76322183ed8ff182f9596203690e5e01",
        ),
    ],
)
def test_published_vectors(key: str, number: int, encrypted: str) -> None:
    raw = bytes.fromhex(key)
    done = _run(raw, number, b"0123456789ABCDEF")
    assert done == bytes.fromhex(encrypted)
    assert _run(raw, number, done, encrypt=False) == b"0123456789ABCDEF"


def _by_definition(key: bytes, number: int, data: bytes) -> bytes:
    """Block by block: E(block ^ t) ^ t, where t is the second key times the block's number."""
    run = Cipher(algorithms.AES(key[:-16]), modes.ECB()).encryptor().update  # noqa: S305
    out = b""
    for start in range(0, len(data), 16):
        factor = int.from_bytes(key[-16:], "big")
        other = (number + start // 16) % 2**128
        tweak = 0
        while other:
            tweak ^= factor * (other & 1)
            factor = factor << 1 ^ (0x87 | 1 << 128 if factor >> 127 else 0)
            other >>= 1
        block = (int.from_bytes(data[start : start + 16], "big") ^ tweak).to_bytes(16, "big")
        out += (int.from_bytes(run(block), "big") ^ tweak).to_bytes(16, "big")
    return out


@settings(max_examples=40, deadline=None)
@given(
    seed=st.binary(max_size=8),
    bits=st.sampled_from([256, 320, 384]),
    number=st.one_of(
        st.integers(0, 2**128 - 1), st.integers(2**64 - 40, 2**64), st.integers(2**128 - 20, 2**128 - 1)
    ),
)
def test_any_number_and_key_as_defined(seed: bytes, bits: int, number: int) -> None:
    key, data = (hashlib.shake_128(seed + word).digest(size) for word, size in ((b"k", bits // 8), (b"d", 512)))
    done = _run(key, number, data)
    assert done == _by_definition(key, number, data)
    assert _run(key, number, done, encrypt=False) == data
