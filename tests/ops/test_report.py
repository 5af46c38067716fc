"""What reports are made of: names that choose rows, groups that are not ours to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NotFoundError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.store import usable_places, write_metadata
from cryptlv.ops import pv
from cryptlv.ops.report import report_lvs, report_pvs, report_vgs
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    made = make_disks(tmp_path, (1, 1))
    made.devices["/orphan"] = MemoryDevice(16 * MIB, path="/orphan")
    with made.session() as session:
        pv.create(session, ("/orphan",))
    return made


def test_rows_are_chosen_by_name(disks: Disks) -> None:
    with disks.session() as session:
        assert len(report_pvs(session)) == 3
        assert len(report_pvs(session, ("/orphan", "/d1"))) == 2
        assert len(report_vgs(session)) == len(report_vgs(session, ("vg0",))) == 1
        names = [row.lv.name for row in report_lvs(session) if row.lv]
        assert names == ["first", "old"]
        hidden = [row.lv.name for row in report_lvs(session, hidden=True) if row.lv]
        assert hidden == ["cryptostore1", "first", "old"]
        assert [row.lv.name for row in report_lvs(session, ("vg0/old",)) if row.lv] == ["old"]
        assert len(report_lvs(session, ("vg0/old", "vg0"))) == 2
        for bad in ("vgx", "vg0/none", "vgx/old"):
            with pytest.raises(NotFoundError):
                report_lvs(session, (bad,))
        with pytest.raises(NotFoundError):
            report_vgs(session, ("vgx",))
        with pytest.raises(NotFoundError):
            report_pvs(session, ("/none",))


def test_a_group_of_another_host_is_left_out_with_a_word(disks: Disks) -> None:
    with disks.session() as session:
        group = session.world().group("vg0")
        places = usable_places(group.areas, lambda path: disks.devices[path])
        write_metadata(places, group.vg.replace(system_id="elsewhere"), session.env)
    said: list[str] = []
    with disks.session(said.append) as session:
        assert report_vgs(session) == []
    assert any("elsewhere" in line for line in said)
