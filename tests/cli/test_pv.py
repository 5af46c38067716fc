"""pvcreate, pvremove, pvchange and pvresize as programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.machine import need_root

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine


def test_image_files_become_physical_volumes_that_later_commands_see(machine: Machine) -> None:
    machine.image("a.img")
    machine.image("b.img", 64)
    result = machine.run("pvcreate", "a.img", "b.img")
    assert result.lines == [
        f'Physical volume "{machine.folder}/{name}" successfully created.' for name in ("a.img", "b.img")
    ]
    rows = [line.split() for line in machine.run("pvs", "--noheadings").lines]
    assert rows == [
        [f"{machine.folder}/a.img", "lvm2", "---", "32.00m", "32.00m"],
        [f"{machine.folder}/b.img", "lvm2", "---", "64.00m", "64.00m"],
    ]


def test_test_mode_writes_nothing(machine: Machine) -> None:
    machine.image("a.img", 4)
    result = machine.run("pvcreate", "-t", "a.img")
    assert "TEST MODE" in result.err
    assert (machine.folder / "a.img").read_bytes() == bytes(4 * 2**20)
    assert machine.run("pvs").out == ""


def pv_rows(machine: Machine, fields: str) -> list[list[str]]:
    return [line.split() for line in machine.run("pvs", "--noheadings", "--units", "s", "-o", fields).lines]


def test_options_of_pvcreate_say_where_things_lie(machine: Machine) -> None:
    machine.image("a.img", 64)
    words = ("--metadatasize", "2m", "--metadatacopies", "2", "--bootloaderareasize", "1m", "--labelsector", "2")
    uuid = "abcdef-0000-1111-2222-3333-4444-ghijkl"
    machine.run("pvcreate", *words, "--uuid", uuid, "--norestorefile", "a.img")
    machine.run("vgcreate", "vg0", "a.img")
    fields = "pv_uuid,pe_start,pv_mda_count,pv_ba_start,pv_ba_size"
    assert pv_rows(machine, fields) == [[uuid, "8192S", "2", "6144S", "2048S"]]


def test_a_physical_volume_is_removed_and_no_longer_looked_at(machine: Machine) -> None:
    machine.image("a.img")
    machine.image("b.img")
    machine.run("pvcreate", "a.img", "b.img")
    result = machine.run("pvremove", "a.img")
    assert result.lines == [f'Labels on physical volume "{machine.folder}/a.img" successfully wiped.']
    assert pv_rows(machine, "pv_name") == [[f"{machine.folder}/b.img"]]
    result = machine.run("pvremove", "a.img", "b.img", expect=5)
    assert "No PV found on device" in result.err
    assert "b.img" in result.out
    assert machine.run("pvs").out == ""


def test_what_was_changed_is_counted(machine: Machine) -> None:
    for name in ("a.img", "b.img", "c.img"):
        machine.image(name)
    machine.run("vgcreate", "vg0", "a.img", "b.img")
    machine.run("pvcreate", "c.img")
    result = machine.run("pvchange", "-xn", "--addtag", "@x", "a.img", "b.img")
    assert result.lines[-1] == "2 physical volumes changed / 0 physical volumes not changed"
    result = machine.run("pvchange", "-xn", "@x", "c.img", "none.img", expect=5)
    assert result.lines[-1] == "0 physical volumes changed / 3 physical volumes not changed"
    assert "is already unallocatable" in result.out
    assert "Failed to find physical volume" in result.err
    assert "Allocatability not supported by orphan" in result.err
    before = pv_rows(machine, "pv_uuid,pv_tags")
    machine.run("pvchange", "-u", "-a")
    after = pv_rows(machine, "pv_uuid,pv_tags")
    assert [row[1:] for row in after] == [row[1:] for row in before]
    assert not {row[0] for row in after} & {row[0] for row in before}
    assert machine.run("vgck", "vg0").status == 0


def test_a_physical_volume_takes_up_the_size_of_its_file(machine: Machine) -> None:
    path = machine.image("a.img")
    machine.run("pvcreate", "--metadatacopies", "2", "a.img")
    machine.run("vgcreate", "vg0", "a.img")
    with path.open("r+b") as file:
        file.truncate(64 * 2**20)
    result = machine.run("pvresize", "a.img")
    assert result.lines == [
        f'Physical volume "{path}" changed',
        "1 physical volume(s) resized or updated / 0 physical volume(s) not resized",
    ]
    assert pv_rows(machine, "pv_size,pv_mda_count") == [[f"{60 * 2048}S", "2"]]
    assert "is less than real size" in machine.fail("pvresize", "--setphysicalvolumesize", "32m", "a.img")
    machine.run("pvresize", "-y", "--setphysicalvolumesize", "32m", "a.img")
    assert pv_rows(machine, "pv_size,pv_mda_count") == [[f"{28 * 2048}S", "2"]]
    assert machine.run("vgck", "vg0").status == 0


@pytest.mark.root
def test_a_device_that_cannot_be_written_or_is_mounted(machine: Machine, tmp_path: Path) -> None:
    need_root()
    path = machine.image("a.img", 16)
    machine.run("pvcreate", "a.img")
    loop = machine.tool("losetup", "--show", "-r", "-f", path).out.strip()
    try:
        for command in ("pvcreate", "pvremove"):
            line = machine.fail(command, "--devices", loop, loop)
            assert loop in line
            assert "cannot" in line
    finally:
        machine.tool("losetup", "-d", loop)
    machine.tool("mke2fs", "-q", "-F", path)
    loop = machine.tool("losetup", "--show", "-f", path).out.strip()
    try:
        machine.tool("mount", loop, tmp_path)
        for command in ("pvcreate", "pvremove"):
            assert f"Can't open {loop} exclusively" in machine.fail(command, "-ff", "-y", loop)
    finally:
        machine.tool("umount", tmp_path, expect=None)
        machine.tool("losetup", "-d", loop)
