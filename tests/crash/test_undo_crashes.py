"""Every crash of a vgundo leaves the value before it or after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.ops import lv as lvs
from cryptlv.ops import lv_remove
from cryptlv.ops.undo import undo
from cryptlv.ops.vgck import find_faults
from support.crash import crash_states
from support.disks import REQUEST, Disks, Known, make_disks
from support.record import record

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.mark.parametrize("areas", [(1, 1), (2, 1)], ids=str)
@pytest.mark.parametrize("kind", ["lvcreate", "lvcreate of an encrypted volume", "lvremove"])
def test_undo_leaves_the_old_or_the_new_volume_group(tmp_path: Path, areas: tuple[int, ...], kind: str) -> None:
    disks = make_disks(tmp_path, areas)
    with disks.session() as session:
        if kind == "lvremove":
            lv_remove.remove(session, "vg0", ("first",))
        elif kind == "lvcreate":
            lvs.create(session, "vg0", lvs.LvRequest(name="new", size_bytes=MIB))
        else:
            lvs.create(session, "vg0", REQUEST, Known())
    old = disks.group()
    before, timeline, done = record(tmp_path, disks, lambda session: undo(session, "vg0"))
    new = done.group()
    assert old is not None
    assert new is not None
    assert new.seqno == old.seqno + 1
    seen = set()
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = state.group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        seen.add(found)
        if found == old and kind.endswith("encrypted volume"):
            assert state.opens("new"), "the volume is there, and so is its key"
        with state.session() as session:
            lvs.create(session, "vg0", lvs.LvRequest(name="next", size_bytes=MIB))
            assert find_faults(session, "vg0") == ()
    assert seen == {old, new}
