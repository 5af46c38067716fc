"""The last change of a group on disks in memory, shown and undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import InUseError, NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops import lv_remove, pv, vg
from cryptlv.ops.commit import archive_before, commit_change
from cryptlv.ops.convert import ImportRequest, import_volume
from cryptlv.ops.keystore import image_place, keystore_segment
from cryptlv.ops.undo import last_change, undo
from cryptlv.ops.vg_split import SplitRequest, vgsplit
from cryptlv.ops.vgck import find_faults
from support.disks import REQUEST, Disks, Known
from support.luks import EXTENT, HEADERS, luks_disks
from support.served import ServerLock

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    """vg0 on two of three disks, with one volume; the third is a PV of no group."""
    devices = {f"/d{number}": MemoryDevice(8 * MIB, path=f"/d{number}") for number in range(3)}
    made = Disks(tmp_path, devices)
    with made.session() as session:
        vg.create(session, "vg0", ("/d0", "/d1"), 64 * 1024)
        pv.create(session, ("/d2",))
        lvs.create(session, "vg0", lvs.LvRequest(name="first", size_bytes=MIB))
    return made


def names(disks: Disks) -> list[str]:
    group = disks.group()
    assert group is not None
    return [lv.name for lv in group.lvs]


def test_undo_of_an_undo_is_a_redo(disks: Disks) -> None:
    with disks.session() as session:
        lv_remove.remove(session, "vg0", ("first",))
        before = session.world().group("vg0").vg
        change = last_change(session, "vg0")
        assert change.lines == ("- lv first (linear, 1.00m)",)
        assert change.command == "test"
        assert (change.problem, change.warnings) == ("", ())
        assert session.world().group("vg0").vg == before, "it was only shown"
        for expected in (["first"], [], ["first"]):
            undo(session, "vg0")
            assert names(disks) == expected
        assert session.world().group("vg0").vg.seqno == before.seqno + 3
        assert find_faults(session, "vg0") == ()


def test_a_new_encrypted_volume_goes_with_its_key_and_does_not_come_back(disks: Disks) -> None:
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(size_bytes=MIB), Known())
        group = session.world().group("vg0").vg
        place = image_place(group, keystore_segment(group, "cryptostore1"))
        assert place is not None
        pv_id, offset, _ = place
        device = session.device(group.pv(pv_id).device)
        assert any(device.read(offset, 4096))
        served = ServerLock(session.directories.run_dir, group.lv("new").id)
        with served, pytest.raises(InUseError, match="vg0/new is active"):
            undo(session, "vg0")
        assert undo(session, "vg0").warnings == ("what was written to vg0/new is given up",)
        assert not any(device.read(offset, 4096)), "the key header is wiped"
        assert names(disks) == ["first"]
        assert "keystore vg0/cryptostore1 was removed" in last_change(session, "vg0").problem
        with pytest.raises(RefusedError, match="keystore vg0/cryptostore1 was removed"):
            undo(session, "vg0")


def test_physical_volumes_leave_and_come_back(disks: Disks) -> None:
    with disks.session() as session:
        world = session.world()
        group = world.group("vg0")
        label = next(found.label for found in world.pvs if found.path == "/d2")
        joining = group.vg.pvs[0].replace(id=label.pv_id, device="/d2")
        areas = next(found.areas for found in world.pvs if found.path == "/d2")
        paths = {**group.pv_paths, label.pv_id: "/d2"}
        commit_change(
            session,
            group.replace(areas=(*group.areas, *areas), pv_paths=paths),
            group.vg.replace(pvs=(*group.vg.pvs, joining)),
        )
        pv.mark_used(session.device("/d2"), label, used=True)
        assert last_change(session, "vg0").lines == ("+ pv /d2 (7.00m)",)
        for count in (2, 3, 2):
            undo(session, "vg0")
            world = session.world()
            assert len(world.group("vg0").vg.pvs) == count
            used = {found.path: found.label.is_used for found in world.pvs}
            assert used == {"/d0": True, "/d1": True, "/d2": count == 3}
            assert find_faults(session, "vg0") == ()


def test_what_belongs_to_another_group_now_is_refused(disks: Disks) -> None:
    with disks.session() as session:
        vgsplit(session, SplitRequest(source="vg0", target="new", pv_paths=("/d1",)))
        with pytest.raises(RefusedError, match="/d1 belongs to volume group new now"):
            undo(session, "vg0")
        with pytest.raises(NotFoundError, match="no archive file has volume group new with seqno 1"):
            undo(session, "new")


def test_a_disk_that_is_gone_or_taken_is_refused(disks: Disks) -> None:
    with disks.session() as session:
        group = session.world().group("vg0")
        empty = next(disk for disk in group.vg.pvs if disk.device == "/d1")
        left = tuple(disk for disk in group.vg.pvs if disk.id != empty.id)
        areas = tuple(area for area in group.areas if area.pv_id != empty.id)
        paths = {pv_id: path for pv_id, path in group.pv_paths.items() if pv_id != empty.id}
        commit_change(session, group.replace(areas=areas, pv_paths=paths), group.vg.replace(pvs=left))
        with pytest.raises(RefusedError, match="/d1 is not there, or used otherwise"):
            undo(session, "vg0")  # it still says that it is in use


def test_nothing_is_undone_where_nothing_is_known(disks: Disks) -> None:
    with disks.session() as session:
        with pytest.raises(NotFoundError, match="none"):
            last_change(session, "none")
        group = session.world().group("vg0")
        commit_change(session, group, group.vg)
        with pytest.raises(RefusedError, match="nothing to undo"):
            undo(session, "vg0")
        group = session.world().group("vg0")
        commit_change(session, group, group.vg, archive=False)
        with pytest.raises(NotFoundError, match="no archive file"):
            last_change(session, "vg0")


def test_a_command_that_did_not_end_is_told_and_a_test_run_writes_nothing(disks: Disks) -> None:
    with disks.session() as session:
        lv_remove.remove(session, "vg0", ("first",))
        archive_before(session, session.world().group("vg0").vg)
        (warning,) = last_change(session, "vg0").warnings
        assert warning.startswith("extents that come back may have been written by a command that did not end: ")
        session.test = True
        undo(session, "vg0")
    assert names(disks) == []


@pytest.mark.parametrize("is_aligned", [True, False])
def test_an_import_is_not_undone_but_shown(tmp_path: Path, headers: Path, is_aligned: bool) -> None:
    """The volume has another type since, and where its header lay may be overwritten."""
    offset = 5 * EXTENT if is_aligned else HEADERS["luks2"]
    disks, _ = luks_disks(tmp_path, headers, "luks2", offset, ((0, 100, 24),))
    with disks.session() as session:
        import_volume(session, "vg0", "lv", ImportRequest())
        change = last_change(session, "vg0")
        assert any("crypt" in line for line in change.lines)
        assert "vg0/lv was converted" in change.problem
        with pytest.raises(RefusedError, match="--splitcrypto"):
            undo(session, "vg0")
