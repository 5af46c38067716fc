"""lvextend, lvreduce and lvresize as programs; what they do is in compat/pairs and ops/test_lv_resize.py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST, need

if TYPE_CHECKING:
    from support.machine import Machine


def sizes(machine: Machine) -> list[str]:
    return machine.run("lvs", "--noheadings", "-o", "lv_name,lv_size").out.split()


def test_a_volume_grows_and_shrinks(vg0: Machine) -> None:
    vg0.run("lvcreate", "-L", "8m", "-n", "a", "vg0")
    assert vg0.run("lvextend", "-L", "+3m", "vg0/a").lines == [
        "Rounding size to boundary between physical extents: 4.00m.",
        "Size of logical volume vg0/a changed from 8.00m (2 extents) to 12.00m (3 extents).",
        "Logical volume vg0/a successfully resized.",
    ]
    assert "nobody can be asked" in vg0.fail("lvreduce", "-L", "4m", "vg0/a")
    assert sizes(vg0) == ["a", "12.00m"]
    vg0.run("lvreduce", "-y", "-L", "4m", "/dev/vg0/a")
    vg0.run("lvresize", "-L", "20m", "vg0/a", "b.img")
    assert sizes(vg0) == ["a", "20.00m"]
    vg0.run("lvresize", "-f", "-L", "-16m", "vg0/a")
    assert sizes(vg0) == ["a", "4.00m"]
    assert "TEST MODE" in vg0.run("lvextend", "-t", "-l", "+1", "vg0/a").err
    assert sizes(vg0) == ["a", "4.00m"]


def test_an_encrypted_volume_grows_without_its_key_and_an_active_one_is_not_cut(vg0: Machine) -> None:
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-L", "8m", "-n", "s", "vg0", given=b"passphrase\n")
    path = vg0.run("lvchange", "-ay", "vg0/s", given=b"passphrase\n").lines[0]
    with open(path, "r+b") as file:
        file.write(b"what is in it" * 1000)
    assert "is active" in vg0.fail("lvreduce", "-y", "-L", "4m", "vg0/s")
    assert "when it is activated again" in vg0.run("lvextend", "-L", "+8m", "vg0/s").err
    vg0.run("lvchange", "-an", "vg0/s")
    path = vg0.run("lvchange", "-ay", "vg0/s", given=b"passphrase\n").lines[0]
    with open(path, "rb") as file:
        assert file.read(13000) == b"what is in it" * 1000
        assert file.seek(0, 2) == 16 << 20
    vg0.run("lvchange", "-an", "vg0/s")


@pytest.mark.parametrize(
    "words",
    [
        ("lvextend", "vg0/a"), ("lvextend", "-l", "1"), ("lvextend", "-l", "1", "a"),
        ("lvreduce", "-l", "+1", "vg0/a"), ("lvextend", "-l", "1", "-L", "1", "vg0/a"),
        ("lvextend", "-l", "x", "vg0/a"), ("lvextend", "--type", "linear", "-i", "2", "-l", "+2", "vg0/a"),
        ("lvextend", "--type", "raid1", "-l", "1", "vg0/a"),
    ],
)  # fmt: skip
def test_words_that_cannot_be_meant(vg0: Machine, words: tuple[str, ...]) -> None:
    vg0.fail(*words, status=3)


def test_what_is_cut_off_is_overwritten_when_asked(vg0: Machine) -> None:
    """Also what a removed volume leaves; progress as JSON lines."""
    vg0.run("lvcreate", "-L", "8m", "-n", "a", "vg0", "a.img")
    path = vg0.run("lvchange", "-ay", "vg0/a").lines[0]
    with open(path, "r+b") as file:
        file.write(b"secret words " * (8 * 1024 * 1024 // 13))
    vg0.run("lvchange", "-an", "vg0/a")
    count = (vg0.folder / "a.img").read_bytes().count(b"secret words")
    said = vg0.run("lvreduce", "-y", "--wipe", "--progress-json", "-L", "4m", "vg0/a").err
    left = (vg0.folder / "a.img").read_bytes().count(b"secret words")
    assert 0.49 * count < left < 0.51 * count
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert events[-1]["done_bytes"] == events[-1]["total_bytes"] == 4 << 20
    vg0.run("lvremove", "-y", "--wipe", "vg0/a")
    assert b"secret words" not in (vg0.folder / "a.img").read_bytes()


def test_a_file_system_grows_and_shrinks_with_its_encrypted_volume(vg0: Machine) -> None:
    need("mke2fs", "resize2fs", "debugfs")
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-L", "16m", "-n", "s", "vg0", given=b"passphrase\n")
    path = vg0.run("lvchange", "-ay", "vg0/s", given=b"passphrase\n").lines[0]
    vg0.tool("mke2fs", "-q", "-t", "ext4", path)
    words = vg0.folder / "words"
    words.write_bytes(b"kept" * 100000)
    vg0.tool("debugfs", "-w", "-R", f"write {words} words", path)
    vg0.run("lvchange", "-an", "vg0/s")
    vg0.run("lvextend", "-r", "-L", "32m", "vg0/s", given=b"passphrase\n")
    assert blocks(vg0) == 32 << 20
    vg0.run("lvreduce", "-r", "-L", "20m", "vg0/s", given=b"passphrase\n")
    assert blocks(vg0) == 20 << 20
    assert "WARNING" not in vg0.run("vgck", "vg0").err
    vg0.run("lvreduce", "-r", "-L", "4m", "vg0/s", given=b"wrong\n", expect=5)
    assert sizes(vg0) == ["s", "20.00m"]


def blocks(machine: Machine) -> int:
    """The bytes of the file system on vg0/s, whose file is whole."""
    path = machine.run("lvchange", "-ay", "vg0/s", given=b"passphrase\n").lines[0]
    machine.tool("e2fsck", "-fn", path)
    told = machine.tool("debugfs", "-R", "stats", path).out
    copy = machine.folder / "copy"
    machine.tool("debugfs", "-R", f"dump words {copy}", path)
    assert copy.read_bytes() == b"kept" * 100000
    machine.run("lvchange", "-an", "vg0/s")
    numbers = {line.split(":")[0]: line.split()[-1] for line in told.splitlines() if ":" in line}
    return int(numbers["Block count"]) * int(numbers["Block size"])
