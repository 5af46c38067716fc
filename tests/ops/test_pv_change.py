"""pvchange: words in the metadata, metadata areas in use or not, new ids; what is refused changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, InUseError, NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import pv
from cryptlv.ops.pv_change import PvChange, change, locked_pv
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    """vg0 on /d0 with two metadata areas and /d1 with one; /d is in no group."""
    disks = make_disks(tmp_path, (2, 1))
    disks.devices["/d"] = MemoryDevice(16 * MIB, path="/d")
    with disks.session() as session:
        pv.create(session, ("/d",))
    return disks


def test_words_are_changed_in_one_commit(disks: Disks) -> None:
    before = disks.group()
    assert before is not None
    with disks.session() as session:
        assert change(session, "/d0", PvChange(allocatable=False, add_tags=("a", "b", "a"), remove_tags=("b",)))
        assert not change(session, "/d0", PvChange(allocatable=False))
    after = disks.group()
    assert after is not None
    assert after.seqno == before.seqno + 1
    assert after.pvs[0].status == ()
    assert after.pvs[0].tags == ("a",)
    assert after.pvs[1:] == before.pvs[1:]
    assert after.lvs == before.lvs


def test_ignored_areas_keep_the_value_before_and_come_back_with_the_newest(disks: Disks) -> None:
    with disks.session() as session:
        assert change(session, "/d0", PvChange(ignore_metadata=True))
        group = session.world().group("vg0")
        assert [area.is_ignored for area in group.areas] == [True, True, False]
        with pytest.raises(RefusedError, match="already ignored"):
            change(session, "/d0", PvChange(ignore_metadata=True))
        with pytest.raises(RefusedError, match="Cannot disable all metadata areas in volume group vg0"):
            change(session, "/d1", PvChange(ignore_metadata=True))
        assert session.world().group("vg0") == group
        assert change(session, "/d1", PvChange(add_tags=("x",)))
        assert change(session, "/d0", PvChange(ignore_metadata=False))
        group = session.world().group("vg0")
        assert {area.vg for area in group.areas} == {group.vg}
        with pytest.raises(RefusedError, match="already marked as in-use"):
            change(session, "/d0", PvChange(ignore_metadata=False))


def test_a_new_id_is_in_label_and_metadata_and_keys_are_found(disks: Disks) -> None:
    before = disks.group()
    assert before is not None
    with disks.session() as session:
        assert change(session, "/d0", PvChange(new_id=True))
        world = session.world()
    after = disks.group()
    assert after is not None
    assert after.pvs[0].id != before.pvs[0].id
    (found,) = (found for found in world.pvs if found.path == "/d0")
    assert found.label.pv_id == after.pvs[0].id
    assert found.label.former_id == ""
    assert world.group("vg0").missing_pv_ids == ()
    assert disks.opens("old"), "the keystore lies on the PV that has another id now"


def test_an_orphan_has_an_id_and_metadata_areas_and_nothing_else(disks: Disks) -> None:
    with disks.session() as session:
        for words in (PvChange(add_tags=("x",)), PvChange(allocatable=True)):
            with pytest.raises(RefusedError, match="/d"):
                change(session, "/d", words)
        (old,) = (found.label.pv_id for found in session.world().pvs if found.path == "/d")
        assert change(session, "/d", PvChange(new_id=True, ignore_metadata=True))
        (found,) = (found for found in session.world().pvs if found.path == "/d")
        assert found.label.pv_id != old
        assert found.areas[0].is_ignored
        assert change(session, "/d", PvChange(ignore_metadata=False))


def test_a_preferred_number_of_copies_is_asked_about_and_changed(disks: Disks) -> None:
    from cryptlv.ops.commit import commit_change

    with disks.session() as session:
        group = session.world().group("vg0")
        commit_change(session, group, group.vg.replace(metadata_copies=3))
        with pytest.raises(RefusedError, match="Override preferred number of copies of VG vg0"):
            change(session, "/d0", PvChange(ignore_metadata=True))
        assert change(session, "/d0", PvChange(ignore_metadata=True), lambda _: None)
        assert session.world().group("vg0").vg.metadata_copies == 1


def test_what_is_not_there_or_not_readable_is_not_changed(disks: Disks) -> None:
    with disks.session() as session:
        with pytest.raises(NotFoundError, match="Failed to find"):
            change(session, "/none", PvChange(new_id=True))
        disks.devices["/d1"].write(4096, bytes(512))
        disks.devices["/d0"].write(4096, bytes(512))
        disks.devices["/d0"].write(15 * MIB, bytes(512))
        with pytest.raises(InUseError, match="metadata is missing"):
            change(session, "/d0", PvChange(new_id=True))


def test_a_test_changes_nothing(disks: Disks) -> None:
    before = {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()}
    with disks.session() as session:
        session.test = True
        for path in ("/d0", "/d"):
            change(session, path, PvChange(new_id=True, ignore_metadata=True))
    assert {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()} == before


def test_a_pv_is_locked_with_its_group(disks: Disks) -> None:
    with disks.session() as session:
        with locked_pv(session, "/d1") as (found, group):
            assert found.path == "/d1"
            assert group is not None
            with pytest.raises(CryptlvError), session.locks().vg("vg0", write=False, wait=False):
                pass
        with locked_pv(session, "/d") as (_, nothing):
            assert nothing is None
