"""lvremove as a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.machine import FAST

if TYPE_CHECKING:
    from support.machine import Machine


def test_several_volumes_or_a_whole_group_are_removed_at_once(vg0: Machine) -> None:
    for name in ("a", "b", "c", "d"):
        vg0.run("lvcreate", "-l1", "-n", name, "vg0")
    assert vg0.run("lvremove", "vg0/a", "/dev/vg0/b").lines == [
        f'Logical volume "{name}" successfully removed.' for name in ("a", "b")
    ]
    vg0.run("lvremove", "vg0")
    assert vg0.run("lvs").out == ""


def test_a_volume_that_cannot_be_removed_does_not_stop_the_next(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-n", "b", "vg0")
    result = vg0.run("lvremove", "other/x", "vg0/a", "vg0/b", expect=5)
    assert "'a'" in result.err
    assert "'other'" in result.err
    assert result.lines == ['Logical volume "b" successfully removed.']


def test_tags_and_selections_say_what_is_removed(vg0: Machine) -> None:
    for name in ("a", "b", "c"):
        vg0.run("lvcreate", "-l1", "-n", name, "--addtag", f"t{name}", "vg0")
    assert vg0.run("lvremove", "@ta").lines == ['Logical volume "a" successfully removed.']
    assert vg0.run("lvremove", "-S", "lv_name=c").lines == ['Logical volume "c" successfully removed.']
    assert "lvremove: name volumes" in vg0.fail("lvremove", "-y", status=3)
    assert vg0.run("lvremove", "-S", "lv_name=nothing").lines == []


def test_a_key_is_lost_only_after_a_question(vg0: Machine) -> None:
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l1", "-ns", "vg0", given=b"x\n")
    assert '"vg0/s" and its key' in vg0.fail("lvremove", "vg0/s")
    vg0.run("lvremove", "-t", "vg0/s")
    vg0.run("lvremove", "-f", "vg0/s")
    assert vg0.run("lvs", "-a").out == ""
