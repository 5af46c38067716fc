"""The rules of a sound volume group: what stock wrote keeps them, and each breach is told by LV and segment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.model.check import check, check_lv
from cryptlv.model.lv_edit import remove_lv
from cryptlv.model.vg import LvArea, PhysicalVolume, PvArea, Segment, VolumeGroup
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    GoldenVg = Callable[[str], VolumeGroup]

GOLDEN = Path(__file__).parents[1] / "golden"
STOCK = sorted(f"lvm2/{path.parent.name}/{path.stem}" for path in GOLDEN.glob("lvm2/*/raw_text_pv0_mda0.txt"))


def changed(vg: VolumeGroup, name: str, number: int, **changes: Any) -> VolumeGroup:
    """The volume group with fields of one segment changed."""
    lv = vg.lv(name)
    segments: list[Segment] = list(lv.segments)
    segments[number - 1] = segments[number - 1].replace(**changes)
    return vg.with_lv(lv.replace(segments=tuple(segments)))


def only(violations: tuple[str, ...]) -> str:
    assert len(violations) == 1, violations
    return violations[0]


def test_sound_volume_group_has_no_violations(sound_vg: VolumeGroup) -> None:
    assert check(sound_vg) == ()
    for lv in sound_vg.lvs:
        assert check_lv(sound_vg, lv) == ()


@pytest.mark.parametrize("name", STOCK)
def test_what_stock_wrote_is_sound(name: str, golden_vg: GoldenVg) -> None:
    assert check(golden_vg(name)) == ()


@pytest.mark.parametrize("variant", ["V3_plain_1ext_noarea", "V2_plain_1ext_area", "V14_two_segments", "V15_mixed"])
def test_encrypted_variants_are_sound(variant: str, golden_vg: GoldenVg) -> None:
    assert check(golden_vg(f"lvm2-crypt/{variant}/raw_text")) == ()


def test_two_areas_in_a_crypt_segment_are_refused(sound_vg: VolumeGroup) -> None:
    areas = (PvArea(pv_id=sound_vg.pvs[0].id, start_pe=1), PvArea(pv_id=sound_vg.pvs[1].id, start_pe=12))
    line = only(check(changed(sound_vg, "one", 1, areas=areas)))
    assert line.startswith("vg/one segment 1: ")
    assert "one area" in line
    assert "2" in line


def test_no_area_in_a_crypt_segment_is_refused(sound_vg: VolumeGroup) -> None:
    line = only(check(changed(sound_vg, "two", 2, areas=())))
    assert line.startswith("vg/two segment 2: ")
    assert "one area" in line


@pytest.mark.parametrize("areas", [(), None])
def test_stripes_in_a_crypt_segment_are_refused(sound_vg: VolumeGroup, areas: tuple[()] | None) -> None:
    changes: dict[str, Any] = {"extra": (("stripe_count", 1), ("stripes", ("pv0", 1)))}
    if areas is not None:
        changes["areas"] = areas
    lines = [line for line in check(changed(sound_vg, "one", 1, **changes)) if "stripes" in line]
    assert len(lines) == 1
    assert lines[0].startswith("vg/one segment 1: ")


def test_variant_with_areas_and_stripes_is_refused(golden_vg: GoldenVg) -> None:
    lines = check(golden_vg("lvm2-crypt/V5_areas_and_stripes/raw_text"))
    assert lines
    assert all("stripes" in line and " segment 1: " in line for line in lines)


def test_variant_without_its_keystore_is_refused_until_the_volume_is_gone(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2-crypt/V1_no_zero_extent/raw_text")
    assert "cryptostore1 does not exist" in only(check(vg))
    assert check(remove_lv(vg, "tst")) == ()


def test_variant_on_hidden_volumes_is_sound(golden_vg: GoldenVg) -> None:
    assert check(golden_vg("lvm2-crypt/V10_sublv/raw_text")) == ()


def test_variant_whose_extents_a_shadow_claims_too_is_refused_by_the_shadows_name(golden_vg: GoldenVg) -> None:
    lines = check(golden_vg("lvm2-crypt/V10b_shadow/raw_text"))
    assert lines
    assert all("crypt_shadow0" in line for line in lines)


def test_keystore_that_does_not_exist_is_reported(sound_vg: VolumeGroup) -> None:
    line = only(check(changed(sound_vg, "one", 1, crypto_store="cryptostore9")))
    assert line.startswith("vg/one segment 1: ")
    assert "cryptostore9 does not exist" in line


def test_keystore_must_be_a_keystore(sound_vg: VolumeGroup) -> None:
    assert "not a keystore" in only(check(changed(sound_vg, "one", 1, crypto_store="lin")))


def test_removed_keystore_is_reported_for_each_of_its_segments(sound_vg: VolumeGroup) -> None:
    lines = check(sound_vg.replace(lvs=sound_vg.lvs[:3]))
    assert [line.partition(": ")[0] for line in lines] == [
        "vg/one segment 1",
        "vg/two segment 1",
        "vg/two segment 2",
    ]


@pytest.mark.parametrize(("start", "fault"), [(2, True), (4, True), (8, True), (9, True), (16, False), (11, False)])
def test_overlap_of_segments_is_reported(sound_vg: VolumeGroup, start: int, fault: bool) -> None:
    # on the second PV: lin has 2..5, the second segment of two has 6..10
    vg = changed(sound_vg, "lin", 1, areas=(PvArea(pv_id=sound_vg.pvs[1].id, start_pe=start),), length_le=4)
    lines = check(vg)
    assert bool(lines) == (max(start, 6) < min(start + 4, 11))
    if fault and lines:
        assert "vg/lin segment 1" in lines[0]
        assert "vg/two segment 2" in lines[0]


def test_overlap_within_one_segment_is_reported(sound_vg: VolumeGroup) -> None:
    place = PvArea(pv_id=sound_vg.pvs[1].id, start_pe=15)
    vg = changed(sound_vg, "lin", 1, areas=(place, place), stripe_size_sectors=128)
    assert "belongs to vg/lin segment 1 too" in only(check(vg))


@pytest.mark.parametrize(
    ("start", "length", "sound"), [(16, 4, True), (17, 4, False), (20, 1, False), (-1, 1, False)]
)
def test_area_beyond_its_physical_volume_is_reported(
    sound_vg: VolumeGroup, start: int, length: int, sound: bool
) -> None:
    vg = changed(sound_vg, "lin", 1, areas=(PvArea(pv_id=sound_vg.pvs[1].id, start_pe=start),), length_le=length)
    if sound:
        assert check(vg) == ()
    else:
        assert only(check(vg)).startswith("vg/lin segment 1: ")
        assert "beyond" in only(check(vg))


def test_area_that_begins_inside_an_extent_needs_one_extent_more(sound_vg: VolumeGroup) -> None:
    # a header of less than an extent before the data: three extents of data lie in four
    vg = changed(sound_vg, "one", 1, area_offset_sectors=4096)
    assert "vg/two segment 1" in only(check(vg))
    assert check(changed(vg, "one", 1, length_le=2)) == ()
    assert "area_offset" in only(check(changed(vg, "one", 1, length_le=2, area_offset_sectors=8192)))


def test_unknown_physical_volume_is_reported(sound_vg: VolumeGroup) -> None:
    vg = sound_vg.replace(pvs=sound_vg.pvs[:1])
    lines = check(vg)
    assert {line.partition(": ")[0] for line in lines} == {"vg/lin segment 1", "vg/two segment 2"}


def test_duplicate_names_are_reported(sound_vg: VolumeGroup) -> None:
    lv = sound_vg.lv("lin").replace(name="one")
    assert "two logical volumes are named one" in only(check(sound_vg.with_lv(lv)))


def test_duplicate_ids_are_reported(sound_vg: VolumeGroup) -> None:
    lvs = (sound_vg.lvs[0].replace(id=sound_vg.lvs[1].id), *sound_vg.lvs[1:])
    assert "have the id oooooo" in only(check(sound_vg.replace(lvs=lvs)))


def test_physical_volume_that_is_listed_twice_is_reported(sound_vg: VolumeGroup) -> None:
    assert "listed twice" in only(check(sound_vg.replace(pvs=(*sound_vg.pvs, sound_vg.pvs[0]))))


def test_gap_and_emptiness_are_reported(sound_vg: VolumeGroup) -> None:
    assert "starts at extent 3, not at 2" in only(check(changed(sound_vg, "two", 2, start_le=3)))
    empty = sound_vg.lv("lin").replace(segments=())
    assert only(check(sound_vg.with_lv(empty))) == "vg/lin: has no segment"
    assert "has 0 extents" in only(check(changed(sound_vg, "one", 1, length_le=0)))


def test_all_faults_are_reported_at_once(sound_vg: VolumeGroup) -> None:
    vg = changed(sound_vg, "one", 1, crypto_store="gone")
    vg = changed(vg, "lin", 1, areas=(PvArea(pv_id=sound_vg.pvs[1].id, start_pe=99),))
    assert len(check(vg)) == 2


def test_fault_of_another_volume_is_not_this_ones(sound_vg: VolumeGroup) -> None:
    vg = changed(sound_vg, "one", 1, crypto_store="gone")
    assert check_lv(vg, vg.lv("lin")) == ()
    assert len(check_lv(vg, vg.lv("one"))) == 1


def test_overlap_is_the_fault_of_both_volumes(sound_vg: VolumeGroup) -> None:
    vg = changed(sound_vg, "lin", 1, areas=(PvArea(pv_id=sound_vg.pvs[1].id, start_pe=8),))
    for name in ("lin", "two"):
        assert len(check_lv(vg, vg.lv(name))) == 1
    assert check_lv(vg, vg.lv("one")) == ()


def test_visible_keystore_and_other_segments_in_it_are_refused(sound_vg: VolumeGroup) -> None:
    store = sound_vg.lv("cryptostore1")
    assert "must not be visible" in only(check(sound_vg.with_lv(store.replace(status=("READ", "VISIBLE")))))
    linear = StripedSegment(start_le=1, length_le=1, areas=(PvArea(pv_id=sound_vg.pvs[1].id, start_pe=0),))
    lines = check(sound_vg.with_lv(store.replace(segments=(*store.segments, linear))))
    assert any("a keystore has one segment" in line and line.startswith("vg/cryptostore1 ") for line in lines)


def test_keystore_has_one_area_at_most_on_a_pv_or_within_a_hidden_volume(sound_vg: VolumeGroup) -> None:
    first = PvArea(pv_id=sound_vg.pvs[0].id, start_pe=0)
    two = (first, PvArea(pv_id=sound_vg.pvs[1].id, start_pe=0))
    assert "one area at most" in only(check(changed(sound_vg, "cryptostore1", 1, areas=two)))
    stacked = changed(sound_vg, "cryptostore1", 1, areas=(LvArea(lv_name="lin", start_le=0),))
    assert "lin is visible" in only(check(stacked))
    hidden = stacked.with_lv(stacked.lv("lin").replace(status=("READ", "WRITE")))
    assert check(hidden) == ()
    beyond = hidden.lv("lin").length_le
    far = changed(hidden, "cryptostore1", 1, areas=(LvArea(lv_name="lin", start_le=beyond),))
    assert "reaches beyond" in only(check(far))
    assert "gone" in only(check(changed(hidden, "cryptostore1", 1, areas=(LvArea(lv_name="gone", start_le=0),))))


def test_keystore_without_an_area_is_sound_and_takes_no_space(sound_vg: VolumeGroup) -> None:
    assert check(changed(sound_vg, "cryptostore1", 1, areas=())) == ()


@pytest.mark.parametrize("bits", [-8, 1, 257])
def test_key_size_that_is_not_whole_bytes_is_refused(sound_vg: VolumeGroup, bits: int) -> None:
    assert "key_size" in only(check(changed(sound_vg, "cryptostore1", 1, key_size_bits=bits)))


def test_stripes_must_share_the_length_and_have_a_size(sound_vg: VolumeGroup) -> None:
    two = (PvArea(pv_id=sound_vg.pvs[0].id, start_pe=10), PvArea(pv_id=sound_vg.pvs[1].id, start_pe=12))
    good: dict[str, Any] = {"areas": two, "stripe_size_sectors": 128}
    assert check(changed(sound_vg, "lin", 1, **good)) == ()
    assert "stripe_size" in only(check(changed(sound_vg, "lin", 1, areas=two)))
    assert "spread over 2" in only(check(changed(sound_vg, "lin", 1, **good, length_le=3)))
    assert "no stripes" in only(check(changed(sound_vg, "lin", 1, areas=())))


def test_negative_sizes_are_refused(sound_vg: VolumeGroup, pv: Callable[[int, int], PhysicalVolume]) -> None:
    bad = pv(5, 3).replace(pe_start_sectors=-1)
    assert "negative size" in only(check(sound_vg.replace(pvs=(*sound_vg.pvs, bad))))
    assert "seqno" in only(check(sound_vg.replace(seqno=-1)))
    assert "iv_base" in only(check(changed(sound_vg, "one", 1, iv_base_sectors=-1)))


def test_crypt_segment_on_a_volume_needs_that_volume(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2-crypt/V10_sublv/raw_text")
    assert check_lv(vg, vg.lv("tst")) == ()
    without = vg.replace(lvs=tuple(lv for lv in vg.lvs if lv.name != "tst_cdata"))
    assert "tst_cdata" in only(check_lv(without, without.lv("tst")))


def test_names_from_the_disk_are_made_printable(sound_vg: VolumeGroup) -> None:
    evil = sound_vg.lv("one").replace(name="a\x1b[2J\n")
    vg = changed(sound_vg.with_lv(evil), evil.name, 1, crypto_store="gone\x07")
    assert all(line.isprintable() for line in check(vg))


def test_a_volume_that_is_a_part_of_itself_is_refused(sound_vg: VolumeGroup) -> None:
    circle = changed(sound_vg, "lin", 1, areas=(LvArea(lv_name="one", start_le=0),))
    circle = changed(circle, "one", 1, areas=(LvArea(lv_name="lin", start_le=0),))
    assert any("part of itself" in line for line in check(circle))
    over = changed(circle, "two", 1, areas=(LvArea(lv_name="one", start_le=0),))
    assert any("part of itself" in line for line in check_lv(over, over.lv("two"))), "those below count, too"
    assert "part of itself" in only(check(changed(sound_vg, "lin", 1, areas=(LvArea(lv_name="lin", start_le=0),))))
    assert check(changed(sound_vg, "lin", 1, areas=(LvArea(lv_name="one", start_le=0),))) == ()


def test_places_on_nothing_and_long_segments_that_cover_others_are_told(sound_vg: VolumeGroup) -> None:
    assert "stripes names gone" in only(
        check(changed(sound_vg, "lin", 1, areas=(LvArea(lv_name="gone", start_le=0),)))
    )
    pv_id = sound_vg.pvs[0].id
    whole = StripedSegment(start_le=0, length_le=sound_vg.pvs[0].pe_count, areas=(PvArea(pv_id=pv_id, start_pe=0),))
    covered = check(sound_vg.with_lv(sound_vg.lv("lin").replace(segments=(whole,))))
    others = [lv for lv in sound_vg.lvs for part in lv.segments for place in part.footprint() if place[0] == pv_id]
    assert len(covered) >= len([lv for lv in others if lv.name != "lin"])
    assert check_lv(sound_vg.with_lv(sound_vg.lv("lin").replace(segments=(whole,))), others[0])


def test_a_hundred_violations_are_enough(sound_vg: VolumeGroup) -> None:
    lin = sound_vg.lv("lin")
    many = tuple(lin.replace(name=f"l{number}", id=f"{number}", segments=()) for number in range(500))
    assert len(check(sound_vg.replace(lvs=many))) == 100


@pytest.mark.parametrize("older", ["lvm1", "pool"])
def test_older_formats_cannot_have_encrypted_volumes(sound_vg: VolumeGroup, older: str) -> None:
    """Row S31: told by name; a group of such a format without them is read as it is."""
    (line,) = check(sound_vg.replace(format=older))
    assert f"format {older} cannot have encrypted volumes" in line
    plain = tuple(lv for lv in sound_vg.lvs if not any("crypt" in part.type_name for part in lv.segments))
    assert check(sound_vg.replace(format=older, lvs=plain)) == ()
