"""vgcreate and vgchange as programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.machine import Machine


def test_a_volume_group_of_new_and_made_physical_volumes(machine: Machine) -> None:
    for name in ("a.img", "b.img"):
        machine.image(name)
    machine.run("pvcreate", "a.img")
    assert machine.run("vgcreate", "-s", "1m", "vg0", "a.img", "b.img").lines == [
        'Volume group "vg0" successfully created'
    ]
    assert machine.run("vgs", "--noheadings", "-o", "name,pv_count,extent_count,extent_size").lines == [
        "vg0   2   62 1.00m"
    ]


def test_vgchange_without_a_name_takes_every_group(vg0: Machine) -> None:
    vg0.image("c.img")
    vg0.run("vgcreate", "vg1", "c.img")
    for name in ("vg0", "vg1"):
        vg0.run("lvcreate", "-l1", "-nx", name)
    out = vg0.run("vgchange", "-ay").lines
    assert out[1::2] == [f'1 logical volume(s) in volume group "{name}" now active' for name in ("vg0", "vg1")]
    assert len(vg0.server_pids()) == 2
    vg0.run("vgchange", "-an", "-q")
    assert vg0.server_pids() == []


def test_devices_can_be_named_instead_of_remembered(machine: Machine) -> None:
    machine.image("a.img")
    machine.run("vgcreate", "--devices", "a.img", "vg0", "a.img")
    assert machine.run("vgs").out == ""
    assert machine.run("vgs", "--devices", "a.img", "--noheadings", "-o", "vg_name").lines == ["vg0"]
