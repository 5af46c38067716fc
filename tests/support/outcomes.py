"""What may be left of a change of vg0 that a crash or a failing write interrupts: the old value or the new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.ops import lv as lvs
from cryptlv.ops.vgck import find_faults
from support.crash import crash_states
from support.disks import Disks
from support.record import failing_writes, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session
    from support.crash import Event

    Change = Callable[[Session], object]


def next_command(state: Disks) -> None:
    """A further change is made, and then nothing is wrong any more."""
    with state.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="next", size_bytes=1))
        assert find_faults(session, "vg0") == ()


def _recorded(
    folder: Path, disks: Disks, change: Change
) -> tuple[VolumeGroup, VolumeGroup, dict[str, bytes], list[Event]]:
    """The volume group before and after, what the devices had, and what was done to them."""
    old = disks.group()
    before, timeline, done = record(folder, disks, change)
    new = done.group()
    assert old is not None
    assert new is not None
    assert new.seqno == old.seqno + 1
    return old, new, before, timeline


def assert_old_or_new(folder: Path, disks: Disks, change: Change) -> None:
    """Every crash leaves the old or the new group, and of an encrypted volume that is there also its key; the next
    command goes well after the first of each kind and in the middle."""
    old, new, before, timeline = _recorded(folder, disks, change)
    seen = set()
    for point, devices in crash_states(before, timeline):
        state = Disks(folder, devices)
        found = state.group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        if found not in seen or point == len(timeline) // 2:
            assert found is not None
            for lv in found.lvs:
                if any(segment.keystores for segment in lv.segments):
                    assert state.opens(lv.name), f"crash point {point}: the key of {lv.name}"
            next_command(state)
        elif found.find_lv("old") is not None:
            assert state.opens("old"), f"crash point {point}"
        seen.add(found)
    assert seen == {old, new}


def assert_failures_are_told(folder: Path, disks: Disks, change: Change) -> None:
    """Each write fails once: an error and the old group, or a warning of what was missed and the new one."""
    old, new, before, timeline = _recorded(folder, disks, change)
    for number, path, state, error, warnings in failing_writes(folder, before, timeline, change):
        found = state.group()
        assert found is not None
        if error is not None:
            assert path in str(error), f"write {number}: {error}"
            assert found == old, f"write {number}: it failed, so nothing may have changed"
        else:
            assert found.seqno == new.seqno
            assert any(path in line for line in warnings), f"write {number}: what was missed is said"
        next_command(state)
