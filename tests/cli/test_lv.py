"""lvremove and lvchange as programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.machine import Machine


def test_several_volumes_or_a_whole_group_are_removed_at_once(vg0: Machine) -> None:
    for name in ("a", "b", "c", "d"):
        vg0.run("lvcreate", "-l1", "-n", name, "vg0")
    assert vg0.run("lvremove", "vg0/a", "/dev/vg0/b").lines == [
        f'Logical volume "{name}" successfully removed.' for name in ("a", "b")
    ]
    vg0.run("lvremove", "vg0")
    assert vg0.run("lvs").out == ""


def test_a_volume_that_cannot_be_removed_does_not_stop_the_next(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-n", "b", "vg0")
    result = vg0.run("lvremove", "vg0/a", "vg0/b", expect=5)
    assert "'a'" in result.err
    assert result.lines == ['Logical volume "b" successfully removed.']


def test_volumes_of_several_groups_are_activated_at_once(vg0: Machine) -> None:
    vg0.image("c.img")
    vg0.run("vgcreate", "vg1", "c.img")
    for name in ("vg0", "vg1"):
        vg0.run("lvcreate", "-l1", "-nx", name)
    assert vg0.run("lvchange", "-ay", "vg0/x", "vg1/x").lines == [
        f"{vg0.folder}/run/{name}/x" for name in ("vg0", "vg1")
    ]
    vg0.run("lvchange", "-an", "vg0/x", "vg1/x")
    assert vg0.server_pids() == []
