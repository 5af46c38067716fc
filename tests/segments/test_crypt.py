"""The segment type `crypt`: one area, a keystore by name, every other key kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import FormatError
from cryptlv.model.mapping import CryptTarget
from cryptlv.model.vg import LogicalVolume, LvArea, PlaceLookup, PvArea, Surroundings, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import Segment

    Read = Callable[[str], Segment]

TEXT = 'type = "crypt"\ncrypto_store = "cryptostore1"\nareas = [\n"pv1", 12\n]\n'


def crypt(read_segment: Read, text: str = TEXT) -> CryptSegment:
    segment = read_segment(text)
    assert isinstance(segment, CryptSegment)
    return segment


def test_segment_of_the_proposal_is_read(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = crypt(read_segment)
    assert segment.keystores == ("cryptostore1",)
    assert segment.areas == (PvArea(pv_id=pvs["pv1"], start_pe=12),)
    assert (segment.iv_base_sectors, segment.area_offset_sectors, segment.extra) == (0, 0, ())
    assert (segment.type_name, segment.shown_type) == ("crypt", "crypt")
    assert list(segment.footprint()) == [(pvs["pv1"], 12, 6)]


def test_items_are_written_with_the_id_of_the_pv(read_segment: Read, pvs: dict[str, str]) -> None:
    words = {pv_id: word for word, pv_id in pvs.items()}
    assert list(crypt(read_segment).render_items(words)) == [
        ("crypto_store", "cryptostore1"),
        ("areas", ("pv1", 12)),
        ("area_ids", (pvs["pv1"],)),
    ]


def test_flags_of_dm_crypt_are_kept_and_go_into_the_target(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = crypt(read_segment, f'{TEXT}crypt_flags = [ "allow_discards", "of_later" ]\n')
    assert segment.flags == ("allow_discards", "of_later")
    assert dict(segment.render_items({}))["crypt_flags"] == segment.flags
    assert crypt(read_segment, f'{TEXT}crypt_flags="allow_discards"\n').flags == ("allow_discards",)
    lookup = PlaceLookup(extent_size_sectors=8, pe_start_sectors=dict.fromkeys(pvs.values(), 0), lv_ids={})
    (target,) = segment.targets(lookup)
    assert isinstance(target, CryptTarget)
    assert target.flags == segment.flags
    assert segment.part(1, 2).flags == segment.flags
    assert segment.with_crypt_flags(()) == crypt(read_segment)


def test_unknown_keys_are_kept_in_order(read_segment: Read) -> None:
    text = f'{TEXT}future = [1, "x"]\nnested {{ a = 1 }}\niv_base = 7\n'
    segment = crypt(read_segment, text)
    assert [key for key, _ in segment.extra] == ["future", "nested"]
    items = dict(segment.render_items({}))
    assert items["future"] == (1, "x")
    assert items["iv_base"] == 7


def test_segment_written_by_stock_is_read_the_same(read_segment: Read) -> None:
    # what stock makes of an unknown segment: no spaces, lists on one line
    assert read_segment('type="crypt" crypto_store="cryptostore1" areas=["pv1",12]') == crypt(read_segment)


def test_area_that_begins_inside_its_first_extent_touches_one_extent_more(
    read_segment: Read, pvs: dict[str, str]
) -> None:
    segment = crypt(read_segment, f"{TEXT}area_offset = 4096\n")
    assert list(segment.footprint()) == [(pvs["pv1"], 12, 7)]


@pytest.mark.parametrize(("skip", "length"), [(0, 6), (0, 1), (2, 4), (5, 1)])
@pytest.mark.parametrize(("base", "offset"), [(0, 0), (100, 8)])
def test_each_sector_of_a_part_keeps_its_place_and_its_tweak(
    read_segment: Read, pvs: dict[str, str], skip: int, length: int, base: int, offset: int
) -> None:
    whole = crypt(read_segment, f"{TEXT}iv_base = {base}\narea_offset = {offset}\n")
    lookup = PlaceLookup(extent_size_sectors=2048, pe_start_sectors={pvs["pv1"]: 384}, lv_ids={})
    (before,) = whole.targets(lookup)
    (after,) = whole.part(skip, length).targets(lookup)
    assert isinstance(before, CryptTarget)
    assert isinstance(after, CryptTarget)
    assert before.start_sectors == 2 * 2048
    assert before.iv_offset_sectors == base + 2 * 2048
    assert before.offset_sectors == 384 + 12 * 2048 + offset
    moved = after.start_sectors - before.start_sectors
    assert moved == skip * 2048
    assert after.length_sectors == length * 2048
    assert after.offset_sectors - before.offset_sectors == moved
    assert after.iv_offset_sectors - before.iv_offset_sectors == moved


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('type = "crypt" areas = ["pv0", 1]', "crypto_store"),
        ('type = "crypt" crypto_store = "" areas = ["pv0", 1]', "crypto_store"),
        ('type = "crypt" crypto_store = 1 areas = ["pv0", 1]', "crypto_store"),
        ('type = "crypt" crypto_store = "c" areas = ["pv0"]', "areas"),
        ('type = "crypt" crypto_store = "c" areas = 1', "areas"),
        ('type = "crypt" crypto_store = "c" areas = ["pv0", 1] iv_base = "x"', "iv_base"),
        ('type = "crypt" crypto_store = "c" areas = ["pv0", 1] area_offset = [1]', "area_offset"),
    ],
)
def test_wrong_field_is_refused_with_the_volume_and_segment(read_segment: Read, text: str, field: str) -> None:
    with pytest.raises(FormatError, match="vg/lv segment1") as caught:
        read_segment(text)
    assert caught.value.field == field


def test_keystores_and_volumes_have_new_names(read_segment: Read) -> None:
    segment = read_segment('type = "crypt" crypto_store = "cryptostore1" areas = ["x_cryptdata", 0]')
    renamed = segment.with_names({"cryptostore1": "cryptostore7", "x_cryptdata": "y_cryptdata"})
    assert renamed.keystores == ("cryptostore7",)
    assert list(renamed.parts()) == [("areas", "y_cryptdata")]
    assert segment.with_names({}) == segment


def test_data_that_begin_inside_an_extent_of_a_hidden_volume_end_inside_another() -> None:
    below = LogicalVolume(
        name="a_cryptdata", id="x", status=("READ", "WRITE"),
        segments=(StripedSegment(start_le=0, length_le=4, areas=(PvArea(pv_id="p", start_pe=0),)),),
    )  # fmt: skip
    segment = CryptSegment(
        start_le=0, length_le=4, crypto_store="s", areas=(LvArea(lv_name="a_cryptdata", start_le=0),)
    )
    vg = VolumeGroup(name="vg0", id="v", seqno=1)
    around = Surroundings(vg=vg, lvs={"a_cryptdata": below})
    lv = LogicalVolume(name="a", id="y", segments=(segment,))
    parts = (segment, segment.replace(area_offset_sectors=1))
    problems = [{field for field, _ in part.check(lv, around)} for part in parts]
    assert problems == [{"crypto_store"}, {"crypto_store", "areas"}]
