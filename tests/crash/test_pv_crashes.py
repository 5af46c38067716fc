"""Every crash of pvcreate, pvremove, pvchange and pvresize, with every fate of the writes that were not flushed,
leaves the old or the new; and after the next command nothing is left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import pv, pv_remove
from cryptlv.ops.pv_change import PvChange, change
from cryptlv.ops.pv_resize import resize
from cryptlv.ops.vgck import find_faults
from support.crash import crash_states
from support.disks import MIB, Disks, make_disks
from support.record import failing_writes, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.ops.session import Session

    Change = Callable[[Session], object]


def yes(_: str) -> None:
    """The answer to every question."""


def sized(size_bytes: int) -> Change:
    return lambda session: resize(session, "/d0", size_bytes, yes)


def changed(**words: object) -> Change:
    return lambda session: change(session, "/d0", PvChange(**words), yes)  # type: ignore[arg-type]


def nothing(_: Session) -> None:
    """No change before."""


IGNORE = changed(ignore_metadata=True)
CASES: dict[str, tuple[tuple[int, ...], Change, Change]] = {
    "words": ((2, 1), nothing, changed(allocatable=False, add_tags=("x",))),
    "ignored": ((2, 1), nothing, IGNORE),
    "used again": ((2, 1), IGNORE, changed(ignore_metadata=False)),
    "new id": ((1,), nothing, changed(new_id=True)),
    "new id of two": ((1, 1), nothing, changed(new_id=True)),
    "new id without areas": ((0, 1), nothing, changed(new_id=True)),
    "new id and ignored": ((2, 1), nothing, changed(new_id=True, ignore_metadata=True)),
    "smaller": ((1, 1), nothing, sized(12 * MIB)),
    "larger": ((1,), sized(12 * MIB), sized(0)),
    "smaller, two areas": ((2,), nothing, sized(12 * MIB)),
    "larger, two areas": ((2, 1), sized(12 * MIB), sized(0)),
    "a little smaller": ((2,), nothing, sized(16 * MIB - 65536)),
    "a little larger": ((2, 1), sized(16 * MIB - 65536), sized(0)),
    "smaller, ignored areas": ((2, 1), IGNORE, sized(12 * MIB)),
}


def prepared(folder: Path, name: str) -> tuple[Disks, Change]:
    areas, before, step = CASES[name]
    disks = make_disks(folder, areas)
    with disks.session() as session:
        before(session)
    return disks, step


@pytest.mark.parametrize("name", CASES)
def test_a_crash_leaves_the_old_or_the_new_volume_group_whole(tmp_path: Path, name: str) -> None:
    disks, step = prepared(tmp_path, name)
    old = disks.group()
    before, timeline, done = record(tmp_path, disks, step)
    new = done.group()
    assert old is not None
    assert new is not None
    seen = set()
    known: dict[tuple[tuple[int, bytes], ...], None] = {}
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        with state.session() as session:
            group = session.world(silent=True).group("vg0")
        assert group.vg in (old, new), f"crash point {point} of {len(timeline)}"
        assert group.missing_pv_ids == (), f"crash point {point}"
        assert group.hazards == (), f"crash point {point}"
        seen.add(group.vg)
        key = tuple((start, data) for device in devices.values() for start, data in device._writes)
        if key in known:
            continue
        known[key] = None
        with state.session() as session:
            change(session, "/d0", PvChange(add_tags=("next",)))
            assert find_faults(session, "vg0") == (), f"crash point {point}"
            found = next(found for found in session.world().pvs if found.path == "/d0")
            assert found.label.former_id == ""
    assert seen == {old, new}
    assert done.opens("old")


@pytest.mark.parametrize("name", CASES)
def test_a_write_that_fails_leaves_the_old_or_the_new_and_is_told(tmp_path: Path, name: str) -> None:
    disks, step = prepared(tmp_path, name)
    old = disks.group()
    before, timeline, _ = record(tmp_path, disks, step)
    for number, _, state, error, warnings in failing_writes(tmp_path, before, timeline, step):
        with state.session() as session:
            group = session.world(silent=True).group("vg0")
        assert error is not None or warnings, f"write {number}"
        assert group.missing_pv_ids == (), f"write {number}"
        assert group.hazards == ()
        assert old is not None
        assert group.vg == old or group.vg.seqno == old.seqno + 1
        with state.session() as session:
            change(session, "/d0", PvChange(add_tags=("next",)))
            assert find_faults(session, "vg0") == (), f"write {number}"


@pytest.mark.parametrize("held", [0, 1], ids=["empty before", "a physical volume before"])
def test_pvcreate_leaves_what_was_or_a_whole_physical_volume(tmp_path: Path, held: int) -> None:
    disks = Disks(tmp_path, {"/d": MemoryDevice(4 * MIB, path="/d")})
    options = pv.PvOptions(metadata_copies=2, metadata_size_bytes=32768, data_alignment_bytes=4096)
    with disks.session() as session:
        for _ in range(held):
            pv.create(session, ("/d",), pv.PvOptions(metadata_copies=2))
        old = [found.label for found in session.world().pvs]
    before, timeline, done = record(tmp_path, disks, lambda session: pv.create(session, ("/d",), options))
    with done.session() as session:
        new = [found.label for found in session.world().pvs]
    seen = []
    for point, devices in crash_states(before, timeline):
        with Disks(tmp_path, devices).session() as session:
            pvs = session.world(silent=True).pvs
        labels = [found.label for found in pvs]
        assert labels in (old, new, []), f"crash point {point}"
        assert labels != new or not any(area.problem for found in pvs for area in found.areas)
        seen.append(labels)
    assert old in seen
    assert new in seen


def test_pvremove_leaves_a_physical_volume_or_none(tmp_path: Path) -> None:
    disks = Disks(tmp_path, {"/d": MemoryDevice(4 * MIB, path="/d")})
    with disks.session() as session:
        pv.create(session, ("/d",))
        old = session.world().pvs
    before, timeline, _ = record(tmp_path, disks, lambda session: pv_remove.remove(session, ("/d",)))
    found = []
    for _, devices in crash_states(before, timeline):
        with Disks(tmp_path, devices).session() as session:
            found.append(session.world().pvs)
    assert set(found) == {old, ()}
