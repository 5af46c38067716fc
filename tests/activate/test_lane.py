"""The second thread of a connection."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable


def begun(on_failure: Callable[[], None] = lambda: None) -> Lane:
    lane = Lane(on_failure)
    assert lane.begin()
    return lane


def test_everything_is_done_in_order_and_one_thing_at_a_time() -> None:
    done: list[int] = []
    at_once: list[int] = []
    busy = threading.Lock()

    def note(number: int) -> None:
        assert threading.current_thread() is not threading.main_thread()
        at_once.append(int(busy.acquire(blocking=False)))
        time.sleep(0.0005)
        done.append(number)
        busy.release()

    lane = begun()
    for number in range(100):
        lane.give(note, number)
    assert lane.is_busy
    lane.wait()
    assert done == list(range(100))
    assert at_once == [1] * 100
    lane.close()


def test_giving_does_not_wait_for_what_is_given_but_for_what_was_given_before() -> None:
    gate, done = threading.Event(), threading.Event()
    lane = begun()
    assert not lane.is_busy
    lane.give(gate.wait, 10)
    other = threading.Thread(target=gate.set)
    threading.Timer(0.05, other.start).start()
    lane.give(done.set)
    assert gate.is_set()
    lane.wait()
    assert done.is_set()
    lane.close()
    other.join()


def test_a_failure_is_told_at_once_and_raised_by_whatever_is_asked_for_next() -> None:
    told = threading.Event()
    lane = begun(told.set)

    def fail() -> None:
        raise ConnectionResetError("gone")

    lane.give(fail)
    assert told.wait(10)
    for _ in range(2):
        with pytest.raises(ConnectionResetError, match="gone"):
            lane.wait()
        with pytest.raises(ConnectionResetError, match="gone"):
            lane.give(print, "never")
    with pytest.raises(ConnectionResetError, match="gone"):
        lane.close()
    lane.close()


def test_what_failed_last_is_raised_by_close_and_kept_by_nobody() -> None:
    """With its traceback an exception holds all that its frames have."""

    class Thing:
        pass

    def fail(thing: Thing) -> None:
        raise ValueError(type(thing).__name__)

    gc.disable()
    try:
        lane, thing = begun(), Thing()
        watched = weakref.ref(thing)
        lane.give(fail, thing)
        with pytest.raises(ValueError, match="Thing") as caught:
            lane.close()
        del thing, caught
        assert watched() is None
    finally:
        gc.enable()


def test_its_thread_begins_when_it_is_told_to_and_close_finishes_what_goes_on() -> None:
    before = threading.active_count()
    unused = Lane(lambda: None)
    unused.wait()
    unused.close()
    assert threading.active_count() == before
    lane, done = begun(), threading.Event()

    def work() -> None:
        time.sleep(0.05)
        done.set()

    lane.give(work)
    assert lane.begin()
    assert threading.active_count() == before + 1
    lane.close()
    assert done.is_set()
    assert threading.active_count() == before
    lane.close()


def test_where_no_thread_can_be_had_it_does_not_begin() -> None:
    """A thread needs a stack, here of more than an address space has."""
    old = threading.stack_size(1 << 46)
    lane = Lane(lambda: None)
    try:
        assert not lane.begin()
    finally:
        threading.stack_size(old)
    lane.close()
    assert lane.begin()
    lane.close()
