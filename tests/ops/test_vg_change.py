"""Changes of a group's fields, its name, and its export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ExistsError, NotFoundError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.lvmconf import HostSettings
from cryptlv.model.vg_edit import ALL_COPIES, VgChange
from cryptlv.ops import vg, vg_change
from cryptlv.ops.vgck import find_faults
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def two_groups(tmp_path: Path) -> Disks:
    disks = make_disks(tmp_path, (1, 1))
    disks.devices["/other"] = MemoryDevice(16 * MIB, path="/other")
    with disks.session() as session:
        vg.create(session, "vg1", ("/other",))
    return disks


def test_fields_are_changed_in_one_commit(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 2))
    before = disks.group()
    assert before is not None
    with disks.session() as session:
        made = vg_change.change(session, "vg0", VgChange(add_tags=("t",), max_lv=9), new_id=True)
        assert find_faults(session, "vg0") == ()
    after = disks.group()
    assert after == made
    assert after.seqno == before.seqno + 1
    assert (after.tags, after.max_lv) == (("t",), 9)
    assert after.id != before.id
    assert disks.opens("old")


def test_encrypted_volumes_stay_what_they_are_in_extents_of_another_size(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        vg_change.change(session, "vg0", VgChange(extent_size_sectors=16))
    assert disks.opens("old")


def used_areas(disks: Disks) -> int:
    with disks.session() as session:
        group = session.world().group("vg0")
        assert all(area.vg == group.vg for area in group.areas if not area.is_ignored)
        assert find_faults(session, "vg0") == ()
        return sum(not area.is_ignored for area in group.areas)


def test_as_many_areas_are_used_as_are_wanted(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 2, 1))
    for copies, used in ((2, 2), (1, 1), (3, 3), (0, 3), (9, 4), (1, 1), (0, 1), (ALL_COPIES, 4)):
        with disks.session() as session:
            vg_change.change(session, "vg0", VgChange(metadata_copies=copies))
            vg_change.change(session, "vg0", VgChange(add_tags=(f"t{copies}",)))
        assert used_areas(disks) == used, copies
    found = disks.group()
    assert found is not None
    assert found.metadata_copies == 0


def test_a_group_is_renamed_by_name_and_by_id(tmp_path: Path) -> None:
    disks = two_groups(tmp_path)
    backups = tmp_path / "system" / "backup"
    with disks.session() as session:
        vg_id = session.world().group("vg1").vg.id
        assert vg_change.rename(session, "vg1", "new") == "vg1"
        assert vg_change.rename(session, vg_id, "newer") == "new"
        for old, new, error in (
            ("newer", "vg0", ExistsError),
            ("newer", "newer", RefusedError),
            ("newer", ".", RefusedError),
            ("none", "x", NotFoundError),
            ("newer", vg_id, ExistsError),
            ("vg0", "x" * 126, RefusedError),
        ):
            with pytest.raises(error):
                vg_change.rename(session, old, new)
        assert sorted(group.vg.name for group in session.world().groups) == ["newer", "vg0"]
    assert sorted(path.name for path in backups.iterdir()) == ["newer", "vg0"]


def test_a_group_is_exported_and_imported(tmp_path: Path) -> None:
    disks = two_groups(tmp_path)
    with disks.session() as session:
        vg_change.export(session, "vg0")
        assert vg_change.names_to_export(session) == ("vg1",)
        with pytest.raises(RefusedError, match="exported"):
            vg_change.look_at(session, "vg0")
        with pytest.raises(RefusedError, match="exported"):
            vg_change.export(session, "vg0")
        vg_change.rename(session, "vg0", "xg")
        vg_change.rename(session, "xg", "vg0")
        vg_change.import_(session, "vg0")
        vg_change.look_at(session, "vg0")
        with pytest.raises(RefusedError, match="not exported"):
            vg_change.import_(session, "vg0")
    assert disks.opens("old")


def test_an_imported_group_is_this_hosts(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    here = HostSettings(system_id="here")
    with disks.session() as session:
        vg_change.export(session, "vg0")
    with disks.session(settings=here) as session:
        vg_change.import_(session, "vg0")
        assert session.world().group("vg0").vg.system_id == "here"
    with disks.session() as session, pytest.raises(RefusedError, match="system ID"):
        vg_change.change(session, "vg0", VgChange(add_tags=("t",)))


def test_a_group_with_a_missing_physical_volume_is_imported_by_force_and_gets_tags_only(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        vg_change.export(session, "vg0")
    del disks.devices["/d1"]
    with disks.session() as session:
        with pytest.raises(RefusedError, match="missing"):
            vg_change.import_(session, "vg0")
        session.force = 1
        vg_change.import_(session, "vg0")
        vg_change.change(session, "vg0", VgChange(add_tags=("t",)))
        for wanted, new_id in ((VgChange(max_lv=9), False), (VgChange(), True)):
            with pytest.raises(RefusedError, match="missing"):
                vg_change.change(session, "vg0", wanted, new_id=new_id)


@pytest.mark.parametrize(("given", "kept"), [("", ""), ("a b:c", "abc"), ("--host.1", "host.1")])
def test_system_ids_are_cleaned_as_by_stock(given: str, kept: str) -> None:
    assert vg_change.clean_id(given) == kept


@pytest.mark.parametrize("given", ["localhost", "::", "localhost.1"])
def test_system_ids_that_stock_refuses(given: str) -> None:
    with pytest.raises(UsageError, match="system ID"):
        vg_change.clean_id(given)
