"""vgcfgrestore: what a file says is in force again, and what that costs is said before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import FormatError, NotFoundError, RefusedError
from cryptlv.ops import lv as lvs
from cryptlv.ops import lv_remove, vg, vg_change, vg_members, vg_remove, vg_restore
from cryptlv.ops.backup import vgcfgbackup
from cryptlv.ops.keystore import image_place, keystore_segment
from cryptlv.ops.vgck import find_faults
from support.disks import REQUEST, Disks, Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def kept(disks: Disks, tmp_path: Path) -> str:
    """A backup of vg0 in a file of its own."""
    path = str(tmp_path / "kept")
    with disks.session() as session:
        vgcfgbackup(session, ("vg0",), path)
    return path


def check_restored(disks: Disks, path: str) -> None:
    found = disks.group()
    with disks.session() as session:
        assert find_faults(session, "vg0") == ()
    assert found is not None
    assert found.replace(seqno=0) == vg_restore.read_backup(path).vg.replace(seqno=0)


def test_an_earlier_value_is_in_force_with_a_higher_seqno(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1, 1))
    path = kept(disks, tmp_path)
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="later", extents=3))
        vg_members.reduce(session, "vg0", ("/d2",))
        vg_change.change(session, "vg0", vg_change.VgChange(add_tags=("t",)))
    before = disks.group()
    assert before is not None
    with disks.session() as session:
        assert vg_restore.restore(session, "vg0", path).seqno == before.seqno + 1
    check_restored(disks, path)
    assert disks.opens("old")


def test_physical_volumes_that_are_not_in_the_file_are_free_again(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        vg_members.reduce(session, "vg0", ("/d1",))
    path = kept(disks, tmp_path)
    with disks.session() as session:
        vg_members.extend(session, "vg0", ("/d1",))
        vg_restore.restore(session, "vg0", path)
        vg.create(session, "vg1", ("/d1",))
    check_restored(disks, path)


def test_the_backup_is_what_is_restored_without_a_file(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = disks.group()
    with disks.session() as session:
        vg_restore.restore(session, "vg0")
    after = disks.group()
    assert before is not None
    assert after == before.replace(seqno=before.seqno + 1)


def test_encrypted_volumes_that_would_go_are_named_and_wiped_when_that_is_meant(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    path = kept(disks, tmp_path)
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="later"), Known())
    now = disks.group()
    assert now is not None
    place = image_place(now, keystore_segment(now, "cryptostore2"))
    assert place is not None
    with disks.session() as session:
        with pytest.raises(RefusedError, match=r"volume later would go.*keystore cryptostore2 would go.*--force"):
            vg_restore.restore(session, "vg0", path)
        assert disks.group() == now
        vg_restore.restore(session, "vg0", path, agreed=True)
    check_restored(disks, path)
    assert not any(disks.devices["/d0"].read(*place[1:]))


def test_keystores_whose_headers_are_overwritten_are_named(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    path = kept(disks, tmp_path)
    with disks.session() as session:
        lv_remove.remove(session, "vg0", ("old",))
        with pytest.raises(RefusedError, match="keystore cryptostore1 would come back, but its key header is not"):
            vg_restore.restore(session, "vg0", path)
        vg_restore.restore(session, "vg0", path, agreed=True)
    check_restored(disks, path)
    assert not disks.opens("old")


def test_keystores_whose_headers_are_there_come_back(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    path = kept(disks, tmp_path)
    with disks.session() as session:
        before = session.world().group("vg0")
        plain = before.vg.replace(lvs=(before.vg.lv("first"),))
        from cryptlv.ops.commit import commit_change

        commit_change(session, before, plain)  # by a program that wipes nothing
        said: list[str] = []
        session._inform = said.append
        vg_restore.restore(session, "vg0", path)
    assert "Keystore cryptostore1 comes back." in said
    assert disks.opens("old")


def test_a_group_that_was_removed_is_there_again_and_marked_as_used(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        lv_remove.remove(session, "vg0", ("old",))
    path = kept(disks, tmp_path)
    with disks.session() as session:
        vg_remove.remove(session, "vg0")
        vg_restore.restore(session, "vg0", path)
    check_restored(disks, path)


def test_devices_must_be_what_they_were(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    path = kept(disks, tmp_path)
    device = disks.devices.pop("/d1")
    with disks.session() as session, pytest.raises(RefusedError, match="1 PVs marked as missing"):
        vg_restore.restore(session, "vg0", path)
    disks.devices["/d1"] = device
    with disks.session() as session:
        vg_members.reduce(session, "vg0", ("/d1",))
        vg.create(session, "vg1", ("/d1",))
        with pytest.raises(RefusedError, match="/d1 is in volume group vg1 now"):
            vg_restore.restore(session, "vg0", path)
        vg_remove.remove(session, "vg0")
        vg_change.rename(session, "vg1", "vg0")
        with pytest.raises(RefusedError, match="another volume group is named vg0"):
            vg_restore.restore(session, "vg0", path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pe_count = 240", "pe_count = 2400", "extents end at"),
        ("pe_start = 2048", "pe_start = 16", "where its extents"),
    ],
)
def test_extents_must_lie_where_there_is_room(tmp_path: Path, old: str, new: str, message: str) -> None:
    disks = make_disks(tmp_path, (1,))
    path = kept(disks, tmp_path)
    with open(path) as file:
        text = file.read()
    assert old in text
    with open(path, "w") as file:
        file.write(text.replace(old, new))
    before = disks.group()
    with disks.session() as session, pytest.raises(RefusedError, match=message):
        vg_restore.restore(session, "vg0", path)
    assert disks.group() == before


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    path = kept(disks, tmp_path)
    (tmp_path / "no-text").write_bytes(b"\x00\xff{")
    with disks.session() as session:
        with pytest.raises(NotFoundError):
            vg_restore.restore(session, "vg0", str(tmp_path / "none"))
        with pytest.raises(FormatError):
            vg_restore.restore(session, "vg0", str(tmp_path / "no-text"))
        with pytest.raises(RefusedError, match="does not contain volume group 'vg1'"):
            vg_restore.restore(session, "vg1", path)


def test_files_are_listed_with_what_they_were_written_for(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    warnings: list[str] = []
    with disks.session(warnings.append) as session:
        folder = session.directories.archive_dir
        files = vg_restore.list_backups(session, "vg0")
        assert [file.vg.seqno for file in files] == [1, 2, 3]
        assert files[0].description == "Created *before* executing 'test'"
        assert os.path.basename(files[-1].path) == "vg0"
        assert abs(files[-1].written_at - session.env.now) < 60
        assert vg_restore.list_backups(session, "none") == ()
        with open(os.path.join(folder, "vg0_00099-1.vg"), "w") as file:
            file.write("{")
        assert len(vg_restore.list_backups(session, "vg0")) == 3
    assert any("vg0_00099" in line for line in warnings)


def test_a_test_restores_nothing(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    path = kept(disks, tmp_path)
    before = bytes(disks.devices["/d0"].read(0, 16 * 1024 * 1024))
    with disks.session() as session:
        session.test = True
        vg_restore.restore(session, "vg0", path)
    assert disks.devices["/d0"].read(0, 16 * 1024 * 1024) == before
