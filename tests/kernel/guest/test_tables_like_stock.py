"""Stock lvm2's volumes, activated by stock and by ours: the kernel cannot tell which of them it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.guest import Guest


def seen(guest: Guest) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """Tables, what `dmsetup info` says of each device, and the links in /dev by path."""
    columns = "name,uuid,attr,segments,open,subsystem"
    info = guest.tool("dmsetup", "info", "-c", "--noheadings", "-o", columns).lines
    links = {str(path): str(path.resolve()) for path in sorted(Path("/dev/vg0").glob("*"))}
    return guest.tables(), sorted(info), links


def compare(guest: Guest, *names: str) -> dict[str, str]:
    """Activate by stock and by ours, one after the other; gives the tables, which must be the same."""
    guest.stock("vgchange", "-ay", "vg0")
    stocks = seen(guest)
    guest.stock("vgchange", "-an", "vg0")
    assert not Path("/dev/vg0").exists()
    assert guest.tables() == {}
    guest.run("vgchange", "-ay", "vg0")
    ours = seen(guest)
    assert ours == stocks
    assert sorted(ours[0]) == sorted(names)
    guest.stock("vgchange", "-an", "vg0")
    assert guest.tables() == {}, "stock takes down what ours made"
    return stocks[0]


@pytest.mark.parametrize("sectors", [512, 4096])
def test_linear_and_striped_volumes(guest: Guest, sectors: int) -> None:
    disks = guest.disks if sectors == 512 else guest.disks_4k
    count = len(disks)
    guest.stock("vgcreate", "vg0", *disks)
    guest.stock("lvcreate", "-an", "-l", "3", "-n", "one", "vg0", disks[0])
    guest.stock("lvcreate", "-an", "-l", "2", "-n", "between", "vg0", disks[0])
    guest.stock("lvextend", "-l", "+4", "vg0/one", disks[0], disks[1])
    guest.stock("lvcreate", "-an", "-i", str(count), "-I", "16k", "-l", str(2 * count), "-n", "wide", "vg0")
    guest.stock("lvcreate", "-an", "-i", "2", "-l", "4", "-n", "two-fold", "vg0", disks[1], disks[0])
    guest.stock("lvextend", "-l", "+2", "vg0/two-fold")
    guest.stock("lvextend", "-l", "+1", "-i", "1", "vg0/two-fold", disks[1])
    guest.stock("lvchange", "-pr", "vg0/between")
    tables = compare(guest, "vg0-between", "vg0-one", "vg0-two--fold", "vg0-wide")
    assert tables["vg0-one"].count(" linear ") == 2
    assert f" striped {count} 32 " in tables["vg0-wide"]


def test_what_is_activated_at_boot_is_what_stock_activates(guest: Guest) -> None:
    """By the flags of volumes and groups and the lists of lvm.conf; each is asked of stock first."""
    guest.stock("vgcreate", "vg0", *guest.disks[:2])
    for name in ("a", "b", "c", "d"):
        guest.stock("lvcreate", "-an", "-l1", "-n", name, "vg0")
    guest.stock("lvchange", "--addtag", "db", "vg0/a")
    guest.stock("lvchange", "--setautoactivation", "n", "vg0/b")
    guest.stock("lvchange", "-ky", "vg0/c")
    lists = {
        "": ["vg0-a", "vg0-d"],
        'auto_activation_volume_list = [ "@db", "vg0/b" ]': ["vg0-a"],
        'auto_activation_volume_list = [ "vg0" ] volume_list = [ "vg0/d" ]': ["vg0-d"],
        "auto_activation_volume_list = [ ]": [],
        'auto_activation_volume_list = [ "other", "vg0/x" ]': [],
    }
    for setting, names in lists.items():
        guest.configure(f"activation {{ {setting} }}")
        for activate in (guest.stock, guest.run):
            activate("vgchange", "-aay", "vg0")
            assert sorted(guest.tables()) == names, (activate, setting)
            guest.stock("vgchange", "-an", "vg0")
    guest.configure('activation { volume_list = [ "vg0/a" ] }')
    for activate in (guest.stock, guest.run):
        activate("vgchange", "-ay", "vg0")
        assert sorted(guest.tables()) == ["vg0-a"]
        guest.stock("vgchange", "-an", "vg0")
