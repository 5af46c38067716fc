"""pvcreate as a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
