"""Every crash of a vgundo leaves the value before it or after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.ops import lv as lvs
from cryptlv.ops import lv_remove
from cryptlv.ops.undo import undo
from support.disks import MIB, REQUEST, Known, make_disks
from support.outcomes import assert_old_or_new

if TYPE_CHECKING:
    from pathlib import Path


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
    assert_old_or_new(tmp_path, disks, lambda session: undo(session, "vg0"))
