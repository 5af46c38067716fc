"""Segment types that are not managed here are kept value for value, and their places follow their PVs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import RefusedError
from cryptlv.model.vg import PlaceLookup
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import Segment

    Read = Callable[[str], Segment]

MIRROR = 'type = "mirror" mirror_count = 2 region_size = 1024 mirrors = ["pv0", 4, "pv1", 9]'


def test_every_value_is_kept_in_order(read_segment: Read) -> None:
    text = 'type = "acme" one = 1 two = [1, "x", 1.5] three { a = 1 b { c = "d" } } one = 2 four = []'
    segment = read_segment(text)
    assert isinstance(segment, OpaqueSegment)
    assert [key for key, _ in segment.render_items({})] == ["one", "two", "three", "one", "four"]
    assert dict(segment.render_items({}))["two"] == (1, "x", 1.5)


def test_places_are_written_with_the_words_of_the_moment(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = read_segment(MIRROR)
    swapped = {pvs["pv0"]: "pv1", pvs["pv1"]: "pv0"}
    assert dict(segment.render_items(swapped))["mirrors"] == ("pv1", 4, "pv0", 9)
    assert dict(segment.render_items({pv: word for word, pv in pvs.items()}))["mirrors"] == ("pv0", 4, "pv1", 9)


def test_word_that_is_no_place_stays_a_word(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = read_segment('type = "acme" note = "pv0" words = ["pv0", "pv1"]')
    swapped = {pvs["pv0"]: "pv1", pvs["pv1"]: "pv0"}
    assert dict(segment.render_items(swapped)) == {"note": "pv0", "words": ("pv0", "pv1")}


def test_each_leg_of_a_mirror_is_as_long_as_the_segment(read_segment: Read, pvs: dict[str, str]) -> None:
    assert list(read_segment(MIRROR).footprint()) == [(pvs["pv0"], 4, 6), (pvs["pv1"], 9, 6)]


def test_stripes_of_an_unknown_type_share_the_length(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = read_segment('type = "striped+X" stripe_count = 2 stripes = ["pv0", 4, "pv1", 9]')
    assert list(segment.footprint()) == [(pvs["pv0"], 4, 3), (pvs["pv1"], 9, 3)]


def test_flags_of_a_type_are_kept_and_not_shown(read_segment: Read) -> None:
    segment = read_segment('type = "cache-pool+METADATA_FORMAT"')
    assert (segment.type_name, segment.shown_type) == ("cache-pool+METADATA_FORMAT", "cache-pool")


def test_opaque_segment_is_neither_mapped_nor_cut(read_segment: Read) -> None:
    segment = read_segment(MIRROR)
    with pytest.raises(RefusedError, match="mirror"):
        list(segment.targets(PlaceLookup(extent_size_sectors=1, pe_start_sectors={}, lv_ids={})))
    with pytest.raises(RefusedError, match="mirror"):
        segment.part(0, 1)


@pytest.mark.parametrize("kind", ["mirror", "raid6_zr", "thin+FLAG", "cache-pool", "error", "vdo"])
def test_types_of_lvm2_are_known(read_segment: Read, kind: str) -> None:
    assert not read_segment(f'type = "{kind}"').is_unknown
    assert read_segment('type = "acme"').is_unknown
