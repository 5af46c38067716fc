"""lvrename as a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.machine import Machine


def test_names_are_given_in_lvm2s_ways(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l1", "-na", "vg0")
    for words, old, new in (
        (("vg0", "a", "b"), "a", "b"),
        (("vg0/b", "c"), "b", "c"),
        (("/dev/vg0/c", "/dev/vg0/d"), "c", "d"),
        (("vg0", "vg0/d", "vg0/e"), "d", "e"),
    ):
        assert vg0.run("lvrename", *words).lines == [f'Renamed "{old}" to "{new}" in volume group "vg0"']
    assert vg0.run("lvs", "--noheadings", "-o", "lv_name").lines == ["e"]


@pytest.mark.parametrize(
    ("words", "status", "word"),
    [
        (("vg0", "a"), 3, "not the name"),
        (("vg0",), 3, "required"),
        (("vg0", "a", "a"), 3, "differ"),
        (("vg0/a", "other/b"), 3, "other/b"),
        (("vg0", "a", "cryptostore7"), 3, "reserved"),
        (("vg0", "a", "x_mlog"), 3, "reserved"),
        (("vg0", "nobody", "b"), 5, "nobody"),
        (("other", "a", "b"), 5, "other"),
    ],
)
def test_what_cannot_be_is_one_line(vg0: Machine, words: tuple[str, ...], status: int, word: str) -> None:
    vg0.run("lvcreate", "-l1", "-na", "vg0")
    assert word in vg0.fail("lvrename", *words, status=status)
