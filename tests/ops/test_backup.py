"""vgcfgbackup writes what stock reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.ondisk.vgtext import parse_vg

if TYPE_CHECKING:
    from support.machine import Machine


def test_a_backup_goes_where_it_is_asked_for_or_where_lvm2_has_them(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-nx", "vg0")
    assert vg0.run("vgcfgbackup").lines == ['Volume group "vg0" successfully backed up.']
    vg0.run("vgcfgbackup", "-f", "out-%s", "vg0")
    texts = [(vg0.folder / "out-vg0").read_bytes(), (vg0.folder / "system" / "backup" / "vg0").read_bytes()]
    groups = [parse_vg(text) for text in texts]
    assert groups[0] == groups[1]
    assert groups[0].find_lv("x") is not None


def test_one_file_does_not_take_two_groups(vg0: Machine) -> None:
    vg0.image("c.img")
    vg0.run("vgcreate", "vg1", "c.img")
    assert "%s" in vg0.fail("vgcfgbackup", "-f", "one")
    assert not (vg0.folder / "one").exists()
    vg0.run("vgcfgbackup", "-f", "two-%s")
    assert (vg0.folder / "two-vg0").exists()
    assert (vg0.folder / "two-vg1").exists()
