"""Every crash of a command for volume groups, with every fate of the writes that were not flushed, leaves the old or
the new volume group, and the next command leaves nothing that vgck would find."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.vg_edit import ALL_COPIES, VgChange
from cryptlv.ops import lv as lvs
from cryptlv.ops import vg_change, vg_clone, vg_members, vg_remove, vg_restore
from cryptlv.ops.backup import vgcfgbackup
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.vgck import find_faults, update_metadata
from support.crash import crash_states
from support.disks import MIB, REQUEST, Disks, Known, make_disks
from support.record import failing_writes, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session

    Change = Callable[[Session], object]

AREAS = [(1,), (1, 1), (2, 1), (1, 0, 1)]


def change(**fields: object) -> Change:
    return lambda session: vg_change.change(session, "vg0", VgChange(**fields))  # type: ignore[arg-type]


class Case(NamedTuple):
    """A command, and what comes before it."""

    run: Change
    before: tuple[Change, ...] = ()


def extend(session: Session) -> None:
    vg_members.extend(session, "vg0", ("/new",))


def reduce(session: Session) -> None:
    for failure in vg_members.reduce(session, "vg0", ("/new",)).failures:
        raise CryptlvError(failure)


def export(session: Session) -> None:
    vg_change.export(session, "vg0")


CASES: dict[str, Case] = {
    "extend": Case(extend),
    "reduce": Case(reduce, (extend,)),
    "rename": Case(lambda session: vg_change.rename(session, "vg0", "vg9")),
    "tags": Case(change(add_tags=("t",))),
    "extents": Case(change(extent_size_sectors=32)),
    "new id": Case(lambda session: vg_change.change(session, "vg0", VgChange(), new_id=True)),
    "fewer areas": Case(change(metadata_copies=1), (extend,)),
    "more areas": Case(change(metadata_copies=ALL_COPIES), (extend, change(metadata_copies=1))),
    "export": Case(export),
    "import": Case(lambda session: vg_change.import_(session, "vg0"), (export,)),
}


def only_group(state: Disks) -> VolumeGroup | None:
    """The one volume group that is there, whatever it is called."""
    with state.session() as session:
        groups = session.world().groups
    assert len(groups) <= 1, [group.vg for group in groups]
    assert not any(group.missing_pv_ids or group.hazards for group in groups)
    return groups[0].vg if groups else None


def prepared(tmp_path: Path, areas: tuple[int, ...], *steps: Change) -> Disks:
    """vg0, and a device that is nothing yet."""
    disks = make_disks(tmp_path, areas)
    disks.devices["/new"] = MemoryDevice(4 * MIB, path="/new")
    for step in steps:
        with disks.session() as session:
            step(session)
    return disks


def next_command(state: Disks, name: str) -> None:
    """The next change of the group, and what mends PVs that left it just before the crash."""
    with state.session() as session:
        if session.world().group(name).vg.is_exported:
            vg_change.rename(session, name, "next")
            name = "next"
        else:
            vg_change.change(session, name, VgChange(add_tags=("next",)))
        faults = find_faults(session, name)
        if faults and all("outdated" in fault for fault in faults):
            update_metadata(session, name)
            faults = find_faults(session, name)
        assert faults == ()


@pytest.mark.parametrize("areas", AREAS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_old_or_the_new_group_is_left(tmp_path: Path, name: str, areas: tuple[int, ...]) -> None:
    case = CASES[name]
    disks = prepared(tmp_path, areas, *case.before)
    old = only_group(disks)
    before, timeline, done = record(tmp_path, disks, case.run)
    new = only_group(done)
    assert old is not None
    assert new is not None
    assert new.seqno == old.seqno + 1
    seen = set()
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = only_group(state)
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        assert found is not None
        seen.add(found)
        next_command(state, found.name)
    assert seen == {old, new}


@pytest.mark.parametrize("name", CASES)
def test_a_write_that_fails_leaves_the_old_or_the_new_group_and_says_which(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    disks = prepared(tmp_path, (2, 1), *case.before)
    old = only_group(disks)
    before, timeline, done = record(tmp_path, disks, case.run)
    new = only_group(done)
    assert old is not None
    assert new is not None
    for number, _, state, error, warnings in failing_writes(tmp_path, before, timeline, case.run):
        found = only_group(state)
        assert found is not None
        if error is not None:
            assert found == old, f"write {number}: it failed, so nothing may have changed"
        else:
            assert found.seqno == new.seqno
            assert warnings, f"write {number}: what was missed is said"
        next_command(state, found.name)


@pytest.mark.parametrize("areas", AREAS, ids=str)
def test_vgremove_leaves_the_group_or_none(tmp_path: Path, areas: tuple[int, ...]) -> None:
    disks = make_disks(tmp_path, areas)
    old = disks.group()
    before, timeline, done = record(tmp_path, disks, lambda session: vg_remove.remove(session, "vg0"))
    assert done.group() is None
    seen = set()
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = state.group()
        assert found in (old, None), f"crash point {point} of {len(timeline)}"
        seen.add(found)
        if found is not None:
            assert state.opens("old"), "as long as the group is there, its keys are"
            with state.session() as session:
                vg_remove.remove(session, "vg0")
            assert state.group() is None
    assert seen == {old, None}


@pytest.mark.parametrize("areas", [(1, 1), (1, 1, 2)], ids=str)
def test_vgreduce_of_what_is_missing_leaves_keys_as_long_as_their_volumes(
    tmp_path: Path, areas: tuple[int, ...]
) -> None:
    disks = make_disks(tmp_path, areas)
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="gone", pvs=(PvArgument(path="/d1"),)), Known())
    del disks.devices["/d1"]

    def run(session: Session) -> None:
        session.force = 1
        vg_members.remove_missing(session, "vg0")

    old = disks.group()
    before, timeline, done = record(tmp_path, disks, run)
    new = done.group()
    assert new is not None
    assert new.find_lv("gone") is None
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        assert state.group() in (old, new), f"crash point {point} of {len(timeline)}"
        assert state.opens("old")


@pytest.mark.parametrize("areas", [(1,), (1, 1), (2, 0)], ids=str)
def test_vgcfgrestore_leaves_the_old_or_the_new_group(tmp_path: Path, areas: tuple[int, ...]) -> None:
    disks = prepared(tmp_path, areas)
    path = str(tmp_path / "kept")
    with disks.session() as session:
        vgcfgbackup(session, ("vg0",), path)
        vg_members.extend(session, "vg0", ("/new",))
        lvs.create(session, "vg0", REQUEST, Known())
    old = disks.group()
    before, timeline, done = record(
        tmp_path, disks, lambda session: vg_restore.restore(session, "vg0", path, agreed=True)
    )
    new = done.group()
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = state.group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        if found == old:
            assert state.opens("new"), "as long as the volume is there, its key is"
        assert state.opens("old")
        next_command(state, "vg0")


@pytest.mark.parametrize("areas", [(1,), (1, 1), (2, 0)], ids=str)
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])
def test_vgimportclone_leaves_a_whole_group(tmp_path: Path, areas: tuple[int, ...], *, beside: bool) -> None:
    """The old one, the renamed one on PVs that have their old ids, or the new one."""
    disks = make_disks(tmp_path, areas)
    paths = tuple(disks.devices)
    originals: dict[str, MemoryDevice] = {}
    if beside:
        for path in paths:
            content = bytes(disks.devices[path].read(0, 16 * MIB))
            originals[f"{path}-original"] = MemoryDevice(path=f"{path}-original", content=content)
    old = disks.group()
    before, timeline, done = record(tmp_path, disks, lambda session: vg_clone.import_clone(session, paths, "new"))
    new = only_group(done)
    assert old is not None
    assert new is not None
    values = set()
    for point, devices in crash_states(before, timeline):
        found = only_group(Disks(tmp_path, devices))
        assert found is not None, f"crash point {point} of {len(timeline)}"
        values.add(found)
        if beside:
            check_original(Disks(tmp_path, {**originals, **devices}), old)
        if found == new:
            next_command(Disks(tmp_path, devices), "new")
    assert old in values
    assert new in values
    (middle,) = values - {old, new}
    assert (middle.name, middle.id) == (new.name, new.id)
    assert [pv.id for pv in middle.pvs] == [pv.id for pv in old.pvs]


def check_original(state: Disks, old: VolumeGroup) -> None:
    """The original is there, as it was, on its own devices."""
    found = state.group()
    assert found == old
    with state.session() as session:
        paths = session.world().group("vg0").pv_paths.values()
    assert all(path.endswith("-original") for path in paths)


def test_what_a_crash_of_vgimportclone_left_is_imported_again(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    paths = tuple(disks.devices)
    before, timeline, _ = record(tmp_path, disks, lambda session: vg_clone.import_clone(session, paths, "new"))
    for _, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        with state.session() as session:
            vg_clone.import_clone(session, paths, "again")
            assert find_faults(session, "again") == ()
