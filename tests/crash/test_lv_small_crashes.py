"""Every crash of a renaming, a removal or a change of properties leaves the old or the new volume group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_change import LvChange, change
from cryptlv.ops.lv_remove import remove
from cryptlv.ops.lv_rename import rename
from cryptlv.ops.targets import LvTarget
from cryptlv.ops.vgck import find_faults
from support.crash import crash_states
from support.disks import REQUEST, Disks, Known, make_disks
from support.record import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.ops.session import Session

TARGETS = (LvTarget(vg_name="vg0", lv_name="first"), LvTarget(vg_name="vg0", lv_name="old"))
CHANGES: dict[str, Callable[[Session], object]] = {
    "rename": lambda session: rename(session, "vg0", "first", "a-much-longer-name"),
    "rename-stacked": lambda session: rename(session, "vg0", "stacked", "other"),
    "remove": lambda session: remove(session, "vg0", ("first",)),
    "remove-stacked-and-others": lambda session: remove(session, "vg0", ("stacked", "first", "old")),
    "change": lambda session: change(session, "vg0", TARGETS, LvChange(is_writable=False, add_tags=("x",))),
}


@pytest.mark.parametrize("areas", [(1, 1), (2, 1)], ids=str)
@pytest.mark.parametrize("name", CHANGES)
def test_the_old_or_the_new_group_is_left(tmp_path: Path, name: str, areas: tuple[int, ...]) -> None:
    disks = make_disks(tmp_path, areas)
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="stacked", stripes=2), Known())
    old = disks.group()
    before, timeline, done = record(tmp_path, disks, CHANGES[name])
    new = done.group()
    assert old is not None
    assert new is not None
    assert new.seqno == old.seqno + 1
    seen = set()
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = state.group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        if found not in seen or point == len(timeline) // 2:
            with state.session() as session:
                lvs.create(session, "vg0", lvs.LvRequest(name="next", size_bytes=1))
                assert find_faults(session, "vg0") == ()
        if found == old:
            assert state.opens("old"), "the old group needs its keys"
        seen.add(found)
    assert seen == {old, new}
