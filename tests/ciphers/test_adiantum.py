"""Adiantum: its parts against published vectors, and what a wide-block cipher does; the kernel's bytes are in
conformance/."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from cryptlv.ciphers.adiantum import Adiantum, _poly1305, _rounds


def _run(data: bytes, iv: int = 7, cipher: str = "xchacha12,aes", *, encrypt: bool = True) -> bytes:
    sectors = np.frombuffer(bytearray(data), dtype=np.uint64).reshape(1, -1, 2)
    ivs = np.frombuffer(iv.to_bytes(16, "little"), dtype=np.uint64).reshape(1, 2)
    Adiantum(cipher, memoryview(bytes(range(32)))).run(sectors, ivs, encrypt=encrypt)
    return sectors.tobytes()


def test_chachas_rounds_are_those_of_rfc_8439() -> None:
    """Section 2.3.2, the state before and after the rounds."""
    words = b"expand 32-byte k" + bytes(range(32)) + bytes.fromhex("01000000000000090000004a00000000")
    state = np.frombuffer(words, dtype=np.uint32).reshape(16, 1)
    out = (_rounds(state, 20) + state).tobytes().hex()
    assert out == (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )


def test_hchacha_is_that_of_the_xchacha_draft() -> None:
    """draft-irtf-cfrg-xchacha-03, section 2.2.1: the first and the last four words."""
    words = b"expand 32-byte k" + bytes(range(32)) + bytes.fromhex("000000090000004a0000000031415927")
    out = _rounds(np.frombuffer(words, dtype=np.uint32).reshape(16, 1), 20)
    assert (out[:4].tobytes() + out[12:].tobytes()).hex() == (
        "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    )


def test_poly1305_is_that_of_rfc_8439() -> None:
    """Section 2.5.2; its last block is shorter there, so this is its state after two of three blocks and then s."""
    key = 0x806D5400E52447C036D555408BED685
    message = b"Cryptographic Forum Research Group"
    assert _poly1305(key, message[:32]) == 0x2D8ADAF23B0337FA7CCCFB4EA344B30DE % 2**128


@pytest.mark.parametrize("cipher", ["xchacha12,aes", "xchacha20,aes"])
@pytest.mark.parametrize("size", [512, 4096])
def test_every_bit_changes_the_whole_sector(cipher: str, size: int) -> None:
    plain = hashlib.shake_128(b"plain").digest(size)
    once = _run(plain, cipher=cipher)
    assert _run(once, cipher=cipher, encrypt=False) == plain
    for place in (0, size // 2, size - 1):
        other = bytearray(plain)
        other[place] ^= 1
        assert sum(a == b for a, b in zip(_run(bytes(other), cipher=cipher), once, strict=True)) < size // 32
    assert sum(a == b for a, b in zip(_run(plain, iv=8, cipher=cipher), once, strict=True)) < size // 32
