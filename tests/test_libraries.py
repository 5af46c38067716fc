"""Ciphers of shared libraries: published vectors, what there is not, and that nothing of a key is left behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cryptlv.errors import CipherError
from cryptlv.libraries import LIBRARIES, NO_CALL, find_library, shortest_seconds

_VECTORS = [
    # FIPS 197, appendices B and C
    (
        "aes",
        "2b7e151628aed2a6abf7158809cf4f3c",
        "3243f6a8885a308d313198a2e0370734",
        "3925841d02dc09fbdc118597196a0b32",
    ),
    ("aes", bytes(range(24)).hex(), "00112233445566778899aabbccddeeff", "dda97ca4864cdfe06eaf70a0ec0d7191"),
    ("aes", bytes(range(32)).hex(), "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089"),
    # RFC 3713, appendix A
    (
        *("camellia", "0123456789abcdeffedcba9876543210"),
        *("0123456789abcdeffedcba9876543210", "67673138549669730857065648eabe43"),
    ),
    (
        *("camellia", "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff"),
        *("0123456789abcdeffedcba9876543210", "9acc237dff16d76c20ef7c919e3a7509"),
    ),
    # "Twofish: A 128-Bit Block Cipher" (1998), appendix B.2
    ("twofish", bytes(16).hex(), bytes(16).hex(), "9f589f5cf6122c32b6bfec2f2ae8c35a"),
    ("twofish", bytes(32).hex(), bytes(16).hex(), "57ff739d4dc92c1bd7fc01700cc8216f"),
    # the kernel's crypto/testmgr.h
    ("serpent", bytes(range(16)).hex(), bytes(range(16)).hex(), "4c7d8a328072a22c823e4a1f3acda16d"),
    ("serpent", bytes(range(32)).hex(), bytes(range(16)).hex(), "de269ff833e432b85b2e88d2701ce75c"),
]
_OPENSSL_CIPHERS = ("aes", "camellia")


@pytest.mark.parametrize(("cipher", "key", "plain", "encrypted"), _VECTORS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_published_vectors_both_ways(name: str, cipher: str, key: str, plain: str, encrypted: str) -> None:
    library = find_library(name)
    raw = memoryview(bytes.fromhex(key))
    if name == "openssl" and cipher not in _OPENSSL_CIPHERS:
        with pytest.raises(CipherError, match=rf"OpenSSL \d.* has no {cipher}-ecb"):
            library.open(cipher, "ecb", raw, encrypts=True)
        return
    for encrypts, before, after in ((True, plain, encrypted), (False, encrypted, plain)):
        handle = library.open(cipher, "ecb", raw, encrypts=encrypts)
        buffer = bytearray.fromhex(before) * 3
        handle.process(buffer)
        assert buffer == bytes.fromhex(after) * 3
        handle.process(bytearray())
        handle.close()
        handle.close()


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_call_is_what_the_native_loop_needs(name: str) -> None:
    convention, handle, set_iv, process = (
        find_library(name).open("aes", "xts", memoryview(bytes(range(64))), encrypts=True).call
    )
    assert convention == LIBRARIES.index(name)
    assert 0 not in (handle, set_iv, process)
    assert find_library(name).open("aes", "ecb", memoryview(bytes(16)), encrypts=True).call[2] == 0
    assert NO_CALL == (0, 0, 0, 0)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize(
    ("cipher", "mode", "key_bytes"),
    [("aes", "ecb", 15), ("aes", "xts", 16), ("des", "ecb", 8), ("twofish", "cbc", 24)],
)
def test_what_a_library_has_not_got_is_named(name: str, cipher: str, mode: str, key_bytes: int) -> None:
    with pytest.raises(CipherError, match=f"has no {cipher}-{mode} with a key of {key_bytes * 8} bits"):
        find_library(name).open(cipher, mode, memoryview(bytes(key_bytes)), encrypts=True)


def test_openssl_refuses_an_xts_key_of_two_equal_halves_and_libgcrypt_does_not() -> None:
    key = memoryview(bytes(64))
    with pytest.raises(CipherError, match="does not take this key for aes-xts"):
        find_library("openssl").open("aes", "xts", key, encrypts=True)
    assert find_library("libgcrypt").open("aes", "xts", key, encrypts=True).call[1]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_is_loaded_once_and_tells_its_version(name: str) -> None:
    library = find_library(name)
    assert find_library(name) is library
    assert library.name == name
    assert library.version[0].isdigit()


_SEARCH = """
import ctypes, re, sys
from cryptlv.libraries import find_library
def copies(needle):
    count = 0
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and end - start < 1 << 28:
                memory.seek(start)
                try:
                    count += memory.read(end - start).count(needle)
                except OSError:
                    pass
    return count
key = bytearray((number * 37 + 11) % 251 for number in range(64))
def marker():
    return bytes((number * 37 + 11) % 251 for number in range(4, 28))
handle = find_library(sys.argv[1]).open("aes", "xts", memoryview(key), encrypts=True)
key[:] = bytes(64)
if sys.argv[2] == "close":
    handle.close()
print(copies(marker()))
"""


@pytest.mark.parametrize("name", LIBRARIES)
def test_no_copy_of_a_key_is_left_in_memory_when_its_handle_is_closed(name: str) -> None:
    """A process searches its own memory; what it finds at least is what it searches with."""
    found = {}
    for what in ("keep", "close"):
        words = [sys.executable, "-c", _SEARCH, name, what]
        found[what] = int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert found["close"] == 1 < found["keep"]


def test_the_shortest_time_counts() -> None:
    runs: list[int] = []
    assert 0 <= shortest_seconds(lambda: runs.append(1)) < 1
    assert len(runs) == 5
