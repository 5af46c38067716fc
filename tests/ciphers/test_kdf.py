"""Hash names and PBKDF2 against published vectors (RFC 6070, RFC 7914 section 11) and a PBKDF2 written here."""

from __future__ import annotations

import hashlib
import hmac
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.ciphers.kdf import (
    MAX_ITERATIONS,
    MIN_ITERATIONS,
    check_hash,
    digest_bytes,
    iterations_for,
    pbkdf2,
    pbkdf2_iterations_per_second,
)
from cryptlv.errors import CipherError

_RFC_6070 = [
    (b"password", b"salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
    (b"password", b"salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
    (b"password", b"salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
    (
        b"passwordPASSWORDpassword",
        b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
        4096,
        "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
    ),
    (b"pass\0word", b"sa\0lt", 4096, "56fa6aa75548099dcc37d7f03425e0c3"),
]
_RFC_7914 = [
    (
        b"passwd",
        b"salt",
        1,
        (
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
            "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
        ),
    ),
    (
        b"Password",
        b"NaCl",
        80000,
        (
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
            "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"
        ),
    ),
]


def _own_pbkdf2(name: str, passphrase: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """RFC 8018 section 5.2, step by step, with the standard library's HMAC alone."""
    out, number = b"", 0
    while len(out) < length:
        number += 1
        last = hmac.new(passphrase, salt + number.to_bytes(4, "big"), name).digest()
        block = int.from_bytes(last, "big")
        for _ in range(iterations - 1):
            last = hmac.new(passphrase, last, name).digest()
            block ^= int.from_bytes(last, "big")
        out += block.to_bytes(len(last), "big")
    return out[:length]


def _usable_hashes() -> list[str]:
    """What this system's OpenSSL has: it may have left ripemd160 out."""
    usable = []
    for name in ("sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"):
        try:
            hashlib.new(name)
        except ValueError:
            continue
        usable.append(name)
    return usable


@pytest.mark.parametrize(("passphrase", "salt", "iterations", "expected"), _RFC_6070)
def test_pbkdf2_with_sha1_gives_the_vectors_of_rfc_6070(
    passphrase: bytes, salt: bytes, iterations: int, expected: str
) -> None:
    assert pbkdf2("sha1", memoryview(passphrase), salt, iterations, len(expected) // 2).hex() == expected


@pytest.mark.parametrize(("passphrase", "salt", "iterations", "expected"), _RFC_7914)
def test_pbkdf2_with_sha256_gives_the_vectors_of_rfc_7914(
    passphrase: bytes, salt: bytes, iterations: int, expected: str
) -> None:
    assert pbkdf2("sha256", memoryview(passphrase), salt, iterations, 64).hex() == expected


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(_usable_hashes()),
    passphrase=st.binary(max_size=150),
    salt=st.binary(max_size=64),
    iterations=st.integers(1, 40),
    length=st.integers(1, 150),
)
def test_pbkdf2_equals_the_standards_steps_for_every_hash(
    name: str, passphrase: bytes, salt: bytes, iterations: int, length: int
) -> None:
    found = pbkdf2(name, memoryview(passphrase), salt, iterations, length)
    assert found == _own_pbkdf2(name, passphrase, salt, iterations, length)
    assert found == hashlib.pbkdf2_hmac(name, passphrase, salt, iterations, length)


def test_the_derived_key_can_be_wiped() -> None:
    assert isinstance(pbkdf2("sha1", memoryview(b"x"), b"y", 1, 20), bytearray)


@pytest.mark.parametrize("name", _usable_hashes())
def test_a_known_hash_is_taken_and_has_its_digest_size(name: str) -> None:
    sizes = {"sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64, "ripemd160": 20}
    assert check_hash(name) == name
    assert digest_bytes(name) == sizes[name]


def test_a_known_hash_that_openssl_lacks_is_refused_by_name() -> None:
    for name in {"sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"} - set(_usable_hashes()):
        with pytest.raises(CipherError, match=name):
            check_hash(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        *((name, repr(name)) for name in ("", "md5", "SHA256", "sha-256", "whirlpool", "shake_128", "sha256 ")),
        ("\n", r"\n"),
        ("sha1\0", r"\x00"),
    ],
)
def test_an_unknown_hash_is_refused_by_name(name: str, shown: str) -> None:
    for use in (check_hash, digest_bytes, lambda word: pbkdf2(word, memoryview(b"x"), b"y", 1, 20)):
        with pytest.raises(CipherError) as caught:
            use(name)
        assert shown in str(caught.value)
        assert str(caught.value).isprintable()


def test_the_iteration_count_takes_the_time_asked_for() -> None:
    assert iterations_for(1_000_000, 2000) == 2_000_000
    assert iterations_for(1_000_000, 125) == 125_000


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_iteration_count_stays_between_the_bounds(per_second: int, milliseconds: int) -> None:
    assert MIN_ITERATIONS <= iterations_for(per_second, milliseconds) <= MAX_ITERATIONS


def test_luks_lower_bound_is_a_thousand_iterations() -> None:
    assert iterations_for(10, 10) == 1000


def test_the_measured_rate_is_that_of_this_machine() -> None:
    found = pbkdf2_iterations_per_second("sha256", 32, time.monotonic)
    start = time.monotonic()
    hashlib.pbkdf2_hmac("sha256", b"passphrase", bytes(32), 100_000, 32)
    rate = 100_000 / (time.monotonic() - start)
    assert rate / 20 < found < rate * 20


def test_a_quarter_of_a_second_is_measured_long_enough() -> None:
    ticks = iter([5.0, 5.25])
    assert pbkdf2_iterations_per_second("sha1", 20, lambda: next(ticks)) > 0
    assert list(ticks) == []


def test_the_rate_of_an_unknown_hash_is_refused_by_name() -> None:
    with pytest.raises(CipherError, match="whirlpool"):
        pbkdf2_iterations_per_second("whirlpool", 32, time.monotonic)
