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
        f'Physical volume "{machine.folder / "b.img"}" successfully created.',
        'Volume group "vg0" successfully created',
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


def test_a_new_group_is_as_it_was_asked_for(machine: Machine) -> None:
    machine.image("a.img")
    words = ("-s", "1m", "-l", "3", "-p", "2", "--addtag", "t", "--alloc", "cling", "--pvmetadatacopies", "2")
    more = ("--metadatasize", "2m", "--dataalignment", "512k", "--bootloaderareasize", "1m", "-Zn")
    machine.run(
        "vgcreate", *words, *more, "--setautoactivation", "n", "--vgmetadatacopies", "1", "-A", "n", "vg0", "a.img"
    )
    fields = "max_lv,max_pv,vg_tags,vg_allocation_policy,vg_mda_count,vg_mda_used_count,vg_mda_copies"
    line = machine.run("vgs", "--noheadings", "--separator", "|", "-o", fields).lines
    assert line == ["3|2|t|cling|2|1|1"]
    assert machine.run("pvs", "--noheadings", "-o", "pv_ba_size").lines == ["1.00m"]
    assert not (machine.folder / "system" / "backup").exists()


def test_a_group_with_volumes_is_removed_when_that_is_meant(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l", "1", "-n", "x", "vg0")
    assert "containing 1 logical volumes" in vg0.fail("vgremove", "vg0")
    assert vg0.run("vgremove", "-y", "vg0").lines == [
        'Logical volume "x" successfully removed.',
        'Volume group "vg0" successfully removed',
    ]
    vg0.fail("vgremove", "vg0")
    vg0.fail("vgremove", status=3)
    assert vg0.run("vgremove", "@none").lines == []
    vg0.run("vgcreate", "vg0", "a.img", "b.img")


def test_a_group_that_does_not_fit_its_metadata_area_is_as_it_was(machine: Machine) -> None:
    machine.image("a.img")
    machine.run("vgcreate", "--metadatasize", "32k", "--dataalignment", "4k", "vg0", "a.img")
    tags = [word for number in range(16) for word in ("--addtag", f"{number}" + "x" * 1000)]
    before = machine.snapshot()
    line = machine.fail("vgchange", *tags, "vg0")
    assert "exceeds the 15616 bytes" in line
    assert {name: data for name, data in machine.snapshot().items() if "archive" not in name} == {
        name: data for name, data in before.items() if "archive" not in name
    }
