"""The anti-forensic splitter: round trips, and an implementation written here from the LUKS1 specification."""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.afsplit import merge, split

_HASHES = ("sha1", "sha256", "sha512")
_EXAMPLES = settings(max_examples=80, deadline=None)


def _h1(block: bytes, name: str) -> bytes:
    """H1 of the specification: pieces p_0..p_n become hash(i || p_i), the last cut to its piece's length."""
    size = hashlib.new(name).digest_size
    count, rest = divmod(len(block), size)
    pieces = [
        hashlib.new(name, i.to_bytes(4, "big") + block[i * size : (i + 1) * size]).digest() for i in range(count)
    ]
    if rest:
        pieces.append(hashlib.new(name, count.to_bytes(4, "big") + block[count * size :]).digest()[:rest])
    return b"".join(pieces)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _spec_merge(material: bytes, length: int, stripes: int, name: str) -> bytes:
    """d_0 = 0, d_k = H1(d_k-1 xor s_k); the key is d_n-1 xor s_n."""
    state = bytes(length)
    for number in range(stripes - 1):
        state = _h1(_xor(state, material[number * length : (number + 1) * length]), name)
    return _xor(state, material[(stripes - 1) * length :])


def _spec_split(key: bytes, filling: bytes, stripes: int, name: str) -> bytes:
    """s_1..s_n-1 are random; s_n = d_n-1 xor the key."""
    state = bytes(len(key))
    for number in range(stripes - 1):
        state = _h1(_xor(state, filling[number * len(key) : (number + 1) * len(key)]), name)
    return filling + _xor(state, key)


_keys = st.binary(min_size=1, max_size=130)


@_EXAMPLES
@given(key=_keys, stripes=st.integers(1, 20), name=st.sampled_from(_HASHES), seed=st.binary(max_size=8))
def test_split_material_is_what_the_specification_says(key: bytes, stripes: int, name: str, seed: bytes) -> None:
    def filling(length: int) -> bytes:
        return hashlib.shake_128(seed).digest(length)

    material = split(memoryview(key), stripes, name, filling)
    assert material == _spec_split(key, filling(len(key) * (stripes - 1)), stripes, name)
    assert len(material) == stripes * len(key)


@_EXAMPLES
@given(length=st.integers(1, 130), stripes=st.integers(1, 20), name=st.sampled_from(_HASHES), data=st.data())
def test_any_material_merges_as_the_specification_says(
    length: int, stripes: int, name: str, data: st.DataObject
) -> None:
    seed = data.draw(st.binary(max_size=8))
    material = hashlib.shake_128(b"m" + seed).digest(length * stripes)
    expected = _spec_merge(material, length, stripes, name)
    assert merge(bytearray(material), length, stripes, name) == expected
    assert merge(memoryview(material), length, stripes, name) == expected


@_EXAMPLES
@given(key=_keys, stripes=st.integers(1, 50), name=st.sampled_from(_HASHES))
def test_merging_gives_back_what_was_split(key: bytes, stripes: int, name: str) -> None:
    assert merge(split(memoryview(key), stripes, name, os.urandom), len(key), stripes, name) == key


@pytest.mark.parametrize("name", _HASHES)
@pytest.mark.parametrize("key_bytes", [16, 32, 64])
def test_luks_four_thousand_stripes_round_trip(key_bytes: int, name: str) -> None:
    key = bytes(range(key_bytes))
    material = split(memoryview(key), 4000, name, os.urandom)
    assert len(material) == 4000 * key_bytes
    assert _spec_merge(bytes(material), key_bytes, 4000, name) == key
    assert merge(material, key_bytes, 4000, name) == key


@_EXAMPLES
@given(
    key=st.binary(min_size=16, max_size=64), stripes=st.integers(2, 12), place=st.integers(0), bit=st.integers(0, 7)
)
def test_any_changed_bit_gives_another_key(key: bytes, stripes: int, place: int, bit: int) -> None:
    material = split(memoryview(key), stripes, "sha256", os.urandom)
    material[place % len(material)] ^= 1 << bit
    assert merge(material, len(key), stripes, "sha256") != key


def test_bytes_behind_the_last_stripe_do_not_matter() -> None:
    key = b"0123456789abcdef"
    material = split(memoryview(key), 10, "sha1", os.urandom)
    assert merge(material + b"padding", 16, 10, "sha1") == key


def test_the_key_itself_is_nowhere_in_the_material() -> None:
    key = bytes(range(100, 164))
    material = bytes(split(memoryview(key), 4000, "sha256", os.urandom))
    assert all(key[start : start + 8] not in material for start in range(0, 64, 8))
