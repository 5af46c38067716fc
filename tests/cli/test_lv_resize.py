"""lvextend, lvreduce and lvresize as programs; what they do is in compat/pairs and ops/test_lv_resize.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

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
