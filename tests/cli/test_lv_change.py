"""lvchange as a program; its properties beside stock's are in compat/pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.machine import Machine


def test_volumes_of_several_groups_are_activated_at_once(vg0: Machine) -> None:
    vg0.image("c.img")
    vg0.run("vgcreate", "vg1", "c.img")
    for name in ("vg0", "vg1"):
        vg0.run("lvcreate", "-l1", "-nx", "--addtag", "both", name)
    paths = {f"{vg0.folder}/run/{name}/x" for name in ("vg0", "vg1")}
    assert set(vg0.run("lvchange", "-ay", "vg0/x", "vg1/x").lines) == paths
    vg0.run("lvchange", "-an", "vg0/x", "vg1/x")
    assert set(vg0.run("lvchange", "-ay", "@both").lines) == paths
    vg0.run("lvchange", "-an", "-S", "lv_name=x")
    assert vg0.server_pids() == []


def test_every_change_is_said_and_every_failure(vg0: Machine) -> None:
    for name in ("a", "b"):
        vg0.run("lvcreate", "-l1", f"-n{name}", "vg0")
    vg0.run("lvchange", "-pr", "vg0/a")
    result = vg0.run("lvchange", "-pr", "--addtag", "t", "vg0", expect=5)
    assert result.lines == ["Logical volume vg0/a changed.", "Logical volume vg0/b changed."]
    assert result.err.strip() == "Logical volume vg0/a is already read only."
    result = vg0.run("lvchange", "--addtag", "u", "vg0/a", "none/a", expect=5)
    assert "'none'" in result.err
    assert vg0.run("lvs", "--noheadings", "-o", "lv_tags").lines == ["t,u", "t"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("vg0/a",), 3),
        (("-ay",), 3),
        (("-pr",), 3),
        (("-px", "vg0/a"), 3),
        (("--addtag", "a b", "vg0/a"), 3),
        (("-My", "vg0/a"), 3),
        (("--minor", "7", "vg0/a"), 3),
        (("--alloc", "x", "vg0/a"), 3),
        (("-r", "x", "vg0/a"), 3),
        (("-Zy", "vg0/a"), 5),
        (("-pr", "vg0/nobody"), 5),
    ],
)
def test_what_cannot_be_is_one_line(vg0: Machine, words: tuple[str, ...], status: int) -> None:
    vg0.run("lvcreate", "-l1", "-na", "vg0")
    assert vg0.fail("lvchange", *words, status=status)
