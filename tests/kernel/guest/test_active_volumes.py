"""Volumes in a real kernel: activated, used, changed while they are in use, and taken away again."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

if TYPE_CHECKING:
    from support.guest import Guest

MIB = 1024 * 1024
PASSPHRASE = b"correct horse"


class Host:
    """A guest with a volume group of some disks, and a passphrase in a file."""

    def __init__(self, guest: Guest, *disks: Path) -> None:
        self.guest = guest
        self.key = ("--keyfile", str(guest.key_file("key", PASSPHRASE)))
        self.run("vgcreate", "vg0", *disks)

    def run(self, *words: str | Path, given: bytes = b"", expect: int = 0) -> list[str]:
        return self.guest.run(*words, given=given, expect=expect).lines

    def fail(self, *words: str | Path) -> str:
        return self.guest.fail(*words)

    def crypt(self, name: str, *words: str) -> None:
        self.run("lvcreate", "--type", "crypt", *FAST, "-n", name, *self.key, *words, "vg0")

    def state(self, fields: str, name: str) -> list[str]:
        (row,) = json.loads(self.guest.run("lvs", "-a", "--reportformat", "json", "-o", fields, f"vg0/{name}").out)[
            "report"
        ][0]["lv"]
        return [row[field] for field in fields.split(",")]

    def keys(self) -> list[str]:
        return re.findall(r" logon +(cryptlv:\S+): ", Path("/proc/keys").read_text())


@pytest.fixture
def host(guest: Guest) -> Host:
    return Host(guest, *guest.disks[:2])


def write(name: str, offset: int, data: bytes) -> None:
    with Path("/dev/vg0", name).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def read(name: str, offset: int, length: int) -> bytes:
    subprocess.run(["blockdev", "--flushbufs", f"/dev/vg0/{name}"], check=True)
    with Path("/dev/vg0", name).open("rb") as file:
        file.seek(offset)
        return file.read(length)


def pattern(number: int, length: int = MIB) -> bytes:
    return (b"%016d" % number) * (length // 16)


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
        assert Path("/dev/vg0", name).resolve() == Path(f"/dev/mapper/vg0-{name}")
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
