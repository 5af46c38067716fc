"""Every crash of a renaming, a removal or a change of properties leaves the old or the new volume group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_change import LvChange, change
from cryptlv.ops.lv_remove import remove
from cryptlv.ops.lv_rename import rename
from cryptlv.ops.targets import LvTarget
from support.disks import REQUEST, Known, make_disks
from support.outcomes import assert_failures_are_told, assert_old_or_new

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.ops.session import Session
    from support.disks import Disks

TARGETS = (LvTarget(vg_name="vg0", lv_name="first"), LvTarget(vg_name="vg0", lv_name="old"))
CHANGES: dict[str, Callable[[Session], object]] = {
    "rename": lambda session: rename(session, "vg0", "first", "a-much-longer-name"),
    "rename-stacked": lambda session: rename(session, "vg0", "stacked", "other"),
    "remove": lambda session: remove(session, "vg0", ("first",)),
    "remove-stacked-and-others": lambda session: remove(session, "vg0", ("stacked", "first", "old")),
    "change": lambda session: change(session, "vg0", TARGETS, LvChange(is_writable=False, add_tags=("x",))),
}


def prepared(folder: Path, areas: tuple[int, ...]) -> Disks:
    disks = make_disks(folder, areas)
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="stacked", stripes=2), Known())
    return disks


@pytest.mark.parametrize("areas", [(1, 1), (2, 1)], ids=str)
@pytest.mark.parametrize("name", CHANGES)
def test_the_old_or_the_new_group_is_left(tmp_path: Path, name: str, areas: tuple[int, ...]) -> None:
    assert_old_or_new(tmp_path, prepared(tmp_path, areas), CHANGES[name])


@pytest.mark.parametrize("name", CHANGES)
def test_a_write_that_fails_is_told(tmp_path: Path, name: str) -> None:
    assert_failures_are_told(tmp_path, prepared(tmp_path, (2, 1)), CHANGES[name])
