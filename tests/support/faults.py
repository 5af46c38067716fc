"""Commands that are killed while they change the kernel's devices: at each step, before it and after it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptlv.activate import run

if TYPE_CHECKING:
    from collections.abc import Iterator


class Killed(BaseException):
    """The process is no more; nothing that it would do about an error is done."""


@contextmanager
def watched_steps() -> Iterator[list[str]]:
    """The fault points that are passed, in order."""
    passed: list[str] = []
    former, run.fault_point = run.fault_point, passed.append
    try:
        yield passed
    finally:
        run.fault_point = former


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Have the process killed at the fault point of that number; ends without a sign that it was."""
    passed = 0

    def strike(_: str) -> None:
        nonlocal passed
        passed += 1
        if passed > number:
            raise Killed

    former, run.fault_point = run.fault_point, strike
    try:
        yield
    except Killed:
        pass
    finally:
        run.fault_point = former
    assert passed > number, "it was over before"
