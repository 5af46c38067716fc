"""The volume group and its parts as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NotFoundError
from cryptlv.model.vg import LogicalVolume, LvArea, PlaceLookup, PvArea, Segment, VolumeGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import PhysicalVolume


def test_parts_are_found_by_name_and_id(sound_vg: VolumeGroup) -> None:
    assert sound_vg.lv("one").name == "one"
    assert sound_vg.find_lv("one") is sound_vg.lv("one")
    assert sound_vg.find_lv("none") is None
    assert sound_vg.pv(sound_vg.pvs[1].id) is sound_vg.pvs[1]


def test_part_that_is_not_there_is_named_in_the_error(sound_vg: VolumeGroup) -> None:
    with pytest.raises(NotFoundError, match=r"'nob\\ody'|nob"):
        sound_vg.lv("nob\\ody")
    with pytest.raises(NotFoundError, match="zzz"):
        sound_vg.pv("zzz")


def test_sizes_are_in_their_units(sound_vg: VolumeGroup) -> None:
    assert sound_vg.extent_size_bytes == 4 * 1024 * 1024
    assert sound_vg.extent_count == 40
    assert sound_vg.lv("two").length_le == 7
    assert [segment.end_le for segment in sound_vg.lv("two").segments] == [2, 7]


def test_volume_replaces_the_one_with_its_id(sound_vg: VolumeGroup) -> None:
    renamed = sound_vg.lv("one").replace(name="uno")
    assert [lv.name for lv in sound_vg.with_lv(renamed).lvs] == ["lin", "uno", "two", "cryptostore1"]
    assert [lv.name for lv in sound_vg.lvs] == ["lin", "one", "two", "cryptostore1"]


@pytest.mark.parametrize(
    ("status", "flags", "allocatable", "missing"),
    [
        (("ALLOCATABLE",), (), True, False),
        ((), (), False, False),
        (("ALLOCATABLE",), ("MISSING",), False, True),
        (("ALLOCATABLE", "MISSING"), (), False, True),
    ],
)
def test_missing_pv_takes_no_extents(
    pv: Callable[[int, int], PhysicalVolume],
    status: tuple[str, ...],
    flags: tuple[str, ...],
    allocatable: bool,
    missing: bool,
) -> None:
    volume = pv(0, 1).replace(status=status, flags=flags)
    assert volume.is_allocatable is allocatable
    assert volume.is_missing is missing
    assert VolumeGroup(name="vg", id="x", seqno=1, pvs=(volume,)).is_partial is missing


def test_write_locked_counts_as_writable() -> None:
    lv = LogicalVolume(name="lv", id="x", status=("READ", "VISIBLE"))
    assert not lv.is_writable
    assert lv.replace(flags=("WRITE_LOCKED",)).is_writable
    assert lv.is_visible


def test_place_is_looked_up_in_sectors() -> None:
    lookup = PlaceLookup(extent_size_sectors=8192, pe_start_sectors={"a": 2048, "b": 72}, lv_ids={"x": "id of x"})
    assert lookup.sector(PvArea(pv_id="a", start_pe=0)) == 2048
    assert lookup.sector(PvArea(pv_id="b", start_pe=3)) == 72 + 3 * 8192
    assert lookup.sector(LvArea(lv_name="x", start_le=2)) == 2 * 8192, "a hidden volume begins at its first sector"
    assert lookup.place_id(PvArea(pv_id="a", start_pe=0)) == "a"
    assert lookup.place_id(LvArea(lv_name="x", start_le=2)) == "id of x"


def test_segment_of_no_type_can_do_nothing() -> None:
    segment = Segment(start_le=1, length_le=2)
    assert segment.end_le == 3
    assert segment.keystores == ()
    assert list(segment.footprint()) == []
    assert segment.made_safe() is segment
    with pytest.raises(NotImplementedError):
        _ = segment.type_name
    with pytest.raises(NotImplementedError):
        segment.render_items({})


def test_an_interrupted_split_is_told_from_an_export(sound_vg: VolumeGroup) -> None:
    exported = sound_vg.replace(status=("EXPORTED", *sound_vg.status))
    whole = tuple(pv.replace(status=("ALLOCATABLE", "EXPORTED")) for pv in sound_vg.pvs)
    assert not sound_vg.is_unfinished
    assert exported.is_unfinished
    assert not exported.replace(pvs=whole).is_unfinished
