"""Segments that go on in the next are one: linear, striped and encrypted ones."""

from __future__ import annotations

import pytest

from cryptlv.model.merge import merge_segments, merged
from cryptlv.model.vg import LogicalVolume, LvArea, PvArea, Segment
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment


def linear(start_le: int, length_le: int, start_pe: int, pv_id: str = "a") -> StripedSegment:
    return StripedSegment(start_le=start_le, length_le=length_le, areas=(PvArea(pv_id=pv_id, start_pe=start_pe),))


def crypt(start_le: int, length_le: int, start_pe: int, **more: object) -> CryptSegment:
    area = PvArea(pv_id="a", start_pe=start_pe)
    return CryptSegment(start_le=start_le, length_le=length_le, crypto_store="s", areas=(area,)).replace(**more)


def test_linear_segments_in_a_row_are_one() -> None:
    assert merged([linear(0, 3, 10), linear(3, 2, 13), linear(5, 1, 15)]) == (linear(0, 6, 10),)
    lv = LogicalVolume(name="x", id="y", segments=(linear(0, 3, 10), linear(3, 2, 13)))
    assert merge_segments(lv).segments == (linear(0, 5, 10),)


def test_stripes_go_on_on_every_pv() -> None:
    def striped(start_le: int, length_le: int, *starts: int, size: int = 128) -> StripedSegment:
        areas = tuple(PvArea(pv_id=name, start_pe=start) for name, start in zip("ab", starts, strict=True))
        return StripedSegment(start_le=start_le, length_le=length_le, areas=areas, stripe_size_sectors=size)

    assert merged([striped(0, 6, 1, 5), striped(6, 4, 4, 8)]) == (striped(0, 10, 1, 5),)
    assert len(merged([striped(0, 6, 1, 5), striped(6, 4, 4, 9)])) == 2
    assert len(merged([striped(0, 6, 1, 5), striped(6, 4, 4, 8, size=64)])) == 2


@pytest.mark.parametrize(
    "second",
    [
        linear(3, 2, 14),
        linear(3, 2, 13, "b"),
        linear(4, 2, 13),
        linear(3, 2, 13).replace(tags=("t",)),
        linear(3, 2, 13).replace(extra=(("k", 1),)),
        OpaqueSegment(start_le=3, length_le=2, type_word="error"),
        crypt(3, 2, 13),
    ],
)
def test_what_does_not_follow_or_is_another_thing_stays_apart(second: Segment) -> None:
    assert len(merged([linear(0, 3, 10), second])) == 2
    assert len(merged([second, linear(0, 3, 10)])) == 2


def test_encrypted_segments_need_the_same_key_and_tweaks() -> None:
    first = crypt(0, 3, 10)
    assert merged([first, crypt(3, 2, 13)]) == (crypt(0, 5, 10),)
    for other in (
        crypt(3, 2, 13, crypto_store="t"),
        crypt(3, 2, 13, iv_base_sectors=8),
        crypt(3, 2, 13, area_offset_sectors=8),
        crypt(4, 2, 13),
    ):
        assert len(merged([first, other])) == 2
    over = [crypt(0, 3, 0, areas=(LvArea(lv_name="h", start_le=0),)), crypt(3, 1, 0)]
    over[1] = over[1].replace(areas=(LvArea(lv_name="h", start_le=3),))
    assert len(merged(over)) == 1
