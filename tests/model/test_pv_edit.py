"""Changes of a PV in its volume group, as values."""

from __future__ import annotations

import pytest

from cryptlv.errors import NoSpaceError, NotFoundError, RefusedError
from cryptlv.model.nodes import PvWord
from cryptlv.model.pv_edit import change_tags, rename_pv, resize_pv, set_allocatable, with_pv
from cryptlv.model.vg import LogicalVolume, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

PV = PhysicalVolume(id="one", device="/a", pe_start_sectors=2048, pe_count=10, tags=("t",))
LINEAR = StripedSegment(start_le=0, length_le=3, areas=(PvArea(pv_id="one", start_pe=2),))
VG = VolumeGroup(
    name="vg",
    id="vg",
    seqno=1,
    extent_size_sectors=8,
    pvs=(PV, PV.replace(id="two")),
    lvs=(LogicalVolume(name="a", id="a", segments=(LINEAR,)),),
)


def test_allocatable_and_tags() -> None:
    assert set_allocatable(PV, allocatable=False).status == ()
    assert set_allocatable(PV, allocatable=True) == PV
    assert change_tags(PV, ("b", "t", "a"), ("b",)).tags == ("t", "a")
    assert with_pv(VG, PV.replace(tags=())).pvs == (PV.replace(tags=()), VG.pvs[1])


def test_a_new_id_is_put_into_every_segment() -> None:
    crypt = CryptSegment(start_le=0, length_le=1, crypto_store="s", areas=(PvArea(pv_id="one", start_pe=0),))
    mirror = OpaqueSegment(
        start_le=0,
        length_le=1,
        type_word="mirror",
        body=(("mirrors", (PvWord("one"), 1, PvWord("two"), 0)), ("word", "one")),
    )
    striped = StripedSegment(
        start_le=0, length_le=2, areas=(PvArea(pv_id="two", start_pe=0), PvArea(pv_id="one", start_pe=7))
    )
    vg = VG.replace(
        lvs=tuple(
            LogicalVolume(name=name, id=name, segments=(part,))
            for name, part in (("one", LINEAR), ("c", crypt), ("m", mirror), ("s", striped))
        )
    )
    after = rename_pv(vg, "one", "new")
    assert [pv.id for pv in after.pvs] == ["new", "two"]
    assert after.lvs[0].name == "one", "a name that is the same word is none"
    used = [footprint for lv in after.lvs for part in lv.segments for footprint in part.footprint()]
    assert used == [("new", 2, 3), ("new", 0, 1), ("new", 1, 1), ("two", 0, 1), ("two", 0, 1), ("new", 7, 1)]
    assert after.lvs[2].segments[0].body[1] == ("word", "one")  # type: ignore[attr-defined]
    assert rename_pv(after, "new", "one") == vg


def test_extents_come_and_go_at_the_end() -> None:
    after = resize_pv(VG, "one", 3000, 2048 + 8 * 5 + 7, "/a")
    assert (after.pvs[0].pe_count, after.pvs[0].dev_size_sectors) == (5, 3000)
    assert after.pvs[1:] == VG.pvs[1:]
    for end, words in ((4, "as later ones are allocated"), (2, "2 extents as 3 are allocated")):
        with pytest.raises(NoSpaceError, match=words):
            resize_pv(VG, "one", 3000, 2048 + 8 * end, "/a")
    with pytest.raises(RefusedError, match="at least one physical extent of 8 sectors on PV /a"):
        resize_pv(VG, "two", 3000, 2048 + 7, "/a")
    with pytest.raises(RefusedError, match="too large"):
        resize_pv(VG, "two", 2**40, 2**40, "/a")
    with pytest.raises(NotFoundError):
        resize_pv(VG, "three", 3000, 3000, "/a")
