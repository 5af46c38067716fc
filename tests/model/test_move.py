"""What is moved and where to. That the choice is lvm2's is shown in compat/test_pvmove_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.model.check import check
from cryptlv.model.move import (
    Move,
    Piece,
    Place,
    allocate_for_move,
    apply_moves,
    check_apart,
    destinations,
    find_pieces,
    first_moves,
    freed_extents,
    parse_ranges,
)
from cryptlv.model.vg import LogicalVolume, PvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import PhysicalVolume, Segment


@pytest.fixture
def vg(pv: Callable[[int, int], PhysicalVolume]) -> VolumeGroup:
    """Three PVs of 20 extents: a linear volume and a striped one, an encrypted one whose data begin inside an extent,
    and its keystore."""
    pvs = tuple(pv(number, 20) for number in range(3))
    a, b, _ = (each.id for each in pvs)

    def lv(name: str, *segments: Segment) -> LogicalVolume:
        return LogicalVolume(name=name, id=f"lvlvlv-lvlv-lvlv-lvlv-lvlv-lvlv-{name[:6]:v<6}", segments=segments)

    lvs = (
        lv("linear", StripedSegment(start_le=0, length_le=4, areas=(PvArea(pv_id=a, start_pe=0),))),
        lv(
            "striped",
            StripedSegment(
                start_le=0,
                length_le=6,
                areas=(PvArea(pv_id=a, start_pe=4), PvArea(pv_id=b, start_pe=0)),
                stripe_size_sectors=128,
            ),
        ),
        lv(
            "secret",
            CryptSegment(
                start_le=0,
                length_le=4,
                areas=(PvArea(pv_id=a, start_pe=8),),
                crypto_store="cryptostore1",
                area_offset_sectors=9,
            ),
        ),
        lv(
            "cryptostore1",
            KeystoreSegment(start_le=0, length_le=3, handler="luks1", areas=(PvArea(pv_id=a, start_pe=13),)),
        ).replace(status=("READ",)),
    )
    made = VolumeGroup(name="vg", id="vgvgvg-vgvg-vgvg-vgvg-vgvg-vgvg-vgvgvg", seqno=1, pvs=pvs, lvs=lvs)
    assert not check(made)
    return made


def pieces_of(vg: VolumeGroup, *ranges: tuple[int, int]) -> list[tuple[str, int, int, int]]:
    source = Place(pv_id=vg.pvs[0].id, ranges=ranges or ((0, 20),))
    pieces = find_pieces(vg, source, lambda _: True)
    return [(piece.lv_name, piece.start_le, piece.source.start_pe, piece.length_pe) for piece in pieces]


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ((), [("linear", 0, 0, 4), ("striped", 0, 4, 3), ("secret", 0, 8, 4), ("cryptostore1", 0, 13, 3)]),
        (((1, 2),), [("linear", 1, 1, 2)]),
        (((0, 1), (3, 1)), [("linear", 0, 0, 1), ("linear", 3, 3, 1)]),
        (((5, 1),), [("striped", 2, 5, 1)]),
        (((10, 1),), [("secret", 1, 9, 2)]),
        (((8, 1),), [("secret", 0, 8, 1)]),
        (((12, 1),), [("secret", 3, 11, 1)]),
        (((14, 1),), [("cryptostore1", 0, 13, 3)]),
        (((17, 3),), []),
    ],
)
def test_the_extents_that_are_meant_are_found(
    vg: VolumeGroup, ranges: tuple[tuple[int, int], ...], expected: list[tuple[str, int, int, int]]
) -> None:
    assert pieces_of(vg, *ranges) == expected


def test_only_volumes_that_are_meant_are_looked_at(vg: VolumeGroup) -> None:
    source = Place(pv_id=vg.pvs[0].id, ranges=((0, 20),))
    pieces = find_pieces(vg, source, lambda lv: lv.name == "striped")
    assert [(piece.lv_name, piece.le_per_pe, piece.beside) for piece in pieces] == [
        ("striped", 2, frozenset((vg.pvs[0].id, vg.pvs[1].id)))
    ]


def plan(vg: VolumeGroup, policy: str = "normal", *named: Place) -> tuple[Move, ...]:
    source = Place(pv_id=vg.pvs[0].id, ranges=((0, 20),))
    return allocate_for_move(
        vg, find_pieces(vg, source, lambda _: True), destinations(vg, source, named, policy), policy
    )


def test_everything_moves_and_the_volumes_keep_their_extents(vg: VolumeGroup) -> None:
    after = apply_moves(vg, plan(vg))
    assert not check(after)
    assert not [place for lv in after.lvs for s in lv.segments for place in s.footprint() if place[0] == vg.pvs[0].id]
    assert [lv.length_le for lv in after.lvs] == [lv.length_le for lv in vg.lvs]
    (secret,) = after.lv("secret").segments
    assert isinstance(secret, CryptSegment)
    assert secret.area_offset_sectors == 0
    (striped,) = after.lv("striped").segments
    assert isinstance(striped, StripedSegment)
    assert striped.areas[0].pv_id == vg.pvs[2].id, "not beside the other stripe"  # type: ignore[union-attr]


def test_moves_can_be_applied_in_any_parts(vg: VolumeGroup) -> None:
    moves = plan(vg)
    whole = apply_moves(vg, moves)
    for size in (1, 2, 5):
        group, left = vg, moves
        while left:
            now, left = first_moves(left, size)
            if not now:
                now, left = first_moves(left, 3)  # a keystore is not cut
            group = apply_moves(group, now)
            assert not check(group)
        assert group == whole


def test_a_keystore_goes_into_one_run(vg: VolumeGroup) -> None:
    b = vg.pvs[1].id
    source = Place(pv_id=vg.pvs[0].id, ranges=((13, 3),))
    pieces = find_pieces(vg, source, lambda _: True)
    holes = Place(pv_id=b, ranges=((3, 2), (6, 2), (9, 2)))
    with pytest.raises(NoSpaceError, match="Insufficient suitable allocatable extents"):
        allocate_for_move(vg, pieces, (holes,), "anywhere")
    (move,) = allocate_for_move(vg, pieces, (holes.replace(ranges=((3, 2), (6, 3))),), "normal")
    assert move.target == PvArea(pv_id=b, start_pe=6)


def test_without_room_nothing_is_found(vg: VolumeGroup) -> None:
    b, c = vg.pvs[1].id, vg.pvs[2].id
    with pytest.raises(NoSpaceError, match="Insufficient free space: 14 extents needed, but only 5 available"):
        plan(vg, "normal", Place(pv_id=c, ranges=((0, 5),)))
    with pytest.raises(NoSpaceError, match="contiguous"):
        plan(vg, "contiguous")
    with pytest.raises(NoSpaceError, match="No extents available"):
        plan(vg, "normal", Place(pv_id=vg.pvs[0].id, ranges=((0, 20),)))
    source = Place(pv_id=vg.pvs[0].id, ranges=((4, 3),))
    pieces = find_pieces(vg, source, lambda _: True)
    with pytest.raises(NoSpaceError, match="3 more required"):  # the other stripe is on that PV
        allocate_for_move(vg, pieces, (Place(pv_id=b, ranges=((3, 17),)),), "normal")


def test_a_pv_that_must_not_be_allocated_from_is_not(vg: VolumeGroup) -> None:
    closed = vg.replace(pvs=(vg.pvs[0], vg.pvs[1], vg.pvs[2].replace(status=())))
    with pytest.raises(NoSpaceError):
        plan(closed, "normal", Place(pv_id=vg.pvs[2].id, ranges=((0, 20),)))


def test_the_first_extents_of_moves() -> None:
    def a_move(start: int, length: int, *, whole: bool = False) -> Move:
        source = PvArea(pv_id="a", start_pe=start)
        piece = Piece(
            lv_name="x",
            start_le=2 * start,
            number=0,
            le_per_pe=2,
            source=source,
            length_pe=length,
            is_indivisible=whole,
        )
        return Move(piece=piece, target=PvArea(pv_id="b", start_pe=start + 100))

    moves = (a_move(0, 3), a_move(3, 4, whole=True), a_move(7, 2))
    assert first_moves(moves, 0) == ((), moves)
    assert first_moves(moves, 2) == ((a_move(0, 2),), (a_move(2, 1), *moves[1:]))
    assert first_moves(moves, 3) == (moves[:1], moves[1:])
    assert first_moves(moves, 6) == (moves[:1], moves[1:])
    assert first_moves(moves, 8) == ((*moves[:2], a_move(7, 1)), (a_move(8, 1),))
    assert first_moves(moves, 9) == (moves, ())


def test_freed_extents_are_those_that_nobody_uses_any_more(vg: VolumeGroup) -> None:
    a, b = vg.pvs[0].id, vg.pvs[1].id
    assert freed_extents(vg, vg) == ()
    without = vg.replace(lvs=vg.lvs[1:])
    assert freed_extents(vg, without) == ((a, 0, 4),)
    (linear,) = vg.lv("linear").segments
    shorter = vg.with_lv(vg.lv("linear").replace(segments=(linear.part(0, 1),)))
    assert freed_extents(vg, shorter) == ((a, 1, 3),)
    assert set(freed_extents(vg, vg.replace(lvs=()))) == {(a, 0, 4), (a, 4, 3), (a, 8, 5), (a, 13, 3), (b, 0, 3)}


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", ((0, 20),)), (":5", ((5, 1),)), (":5-7", ((5, 3),)), (":5-", ((5, 15),)), (":-7", ((0, 8),)),
        (":-", ((0, 20),)), (":5+3", ((5, 3),)), (":5+0", ((5, 1),)), (":1-2:4", ((1, 2), (4, 1))),
        (":+3", ((0, 3),)), (":5+", ((5, 15),)),
    ],
)  # fmt: skip
def test_ranges_are_read_as_lvm2_reads_them(text: str, ranges: tuple[tuple[int, int], ...]) -> None:
    assert parse_ranges(text, 20) == ranges


@pytest.mark.parametrize("text", [":", "::", ":x", ":1-x", ":1:", ":7-5", ":0-20", ":20", ":1-2-3", ":²", ":1+2+3"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        parse_ranges(text, 20)


def test_ranges_that_overlap_are_refused() -> None:
    check_apart(((3, 2), (0, 3)), "d")
    with pytest.raises(RefusedError, match=r"Overlapping PE ranges specified \(2-4, 0-2\) on d"):
        check_apart(((2, 3), (0, 3)), "d")
