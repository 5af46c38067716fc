"""Every crash of a vgsplit or vgmerge leaves each volume in one usable group, or in the exported one that the same
command finishes; no extent of a volume is ever written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops import pv, vg
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.commit import commit_change
from cryptlv.ops.vg_merge import vgmerge
from cryptlv.ops.vg_split import SplitRequest, vgsplit
from cryptlv.ops.vgck import find_faults
from support.crash import crash_states
from support.disks import REQUEST, Disks, Known
from support.record import failing_writes, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.host.scan import Group, World
    from cryptlv.model.vg import LogicalVolume
    from cryptlv.ops.session import Session

    Change = Callable[[Session], object]

MIB = 1024 * 1024


def make(folder: Path, groups: dict[str, tuple[int, ...]]) -> Disks:
    """Groups by name, with so many metadata areas on each of their PVs; a volume on each PV, an encrypted one on the
    first PV of the second half."""
    devices = {
        f"/{name}{number}": MemoryDevice(8 * MIB, path=f"/{name}{number}")
        for name, areas in groups.items()
        for number in range(len(areas))
    }
    disks = Disks(folder, devices)
    with disks.session() as session:
        for name, areas in groups.items():
            paths = tuple(f"/{name}{number}" for number in range(len(areas)))
            for path, copies in zip(paths, areas, strict=True):
                pv.create(session, (path,), pv.PvOptions(metadata_copies=copies))
            vg.create(session, name, paths, 64 * 1024)
            for number, path in enumerate(paths):
                request = lvs.LvRequest(name=f"{name}lv{number}", size_bytes=MIB, pvs=(PvArgument(path=path),))
                lvs.create(session, name, request)
            secret = REQUEST.replace(
                name=f"{name}secret", size_bytes=MIB, pvs=(PvArgument(path=paths[len(paths) // 2]),)
            )
            lvs.create(session, name, secret, Known())
    return disks


def split_new(*paths: str) -> Change:
    return lambda session: vgsplit(session, SplitRequest(source="a", target="new", pv_paths=paths))


def split_into_b(*paths: str) -> Change:
    return lambda session: vgsplit(session, SplitRequest(source="a", target="b", pv_paths=paths))


def merge(session: Session) -> object:
    return vgmerge(session, "b", "a")


CASES: dict[str, tuple[dict[str, tuple[int, ...]], Change]] = {
    "one of two": ({"a": (1, 1)}, split_new("/a1")),
    "two of three": ({"a": (1, 1, 1)}, split_new("/a1", "/a2")),
    "two areas on one": ({"a": (1, 2)}, split_new("/a1")),
    "one without areas": ({"a": (1, 1, 0)}, split_new("/a1", "/a2")),
    "all": ({"a": (1, 1)}, split_new("/a0", "/a1")),
    "into another": ({"a": (1, 1), "b": (1,)}, split_into_b("/a1")),
    "into another, without areas": ({"a": (1, 0), "b": (1,)}, split_into_b("/a1")),
    "all into another": ({"a": (1, 1), "b": (1,)}, split_into_b("/a0", "/a1")),
    "merge": ({"a": (1, 1), "b": (1,)}, merge),
    "merge of two areas": ({"a": (2,), "b": (1, 0)}, merge),
}


def places(lv: LogicalVolume) -> list[tuple[str, int, int]]:
    return [place for segment in lv.segments for place in segment.footprint()]


def summary(world: World) -> dict[str, tuple[object, ...]]:
    """What must be the same at last: the groups, their PVs, volumes and places; ids of new groups aside."""
    return {
        group.vg.name: (
            group.vg.is_exported,
            sorted(pv.id for pv in group.vg.pvs),
            sorted((lv.name, lv.id, str(places(lv))) for lv in group.vg.lvs),
            sorted(group.missing_pv_ids),
        )
        for group in world.groups
    }


def look(disks: Disks) -> World:
    with disks.session() as session:
        return session.world()


def holds(group: Group, lv: LogicalVolume) -> bool:
    """Whether a volume is usable in a group."""
    mine = next((other for other in group.vg.lvs if other.id == lv.id), None)
    if mine is None or group.vg.is_exported:
        return False
    assert places(mine) == places(lv), "it is where it was"
    return all(pv_id in group.pv_paths for pv_id, _, _ in places(mine))


@pytest.mark.parametrize("name", CASES)
def test_every_crash_keeps_every_volume_and_the_same_command_finishes(tmp_path: Path, name: str) -> None:
    groups, change = CASES[name]
    disks = make(tmp_path, groups)
    old = look(disks)
    volumes = [lv for group in old.groups for lv in group.vg.lvs]
    before, timeline, done = record(tmp_path, disks, change)
    final = summary(look(done))
    assert final != summary(old)
    inside = [
        (path, start, start + size) for found in old.pvs for path in [found.path] for start, size in found.label.mdas
    ]
    for event in timeline:
        assert event.data is None or any(
            event.path == path and start <= event.offset_bytes and event.offset_bytes + len(event.data) <= end
            for path, start, end in inside
        ), "nothing but metadata areas is written"
    kinds = set()
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        world = look(state)
        where = f"crash point {point} of {len(timeline)}"
        unfinished = [group for group in world.groups if group.vg.is_unfinished]
        assert len(unfinished) <= 1, where
        for lv in volumes:
            usable = [group for group in world.groups if holds(group, lv)]
            assert len(usable) <= 1, where
            twins = [twin for group in unfinished for twin in group.vg.lvs if twin.id == lv.id]
            assert usable or [places(twin) for twin in twins] == [places(lv)], (where, lv.name)
        kinds.add("between" if unfinished else "new" if summary(world) == final else "old")
        with state.session() as session:
            try:
                change(session)
            except CryptlvError:
                assert summary(world) == final, f"{where}: the command has been done already"
        world = look(state)
        assert summary(world) == final, where
        with state.session() as session:
            for group in world.groups:
                if any(area.vg != group.vg for area in group.areas):  # some of the last step: any change mends it
                    commit_change(session, session.writable_group(group.vg.name), group.vg)
                assert find_faults(session, group.vg.name) == (), where
    assert kinds == {"old", "between", "new"}


@pytest.mark.parametrize("name", ["one of two", "into another", "merge"])
def test_a_write_that_fails_is_told_and_the_same_command_finishes(tmp_path: Path, name: str) -> None:
    groups, change = CASES[name]
    before, timeline, done = record(tmp_path, make(tmp_path, groups), change)
    final = summary(look(done))
    for number, _, state, error, _ in failing_writes(tmp_path, before, timeline, change):
        now = summary(look(state))
        assert error is not None or now == final, f"write {number}"
        if now != final:
            with state.session() as session:
                change(session)
        assert summary(look(state)) == final, f"write {number}"
