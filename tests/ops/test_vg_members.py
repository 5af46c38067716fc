"""Physical volumes that come into a group and leave it, and missing ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import InUseError, NotFoundError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.allocate import used_extents
from cryptlv.ops import lv as lvs
from cryptlv.ops import lv_remove, pv, vg_change, vg_members
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.keystore import image_place, keystore_segment
from cryptlv.ops.vgck import find_faults
from support.disks import MIB, REQUEST, Disks, Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.host.scan import Group


def with_new(disks: Disks, path: str = "/new") -> Disks:
    disks.devices[path] = MemoryDevice(16 * MIB, path=path)
    return disks


def seen(disks: Disks) -> Group:
    with disks.session() as session:
        return session.world().group("vg0")


def test_a_group_is_extended_by_devices_that_are_none_yet_and_by_physical_volumes(tmp_path: Path) -> None:
    disks = with_new(with_new(make_disks(tmp_path, (1,))), "/orphan")
    with disks.session() as session:
        pv.create(session, ("/orphan",))
        vg_members.extend(session, "vg0", ("/orphan", "/new"), pv.PvOptions(metadata_copies=2))
    group = seen(disks)
    assert [place.device for place in group.vg.pvs] == ["/d0", "/orphan", "/new"]
    assert len(group.areas) == 4
    assert {area.vg for area in group.areas} == {group.vg}
    assert group.unmarked == ()
    with disks.session() as session:
        assert find_faults(session, "vg0") == ()


def test_nothing_is_written_when_a_group_must_not_be_extended(tmp_path: Path) -> None:
    disks = with_new(make_disks(tmp_path, (1,)))
    before = bytes(disks.devices["/new"].read(0, 4 * MIB))
    with disks.session() as session:
        for paths, error in ((("/d0", "/new"), InUseError), (("/new", "/new"), RefusedError)):
            with pytest.raises(error):
                vg_members.extend(session, "vg0", paths)
        with pytest.raises(NotFoundError):
            vg_members.extend(session, "vg1", ("/new",))
        vg_change.change(session, "vg0", vg_change.VgChange(is_resizeable=False))
        with pytest.raises(RefusedError, match="not resizeable"):
            vg_members.extend(session, "vg0", ("/new",))
    assert disks.devices["/new"].read(0, 4 * MIB) == before


def test_devices_of_one_block_size_are_not_mixed_with_others(tmp_path: Path) -> None:
    class Coarse(MemoryDevice):
        sector_size = 4096

    disks = make_disks(tmp_path, (1,))
    disks.devices["/new"] = Coarse(16 * MIB, path="/new")
    with disks.session() as session, pytest.raises(RefusedError, match="block sizes"):
        vg_members.extend(session, "vg0", ("/new",))


def test_a_physical_volume_that_leaves_is_nobodys(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1, 2))
    with disks.session() as session:
        done = vg_members.reduce(session, "vg0", ("/d2",))
        assert done == vg_members.Reduced(paths=("/d2",))
        assert find_faults(session, "vg0") == ()
        world = session.world()
    assert [place.device for place in world.group("vg0").vg.pvs] == ["/d0", "/d1"]
    (orphan,) = (found for found in world.pvs if found.path == "/d2")
    assert not orphan.label.is_used
    assert [area.text for area in orphan.areas] == [None, None]
    with disks.session() as session:
        vg_members.extend(session, "vg0", ("/d2",))


def test_what_cannot_leave_does_not_stop_the_others(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1, 1))
    with disks.session() as session:
        done = vg_members.reduce(session, "vg0", None)
    assert done.paths == ("/d1", "/d2")
    assert "still in use" in done.failures[0]


def test_the_last_area_and_the_last_physical_volume_stay(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (0, 1))
    with disks.session() as session:
        for name in ("first", "old"):
            lv_remove.remove(session, "vg0", (name,))
        done = vg_members.reduce(session, "vg0", ("/d1",))
        assert "final metadata area" in done.failures[0]
        assert vg_members.reduce(session, "vg0", ("/d0",)).paths == ("/d0",)
        assert "final physical volume" in vg_members.reduce(session, "vg0", ("/d1",)).failures[0]
        with pytest.raises(NotFoundError, match="/d0"):
            vg_members.reduce(session, "vg0", ("/d0",))
        with pytest.raises(UsageError):
            vg_members.reduce(session, "vg0", ())


def test_a_test_writes_nothing(tmp_path: Path) -> None:
    disks = with_new(make_disks(tmp_path, (1, 1)))
    before = {path: bytes(device.read(0, device.size_bytes)) for path, device in disks.devices.items()}
    with disks.session() as session:
        session.test = True
        vg_members.extend(session, "vg0", ("/new",))
        assert vg_members.reduce(session, "vg0", ("/d1",)).paths == ("/d1",)
    assert before == {path: bytes(device.read(0, device.size_bytes)) for path, device in disks.devices.items()}


def missing_one(tmp_path: Path) -> tuple[Disks, MemoryDevice]:
    """vg0 with an encrypted volume `gone` and its keystore on the second PV, which is away."""
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="gone", pvs=(PvArgument(path="/d1"),)), Known())
    away = disks.devices.pop("/d1")
    assert isinstance(away, MemoryDevice)
    return disks, away


def test_missing_physical_volumes_that_are_not_used_are_taken_out(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        assert vg_members.remove_missing(session, "vg0").was_consistent
    del disks.devices["/d1"]
    with disks.session() as session:
        assert vg_members.remove_missing(session, "vg0") == vg_members.Repaired()
        assert find_faults(session, "vg0") == ()
    assert len(seen(disks).vg.pvs) == 1


def test_partial_volumes_stand_in_the_way_unless_forced(tmp_path: Path) -> None:
    disks, away = missing_one(tmp_path)
    before = seen(disks).vg
    with disks.session() as session:
        assert vg_members.remove_missing(session, "vg0").partial == ("gone",)
    marked = seen(disks).vg
    assert [place.is_missing for place in marked.pvs] == [False, True]
    assert marked.lvs == before.lvs
    with disks.session() as session:
        session.force = 1
        assert vg_members.remove_missing(session, "vg0").removed == ("gone",)
        assert find_faults(session, "vg0") == ()
    assert {lv.name for lv in seen(disks).vg.lvs} == {"first", "old", "cryptostore1"}
    assert disks.opens("old")
    assert away.path == "/d1"


def test_a_keystore_that_is_here_is_wiped_when_its_volume_was_on_a_missing_one(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    vg = seen(disks).vg
    used = sum(length for pv_id, places in used_extents(vg).items() for _, length in places if pv_id == vg.pvs[0].id)
    rest = vg.pvs[0].pe_count - used - vg.lv("cryptostore1").length_le
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="fill", extents=rest, pvs=(PvArgument(path="/d0"),)))
        lvs.create(session, "vg0", REQUEST.replace(name="gone"), Known())
    group = seen(disks)
    place = image_place(group.vg, keystore_segment(group.vg, "cryptostore2"))
    assert place is not None
    store_device = disks.devices[group.pv_paths[place[0]]]
    (away,) = {group.pv_paths[pv_id] for part in group.vg.lv("gone").segments for pv_id, _, _ in part.footprint()}
    assert (store_device.path, away) == ("/d0", "/d1")
    assert any(store_device.read(*place[1:]))
    del disks.devices[away]
    with disks.session() as session:
        session.force = 1
        vg_members.remove_missing(session, "vg0")
    assert not any(store_device.read(*place[1:]))


def test_a_device_that_is_back_is_taken_as_it_is(tmp_path: Path) -> None:
    disks, away = missing_one(tmp_path)
    with disks.session() as session:
        vg_change.change(session, "vg0", vg_change.VgChange(add_tags=("t",)))
    disks.devices["/d1"] = away
    warnings: list[str] = []
    with disks.session(warnings.append) as session:
        with pytest.raises(RefusedError, match="No PV has been restored"):
            vg_members.restore_missing(session, "vg0", ("/d0", "/other"))
        assert any("was not missing" in line for line in warnings)
        assert any("not found in VG" in line for line in warnings)
        vg_members.restore_missing(session, "vg0", ("/d1",))
        assert find_faults(session, "vg0") == ()
    assert not seen(disks).vg.is_partial
    assert disks.opens("gone")


def test_a_label_that_cannot_be_released_is_said(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    failing = Failing(path="/d1", content=bytes(disks.devices["/d1"].read(0, 16 * MIB)))
    disks.devices["/d1"] = failing
    warnings: list[str] = []
    with disks.session(warnings.append) as session:
        assert vg_members.reduce(session, "vg0", ("/d1",)).paths == ("/d1",)
    assert any("still has its old metadata" in line for line in warnings)
    assert len(seen(disks).vg.pvs) == 1


class Failing(MemoryDevice):
    """Cannot be written."""

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        from cryptlv.errors import DeviceError

        raise DeviceError(f"{self.path}: cannot write: Input/output error", errno=5)
