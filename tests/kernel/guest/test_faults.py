"""What goes wrong with volumes in a real kernel, and commands that are killed: one clear line, and nothing left."""

from __future__ import annotations

import itertools
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate import run
from cryptlv.cli.main import main
from support.guest_volumes import MIB, Host, pattern, read, write

if TYPE_CHECKING:
    from support.guest import Guest


@pytest.fixture
def host(guest: Guest) -> Host:
    return Host(guest, *guest.disks[:2])


def states(host: Host) -> set[str]:
    """The letters of the states of all devices, `L` for a live table, `s` suspended, `I` one that waits."""
    return set(host.guest.tool("dmsetup", "info", "-c", "--noheadings", "-o", "attr").lines)


def status_of(host: Host, *words: str, kill_at: int | None = None) -> int:
    """Run a command in a child of this process, which has all modules loaded; its exit status, or minus the signal.

    With `kill_at` it is killed at the fault point of that number.
    """
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.environ.clear()
            os.environ.update(host.guest.environ)
            passed = itertools.count()

            def strike(_: str) -> None:
                if next(passed) == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

            run.fault_point = strike
            status = main(list(words))
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed(host: Host, number: int, *words: str) -> bool:
    """Run a command that is killed at a fault point; whether it got there."""
    status = status_of(host, *words, kill_at=number)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def test_a_command_killed_at_each_step_is_finished_or_undone_by_the_next(host: Host) -> None:
    host.crypt("a", "-l1", "-i2")
    write("a", 0, pattern(1))
    kills = 0
    rename, back = ("lvrename", "vg0/a", "b"), ("lvrename", "vg0/b", "a")
    for words, numbers in (
        (("lvextend", "-l+2", "vg0/a"), range(40)),
        (rename, range(0, 40, 2)),
        (back, range(1, 40, 2)),
    ):
        for number in numbers:
            if not killed(host, number, *words):
                break
            kills += 1
            name = "a" if status_of(host, "lvs", "vg0/a") == 0 else "b"
            again = ("lvchange", "--refresh", f"vg0/{name}") if number % 2 else ("lvchange", "-ay", f"vg0/{name}")
            assert status_of(host, *again) == 0
            assert states(host) == {"L--w"}, (words, number)
            assert {path.name for path in Path("/dev/mapper").iterdir()} == {
                "control", f"vg0-{name}", f"vg0-{name}_cryptdata"
            }, (words, number)  # fmt: skip
            assert read(name, 0, MIB) == pattern(1)
            if words in (rename, back) and name != words[1][-1]:
                assert status_of(host, "lvrename", f"vg0/{name}", words[1][-1]) == 0
    assert kills > 15
    size = int(host.state("lv_size", "a")[0].removesuffix("m").split(".")[0]) * MIB
    assert host.guest.tool("blockdev", "--getsize64", "/dev/vg0/a").lines == [str(size)]
    host.run("vgchange", "-an", "vg0")
    assert (host.guest.tables(), host.keys()) == ({}, [])


def test_a_refresh_and_a_deactivation_that_are_killed_are_gone_on_with(host: Host) -> None:
    host.crypt("a", "-l1")
    assert killed(host, 4, "lvextend", "-l+1", "vg0/a")
    assert states(host) == {"LIsw"}
    for number in range(8):
        if not killed(host, number, "lvchange", "--refresh", "vg0/a"):
            break
    assert states(host) == {"L--w"}
    write("a", 4 * MIB, pattern(2))
    for number in range(6):
        if not killed(host, number, "lvchange", "-an", "vg0/a"):
            break
    assert (host.guest.tables(), host.keys()) == ({}, [])


