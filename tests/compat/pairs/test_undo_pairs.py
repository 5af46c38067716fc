"""What vgundo leaves is, to stock lvm2, what was there before; and no reason for a change hinders it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.pairs import Pair

pytestmark = [pytest.mark.compat, pytest.mark.root]

SETUP = (
    ("vgcreate", "vg", "D1", "D2", "D3"),
    ("lvcreate", "-an", "-Zn", "-Wn", "-y", "-l", "4", "-n", "a", "vg", "D1"),
    ("lvcreate", "-an", "-Zn", "-Wn", "-y", "-i2", "-l", "6", "-n", "s", "vg", "D2", "D3"),
)
CHANGES = {
    "lvremove": ("lvremove", "-y", "vg/s"),
    "lvcreate": ("lvcreate", "-l", "3", "-n", "new", "vg"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_stock_sees_what_was_before(pair: Pair, name: str) -> None:
    pair.stock.configure(backup="1", archive="1")
    pair.setup(*SETUP)
    pair.our_step(*CHANGES[name], "--why", 'a "reason" with \\ and # and\nmore')
    pair.our_step("vgundo", "-y", "vg")
    pair.assert_same()


def test_redone_it_is_what_stock_leaves(pair: Pair) -> None:
    pair.stock.configure(backup="1", archive="1")
    pair.setup(*SETUP)
    pair.step(*CHANGES["lvremove"])
    pair.our_step("vgundo", "-y", "vg")
    pair.our_step("vgundo", "-y", "vg")
    pair.assert_same()


def test_a_change_that_stock_archived_is_undone(pair: Pair) -> None:
    pair.stock.configure(archive="1")
    pair.twin.configure(archive="1")
    pair.setup(*SETUP)
    pair.twin.run("lvrename", "vg", "a", "b")
    source, target = pair.twin.folder / "etc" / "archive", pair.machine.folder / "system" / "archive"
    target.mkdir(exist_ok=True)
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    shown = pair.our_step("vgundo", "-y", "vg").lines
    assert shown[1:3] == ["lvrename vg a b", "~ lv b: name a -> b"]
    pair.assert_same()
