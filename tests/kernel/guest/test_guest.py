"""The guest has what the other tests take for granted."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.guest import Guest


def test_the_disks_are_there_and_empty(guest: Guest) -> None:
    assert len(guest.disks) >= 4
    assert len(guest.disks_4k) >= 2
    for disk in guest.disks + guest.disks_4k:
        with disk.open("rb") as file:
            assert not any(file.read(1 << 20))


def test_the_kernel_has_the_targets_and_a_module_is_loaded_when_it_is_needed(guest: Guest) -> None:
    assert os.uname().release.endswith("-amd64")
    guest.tool("modprobe", "dm_crypt")
    targets = guest.tool("dmsetup", "targets").out
    assert re.findall(r"^(crypt|linear|striped|error|zero) ", targets, re.MULTILINE)
    guest.tool(
        "dmsetup", "create", "serpent", "--table", f"0 8 crypt serpent-xts-plain64 {'ab' * 64} 0 {guest.disks[0]} 0"
    )
    assert "serpent" in guest.tables()


def test_stock_lvm2_and_ours_see_the_same_disks(guest: Guest) -> None:
    guest.stock("vgcreate", "vg0", *guest.disks[:2])
    guest.stock("lvcreate", "-an", "-L", "8M", "-n", "one", "vg0")
    assert guest.run("lvs", "--noheadings", "-o", "lv_name").lines == ["one"]
    guest.stock("lvchange", "-ay", "vg0/one")
    assert guest.tables()["vg0-one"] == "0 16384 linear 254:0 2048\n"
