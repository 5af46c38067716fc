"""Argon2 against RFC 9106 and libargon2's own vectors, and the choice of its cost."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.ciphers.argon2 import MIN_PASSES, argon2, by_cryptography, by_libargon2, choose_cost
from cryptlv.ciphers.kdf import KdfParameters, derive
from cryptlv.errors import CipherError

if TYPE_CHECKING:
    from collections.abc import Callable

    Derive = Callable[[KdfParameters, memoryview, int], bytearray]

VECTORS = """
argon2i 2 16 1 password c1628832147d9720c5bd1cfd61367078729f6dfb6f8fea9ff98158e0d7816ed0
argon2i 2 8 1 password 89e9029f4637b295beb027056a7336c414fadd43f6b208645281cb214a56452f
argon2i 2 8 2 password 4ff5ce2769a1d7f4c8a491df09d41a9fbe90e5eb02155a13e4c01e20cd4eab61
argon2id 2 16 1 password 09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7
argon2id 2 8 1 password 9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe
argon2id 2 8 2 password 6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037
argon2id 2 16 1 differentpassword 0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde
"""
"""The reference implementation's test.c, version 0x13: kind, passes, log2 of KiB, lanes, password, tag."""


IMPLEMENTATIONS = (by_libargon2, by_cryptography)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("line", VECTORS.strip().splitlines())
def test_the_vectors_of_the_reference_implementation(implementation: Derive, line: str) -> None:
    kind, passes, power, lanes, password, tag = line.split()
    parameters = KdfParameters(
        kind=kind, iterations=int(passes), salt=b"somesalt", memory_kib=2 ** int(power), lanes=int(lanes)
    )
    found = implementation(parameters, memoryview(password.encode()), 32)
    assert found.hex() == tag
    assert isinstance(found, bytearray), "it can be wiped"
    assert derive(parameters, memoryview(password.encode()), 32) == found


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_what_the_library_refuses_is_one_line(implementation: Derive) -> None:
    parameters = KdfParameters(kind="argon2id", iterations=4, salt=b"s" * 32, memory_kib=7, lanes=1)
    with pytest.raises(CipherError, match="argon2id cannot be done here"):
        implementation(parameters, memoryview(b"x"), 32)


@pytest.mark.parametrize(("most_kib", "target_ms"), [(2048, 60), (8192, 60), (2**20, 120)])
def test_the_cost_takes_the_time_that_was_asked_for(most_kib: int, target_ms: int) -> None:
    kdf = choose_cost("argon2id", 1, most_kib, target_ms, time.monotonic)
    assert kdf.iterations >= MIN_PASSES
    assert kdf.memory_kib <= max(most_kib, 8)
    start = time.monotonic()
    argon2(kdf.replace(salt=b"s" * 32), memoryview(b"x"), 64)
    elapsed = (time.monotonic() - start) * 1000
    assert target_ms / 6 < elapsed < target_ms * 50, "a busy machine is forgiven, another order of magnitude is not"


class Model:
    """A machine on which a derivation takes `per_unit` milliseconds a pass and MiB; its clock."""

    def __init__(self, costs: list[float]) -> None:
        self._costs = costs
        self._now = 0.0
        self._is_end = True

    def __call__(self) -> float:
        self._is_end = not self._is_end
        if self._is_end:
            self._now += (self._costs.pop(0) if len(self._costs) > 1 else self._costs[0]) / 1000
        return self._now


def test_more_memory_comes_before_more_passes_and_fewer_passes_before_less_memory() -> None:
    doubled = choose_cost("argon2id", 1, 512, 1000, Model([500, 1000]))
    assert (doubled.memory_kib, doubled.iterations) == (512, 8)
    with_room = choose_cost("argon2id", 1, 96 * 1024, 750, Model([500, 750]))
    assert (with_room.memory_kib, with_room.iterations) == (96 * 1024, 4)
    too_slow = choose_cost("argon2id", 1, 512, 1000, Model([5000]))
    assert (too_slow.memory_kib, too_slow.iterations) == (512, 4)


def test_lanes_have_the_memory_that_they_need() -> None:
    assert choose_cost("argon2i", 4, 8, 1, Model([1])).memory_kib >= 32


@pytest.mark.parametrize("kind", ["argon2id", "argon2i"])
def test_both_give_the_same_with_several_lanes_and_long_tags(kind: str) -> None:
    parameters = KdfParameters(kind=kind, iterations=3, salt=bytes(range(32)), memory_kib=1024, lanes=4)
    one, other = (made(parameters, memoryview(b"pass\0phrase"), 128) for made in IMPLEMENTATIONS)
    assert one == other


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_memory_that_is_not_there_is_said(implementation: Derive) -> None:
    """More than the address space that the process allows itself for the moment."""
    parameters = KdfParameters(kind="argon2id", iterations=1, salt=bytes(32), memory_kib=4 * 1024 * 1024, lanes=1)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**31, limits[1]))
    try:
        with pytest.raises(
            CipherError, match=r"argon2id(: 4194304 KiB of memory cannot be had| cannot be done here)"
        ):
            implementation(parameters, memoryview(b"x"), 32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
