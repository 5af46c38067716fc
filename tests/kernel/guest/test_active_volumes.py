"""Volumes in a real kernel: activated, used, changed while they are in use, and taken away again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.guest_volumes import MIB, Host, pattern, read, write

if TYPE_CHECKING:
    from support.guest import Guest


@pytest.fixture
def host(guest: Guest) -> Host:
    return Host(guest, *guest.disks[:2])


def test_new_volumes_are_active_as_with_lvm2_and_empty_at_their_start(host: Host) -> None:
    for disk in host.guest.disks[:2]:
        with disk.open("r+b") as file:
            file.seek(MIB)
            file.write(b"\xff" * 64 * MIB)
    host.run("lvcreate", "-l2", "-n", "plain", "vg0")
    host.crypt("secret", "-l2")
    host.crypt("wide", "-l4", "-i2")
    for name in ("plain", "secret", "wide"):
        assert host.state("lv_attr,lv_active", name) == ["-wi-a-----", "active"]
        assert read(name, 0, 4096) == bytes(4096)
        assert read(name, 4096, 512) != bytes(512)
        assert Path("/dev/vg0", name).samefile(f"/dev/mapper/vg0-{name}")
    tables = host.guest.tables()
    assert tables["vg0-plain"] == "0 16384 linear 254:0 2048\n"
    assert re.fullmatch(r"0 16384 crypt aes-xts-plain64 :64:logon:cryptlv:\S{64} 0 254:0 \d+\n", tables["vg0-secret"])
    assert re.fullmatch(r"0 32768 crypt aes-xts-plain64 :64:logon:cryptlv:\S{64} 0 253:\d 0\n", tables["vg0-wide"])
    assert re.fullmatch(r"0 32768 striped 2 128 254:0 \d+ 254:16 \d+\n", tables["vg0-wide_cryptdata"])
    assert len(host.keys()) == 2
    shown = host.guest.tool("dmsetup", "table", "--showkeys").out
    assert not re.search(r"\b[0-9a-f]{64,}\b", shown)
    host.run("lvcreate", "-l1", "-an", "-n", "off", "vg0")
    host.run("lvcreate", "-l1", "-ky", "-n", "skipped", "vg0")
    for name in ("off", "skipped"):
        assert host.state("lv_active,lv_kernel_minor", name) == ["", "-1"]
    assert host.run("vgchange", "-an", "vg0") == ['0 logical volume(s) in volume group "vg0" now active']
    assert host.guest.tables() == {}
    assert host.keys() == []
    assert not Path("/dev/vg0").exists()


@pytest.mark.parametrize("way", [(), ("--no-keyring",)], ids=["keyring", "digits"])
def test_a_live_volume_grows_shrinks_and_is_renamed_without_a_passphrase(host: Host, way: tuple[str, ...]) -> None:
    host.crypt("a", "-l2", *way)
    host.crypt("w", "-l2", "-i2", *way)
    assert len(host.keys()) == (0 if way else 2)
    write("a", 7 * MIB, pattern(1))
    write("w", 7 * MIB, pattern(2))
    with Path("/dev/vg0/a").open("rb"):
        assert host.state("lv_attr,lv_device_open", "a") == ["-wi-ao----", "open"]
        host.run("lvextend", "-l+3", "vg0/a")
        host.run("lvextend", "-l+2", "vg0/w")
        host.run("lvrename", "vg0/a", "b")
        host.run("lvrename", "vg0/w", "v")
    assert not Path("/dev/vg0/a").exists()
    assert len(host.guest.tables()["vg0-b"].splitlines()) == 2
    write("b", 19 * MIB, pattern(3))
    write("v", 15 * MIB, pattern(4))
    assert (read("b", 7 * MIB, MIB), read("v", 7 * MIB, MIB)) == (pattern(1), pattern(2))
    host.run("lvreduce", "-y", "-l2", "vg0/b")
    host.run("lvreduce", "-y", "-l2", "vg0/v")
    assert host.guest.tool("blockdev", "--getsize64", "/dev/vg0/b").lines == [str(8 * MIB)]
    assert host.guest.tool("blockdev", "--getsize64", "/dev/vg0/v").lines == [str(8 * MIB)]
    host.run("vgrename", "vg0", "vg-1")
    assert {Path("/dev/vg-1", name).exists() for name in "bv"} == {True}
    assert not Path("/dev/vg0").exists()
    assert set(host.guest.tables()) == {"vg--1-b", "vg--1-v", "vg--1-v_cryptdata"}
    host.run("vgrename", "vg-1", "vg0")
    host.run("vgchange", "-an", "vg0")
    host.run("vgchange", "-ay", "vg0", *host.key)
    assert (read("b", 7 * MIB, MIB), read("v", 7 * MIB, MIB)) == (pattern(1), pattern(2))
    host.run("lvremove", "-y", "vg0/b", "vg0/v")
    assert (host.guest.tables(), host.keys()) == ({}, [])


def test_flags_of_dm_crypt_are_in_the_table_and_change_while_it_is_active(host: Host) -> None:
    host.crypt("a", "-l1", "--crypt-flags", "no_write_workqueue,allow_discards")
    assert host.guest.tables()["vg0-a"].endswith(" 2 allow_discards no_write_workqueue\n")
    assert host.state("crypt_flags", "a") == ["allow_discards,no_write_workqueue"]
    write("a", 0, pattern(5))
    host.run("lvchange", "--crypt-flags", "same_cpu_crypt,submit_from_crypt_cpus,no_read_workqueue", "vg0/a")
    line = " 3 same_cpu_crypt submit_from_crypt_cpus no_read_workqueue\n"
    assert host.guest.tables()["vg0-a"].endswith(line)
    host.run("lvextend", "-l+1", "vg0/a")
    assert host.guest.tables()["vg0-a"].endswith(line)
    host.run("lvchange", "--crypt-flags", "none", "vg0/a")
    assert host.guest.tables()["vg0-a"].split()[-1].isdigit()
    assert read("a", 0, MIB) == pattern(5)


def test_wide_sectors_on_disks_that_have_them(guest: Guest) -> None:
    host = Host(guest, *guest.disks_4k[:2])
    host.crypt("a", "-l2", "--sector-size", "4096")
    host.crypt("w", "-l2", "-i2")
    assert guest.tables()["vg0-a"].endswith(" 1 sector_size:4096\n")
    assert guest.tool("blockdev", "--getss", "/dev/vg0/a").lines == ["4096"]
    for name in "aw":
        write(name, 4096, pattern(6))
        host.run("lvextend", "-l+2", f"vg0/{name}")
        write(name, 12 * MIB, pattern(7))
        host.run("lvchange", "-an", f"vg0/{name}")
        (path,) = host.run("lvchange", "-ay", "--backend", "nbd", *host.key, f"vg0/{name}")
        assert path.endswith(f"{name}.nbd")
        assert "active as an NBD export" in host.fail("lvchange", "-ay", "--backend", "dm", f"vg0/{name}")
        host.run("lvchange", "-an", f"vg0/{name}")
        host.run("lvchange", "-ay", *host.key, f"vg0/{name}")
        assert (read(name, 4096, MIB), read(name, 12 * MIB, MIB)) == (pattern(6), pattern(7))


def test_file_systems_grow_while_they_are_mounted_and_shrink_when_they_are_not(host: Host) -> None:
    host.crypt("a", "-l3")
    host.guest.tool("mke2fs", "-q", "-t", "ext4", "/dev/vg0/a")
    place = host.guest.folder / "mnt"
    place.mkdir()
    host.guest.tool("mount", "/dev/vg0/a", place)
    (place / "file").write_bytes(pattern(8))
    host.run("lvextend", "-r", "-l+3", "vg0/a")
    blocks = host.guest.tool("dumpe2fs", "-h", "/dev/vg0/a").out
    assert re.search(r"Block count: +24576\n", blocks)
    assert "mounted" in host.fail("lvreduce", "-r", "-l3", "vg0/a")
    host.guest.tool("umount", place)
    host.run("lvreduce", "-r", "-l3", "vg0/a")
    assert re.search(r"Block count: +12288\n", host.guest.tool("dumpe2fs", "-h", "/dev/vg0/a").out)
    host.run("lvchange", "-an", "vg0/a")
    host.run("lvextend", "-r", "-l+1", *host.key, "vg0/a")
    assert host.guest.tables() == {}
    host.run("lvchange", "-ay", "vg0/a", *host.key)
    host.guest.tool("e2fsck", "-f", "-n", "/dev/vg0/a")
    host.guest.tool("mount", "/dev/vg0/a", place)
    assert (place / "file").read_bytes() == pattern(8)
    host.guest.tool("umount", place)


def test_states_are_shown_as_stock_shows_them(host: Host) -> None:
    host.guest.stock("lvcreate", "-l3", "-i2", "-Zn", "-Wn", "-n", "p", "vg0")
    host.guest.stock("lvcreate", "-l1", "-pr", "-r256", "-Zn", "-n", "q", "vg0")
    fields = (
        "lv_name,lv_attr,lv_active,lv_kernel_major,lv_kernel_minor,lv_kernel_read_ahead,lv_suspended,lv_live_table,"
        "lv_inactive_table,lv_device_open,lv_permissions,lv_active_exclusively"
    )

    def assert_alike() -> None:
        words = ("lvs", "--noheadings", "--separator", "|", "-o", fields, "vg0")
        ours = host.guest.run(*words).lines
        assert ours == host.guest.stock(*words).lines
        for name in "pq":
            for option in ((), ("-c",)):
                mine = host.guest.run("lvdisplay", *option, f"vg0/{name}").out
                assert mine == host.guest.stock("lvdisplay", *option, f"vg0/{name}").out
        assert host.run("lvscan") == host.guest.stock("lvscan").lines

    assert_alike()
    with Path("/dev/vg0/p").open("rb"):
        assert_alike()
    host.run("lvchange", "-r", "512", "vg0/p")
    assert host.state("lv_kernel_read_ahead", "p") == ["256.00k"]
    assert_alike()
    host.guest.tool("dmsetup", "suspend", "vg0-q")
    host.guest.tool("dmsetup", "load", "vg0-q", "--table", "0 8 zero")
    assert_alike()
    host.run("lvchange", "-ay", "vg0/q")
    assert host.state("lv_suspended,lv_inactive_table", "q") == ["", ""]
    host.run("vgchange", "-an", "vg0")
    assert_alike()
    assert host.guest.tables() == {}
