"""pvcreate: what is written is what stock writes, in an order that a crash cannot hurt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ExistsError, InUseError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.vg_edit import VgChange
from cryptlv.ondisk.label import encode_label, find_label, find_labels
from cryptlv.ops import pv, vg_change
from support.crash import Event, RecordingDevice
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def test_metadata_areas_are_durable_before_the_label_points_at_them(tmp_path: Path) -> None:
    events: list[Event] = []
    disks = Disks(tmp_path, {"/d": RecordingDevice("/d", bytes(16 * MIB), events)})
    with disks.session() as session:
        pv.create(session, ("/d",), pv.PvOptions(metadata_copies=2))
    assert [event.offset_bytes if event.data is not None else "flush" for event in events] == [
        4096, 15 * MIB, "flush", 0, "flush",
    ]  # fmt: skip


def test_a_label_in_another_sector_is_cleared(tmp_path: Path) -> None:
    content = bytearray(16 * MIB)
    disks = make_disks(tmp_path, (1,))
    old = bytes(disks.devices["/d0"].content)  # type: ignore[attr-defined]
    content[3 * 512 : 4 * 512] = old[512:1024]
    device = MemoryDevice(path="/d", content=bytes(content))
    with Disks(tmp_path, {"/d": device}).session() as session:
        pv.create(session, ("/d",))
    label, remarks = find_label(device.read(0, 2048))
    assert label is not None
    assert not remarks, "one label only"
    assert device.read(1536, 512) == bytes(512)


def test_all_are_looked_at_before_the_first_is_written(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    events: list[Event] = []
    disks.devices["/new"] = RecordingDevice("/new", bytes(16 * MIB), events)
    with disks.session() as session, pytest.raises(InUseError, match="'vg0'"):
        pv.create(session, ("/new", "/d0"))
    assert events == []


def test_force_makes_a_physical_volume_anew_but_not_one_in_use(tmp_path: Path) -> None:
    disks = Disks(tmp_path, {"/d": MemoryDevice(16 * MIB, path="/d")})
    with disks.session() as session:
        pv.create(session, ("/d",))
        (first,) = (found.label.pv_id for found in session.world().pvs)
        with pytest.raises(ExistsError, match=first):
            pv.create(session, ("/d",))
        session.force = 1
        pv.create(session, ("/d",))
        (second,) = (found.label.pv_id for found in session.world().pvs)
        assert second != first
    used = make_disks(tmp_path, (1,))
    with used.session() as session:
        session.force = 1
        with pytest.raises(InUseError):
            pv.create(session, ("/d0",))
        session.force = 2
        pv.create(session, ("/d0",))
    assert used.group() is None


def test_a_device_of_a_group_whose_metadata_are_damaged_is_not_taken(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    disks.devices["/d0"].write(4096, bytes(512))
    with disks.session() as session:
        session.force = 1
        with pytest.raises(InUseError, match="cannot be read"):
            pv.create(session, ("/d0",))


@pytest.mark.parametrize("size", [0, 512, MIB, 2 * MIB - 1])
def test_a_device_that_is_too_small_is_refused(tmp_path: Path, size: int) -> None:
    device = MemoryDevice(size, path="/small")
    with Disks(tmp_path, {"/small": device}).session() as session, pytest.raises(Exception, match=r"/small.*small"):
        pv.create(session, ("/small",))
    assert device.content == bytes(size)


def test_paths_are_made_absolute_and_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pv.absolute_paths(("a", "/b")) == (str(tmp_path / "a"), "/b")
    with pytest.raises(RefusedError, match="more than once"):
        pv.absolute_paths(("a", f"{tmp_path}/./a"))


def test_without_zeroing_only_labels_are_cleared(tmp_path: Path) -> None:
    device = MemoryDevice(16 * MIB, path="/n")
    with Disks(tmp_path, {"/n": device}).session() as session:
        pv.create(session, ("/n",))
        (old,), _ = find_labels(device.read(0, 2048))
        device.write(0, encode_label(old.replace(sector=0)))
        device.write(1024, b"boot code")
        pv.write_new(device, old, zero=False)
        assert find_labels(device.read(0, 2048))[0] == (old,)
        assert device.read(1024, 9) == b"boot code"
        pv.write_new(device, old)
        assert not any(device.read(1024, 9))


def test_an_ignored_area_stays_so_when_its_volume_is_released(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        vg_change.change(session, "vg0", VgChange(metadata_copies=1))
        found = session.world().pvs
        assert [area.is_ignored for place in found for area in place.areas] == [False, True]
        for place in found:
            pv.release(disks.devices[place.path], place.label)
        after = session.world().pvs
        assert [area.is_ignored for place in after for area in place.areas] == [False, True]
        assert not any(place.label.is_used for place in after)
