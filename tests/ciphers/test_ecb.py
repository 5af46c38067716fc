"""Block ciphers over arrays: published vectors, shapes, and arrays that stay as they were."""

from __future__ import annotations

import numpy as np
import pytest

from cryptlv.ciphers.ecb import open_ecb
from cryptlv.errors import CipherError

_VECTORS = [
    # FIPS 197 appendix C.3; RFC 3713 appendix A; the Twofish paper's appendix B.2; the kernel's crypto/testmgr.h
    ("aes", bytes(range(32)).hex(), "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089"),
    (
        *("camellia", "0123456789abcdeffedcba9876543210"),
        *("0123456789abcdeffedcba9876543210", "67673138549669730857065648eabe43"),
    ),
    ("twofish", bytes(32).hex(), bytes(16).hex(), "57ff739d4dc92c1bd7fc01700cc8216f"),
    ("serpent", bytes(range(32)).hex(), bytes(range(16)).hex(), "de269ff833e432b85b2e88d2701ce75c"),
]


@pytest.mark.parametrize(("cipher", "key", "plain", "encrypted"), _VECTORS)
def test_published_vectors_in_any_shape(cipher: str, key: str, plain: str, encrypted: str) -> None:
    ecb = open_ecb(cipher, memoryview(bytes.fromhex(key)))
    blocks = np.frombuffer(bytes.fromhex(plain) * 6, dtype=np.uint64).reshape(2, 3, 2)
    done = ecb.encrypt(blocks)
    assert done.shape == blocks.shape
    assert done.tobytes() == bytes.fromhex(encrypted) * 6
    assert ecb.decrypt(done).tobytes() == blocks.tobytes() == bytes.fromhex(plain) * 6


@pytest.mark.parametrize("cipher", ["aes", "serpent"])
def test_a_column_of_blocks_is_taken_as_well(cipher: str) -> None:
    ecb = open_ecb(cipher, memoryview(bytes(16)))
    blocks = np.arange(60, dtype=np.uint64).reshape(5, 6, 2)
    assert (ecb.encrypt(blocks[:, 3]) == ecb.encrypt(blocks)[:, 3]).all()


def test_a_cipher_of_no_library_is_named_with_what_each_says() -> None:
    with pytest.raises(
        CipherError, match=r"cipher cast6 cannot be had here: libgcrypt .* cast6-ecb .*; OpenSSL .* has"
    ):
        open_ecb("cast6", memoryview(bytes(16)))
