"""The bulk engine against a real kernel's dm-crypt and against `cryptography`'s own modes, sector by sector."""

from __future__ import annotations

import hashlib
import json
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.bulk import BulkCipher
from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.secret import VolumeKey

_GOLDEN = Path(__file__).parent.parent / "golden" / "dmcrypt"
_SUPPORTED = {
    "aes-xts-plain": (256, 512),
    "aes-xts-plain64": (256, 512),
    "aes-cbc-plain": (128, 192, 256),
    "aes-cbc-plain64": (128, 192, 256),
    "aes-cbc-essiv:sha256": (128, 192, 256),
}
_SECTOR_SIZES = (512, 1024, 2048, 4096)
_TOP = 2**64
_EXAMPLES = settings(max_examples=60, deadline=None)


def _kernel_vectors() -> list[Any]:
    lines = (_GOLDEN / "manifest.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    found = []
    for line in lines:
        case = json.loads(line)
        if case["key_bits"] in _SUPPORTED.get(case["spec"], ()):
            large = "L" if case["iv_large_sectors"] else ""
            name = f"{case['spec']}-{case['key_bits']}-{case['sector_size']}{large}-{case['iv_offset']}"
            found.append(pytest.param(case, id=name))
    return found


def _stream(seed: bytes, length: int) -> bytes:
    return hashlib.shake_128(seed).digest(length)


def _kernel_key(bits: int) -> bytes:
    """The key of the vectors: SHA256(b"lab-key" + le64(i)) for i from 0, cut (first line of the manifest)."""
    pieces = (hashlib.sha256(b"lab-key" + number.to_bytes(8, "little")).digest() for number in range(8))
    return b"".join(pieces)[: bits // 8]


def _open(spec: str, key: bytes, sector_size: int, *, large: bool = False) -> BulkCipher:
    return BulkCipher(parse_cipher_spec(spec), VolumeKey(key), sector_size, iv_large_sectors=large)


def _one_sector(spec: str, key: bytes, iv_number: int, data: bytes, *, encrypt: bool) -> bytes:
    """One sector under `cryptography`'s own XTS or CBC with dm-crypt's plain, plain64 or essiv IV."""
    narrow = spec.endswith("-plain")
    iv = (iv_number % 2**32 if narrow else iv_number).to_bytes(16, "little")
    if "essiv" in spec:
        maker = Cipher(algorithms.AES(hashlib.sha256(key).digest()), modes.ECB()).encryptor()  # noqa: S305
        iv = maker.update(iv) + maker.finalize()
    mode = modes.XTS(iv) if "-xts-" in spec else modes.CBC(iv)
    cipher = Cipher(algorithms.AES(key), mode)
    context = cipher.encryptor() if encrypt else cipher.decryptor()
    return context.update(data) + context.finalize()


def _by_sector(spec: str, key: bytes, size: int, data: bytes, first: int, *, large: bool, encrypt: bool) -> bytes:
    """dm-crypt's rule: the IV number counts 512-byte sectors modulo 2^64, or sectors of `size` with large IVs."""
    per = size // 512
    out = b""
    for number in range(len(data) // size):
        iv = (first + number * per) % _TOP
        sector = data[number * size : (number + 1) * size]
        out += _one_sector(spec, key, iv // per if large else iv, sector, encrypt=encrypt)
    return out


def _key_bytes(spec: str, bits: int, seed: bytes) -> bytes:
    return _stream(b"key" + spec.encode() + seed, bits // 8)


_cases = st.sampled_from([(spec, bits) for spec, sizes in _SUPPORTED.items() for bits in sizes])
_first_sectors = st.one_of(
    st.integers(0, _TOP - 1),
    st.integers(0, 300),
    st.integers(_TOP - 300, _TOP - 1),
    st.integers(2**32 - 300, 2**32 + 300),
)


def test_the_manifest_has_every_supported_cipher_with_each_sector_size() -> None:
    cases = [parameter.values[0] for parameter in _kernel_vectors()]
    assert {case["spec"] for case in cases} == set(_SUPPORTED)
    assert {case["sector_size"] for case in cases} == set(_SECTOR_SIZES)
    assert len(cases) == 231
    assert all(case["accepted"] for case in cases)


@pytest.mark.parametrize("case", _kernel_vectors())
def test_the_kernels_bytes_come_out_both_ways(case: dict[str, Any], kernel_plaintext: bytes) -> None:
    cipher = _open(case["spec"], _kernel_key(case["key_bits"]), case["sector_size"], large=case["iv_large_sectors"])
    buffer = bytearray(kernel_plaintext)
    cipher.encrypt(buffer, case["iv_offset"])
    heads = {sector: bytes(buffer[int(sector) * 512 :][:16]).hex() for sector in case["heads"]}
    assert heads == case["heads"]
    assert hashlib.sha256(buffer).hexdigest() == case["sha256"]
    cipher.decrypt(buffer, case["iv_offset"])
    assert buffer == kernel_plaintext


@_EXAMPLES
@given(
    case=_cases,
    seed=st.binary(max_size=8),
    sector_size=st.sampled_from(_SECTOR_SIZES),
    first=_first_sectors,
    sectors=st.integers(0, 12),
)
@example(case=("aes-xts-plain64", 512), seed=b"", sector_size=512, first=_TOP - 3, sectors=8)
@example(case=("aes-xts-plain", 512), seed=b"", sector_size=4096, first=2**32 - 3, sectors=8)
@example(case=("aes-cbc-essiv:sha256", 256), seed=b"", sector_size=4096, first=_TOP - 8, sectors=3)
def test_every_sector_equals_the_librarys_own_mode(
    case: tuple[str, int], seed: bytes, sector_size: int, first: int, sectors: int
) -> None:
    spec, bits = case
    key = _key_bytes(spec, bits, seed)
    plain = _stream(b"data" + seed, sectors * sector_size)
    cipher = _open(spec, key, sector_size)
    buffer = bytearray(plain)
    cipher.encrypt(buffer, first)
    assert buffer == _by_sector(spec, key, sector_size, plain, first, large=False, encrypt=True)
    buffer = bytearray(plain)
    cipher.decrypt(buffer, first)
    assert buffer == _by_sector(spec, key, sector_size, plain, first, large=False, encrypt=False)


@_EXAMPLES
@given(case=_cases, sector_size=st.sampled_from(_SECTOR_SIZES), where=_first_sectors, sectors=st.integers(1, 12))
def test_large_sector_ivs_count_sectors_of_that_size(
    case: tuple[str, int], sector_size: int, where: int, sectors: int
) -> None:
    spec, bits = case
    per = sector_size // 512
    first = min(where, _TOP - sectors * per) // per * per
    key = _key_bytes(spec, bits, b"large")
    plain = _stream(b"large", sectors * sector_size)
    cipher = _open(spec, key, sector_size, large=True)
    buffer = bytearray(plain)
    cipher.encrypt(buffer, first)
    assert buffer == _by_sector(spec, key, sector_size, plain, first, large=True, encrypt=True)
    cipher.decrypt(buffer, first)
    assert buffer == plain


@pytest.mark.parametrize("sector_size", _SECTOR_SIZES)
@pytest.mark.parametrize(("spec", "bits"), [(spec, sizes[-1]) for spec, sizes in _SUPPORTED.items()])
def test_a_buffer_longer_than_the_engines_slices_equals_the_librarys_mode(
    spec: str, bits: int, sector_size: int
) -> None:
    sectors = (3 * 65536 + 8192) // sector_size
    key = _key_bytes(spec, bits, b"long")
    plain = _stream(b"long", sectors * sector_size)
    buffer = bytearray(plain)
    cipher = _open(spec, key, sector_size)
    cipher.encrypt(buffer, _TOP - 200)
    assert buffer == _by_sector(spec, key, sector_size, plain, _TOP - 200, large=False, encrypt=True)
    cipher.decrypt(buffer, _TOP - 200)
    assert buffer == plain


@_EXAMPLES
@given(
    case=_cases,
    sector_size=st.sampled_from(_SECTOR_SIZES),
    first=_first_sectors,
    cuts=st.lists(st.integers(0, 40), max_size=6),
    sectors=st.integers(1, 40),
)
def test_encrypting_in_slices_equals_encrypting_the_whole(
    case: tuple[str, int], sector_size: int, first: int, cuts: list[int], sectors: int
) -> None:
    spec, bits = case
    cipher = _open(spec, _key_bytes(spec, bits, b"slices"), sector_size)
    plain = _stream(b"slices", sectors * sector_size)
    whole, sliced = bytearray(plain), bytearray(plain)
    cipher.encrypt(whole, first)
    places = [0, *sorted(min(cut, sectors) for cut in cuts), sectors]
    with memoryview(sliced) as view:
        for start, end in pairwise(places):
            part = view[start * sector_size : end * sector_size]
            cipher.encrypt(part, (first + start * (sector_size // 512)) % _TOP)
    assert sliced == whole


def test_only_the_given_view_changes_at_any_alignment() -> None:
    key = _key_bytes("aes-xts-plain64", 512, b"view")
    for shift in (0, 1, 3, 8, 17):
        plain = _stream(b"view", 1024)
        buffer = bytearray(b"\x55" * shift + plain + b"\x66" * 5)
        with memoryview(buffer) as view:
            _open("aes-xts-plain64", key, 512).encrypt(view[shift : shift + 1024], 7)
        expected = _by_sector("aes-xts-plain64", key, 512, plain, 7, large=False, encrypt=True)
        assert buffer == b"\x55" * shift + expected + b"\x66" * 5


@pytest.mark.parametrize("length", [1, 16, 511, 513, 1023])
def test_a_buffer_of_less_than_whole_sectors_is_refused_and_left_alone(length: int) -> None:
    cipher = _open("aes-xts-plain64", _key_bytes("aes-xts-plain64", 256, b""), 512)
    for run in (cipher.encrypt, cipher.decrypt):
        buffer = bytearray(length)
        with pytest.raises(ValueError, match="whole sectors of 512"):
            run(buffer, 0)
        assert buffer == bytearray(length)


def test_a_read_only_buffer_is_refused() -> None:
    cipher = _open("aes-cbc-plain64", bytes(32), 512)
    with pytest.raises(ValueError, match="read-only"):
        cipher.encrypt(memoryview(bytes(512)), 0)


def test_an_empty_buffer_stays_empty() -> None:
    buffer = bytearray()
    _open("aes-xts-plain64", _key_bytes("aes-xts-plain64", 256, b""), 512).encrypt(buffer, 0)
    assert buffer == b""


def test_the_sector_size_is_told() -> None:
    assert [_open("aes-cbc-plain", bytes(16), size).sector_size for size in _SECTOR_SIZES] == list(_SECTOR_SIZES)


def test_the_cipher_stays_usable_after_its_key_is_closed() -> None:
    raw = _key_bytes("aes-xts-plain64", 512, b"closed")
    key = VolumeKey(raw)
    cipher = BulkCipher(parse_cipher_spec("aes-xts-plain64"), key, 512, iv_large_sectors=False)
    key.close()
    buffer = bytearray(512)
    cipher.encrypt(buffer, 1)
    assert buffer == _one_sector("aes-xts-plain64", raw, 1, bytes(512), encrypt=True)


@pytest.mark.parametrize("spec", sorted(_SUPPORTED))
def test_threads_sharing_one_cipher_get_the_same_bytes_as_one(spec: str) -> None:
    key = _key_bytes(spec, 256, b"threads")
    cipher = _open(spec, key, 512)
    plain = _stream(b"threads", 64 * 512)
    wanted = _by_sector(spec, key, 512, plain, 0, large=False, encrypt=True)
    wrong: list[int] = []

    def work(name: int) -> None:
        for _ in range(20):
            buffer = bytearray(plain)
            cipher.encrypt(buffer, 0)
            good = buffer == wanted
            cipher.decrypt(buffer, 0)
            if not good or buffer != plain:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_closed_cipher_encrypts_nothing() -> None:
    cipher = _open("aes-xts-plain64", _key_bytes("aes-xts-plain64", 512, b""), 512)
    cipher.close()
    buffer = bytearray(512)
    with pytest.raises((AttributeError, ValueError)):
        cipher.encrypt(buffer, 0)
    assert buffer == bytes(512)


def test_the_representation_shows_no_key() -> None:
    key = _key_bytes("aes-xts-plain64", 512, b"repr")
    assert key.hex()[:8] not in repr(_open("aes-xts-plain64", key, 512))
