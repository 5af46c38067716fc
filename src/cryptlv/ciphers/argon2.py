"""Argon2 (RFC 9106), by libargon2, which has a thread for each lane, or by `cryptography`; and its cost for a time.

The choice is cryptsetup's: 4 passes over as much memory as the time allows; more passes once the memory is at its
bound, less memory when the time is too short (facts from cryptsetup's lib/crypto_backend/pbkdf_check.c).
"""

from __future__ import annotations

from cryptlv.ciphers.kdf import KdfParameters, derived_into
from cryptlv.errors import CipherError
from cryptlv.libraries import find_libargon2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MIN_PASSES = 4
MIN_MEMORY_KIB = 32
DEFAULT_MEMORY_KIB = 1024 * 1024
DEFAULT_LANES = MAX_NEW_LANES = 4
"""cryptsetup's defaults and its bounds for new keyslots."""
_BENCHMARK_MIN_KIB = 64 * 1024
_FIRST_MS, _SHORTEST_MS = 250, 10
_NEAR_ENOUGH = (0.95, 1.10)
_MOST_ROUNDS = 20


def argon2(parameters: KdfParameters, passphrase: memoryview, length_bytes: int) -> bytearray:
    """The key of `length_bytes`; the caller wipes it. Raises CipherError when it cannot be made here."""
    try:
        find_libargon2()
    except CipherError:
        return by_cryptography(parameters, passphrase, length_bytes)
    return by_libargon2(parameters, passphrase, length_bytes)


def by_libargon2(parameters: KdfParameters, passphrase: memoryview, length_bytes: int) -> bytearray:
    """See `argon2`."""
    cost = parameters.iterations, parameters.memory_kib, parameters.lanes
    try:
        return find_libargon2().hash(parameters.kind, passphrase, parameters.salt, cost, length_bytes)
    except MemoryError:
        raise _no_memory(parameters) from None


def by_cryptography(parameters: KdfParameters, passphrase: memoryview, length_bytes: int) -> bytearray:
    """See `argon2`."""
    name = {"argon2id": "Argon2id", "argon2i": "Argon2i"}[parameters.kind]
    try:
        from cryptography.hazmat.primitives.kdf import argon2 as there

        kind = getattr(there, name)
    except (ImportError, AttributeError):
        raise CipherError(
            f"{parameters.kind} needs libargon2, or a newer Python package cryptography: "
            "pip install -U 'cryptlv[crypto]'"
        ) from None
    try:
        kdf = kind(
            salt=parameters.salt,
            length=length_bytes,
            iterations=parameters.iterations,
            lanes=parameters.lanes,
            memory_cost=parameters.memory_kib,
        )
        return derived_into(kdf, passphrase, length_bytes)
    except MemoryError:
        raise _no_memory(parameters) from None
    except Exception as error:  # what the library refuses, by its own classes
        raise CipherError(f"{parameters.kind} cannot be done here: {type(error).__name__}") from None


def _no_memory(parameters: KdfParameters) -> CipherError:
    return CipherError(f"{parameters.kind}: {parameters.memory_kib} KiB of memory cannot be had now")


def choose_cost(
    kind: str, lanes: int, most_kib: int, target_ms: int, monotonic: Callable[[], float], length_bytes: int = 64
) -> KdfParameters:
    """The parameters (without a salt) that take `target_ms` on this machine, with `most_kib` of memory at most."""
    least_kib = max(min(_BENCHMARK_MIN_KIB, most_kib), 8 * lanes)
    most_kib = max(most_kib, least_kib)

    def measured(passes: int, memory_kib: int) -> float:
        tried = KdfParameters(kind=kind, iterations=passes, salt=bytes(32), memory_kib=memory_kib, lanes=lanes)
        start = monotonic()
        argon2(tried, memoryview(b"benchmark"), length_bytes)
        return max((monotonic() - start) * 1000, 0.01)

    passes, memory_kib = MIN_PASSES, least_kib
    elapsed = measured(passes, memory_kib)
    while elapsed < min(_FIRST_MS, target_ms):  # too short to tell: more memory first, then more passes
        factor = 16 if elapsed < _SHORTEST_MS else min(_FIRST_MS, target_ms) / elapsed * 1.05
        if memory_kib < most_kib:
            memory_kib = min(int(memory_kib * factor) + 1, most_kib)
        else:
            passes = int(passes * factor) + 1
        elapsed = measured(passes, memory_kib)
    for _ in range(_MOST_ROUNDS):
        if _NEAR_ENOUGH[0] <= elapsed / target_ms <= _NEAR_ENOUGH[1]:
            break
        better = _next_cost(passes, memory_kib, target_ms / elapsed, (least_kib, most_kib))
        if better == (passes, memory_kib):
            break
        passes, memory_kib = better
        if better == (MIN_PASSES, least_kib):
            break
        elapsed = measured(passes, memory_kib)
    return KdfParameters(kind=kind, iterations=passes, memory_kib=memory_kib, lanes=lanes)


def _next_cost(passes: int, memory_kib: int, factor: float, bounds: tuple[int, int]) -> tuple[int, int]:
    """Passes and memory for `factor` times the time: cheaper by fewer passes first, dearer by more memory first."""
    least, most = bounds
    if factor < 1:
        fewer = int(passes * factor)
        if fewer >= MIN_PASSES:
            return fewer, memory_kib
        return MIN_PASSES, max(int(passes * memory_kib * factor / MIN_PASSES), least)
    more = int(memory_kib * factor)
    if more <= most:
        return passes, more
    return max(int(passes * memory_kib * factor / most), MIN_PASSES), most
