"""Hashes by cryptsetup's names, PBKDF2, and the choice of its iteration count."""

from __future__ import annotations

import hashlib

from cryptlv.errors import CipherError
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160")
"""The hash names that this program knows; ripemd160 is there only where OpenSSL still has it."""
MIN_ITERATIONS = 1000
"""cryptsetup's and the LUKS1 specification's lower bound."""
MAX_ITERATIONS = 2**31 - 1
"""OpenSSL takes no more."""
_MEASURED_ITERATIONS = 16_384


def check_hash(name: str) -> str:
    """The name itself; raises CipherError when there is no such hash here."""
    if name not in HASHES:
        raise CipherError(f"unknown hash {printable(name)!r}; known are {', '.join(HASHES)}")
    try:
        hashlib.new(name)
    except ValueError:
        raise CipherError(f"hash {name!r} is not in this system's OpenSSL") from None
    return name


def digest_bytes(name: str) -> int:
    """Bytes of a hash's digest; raises CipherError."""
    return hashlib.new(check_hash(name)).digest_size


def pbkdf2(name: str, passphrase: memoryview, salt: bytes, iterations: int, length_bytes: int) -> bytearray:
    """PBKDF2 (RFC 8018 section 5.2) with HMAC over the named hash; the caller wipes the result."""
    return bytearray(hashlib.pbkdf2_hmac(check_hash(name), passphrase, salt, iterations, length_bytes))


def pbkdf2_iterations_per_second(name: str, length_bytes: int, monotonic: Callable[[], float]) -> int:
    """How many PBKDF2 iterations this machine does in a second for a key of `length_bytes`, measured for at least a
    quarter of a second, as cryptsetup's benchmark does."""
    iterations = _MEASURED_ITERATIONS
    salt = bytes(32)
    while True:
        start = monotonic()
        hashlib.pbkdf2_hmac(check_hash(name), b"benchmark", salt, iterations, length_bytes)
        elapsed = monotonic() - start
        if elapsed >= 0.25 or iterations >= 2**28:
            return int(iterations / max(elapsed, 1e-6))
        iterations *= 2 if elapsed >= 0.05 else 8


def iterations_for(per_second: int, milliseconds: int) -> int:
    """The count that takes that long, within the bounds."""
    return max(MIN_ITERATIONS, min(per_second * milliseconds // 1000, MAX_ITERATIONS))
