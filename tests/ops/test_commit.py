"""Every change leaves an archive of before and a backup of after, in lvm2's form, and neither holds a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_remove import remove
from support.disks import MIB, PASSPHRASE, REQUEST, Known, make_disks

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
        lvs.create(session, "vg0", REQUEST.replace(handler="plain", name="raw"), Known(key))
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
