"""Segments that go on are joined, as lvm2 joins them, and no others."""

from __future__ import annotations

import pytest

from cryptlv.model.merge import merge_segments
from cryptlv.model.vg import LogicalVolume, LvArea, PvArea, Segment
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment


def striped(start_le: int, length_le: int, *starts: int, pv: str = "A", size: int = 128) -> StripedSegment:
    areas = tuple(PvArea(pv_id=pv + str(number), start_pe=start) for number, start in enumerate(starts))
    return StripedSegment(
        start_le=start_le, length_le=length_le, areas=areas, stripe_size_sectors=size if len(areas) > 1 else 0
    )


def tagged(start_le: int, length_le: int, start_pe: int) -> StripedSegment:
    return striped(start_le, length_le, start_pe).replace(tags=("t",))


def crypt(start_le: int, length_le: int, start_pe: int, store: str = "s", base: int = 0) -> CryptSegment:
    area = PvArea(pv_id="A", start_pe=start_pe)
    return CryptSegment(
        start_le=start_le, length_le=length_le, areas=(area,), crypto_store=store, iv_base_sectors=base
    )


def on_lv(start_le: int, length_le: int, start: int) -> tuple[StripedSegment, CryptSegment]:
    area = LvArea(lv_name="x", start_le=start)
    return (
        StripedSegment(start_le=start_le, length_le=length_le, areas=(area,)),
        CryptSegment(start_le=start_le, length_le=length_le, areas=(area,), crypto_store="s"),
    )


JOINED: dict[str, tuple[Segment, Segment, Segment]] = {
    "linear": (striped(0, 3, 5), striped(3, 2, 8), striped(0, 5, 5)),
    "striped": (striped(0, 6, 5, 9), striped(6, 2, 8, 12), striped(0, 8, 5, 9)),
    "crypt": (crypt(0, 3, 5), crypt(3, 1, 8), crypt(0, 4, 5)),
    "crypt on a volume": (on_lv(0, 2, 0)[1], on_lv(2, 3, 2)[1], on_lv(0, 5, 0)[1]),
    "tagged": (tagged(0, 1, 0), tagged(1, 1, 1), tagged(0, 2, 0)),
}
APART: dict[str, tuple[Segment, Segment]] = {
    "a gap": (striped(0, 3, 5), striped(3, 2, 9)),
    "backwards": (striped(0, 3, 5), striped(3, 2, 2)),
    "another pv": (striped(0, 3, 5), striped(3, 2, 8, pv="B")),
    "one stripe goes elsewhere": (striped(0, 6, 5, 9), striped(6, 2, 8, 13)),
    "more stripes": (striped(0, 3, 5), striped(3, 2, 8, 0)),
    "another stripe size": (striped(0, 6, 5, 9), striped(6, 2, 8, 12, size=64)),
    "tags": (striped(0, 3, 5), striped(3, 2, 8).replace(tags=("t",))),
    "linear on a volume, as with lvm2": (on_lv(0, 2, 0)[0], on_lv(2, 3, 2)[0]),
    "linear and crypt": (striped(0, 3, 5), crypt(3, 2, 8)),
    "another keystore": (crypt(0, 3, 5), crypt(3, 2, 8, store="t")),
    "another iv_base": (crypt(0, 3, 5), crypt(3, 2, 8, base=2**40)),
    "data inside an extent": (crypt(0, 3, 5).replace(area_offset_sectors=8), crypt(3, 2, 8)),
    "keystores": (
        KeystoreSegment(start_le=0, length_le=1, handler="h", areas=(PvArea(pv_id="A", start_pe=0),)),
        KeystoreSegment(start_le=1, length_le=1, handler="h", areas=(PvArea(pv_id="A", start_pe=1),)),
    ),
    "unknown": (
        OpaqueSegment(start_le=0, length_le=1, type_word="error"),
        OpaqueSegment(start_le=1, length_le=1, type_word="error"),
    ),
}


def volume(*segments: Segment) -> LogicalVolume:
    return LogicalVolume(name="x", id="x", segments=segments)


@pytest.mark.parametrize("name", JOINED)
def test_what_goes_on_is_one(name: str) -> None:
    first, second, one = JOINED[name]
    assert merge_segments(volume(first, second)) == volume(one)


@pytest.mark.parametrize("name", APART)
def test_what_does_not_stays_apart(name: str) -> None:
    lv = volume(*APART[name])
    assert merge_segments(lv) is lv


def test_runs_of_many_become_one_each() -> None:
    pieces = [striped(number, 1, number if number < 5 else number + 3) for number in range(9)]
    assert merge_segments(volume(*pieces)) == volume(striped(0, 5, 0), striped(5, 4, 8))
