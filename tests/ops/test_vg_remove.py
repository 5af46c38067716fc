"""vgremove: nothing of a group stays but free physical volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CommitError, NotFoundError, RefusedError
from cryptlv.host.archive import archive_paths
from cryptlv.ops import lv as lvs
from cryptlv.ops import lv_remove, vg, vg_change, vg_members, vg_remove
from cryptlv.ops.keystore import image_place, keystore_segment
from support.crash import Event, RecordingDevice
from support.disks import Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def test_a_group_goes_with_its_volumes_and_keys(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 2, 0))
    group = disks.group()
    assert group is not None
    place = image_place(group, keystore_segment(group, "cryptostore1"))
    assert place is not None
    device = disks.devices[group.pv(place[0]).device]
    assert any(device.read(*place[1:]))
    with disks.session() as session:
        what = vg_remove.contents(session, "vg0")
        assert what == vg_remove.VgContents(lv_names=("first", "old"), keystore_count=1)
        assert vg_remove.remove(session, "vg0", agreed=what) == what
        world = session.world()
        assert world.groups == ()
        assert [(pv.label.is_used, [area.text for area in pv.areas]) for pv in world.pvs] == [
            (False, [None]),
            (False, [None, None]),
            (False, []),
        ]
        assert not any(device.read(*place[1:])), "the key header is wiped"
        assert archive_paths(session.directories.archive_dir, "vg0")
        assert not (tmp_path / "system" / "backup" / "vg0").exists()
        vg.create(session, "vg0", ("/d0", "/d1", "/d2"))


def test_what_was_not_agreed_to_is_not_removed(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        what = vg_remove.contents(session, "vg0")
        lvs.create(session, "vg0", lvs.LvRequest(name="more", extents=1))
        with pytest.raises(RefusedError, match="changed meanwhile"):
            vg_remove.remove(session, "vg0", agreed=what)
        with pytest.raises(NotFoundError):
            vg_remove.remove(session, "vg1")
        vg_change.export(session, "vg0")
        with pytest.raises(RefusedError, match="exported"):
            vg_remove.remove(session, "vg0")
    assert disks.group() is not None


def test_an_empty_group_with_missing_physical_volumes_needs_to_be_meant(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        for name in ("first", "old"):
            lv_remove.remove(session, "vg0", (name,))
    del disks.devices["/d1"]
    with disks.session() as session:
        with pytest.raises(RefusedError, match="PVs missing"):
            vg_remove.remove(session, "vg0", agreed=vg_remove.contents(session, "vg0"))
        vg_remove.remove(session, "vg0")
    assert disks.group() is None


def test_old_metadata_on_a_device_that_left_does_not_come_back(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    away = disks.devices.pop("/d1")
    with disks.session() as session:
        vg_members.remove_missing(session, "vg0")
    disks.devices["/d1"] = away
    with disks.session() as session:
        vg_remove.remove(session, "vg0")
        assert session.world().groups == ()


def test_a_write_that_fails_leaves_the_whole_group(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    old = disks.group()
    content = {path: bytes(device.read(0, device.size_bytes)) for path, device in disks.devices.items()}
    for number in range(3):  # write, flush, write: those of the two headers
        events: list[Event] = []
        state = Disks(tmp_path, {path: RecordingDevice(path, data, events, number) for path, data in content.items()})
        with state.session() as session:
            if number == 1:
                vg_remove.remove(session, "vg0")  # a flush is not a write
                continue
            with pytest.raises(CommitError, match="not removed"):
                vg_remove.remove(session, "vg0")
        assert state.group() == old
