"""The segment type `striped`, with one stripe (linear) and with several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import FormatError, RefusedError
from cryptlv.model.mapping import LinearTarget, StripedTarget
from cryptlv.model.vg import PlaceLookup
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import Segment

    Read = Callable[[str], Segment]

LINEAR = 'type = "striped" stripe_count = 1 stripes = ["pv1", 4]'
TWO = 'type = "striped" stripe_count = 2 stripe_size = 128 stripes = ["pv0", 4, "pv1", 9]'


def striped(read_segment: Read, text: str) -> StripedSegment:
    segment = read_segment(text)
    assert isinstance(segment, StripedSegment)
    return segment


def test_one_stripe_is_shown_as_linear(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = striped(read_segment, LINEAR)
    assert (segment.type_name, segment.shown_type) == ("striped", "linear")
    assert list(segment.footprint()) == [(pvs["pv1"], 4, 6)]


def test_stripes_share_the_length(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = striped(read_segment, TWO)
    assert segment.shown_type == "striped"
    assert list(segment.footprint()) == [(pvs["pv0"], 4, 3), (pvs["pv1"], 9, 3)]


def test_items_are_written_as_stock_writes_them(read_segment: Read, pvs: dict[str, str]) -> None:
    words = {pv_id: word for word, pv_id in pvs.items()}
    assert [key for key, _ in striped(read_segment, LINEAR).render_items(words)] == ["stripe_count", "stripes"]
    assert list(striped(read_segment, TWO).render_items(words)) == [
        ("stripe_count", 2),
        ("stripe_size", 128),
        ("stripes", ("pv0", 4, "pv1", 9)),
    ]


def test_targets_are_in_sectors(read_segment: Read, pvs: dict[str, str]) -> None:
    lookup = PlaceLookup(extent_size_sectors=1024, pe_start_sectors={pvs["pv0"]: 2048, pvs["pv1"]: 10}, lv_ids={})
    (linear,) = striped(read_segment, LINEAR).targets(lookup)
    assert linear == LinearTarget(
        start_sectors=2048, length_sectors=6144, pv_id=pvs["pv1"], offset_sectors=10 + 4 * 1024
    )
    (two,) = striped(read_segment, TWO).targets(lookup)
    assert two == StripedTarget(
        start_sectors=2048,
        length_sectors=6144,
        chunk_sectors=128,
        stripes=((pvs["pv0"], 2048 + 4 * 1024), (pvs["pv1"], 10 + 9 * 1024)),
    )


def test_part_of_a_linear_segment_begins_further_on(read_segment: Read, pvs: dict[str, str]) -> None:
    part = striped(read_segment, LINEAR).part(2, 3)
    assert (part.start_le, part.length_le) == (4, 3)
    assert list(part.footprint()) == [(pvs["pv1"], 6, 3)]


def test_stripes_are_cut_at_whole_rows_of_extents_only(read_segment: Read, pvs: dict[str, str]) -> None:
    segment = striped(read_segment, TWO)
    assert list(segment.part(2, 4).footprint()) == [(pvs["pv0"], 5, 2), (pvs["pv1"], 10, 2)]
    for skip, length in ((1, 4), (2, 3)):
        with pytest.raises(RefusedError, match="multiples of 2"):
            segment.part(skip, length)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('type = "striped" stripes = ["pv0", 1]', "stripe_count"),
        ('type = "striped" stripe_count = 2 stripes = ["pv0", 1]', "stripe_count"),
        ('type = "striped" stripe_count = "1" stripes = ["pv0", 1]', "stripe_count"),
        ('type = "striped" stripe_count = 1', "stripe_count"),
        ('type = "striped" stripe_count = 1 stripes = ["pv0"]', "stripes"),
        (TWO.replace("128", '"x"'), "stripe_size"),
    ],
)
def test_wrong_field_is_refused_with_the_volume_and_segment(read_segment: Read, text: str, field: str) -> None:
    with pytest.raises(FormatError, match="vg/lv segment1") as caught:
        read_segment(text)
    assert caught.value.field == field


def test_new_names_of_volumes_below(read_segment: Read) -> None:
    segment = read_segment('type = "striped" stripe_count = 1 stripes = ["a", 2]')
    assert dict(segment.with_names({"a": "b"}).render_items({}))["stripes"] == ("b", 2)
    assert segment.with_names({"c": "d"}) == segment
