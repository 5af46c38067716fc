"""What a volume's segments are when it has become longer or shorter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import RefusedError
from cryptlv.model.allocate import Piece
from cryptlv.model.check import check
from cryptlv.model.edit import add_lvs
from cryptlv.model.resize import base_of, extended, freed_extents, neighbours_of, reduced
from cryptlv.model.vg import LogicalVolume, LvArea, PvArea, Segment, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from collections.abc import Callable


def linear(start_le: int, piece: Piece) -> Segment:
    return StripedSegment(start_le=start_le, length_le=piece.length_le, areas=piece.areas)


def piece(pv_id: str, start_pe: int, length_pe: int) -> Piece:
    return Piece(areas=(PvArea(pv_id=pv_id, start_pe=start_pe),), length_pe=length_pe)


@pytest.fixture
def stacked(sound_vg: VolumeGroup) -> VolumeGroup:
    """An encrypted volume over a hidden one of two stripes."""
    first, second = (pv.id for pv in sound_vg.pvs)
    below = LogicalVolume(
        name="top_cryptdata",
        id="b" * 32,
        status=("READ", "WRITE"),
        segments=(
            StripedSegment(
                start_le=0,
                length_le=6,
                areas=(PvArea(pv_id=first, start_pe=10), PvArea(pv_id=second, start_pe=15)),
                stripe_size_sectors=128,
            ),
        ),
    )
    over = CryptSegment(
        start_le=0, length_le=6, crypto_store="cryptostore1", areas=(LvArea(lv_name=below.name, start_le=0),),
        iv_base_sectors=2**41,
    )  # fmt: skip
    vg = add_lvs(sound_vg, LogicalVolume(name="top", id="t" * 32, segments=(over,)), below)
    assert check(vg) == ()
    return vg


def test_what_follows_on_the_disk_is_one_segment(sound_vg: VolumeGroup) -> None:
    lv = sound_vg.lv("lin")  # 4 extents from 2 on
    second = sound_vg.pvs[1].id
    after = extended(sound_vg, lv, (piece(sound_vg.pvs[0].id, 6, 2), piece(second, 11, 3)), linear)
    assert [part.footprint() is not None and list(part.footprint()) for part in after.lv("lin").segments] == [
        [(second, 2, 4)], [(sound_vg.pvs[0].id, 6, 2)], [(second, 11, 3)],
    ]  # fmt: skip
    assert check(after) == ()
    again = extended(after, after.lv("lin"), (piece(second, 14, 1),), linear)
    assert again.lv("lin").segments[-1].length_le == 4
    assert freed_extents(again, sound_vg) == ((sound_vg.pvs[0].id, 6, 2), (second, 11, 4))
    assert freed_extents(sound_vg, again) == ()


def test_reducing_is_the_way_back(sound_vg: VolumeGroup) -> None:
    lv = sound_vg.lv("lin")
    after = extended(sound_vg, lv, (piece(sound_vg.pvs[0].id, 6, 2), piece(sound_vg.pvs[1].id, 11, 3)), linear)
    assert reduced(after, after.lv("lin"), 4) == sound_vg
    cut = reduced(after, after.lv("lin"), 5)
    assert [part.length_le for part in cut.lv("lin").segments] == [4, 1]


def test_an_encrypted_volume_keeps_key_and_tweaks(sound_vg: VolumeGroup) -> None:
    lv = sound_vg.lv("two")
    cut = reduced(sound_vg, lv, 3)
    assert cut.lv("two").segments == (lv.segments[0], lv.segments[1].replace(length_le=1))
    assert freed_extents(sound_vg, cut) == ((sound_vg.pvs[1].id, 7, 4),)


def test_a_stacked_volume_and_what_is_below_change_together(stacked: VolumeGroup) -> None:
    top = stacked.lv("top")
    assert base_of(stacked, top).name == "top_cryptdata"
    shorter = reduced(stacked, top, 4)
    assert check(shorter) == ()
    assert (shorter.lv("top").length_le, shorter.lv("top_cryptdata").length_le) == (4, 4)
    assert isinstance(segment := shorter.lv("top").segments[0], CryptSegment)
    assert segment.iv_base_sectors == 2**41
    first, second = (pv.id for pv in stacked.pvs)
    assert freed_extents(stacked, shorter) == ((first, 12, 1), (second, 17, 1))
    with pytest.raises(RefusedError, match="stripes"):
        reduced(stacked, top, 3)
    more = Piece(areas=(PvArea(pv_id=first, start_pe=13), PvArea(pv_id=second, start_pe=18)), length_pe=1)

    def make(start_le: int, piece: Piece) -> Segment:
        return StripedSegment(
            start_le=start_le, length_le=piece.length_le, areas=piece.areas, stripe_size_sectors=128
        )

    longer = extended(stacked, top, (more,), make)
    assert check(longer) == ()
    assert (longer.lv("top").length_le, longer.lv("top_cryptdata").length_le) == (8, 8)
    assert len(longer.lv("top_cryptdata").segments) == 1


def test_neighbours(stacked: VolumeGroup) -> None:
    first, second = (pv.id for pv in stacked.pvs)
    near = neighbours_of(stacked.lv("top_cryptdata"))
    assert near is not None
    assert near.last == (PvArea(pv_id=first, start_pe=13), PvArea(pv_id=second, start_pe=18))
    assert near.first_pv_ids == (first, second)
    assert neighbours_of(stacked.lv("top")) is None


def test_what_is_not_understood_is_not_resized(sound_vg: VolumeGroup, pv: Callable[[int, int], object]) -> None:
    lv = sound_vg.lv("lin")
    raid = lv.replace(segments=(OpaqueSegment(start_le=0, length_le=4, type_word="raid1"),))
    with pytest.raises(RefusedError, match="raid1"):
        base_of(sound_vg.with_lv(raid), raid)
    with pytest.raises(RefusedError, match="keystore"):
        base_of(sound_vg, sound_vg.lv("cryptostore1"))
