"""What reports are made of: names that choose rows, groups that are not ours to show."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from cryptlv.errors import NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.lvmconf import HostSettings
from cryptlv.host.store import usable_places, write_metadata
from cryptlv.ops import pv
from cryptlv.ops.report import report_lvs, report_pvs, report_vgs
from support.disks import MIB, Disks, make_disks


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


def put(disks: Disks, **change: object) -> None:
    """Commit a change of vg0 as another host or program would."""
    with disks.session() as session:
        group = session.world().group("vg0")
        places = usable_places(group.areas, lambda path: disks.devices[path])
        write_metadata(places, group.vg.replace(**change), session.env)


def test_a_group_of_another_host_is_left_out_with_a_word(disks: Disks) -> None:
    put(disks, system_id="elsewhere")
    said: list[str] = []
    with disks.session(said.append) as session:
        assert report_vgs(session) == []
        assert report_lvs(session) == []
        assert len(report_pvs(session)) == 1
        with pytest.raises(RefusedError, match="elsewhere with unknown local system ID"):
            report_vgs(session, ("vg0",))
        with pytest.raises(RefusedError, match="elsewhere with unknown local system ID"):
            report_pvs(session, ("/d0",))
        assert len(report_vgs(session, foreign=True)) == 1
        assert len(report_lvs(session, ("vg0",), foreign=True)) == 2
        with pytest.raises(RefusedError, match="elsewhere"):
            session.writable_group("vg0")
    assert any("elsewhere" in line for line in said)


def test_a_group_of_another_host_is_left_out_in_silence_by_a_host_with_an_id(disks: Disks) -> None:
    put(disks, system_id="elsewhere")
    said: list[str] = []
    for settings, count in (
        (HostSettings(system_id="here"), 0),
        (HostSettings(system_id="elsewhere"), 1),
        (HostSettings(system_id="here", extra_system_ids=("elsewhere",)), 1),
    ):
        with disks.session(said.append, settings) as session:
            assert len(report_vgs(session)) == count
            if count:
                assert session.writable_group("vg0").vg.system_id == "elsewhere"
    assert said == []


def test_a_shared_group_is_shown_when_asked_for(disks: Disks) -> None:
    put(disks, lock_type="sanlock", lock_args="1.0.0:lvmlock")
    said: list[str] = []
    with disks.session(said.append) as session:
        assert report_vgs(session) == report_vgs(session, foreign=True) == []
        assert len(report_vgs(session, shared=True)) == 1
        with pytest.raises(RefusedError, match="lvmlockd"):
            session.writable_group("vg0")
    assert said == []


def test_a_clustered_group_is_never_shown(disks: Disks) -> None:
    put(disks, status=("READ", "WRITE", "CLUSTERED"))
    said: list[str] = []
    with disks.session(said.append) as session:
        assert report_vgs(session, foreign=True, shared=True) == []
    assert "clustered" in said[0]


def test_a_group_that_grew_while_we_waited_is_read_whole(disks: Disks) -> None:
    """The report has looked at the devices, and waits for the lock; what it shows is what was there then."""
    results: list[list[str]] = []

    def report(names: tuple[str, ...]) -> None:
        with disks.session(lambda warning: results.append([warning])) as session:
            results.append([pv.device for row in report_vgs(session, names) if row.group for pv in row.group.vg.pvs])

    with disks.session() as session:
        locks = session.locks()
        world = session.world()
        group = world.group("vg0")
        orphan = next(pv for pv in world.pvs if pv.path == "/orphan")
    added = group.vg.pvs[0].replace(id=orphan.label.pv_id, device="/orphan")
    with locks.vg("vg0", write=True):
        thread = threading.Thread(target=report, args=(("vg0",),))
        thread.start()
        while not re.search(rf"-> FLOCK +ADVISORY +READ +{os.getpid()} ", Path("/proc/locks").read_text()):
            assert thread.is_alive()
        places = usable_places((*group.areas, *orphan.areas), lambda path: disks.devices[path])
        write_metadata(places, group.vg.replace(pvs=(*group.vg.pvs, added)), session.env)
    thread.join(30)
    assert results == [["/d0", "/d1", "/orphan"]]