def test_busy_volumes_names_that_are_taken_and_ciphers_that_are_missing(host: Host) -> None:
    host.crypt("a", "-l1")
    host.guest.tool("mke2fs", "-q", "/dev/vg0/a")
    place = host.guest.folder / "mnt"
    place.mkdir()
    host.guest.tool("mount", "/dev/vg0/a", place)
    for words in (("lvchange", "-an", "vg0/a"), ("lvremove", "-y", "vg0/a")):
        assert re.search(r"vg0/a is in use: mounted at /.*/mnt", host.fail(*words))
    host.run("lvchange", "--suspendkey", "vg0/a")
    assert "is frozen" in host.fail("lvextend", "-l+1", "vg0/a")
    assert host.keys() == []
    shown = host.guest.tool("dmsetup", "table", "--showkeys").out
    host.run("lvchange", "--resumekey", "vg0/a", *host.key)
    assert "logon" not in shown
    (place / "still").write_text("here")
    host.guest.tool("umount", place)
    host.run("lvchange", "-an", "vg0/a")
    host.guest.tool("dmsetup", "create", "vg0-a", "--table", "0 8 zero")
    assert "device of the name vg0-a" in host.fail("lvchange", "-ay", "vg0/a", *host.key)
    assert set(host.guest.tables()) == {"vg0-a"}
    host.guest.tool("dmsetup", "remove", "vg0-a")
    assert host.keys() == []
    cipher = "aes-cbc-essiv:sm3"  # its hash is a module that nothing else here needs
    host.crypt("s", "-l1", "-an", "--cipher", cipher, "--keysize", "256")
    with Path("/proc/sys/kernel/modprobe").open("r+") as file:
        former = file.read()
        file.write("/bin/false\n")
    try:
        assert f"the kernel has no cipher {cipher}" in host.fail("lvchange", "-ay", "vg0/s", *host.key)
    finally:
        Path("/proc/sys/kernel/modprobe").write_text(former)
    assert (host.guest.tables(), host.keys()) == ({}, [])


def test_a_keyring_that_is_full_and_a_disk_that_is_gone(host: Host) -> None:
    host.crypt("a", "-l1", "-an")
    quota = Path("/proc/sys/kernel/keys/root_maxbytes")
    former = quota.read_text()
    quota.write_text("1\n")
    try:
        assert "share is full" in host.fail("lvchange", "-ay", "vg0/a", *host.key)
    finally:
        quota.write_text(former)
    assert (host.guest.tables(), host.keys()) == ({}, [])


def test_a_physical_volume_that_vanishes(guest: Guest) -> None:
    size = int(guest.tool("blockdev", "--getsz", guest.disks[0]).lines[0])
    guest.tool("dmsetup", "create", "flaky", "--table", f"0 {size} linear {guest.disks[0]} 0")
    host = Host(guest, Path("/dev/mapper/flaky"), guest.disks[1])
    host.crypt("a", "-l1")
    guest.tool("dmsetup", "suspend", "flaky")
    guest.tool("dmsetup", "load", "flaky", "--table", f"0 {size} error")
    guest.tool("dmsetup", "resume", "flaky")
    said = host.guest.run("lvchange", "-an", "vg0/a", expect=0)
    assert "Input/output error" in said.err
    assert set(guest.tables()) == {"flaky"}
    assert host.keys() == []
    assert "was not found" in host.guest.run("lvchange", "-ay", "vg0/a", *host.key, expect=5).err


def test_types_that_are_not_made_here_are_refused_by_name(host: Host) -> None:
    for name, kind in (("e", "error"), ("z", "zero")):
        host.guest.stock("lvcreate", "-an", "-Zn", "-Wn", "--type", kind, "-l1", "-n", name, "vg0")
        assert f"of type {kind}" in host.fail("lvchange", "-ay", f"vg0/{name}").replace("'", "")
    host.guest.stock("lvcreate", "-n", "snapped", "-l1", "vg0", "-Zn", "-Wn")
    host.guest.stock("lvcreate", "-s", "-n", "snap", "-l1", "vg0/snapped")
    assert "lvm2" in host.fail("lvchange", "-an", "vg0/snap")
    host.guest.stock("vgchange", "-an", "vg0")
    assert "is part of a volume of type snapshot" in host.fail("lvchange", "-ay", "vg0/snapped")
