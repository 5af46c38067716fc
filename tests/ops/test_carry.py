"""Two groups committed one after the other, and what was interrupted taken up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import InUseError, NoSpaceError, NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.split_merge import split
from cryptlv.model.vg import VolumeGroup
from cryptlv.ops import lv as lvs
from cryptlv.ops import pv, vg
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.carry import carry_over, finish, refuse_active
from cryptlv.ops.commit import commit_change
from cryptlv.ops.vg_merge import vgmerge
from support.disks import Disks
from support.served import ServerLock

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    """vg0 on four disks, a volume on the first two of them."""
    devices = {f"/d{number}": MemoryDevice(8 * MIB, path=f"/d{number}") for number in range(4)}
    made = Disks(tmp_path, devices)
    with made.session() as session:
        vg.create(session, "vg0", tuple(devices), 64 * 1024)
        for number in range(2):
            request = lvs.LvRequest(name=f"lv{number}", size_bytes=MIB, pvs=(PvArgument(path=f"/d{number}"),))
            lvs.create(session, "vg0", request)
    return made


def interrupt(disks: Disks, new: str = "new") -> None:
    """The first step alone: the new group, exported, on the disk that goes."""
    with disks.session() as session:
        world = session.world()
        source = world.group("vg0").vg
        empty = VolumeGroup(name=new, id=session.env.new_uuid(), seqno=0, extent_size_sectors=128)
        target = split(source, empty, [source.pvs[1].id], session.env.new_uuid).target
        whole = target.replace(status=("EXPORTED", *target.status))
        carry_over(session, world, None, empty, source_after=None, target_after=whole)
        group = session.world().group(new)
        again = group.vg.replace(status=whole.status)
        commit_change(session, group, again, archive=False)


def test_an_interrupted_move_is_seen_told_and_finished(disks: Disks) -> None:
    interrupt(disks)
    with disks.session() as session:
        assert session.world().group("new").vg.is_unfinished
        with pytest.raises(RefusedError, match="vgsplit or vgmerge of volume group vg0 with new was interrupted"):
            session.writable_group("vg0")
        with pytest.raises(RefusedError, match="exported since a vgsplit or vgmerge was interrupted"):
            session.writable_group("new")
        with pytest.raises(RefusedError, match="new was to get physical volumes of vg0"):
            finish(session, "other", "new", spare=True)
        assert finish(session, "vg0", "vg1", spare=True) is None
        done = finish(session, "vg0", "new", spare=True)
        assert done is not None
        assert not done.is_exported
        world = session.world()
        assert [lv.name for lv in world.group("vg0").vg.lvs] == ["lv0"]
        assert [lv.name for lv in world.group("new").vg.lvs] == ["lv1"]
        assert finish(session, "vg0", "new", spare=True) is None


def test_what_is_not_all_there_is_not_finished(disks: Disks) -> None:
    interrupt(disks)
    with disks.session() as session:
        group = session.world().group("new")
        lost = group.vg.pvs[0].replace(id="gone00-0000-0000-0000-0000-0000-000000", device="/gone")
        commit_change(session, group, group.vg.replace(pvs=(*group.vg.pvs, lost)), archive=False)
        with pytest.raises(NotFoundError, match="not all of its physical volumes are here"):
            finish(session, "vg0", "new", spare=True)


def test_room_is_looked_for_before_anything_is_written(tmp_path: Path) -> None:
    devices = {f"/d{number}": MemoryDevice(8 * MIB, path=f"/d{number}") for number in range(2)}
    disks = Disks(tmp_path, devices)
    with disks.session() as session:
        small = pv.PvOptions(metadata_size_bytes=32 * 1024, data_alignment_bytes=4096)
        pv.create(session, ("/d1",), small)
        vg.create(session, "vg0", ("/d0",), 64 * 1024)
        vg.create(session, "other", ("/d1",), 64 * 1024)
        for number in range(60):
            lvs.create(session, "vg0", lvs.LvRequest(name=f"lv{number}", size_bytes=64 * 1024))
    before = [bytes(device.content) for device in devices.values()]
    with disks.session() as session, pytest.raises(NoSpaceError, match="/d1: metadata of volume group other"):
        vgmerge(session, "other", "vg0")
    assert [bytes(device.content) for device in devices.values()] == before


def test_active_volumes_are_told_by_name(disks: Disks) -> None:
    with disks.session() as session:
        group = session.world().group("vg0").vg
        refuse_active(session, group, ["lv0", "lv1"], str)
        servers = ServerLock(session.directories.run_dir, group.lv("lv1").id)
        with servers, pytest.raises(InUseError, match=r"^lv1 is active$"):
            refuse_active(session, group, ["lv0", "lv1"], lambda name: f"{name} is active")
