"""Every change leaves an archive of before and a backup of after, in lvm2's form, and neither holds a secret."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from cryptlv.host.lvmconf import HostSettings
from cryptlv.model.vg_edit import VgChange
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.ops import lv as lvs
from cryptlv.ops.commit import commit_change
from cryptlv.ops.lv_remove import remove
from cryptlv.ops.pv import mark_used
from cryptlv.ops.vg_change import change
from support.disks import MIB, PASSPHRASE, PLAIN_REQUEST, Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def test_archive_is_the_value_before_and_backup_the_value_after(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = disks.group()
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="x", size_bytes=MIB))
    archives = sorted((tmp_path / "system" / "archive").iterdir())
    assert [path.name[:10] for path in archives] == ["vg0_00000-", "vg0_00001-", "vg0_00002-"]
    assert parse_vg(archives[-1].read_bytes()) == before
    assert parse_vg((tmp_path / "system" / "backup" / "vg0").read_bytes()) == disks.group()
    assert b"Created *before* executing 'test'" in archives[-1].read_bytes()
    assert b"Created *after* executing 'test'" in (tmp_path / "system" / "backup" / "vg0").read_bytes()


def test_a_backup_that_cannot_be_written_is_a_warning_and_the_change_stands(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    backup = tmp_path / "system" / "backup" / "vg0"
    backup.unlink()
    backup.mkdir()
    said: list[str] = []
    with disks.session(said.append) as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="x", size_bytes=MIB))
    assert len(said) == 1
    assert "backup" in said[0]
    group = disks.group()
    assert group is not None
    assert group.find_lv("x") is not None


def test_no_secret_is_in_metadata_archives_or_backups(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    key = bytes(range(100, 164))
    with disks.session() as session:
        lvs.create(session, "vg0", PLAIN_REQUEST.replace(name="raw"), Known(key))
        remove(session, "vg0", ("old",))
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for secret in (PASSPHRASE, key, key.hex().encode()):
                assert secret not in data
    for device in disks.devices.values():
        content = device.read(0, device.size_bytes)
        assert PASSPHRASE not in content
        assert key not in content
        assert key[:32] not in content


def test_a_step_within_a_command_is_not_archived(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    archive = tmp_path / "system" / "archive"
    before = sorted(archive.iterdir())
    with disks.session() as session:
        group = session.world().group("vg0")
        commit_change(session, group, group.vg, archive=False)
    assert sorted(archive.iterdir()) == before


def test_what_is_kept_is_for_the_settings_and_the_command_to_say(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    kept = {}
    for name, settings, autobackup in (
        ("both", HostSettings(), None),
        ("none", HostSettings(backup=False, archive=False), None),
        ("asked", HostSettings(backup=False, archive=False), True),
        ("not asked", HostSettings(), False),
    ):
        shutil.rmtree(tmp_path / "system", ignore_errors=True)
        said: list[str] = []
        with disks.session(said.append, settings) as session:
            session._autobackup = autobackup
            change(session, "vg0", VgChange(add_tags=(name.replace(" ", ""),)))
        kept[name] = sorted(path.name for path in (tmp_path / "system").glob("*"))
        assert any("NOT backed up" in line for line in said) == ("backup" not in kept[name])
    assert kept == {"both": ["archive", "backup"], "none": [], "asked": ["archive", "backup"], "not asked": []}


def test_a_label_that_does_not_say_so_is_marked_as_used_by_the_next_change(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        world = session.world()
        mark_used(session.device("/d1", writable=True), world.pvs[1], used=False)
        assert [pv.path for pv in session.world().group("vg0").unmarked] == ["/d1"]
        change(session, "vg0", VgChange(add_tags=("t",)))
        assert session.world().group("vg0").unmarked == ()
