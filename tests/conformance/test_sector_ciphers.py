"""Sector ciphers: every engine gives the kernel's bytes, those of `cryptography`'s own modes, and the others'."""

from __future__ import annotations

import hashlib
import threading
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.engine import ENGINES, SectorCipher, open_sector_cipher
from cryptlv.ciphers.spec import SECTOR_SIZES, parse_cipher_spec
from cryptlv.errors import CipherError
from cryptlv.secret import VolumeKey
from support.dmcrypt import TOP, kernel_cases, kernel_key, kernel_plaintext, plain_iv

_AES_SPECS = {
    "aes-xts-plain": (256, 384, 512),
    "aes-xts-plain64": (256, 512),
    "aes-xts-plain64be": (512,),
    "aes-xts-essiv:sha256": (512,),
    "aes-xts-benbi": (256,),
    "aes-xts-null": (512,),
    "aes-cbc-plain": (128, 192, 256),
    "aes-cbc-plain64": (256,),
    "aes-cbc-plain64be": (128,),
    "aes-cbc-essiv:sha256": (128, 192, 256),
    "aes-cbc-essiv:md5": (256,),
    "aes-cbc-benbi": (256,),
    "aes-ctr-plain": (128,),
    "aes-ctr-plain64": (128, 192, 256),
    "aes-ctr-plain64be": (256,),
    "aes-ctr-benbi": (256,),
    "aes-ctr-essiv:sha256": (256,),
    "aes-ecb": (128, 192, 256),
}
_OTHER_SPECS = {
    "aes-xts-eboiv": (256, 512), "aes-cbc-eboiv": (128, 256), "aes-lrw-benbi": (256, 384),
    "serpent-xts-plain64": (256, 384, 512), "serpent-cbc-essiv:sha256": (256,), "serpent-ctr-benbi": (128,),
    "serpent-cbc-eboiv": (256,), "serpent-ecb": (192,), "twofish-xts-plain64": (256, 512),
    "twofish-cbc-plain": (128,), "twofish-ctr-plain64be": (256,), "camellia-xts-eboiv": (512,),
    "camellia-cbc-essiv:sha256": (128, 192), "camellia-ctr-essiv:sha256": (256,), "camellia-ecb": (256,),
}  # fmt: skip
_EXAMPLES = settings(max_examples=60, deadline=None)
_OPENSSL_HAS = {(mode, cipher) for mode in ("cbc", "ctr", "ecb") for cipher in ("aes", "camellia")} | {("xts", "aes")}


def _has(engine: str, spec: str, bits: int) -> bool:
    """Whether an engine is to have a cipher."""
    parsed = parse_cipher_spec(spec)
    if engine == "openssl":
        return (parsed.mode, parsed.cipher) in _OPENSSL_HAS and (parsed.mode, bits) != ("xts", 384)
    return engine == "numpy" or parsed.mode not in ("lrw", "adiantum")


_BY_CIPHER: dict[tuple[str, int], list[dict[str, Any]]] = {}
for _case in kernel_cases():
    try:
        _bits = parse_cipher_spec(_case["spec"]).key_bits
    except CipherError:
        continue
    _BY_CIPHER.setdefault((_case["spec"], _case["key_bits"]), []).append(_case)
