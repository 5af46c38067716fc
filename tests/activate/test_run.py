"""Plans that are run: whole, or not at all, and what could not be undone is told."""

from __future__ import annotations

import errno

import pytest

from cryptlv.activate import run
from cryptlv.activate.dm_fake import FakeDeviceMapper
from cryptlv.activate.run import StackRun
from cryptlv.errors import DeviceMapperError
from cryptlv.model.stack import Create, Link, Load, Plan, Release, Rename, Resume, Step, Suspend, TableLine
from support.faults import killed_at, watched_steps

LINES = (TableLine(start_sectors=0, length_sectors=8, kind="zero", words=()),)
OTHER = (TableLine(start_sectors=0, length_sectors=16, kind="zero", words=()),)
ABOVE = (TableLine(start_sectors=0, length_sectors=8, kind="linear", words=("@low", "0")),)
MADE = (Create(name="a", uuid="u", lv_id="low"), Load(name="a", lines=LINES), Resume(name="a"))


def running(kernel: FakeDeviceMapper, *steps: Step) -> StackRun:
    return StackRun(kernel, Plan(prepare=steps), {})


def live() -> FakeDeviceMapper:
    kernel = FakeDeviceMapper()
    running(kernel, *MADE).whole()
    return kernel


def test_numbers_of_new_devices_are_known_to_those_above() -> None:
    kernel = FakeDeviceMapper()
    above = (
        Create(name="b", uuid="v"),
        Load(name="b", lines=ABOVE),
        Resume(name="b"),
        Link(name="b", link=("v", "b")),
    )
    running(kernel, *MADE, *above).whole()
    assert kernel.table("b")[0].text == "0 8 linear 254:0 0"
    assert kernel.links == {("v", "b"): "b"}


@pytest.mark.parametrize("word", ["make", "load", "resume", "link"])
def test_what_was_done_is_undone_when_a_step_fails(word: str) -> None:
    kernel = FakeDeviceMapper()
    kernel.refuses[word] = errno.ENOMEM
    with pytest.raises(DeviceMapperError):
        running(kernel, *MADE, Link(name="a", link=("v", "a"))).whole()
    assert (kernel.devices, kernel.links) == ({}, {})


def test_a_live_device_is_as_before_when_a_change_of_it_fails() -> None:
    kernel = live()
    kernel.refuses["rename"] = errno.EBUSY
    change = (
        Load(name="a", lines=OTHER),
        Suspend(name="a"),
        Resume(name="a", former=LINES),
        Rename(name="a", new="b"),
    )
    with pytest.raises(DeviceMapperError):
        running(kernel, *change).whole()
    found = kernel.find(name="a")
    assert found is not None
    assert (kernel.table("a"), found.is_suspended, found.has_inactive) == (LINES, False, False)


def test_what_cannot_be_undone_is_told() -> None:
    kernel = live()
    kernel.refuses |= {"rename": errno.EBUSY, "resume": errno.EIO}
    with pytest.raises(DeviceMapperError, match=r"cannot rename a.*; not undone in the kernel: resume a"):
        running(kernel, Suspend(name="a"), Rename(name="a", new="b")).whole()


def test_after_the_commit_all_that_can_be_done_is_done() -> None:
    kernel = live()
    running(
        kernel, Create(name="b", uuid="v"), Load(name="b", lines=LINES), Resume(name="b"), Suspend(name="a")
    ).whole()
    kernel.refuses["rename"] = errno.EBUSY
    plan = Plan(finish=(Rename(name="b", new="c"), Resume(name="a")))
    with pytest.raises(DeviceMapperError, match="rename"):
        StackRun(kernel, plan, {}).finish()
    found = kernel.find(name="a")
    assert found is not None
    assert not found.is_suspended


def test_parts_are_run_one_after_the_other_and_taken_back() -> None:
    kernel = live()
    plan = Plan(prepare=(Load(name="a", lines=OTHER),), freeze=(Suspend(name="a"),), finish=(Resume(name="a"),))
    change = StackRun(kernel, plan, {})
    change.prepare()
    change.freeze()
    change.undo()
    assert kernel.table("a") == LINES
    again = StackRun(kernel, plan, {})
    again.prepare()
    again.freeze()
    again.finish()
    assert kernel.table("a") == OTHER


def test_a_device_whose_key_was_wiped_stays_frozen() -> None:
    kernel = live()
    kernel.suspend("a")
    kernel.devices["a"].is_wiped = True
    running(kernel, Release(name="a")).whole()
    assert kernel.devices["a"].is_suspended
    kernel.refuses["resume"] = errno.EIO
    with pytest.raises(DeviceMapperError):
        running(kernel, Release(name="a")).whole()


def test_an_unknown_step_is_a_bug() -> None:
    with pytest.raises(TypeError, match="no such step"):
        running(FakeDeviceMapper(), Step(name="a")).whole()


def test_fault_points_are_before_and_after_each_step_and_a_killed_process_undoes_nothing() -> None:
    with watched_steps() as passed:
        kernel = live()
    assert passed == [f"{word} {what} a" for what in ("create", "load", "resume") for word in ("before", "after")]
    kernel = FakeDeviceMapper()
    with killed_at(3):
        running(kernel, *MADE).whole()
    found = kernel.find(name="a")
    assert found is not None
    assert (found.has_inactive, found.has_live) == (True, False)
    run.fault_point("is back where it was")
