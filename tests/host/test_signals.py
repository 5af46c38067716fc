"""Interrupts wait until a step is whole."""

from __future__ import annotations

import os
import signal

import pytest

from cryptlv.host.signals import held_back


def two_steps(done: list[str]) -> None:
    with held_back():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("first")
        with held_back():
            os.kill(os.getpid(), signal.SIGINT)
        done.append("second")


def test_an_interrupt_comes_when_the_step_is_done() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        two_steps(done)
    assert done == ["first", "second"]


def test_a_failure_gets_out_and_signals_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OSError, match="broken"), held_back():
        raise OSError("broken")
    assert signal.getsignal(signal.SIGTERM) is before
