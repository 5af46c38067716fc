"""Progress: a line on a terminal, JSON for programs, nothing for others; and how an operation is stopped."""

from __future__ import annotations

import io
import json
import os
import signal

import pytest

from cryptlv.cli.options import parse
from cryptlv.cli.progress import Progress, progress
from cryptlv.cli.table import find_command

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def told(*, is_terminal: bool, as_json: bool = False, step: float = 0.0625) -> str:
    """What is written while 100 MiB are done in steps of 1 MiB."""
    stream, clock = io.StringIO(), Clock()
    shown = Progress("pvmove", stream, is_terminal=is_terminal, as_json=as_json, clock=clock)
    for done in range(101):
        shown.tell(done * MIB, 100 * MIB)
        clock.now += step
    shown.finish()
    return stream.getvalue()


def test_a_terminal_has_one_line_five_times_a_second_and_none_at_the_end() -> None:
    text = told(is_terminal=True)
    assert "\n" not in text
    first, *lines, last = text.split("\r")
    assert first == ""
    assert last == "\x1b[K"
    assert len(lines) == 26, "6.25 s, at 0.25 s in these steps"
    assert lines[0] == "  pvmove: 0 of 100.00m, 0%\x1b[K"
    assert lines[5] == "  pvmove: 20.00m of 100.00m, 20%, 16.00m/s, 0:05 left\x1b[K"


def test_long_waits_are_shown_in_hours() -> None:
    assert ", 3:03:45 left" in told(is_terminal=True, step=112.5)


def test_programs_get_a_line_of_json_each_second_and_one_at_the_end() -> None:
    events = [json.loads(line) for line in told(is_terminal=True, as_json=True).splitlines()]
    assert len(events) == 8
    assert events[0] == {
        "event": "progress", "operation": "pvmove", "done_bytes": 0, "total_bytes": 100 * MIB,
        "rate_bytes_per_s": 0, "eta_s": None,
    }  # fmt: skip
    assert events[-1]["done_bytes"] == events[-1]["total_bytes"] == 100 * MIB
    assert events[-1]["eta_s"] == 0
    assert all(abs(event["rate_bytes_per_s"] - 16 * MIB) < MIB for event in events[1:])


def test_others_get_nothing() -> None:
    assert told(is_terminal=False) == ""


def test_nothing_is_shown_of_an_operation_that_has_not_begun() -> None:
    stream = io.StringIO()
    Progress("pvmove", stream, is_terminal=True, as_json=True).finish()
    assert stream.getvalue() == ""


def test_a_reader_that_goes_away_does_not_stop_the_operation() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    clock = Clock()
    shown = Progress("pvmove", stream, is_terminal=False, as_json=True, clock=clock)
    for done in range(5):
        shown.tell(done, 5)
        clock.now += 2
    shown.finish()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_the_first_interrupt_asks_and_the_second_one_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    arguments = parse(find_command("pvmove"), ["x"], "")
    with progress(arguments, "pvmove") as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.is_stopping
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_request_to_terminate_is_one_to_stop() -> None:
    with progress(parse(find_command("pvmove"), ["x"], ""), "pvmove") as watch:
        signal.raise_signal(signal.SIGTERM)
        assert watch.is_stopping
