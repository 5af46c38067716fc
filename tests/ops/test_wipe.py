"""Wiping: what was freed is zeros, and nothing else is; what could not be done is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.edit import remove_lv
from cryptlv.ops.commit import commit_change
from cryptlv.ops.wipe import wipe, wipe_freed
from support.crash import Event, RecordingDevice
from support.filled import NAMES, contents, make_volumes

if TYPE_CHECKING:
    from pathlib import Path

    from support.disks import Disks

EXTENT = 64 * 1024


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    return make_volumes(tmp_path)


class Watcher:
    """Stops after so many bytes."""

    def __init__(self, stop_at: int) -> None:
        self.told: list[tuple[int, int]] = []
        self._stop_at = stop_at

    @property
    def is_stopping(self) -> bool:
        return bool(self.told) and self.told[-1][0] >= self._stop_at

    def tell(self, done_bytes: int, total_bytes: int) -> None:
        self.told.append((done_bytes, total_bytes))


def extent(disks: Disks, path: str, number: int) -> bytes:
    group = disks.group()
    assert group is not None
    (pv,) = [pv for pv in group.pvs if pv.device == path]
    return disks.devices[path].read(pv.pe_start_sectors * 512 + number * EXTENT, EXTENT)


def test_what_a_change_has_freed_is_zeros_and_other_volumes_are_whole(disks: Disks) -> None:
    data = contents(disks)
    watcher = Watcher(1 << 60)
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        after = commit_change(session, group, remove_lv(group.vg, "pieces"))
        assert wipe_freed(session, group, after, watcher)
    for path, places in (("/d0", (120, 121, 122, 130, 133)), ("/d1", (100, 104)), ("/d2", (100, 101))):
        assert not any(byte for number in places for byte in extent(disks, path, number)), path
    names = [name for name in NAMES if name != "pieces"]
    assert contents(disks, names) == {name: data[name] for name in names}
    assert watcher.told[0] == (0, 14 * EXTENT)
    assert watcher.told[-1] == (14 * EXTENT, 14 * EXTENT)


def test_a_trial_wipes_nothing(disks: Disks) -> None:
    with disks.session() as session:
        session.test = True
        group = session.world().group("vg0")
        assert wipe(session, group, ((group.vg.pvs[0].id, 0, 16),))
    assert any(extent(disks, "/d0", 0))


def test_what_an_interrupt_leaves_is_said(disks: Disks) -> None:
    said: list[str] = []
    with disks.session(said.append) as session:
        group = session.world().group("vg0")
        pv_id = group.vg.pvs[0].id
        assert not wipe(session, group, ((pv_id, 0, 2), (pv_id, 4, 1), (pv_id, 6, 1)), Watcher(3 * EXTENT))
    assert not any(extent(disks, "/d0", 4))
    assert any(extent(disks, "/d0", 6))
    (line,) = said
    assert line.startswith("interrupted: 64.00k of 256.00k that were freed are not overwritten")


def test_what_is_on_missing_or_failing_devices_is_said_and_the_rest_is_done(disks: Disks) -> None:
    class Full(MemoryDevice):
        def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
            raise DeviceError(f"{self.path}: cannot write: Input/output error", errno=5)

    disks.devices["/d1"] = Full(path="/d1", content=disks.devices["/d1"].read(0, disks.devices["/d1"].size_bytes))
    said: list[str] = []
    with disks.session(said.append) as session:
        group = session.world().group("vg0")
        a, b, c = (pv.id for pv in group.vg.pvs)
        there = group.replace(pv_paths={pv_id: path for pv_id, path in group.pv_paths.items() if pv_id != c})
        assert not wipe(session, there, ((b, 100, 1), (b, 103, 1), (c, 100, 1), (a, 0, 1)))
    assert not any(extent(disks, "/d0", 0))
    assert any(extent(disks, "/d2", 100))
    assert said == [
        f"physical volume {c} is missing: what was freed on it is not overwritten",
        "what was freed on /d1 is not overwritten: /d1: cannot write: Input/output error",
    ]


def test_it_is_flushed_at_the_end(disks: Disks) -> None:
    events: list[Event] = []
    device = disks.devices["/d0"]
    disks.devices["/d0"] = RecordingDevice("/d0", device.read(0, device.size_bytes), events)
    with disks.session() as session:
        group = session.world().group("vg0")
        assert wipe(session, group, ((group.vg.pvs[0].id, 0, 100),))
    assert [event.data is None for event in events] == [False, False, True]