_AES = st.sampled_from(
    [(engine, spec, bits) for spec, sizes in _AES_SPECS.items() for bits in sizes for engine in ENGINES
     if _has(engine, spec, bits)]
)  # fmt: skip
_ANY = [(spec, bits) for spec, sizes in (_AES_SPECS | _OTHER_SPECS).items() for bits in sizes]
_FIRST_SECTORS = st.one_of(
    st.integers(0, TOP - 1),
    st.integers(0, 300),
    st.integers(TOP - 300, TOP - 1),
    st.integers(2**32 - 300, 2**32 + 300),
    st.integers(TOP // 512 - 300, TOP // 512 + 300),
)


def _stream(seed: bytes, length: int) -> bytes:
    return hashlib.shake_128(seed).digest(length)


def _open(spec: str, key: bytes, size: int, engine: str, *, large: bool = False) -> SectorCipher:
    return open_sector_cipher(spec, VolumeKey(key), size, iv_large_sectors=large, engine=engine)


def _one_sector(spec: str, key: bytes, number: int, data: bytes, *, encrypt: bool) -> bytes:
    """One sector under `cryptography`'s own mode with dm-crypt's IV."""
    _, mode, kind = f"{spec}-null".split("-")[:3]
    if kind.startswith("essiv"):
        maker = Cipher(algorithms.AES(hashlib.new(kind[6:], key).digest()), modes.ECB()).encryptor()  # noqa: S305
        iv = maker.update(plain_iv("plain64", number))
    else:
        iv = plain_iv(kind, number, block_bytes=1 if mode == "ctr" else 16)
    if mode == "xts" and len(key) == 48:  # aes-192, which OpenSSL's XTS has not got: from IEEE 1619's definition
        return _xts_192(key, iv, data, encrypt=encrypt)
    chosen: modes.XTS | modes.CBC | modes.CTR | modes.ECB = modes.ECB()  # noqa: S305
    if mode == "xts":
        chosen = modes.XTS(iv)
    elif mode != "ecb":
        chosen = modes.CBC(iv) if mode == "cbc" else modes.CTR(iv)
    cipher = Cipher(algorithms.AES(key), chosen)
    context = cipher.encryptor() if encrypt else cipher.decryptor()
    return context.update(data) + context.finalize()


def _xts_192(key: bytes, iv: bytes, data: bytes, *, encrypt: bool) -> bytes:
    first, second = (Cipher(algorithms.AES(half), modes.ECB()) for half in (key[:24], key[24:]))  # noqa: S305
    run = (first.encryptor() if encrypt else first.decryptor()).update
    tweak = int.from_bytes(second.encryptor().update(iv), "little")
    out = b""
    for start in range(0, len(data), 16):
        block = int.from_bytes(data[start : start + 16], "little") ^ tweak
        mixed = int.from_bytes(run(block.to_bytes(16, "little")), "little") ^ tweak
        out += mixed.to_bytes(16, "little")
        tweak = tweak << 1 ^ (0x87 | 1 << 128 if tweak >> 127 else 0)
    return out


def _by_sector(spec: str, key: bytes, size: int, data: bytes, first: int, *, large: bool, encrypt: bool) -> bytes:
    """dm-crypt's rule: the IV number counts 512-byte sectors modulo 2^64, or sectors of `size` with large IVs."""
    per = size // 512
    out = b""
    for number in range(len(data) // size):
        iv = (first + number * per) % TOP
        sector = data[number * size : (number + 1) * size]
        out += _one_sector(spec, key, iv // per if large else iv, sector, encrypt=encrypt)
    return out


def test_the_kernels_cases_that_are_known_here_are_most_of_them() -> None:
    known = {id(case) for cases in _BY_CIPHER.values() for case in cases}
    assert len(known) == 1617
    unknown = {case["spec"] for case in kernel_cases() if id(case) not in known and case["accepted"]}
    assert unknown == {
        "aes-cbc-elephant", "aes-cbc-tcw", "aes:64-cbc-lmk", "aes:64-cbc-plain64", "aes-cfb-plain64",
        "aes-ofb-plain64", "aes-pcbc-plain64", "cast6-xts-plain64", "cast6-xts-plain", "cast6-cbc-essiv:sha256",
        "cast6-cbc-plain64", "cast6-cbc-plain", "cast6-lrw-benbi", "cast6-ecb", "blowfish-cbc-plain64",
        "cast5-cbc-plain64", "des3_ede-cbc-plain64", "blowfish-cbc-essiv:sha256", "des3_ede-cbc-plain",
        "cipher_null-ecb",
    }  # fmt: skip


def test_what_the_kernel_refused_is_refused_by_name() -> None:
    refused = [case for case in kernel_cases() if not case["accepted"]]
    assert len(refused) == 58
    for case in refused:
        with pytest.raises(CipherError) as caught:
            open_sector_cipher(case["spec"], VolumeKey(kernel_key(case["key_bits"])), case["sector_size"])
        assert case["spec"] in str(caught.value)


@pytest.mark.parametrize("engine", ["", *ENGINES])
@pytest.mark.parametrize(("spec", "bits"), _BY_CIPHER)
def test_the_kernels_bytes_come_out_both_ways(spec: str, bits: int, engine: str) -> None:
    cases = _BY_CIPHER[spec, bits]
    if engine and not _has(engine, spec, bits):
        with pytest.raises(CipherError):
            _open(spec, kernel_key(bits), 512, engine)
        return
    for case in cases:
        cipher = _open(spec, kernel_key(bits), case["sector_size"], engine, large=case["iv_large_sectors"])
        buffer = bytearray(kernel_plaintext())
        cipher.encrypt(buffer, case["iv_offset"])
        heads = {sector: bytes(buffer[int(sector) * 512 :][:16]).hex() for sector in case["heads"]}
        assert heads == case["heads"], case
        assert hashlib.sha256(buffer).hexdigest() == case["sha256"], case
        cipher.decrypt(buffer, case["iv_offset"])
        assert buffer == kernel_plaintext(), case


@_EXAMPLES
@given(
    case=_AES,
    seed=st.binary(max_size=8),
    size=st.sampled_from(SECTOR_SIZES),
    first=_FIRST_SECTORS,
    sectors=st.integers(0, 12),
    large=st.booleans(),
)
@example(case=("numpy", "aes-xts-plain64", 512), seed=b"", size=512, first=TOP - 3, sectors=8, large=False)
@example(case=("libgcrypt", "aes-xts-plain64", 512), seed=b"", size=4096, first=TOP - 9, sectors=8, large=True)
@example(case=("numpy", "aes-xts-plain64", 512), seed=b"", size=4096, first=TOP - 9, sectors=8, large=True)
@example(case=("openssl", "aes-xts-plain", 512), seed=b"", size=4096, first=2**32 - 3, sectors=8, large=False)
@example(case=("openssl", "aes-cbc-essiv:sha256", 256), seed=b"", size=4096, first=TOP - 8, sectors=3, large=False)
def test_every_sector_equals_the_librarys_own_mode(
    case: tuple[str, str, int], seed: bytes, size: int, first: int, sectors: int, large: bool
) -> None:
    engine, spec, bits = case
    key = _stream(b"key" + spec.encode() + seed, bits // 8)
    plain = _stream(b"data" + seed, sectors * size)
    cipher = _open(spec, key, size, engine, large=large)
    buffer = bytearray(plain)
    cipher.encrypt(buffer, first)
    assert buffer == _by_sector(spec, key, size, plain, first, large=large, encrypt=True)
    buffer = bytearray(plain)
    cipher.decrypt(buffer, first)
    assert buffer == _by_sector(spec, key, size, plain, first, large=large, encrypt=False)


@settings(max_examples=120, deadline=None)
@given(
    case=st.sampled_from(_ANY),
    seed=st.binary(max_size=8),
    size=st.sampled_from(SECTOR_SIZES),
    first=_FIRST_SECTORS,
    sectors=st.integers(1, 150),
    large=st.booleans(),
)
def test_all_engines_give_the_same_bytes(
    case: tuple[str, int], seed: bytes, size: int, first: int, sectors: int, large: bool
) -> None:
    spec, bits = case
    key, plain = _stream(b"key" + seed, bits // 8), _stream(b"data" + seed, sectors * size)
    results = []
    for engine in ("", *(engine for engine in ENGINES if _has(engine, spec, bits))):
        cipher = _open(spec, key, size, engine, large=large)
        encrypted, decrypted = bytearray(plain), bytearray(plain)
        cipher.encrypt(encrypted, first)
        cipher.decrypt(decrypted, first)
        results.append((bytes(encrypted), bytes(decrypted)))
        cipher.decrypt(encrypted, first)
        assert encrypted == plain
    assert len(set(results)) == 1
    assert results[0][0] != plain


@_EXAMPLES
@given(
    case=_AES,
    size=st.sampled_from(SECTOR_SIZES),
    first=_FIRST_SECTORS,
    cuts=st.lists(st.integers(0, 90), max_size=6),
    sectors=st.integers(1, 90),
)
def test_encrypting_in_slices_equals_encrypting_the_whole(
    case: tuple[str, str, int], size: int, first: int, cuts: list[int], sectors: int
) -> None:
    engine, spec, bits = case
    cipher = _open(spec, _stream(b"slices", bits // 8), size, engine)
    plain = _stream(b"slices", sectors * size)
    whole, sliced = bytearray(plain), bytearray(plain)
    cipher.encrypt(whole, first)
    places = [0, *sorted(min(cut, sectors) for cut in cuts), sectors]
    with memoryview(sliced) as view:
        for start, end in pairwise(places):
            part = view[start * size : end * size]
            cipher.encrypt(part, first + start * (size // 512))
    assert sliced == whole


@pytest.mark.parametrize("engine", ENGINES)
class TestEngine:
    """What every engine keeps, whatever the cipher."""

    def test_only_the_given_view_changes_at_any_alignment(self, engine: str) -> None:
        key = _stream(b"view", 64)
        for shift in (0, 1, 3, 8, 17):
            plain = _stream(b"view", 1024)
            buffer = bytearray(b"\x55" * shift + plain + b"\x66" * 5)
            with memoryview(buffer) as view:
                _open("aes-xts-plain64", key, 512, engine).encrypt(view[shift : shift + 1024], 7)
            expected = _by_sector("aes-xts-plain64", key, 512, plain, 7, large=False, encrypt=True)
            assert buffer == b"\x55" * shift + expected + b"\x66" * 5

    @pytest.mark.parametrize("length", [1, 16, 511, 513, 1023])
    def test_a_buffer_of_less_than_whole_sectors_is_refused_and_left_alone(self, engine: str, length: int) -> None:
        cipher = _open("aes-xts-plain64", _stream(b"", 32), 512, engine)
        for run in (cipher.encrypt, cipher.decrypt):
            buffer = bytearray(length)
            with pytest.raises(ValueError, match=f"{length} bytes are not whole sectors of 512"):
                run(buffer, 0)
            assert buffer == bytearray(length)
        cipher.encrypt(bytearray(512), 0)

    def test_a_read_only_buffer_is_refused(self, engine: str) -> None:
        data = bytes(512)
        with pytest.raises((ValueError, BufferError), match=r"read-only|not writable"):
            _open("aes-cbc-plain64", bytes(32), 512, engine).encrypt(memoryview(data), 0)
        assert data == bytes(512)

    def test_an_empty_buffer_stays_empty(self, engine: str) -> None:
        buffer = bytearray()
        _open("aes-xts-plain64", _stream(b"", 32), 512, engine).encrypt(buffer, 0)
        assert buffer == b""

    def test_the_sector_size_is_told(self, engine: str) -> None:
        sizes = [_open("aes-cbc-plain", bytes(16), size, engine).sector_size for size in SECTOR_SIZES]
        assert sizes == list(SECTOR_SIZES)

    def test_the_cipher_stays_usable_after_its_key_is_closed(self, engine: str) -> None:
        raw = _stream(b"closed", 64)
        key = VolumeKey(raw)
        cipher = open_sector_cipher("aes-xts-plain64", key, engine=engine)
        key.close()
        buffer = bytearray(512)
        cipher.encrypt(buffer, 1)
        assert buffer == _one_sector("aes-xts-plain64", raw, 1, bytes(512), encrypt=True)

    @pytest.mark.parametrize("spec", ["aes-xts-plain64", "aes-cbc-essiv:sha256", "aes-ctr-plain64"])
    def test_threads_sharing_one_cipher_get_the_same_bytes_as_one(self, engine: str, spec: str) -> None:
        key = _stream(b"threads", 32)
        cipher = _open(spec, key, 512, engine)
        plain = _stream(b"threads", 64 * 512)
        wanted = _by_sector(spec, key, 512, plain, 0, large=False, encrypt=True)
        wrong: list[int] = []

        def work(name: int) -> None:
            for _ in range(50):
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

    def test_a_closed_cipher_encrypts_nothing(self, engine: str) -> None:
        cipher = _open("aes-xts-plain64", _stream(b"", 64), 512, engine)
        cipher.close()
        cipher.close()
        buffer = bytearray(512)
        with pytest.raises(ValueError, match="closed"):
            cipher.encrypt(buffer, 0)
        assert buffer == bytes(512)

    def test_the_representation_shows_no_key(self, engine: str) -> None:
        key = _stream(b"repr", 64)
        cipher = _open("aes-xts-plain64", key, 512, engine)
        assert key.hex()[:8] not in repr(cipher)
        assert key.hex()[:8] not in repr(vars(cipher))
