"""Plans of conversions on volumes of any shape, tried on bytes: copied, committed, read through the new mapping."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.model.check import check
from cryptlv.model.convert import Conversion, Makers, Payload, Place, places_of, plan_export, plan_import
from cryptlv.model.mapping import map_volume
from cryptlv.model.vg import LogicalVolume, LvArea, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from cryptlv.model.vg import Area, Segment

SIZE = 8
"""Sectors of an extent; a sector is a number here."""
IDS = ("aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa", "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb")
PES = 60


def lv_id(name: str) -> str:
    return f"lvlvlv-lvlv-lvlv-lvlv-lvlv-lvlv-{name[-6:]:v<6}"


def linear(start_le: int, length_le: int, area: Area) -> Segment:
    return StripedSegment(start_le=start_le, length_le=length_le, areas=(area,))


def crypt(start_le: int, length_le: int, area: Area, offset_sectors: int) -> Segment:
    return CryptSegment(
        start_le=start_le, length_le=length_le, crypto_store="cryptostore1", areas=(area,),
        area_offset_sectors=offset_sectors,
    )  # fmt: skip


def store(area: PvArea | None, length_le: int) -> LogicalVolume:
    segment = KeystoreSegment(start_le=0, length_le=length_le, handler="luks1", areas=(area,) if area else ())
    return LogicalVolume(name="cryptostore1", id=lv_id("store1"), status=("READ",), segments=(segment,))


def hidden(name: str, segments: tuple[Segment, ...]) -> LogicalVolume:
    return LogicalVolume(name=name, id=lv_id("hidden"), status=("READ", "WRITE"), segments=segments)


MAKE = Makers(linear=linear, crypt=crypt, store=store, hidden=hidden)


def group(*lvs: LogicalVolume) -> VolumeGroup:
    pvs = tuple(
        PhysicalVolume(id=pv_id, device=f"/d{number}", pe_start_sectors=3, pe_count=PES)
        for number, pv_id in enumerate(IDS)
    )
    vg = VolumeGroup(
        name="vg0", id="vgvgvg-vgvg-vgvg-vgvg-vgvg-vgvg-vgvgvg", seqno=1, extent_size_sectors=SIZE, pvs=pvs, lvs=lvs
    )
    assert not check(vg)
    return vg


def volume(*segments: Segment) -> LogicalVolume:
    return LogicalVolume(name="lv", id=lv_id("lv"), segments=segments)


def shaped(rng: random.Random, stripes: int) -> LogicalVolume:
    """A volume of random pieces, some of which follow each other, those of stripes in rows."""
    free = {pv_id: rng.randrange(3) for pv_id in IDS}
    segments: list[Segment] = []
    for _ in range(rng.randint(1, 4)):
        length = rng.randint(1, 4)
        pvs = rng.sample(IDS, stripes) if stripes > 1 else [rng.choice(IDS)]
        areas = tuple(PvArea(pv_id=pv_id, start_pe=free[pv_id]) for pv_id in pvs)
        for pv_id in pvs:
            free[pv_id] += length + rng.choice((0, 0, 1, 2))
        start = segments[-1].end_le if segments else 0
        size = 2 if stripes > 1 else 0
        segments.append(
            StripedSegment(start_le=start, length_le=length * stripes, areas=areas, stripe_size_sectors=size)
        )
    return volume(*segments)


class Disk:
    """Sectors by (pv, number), each some object."""

    def __init__(self) -> None:
        self.sectors: dict[tuple[str, int], object] = {}

    def read(self, vg: VolumeGroup, start: int, length: int) -> list[object]:
        places = places_of(map_volume(vg, vg.lv("lv")), start, length)
        assert sum(place.length_sectors for place in places) == length
        return [self.sectors.get(sector) for place in places for sector in sectors(place)]

    def write(self, vg: VolumeGroup, values: list[object]) -> None:
        places = places_of(map_volume(vg, vg.lv("lv")), 0, len(values))
        for sector, value in zip((s for place in places for s in sectors(place)), values, strict=True):
            self.sectors[sector] = value


def sectors(place: Place) -> list[tuple[str, int]]:
    return [(place.pv_id, number) for number in range(place.start_sectors, place.end_sectors)]


def perform(disk: Disk, before: VolumeGroup, plan: Conversion, data_start: int, data: int) -> None:
    """Do what a plan says, in any order, and see that nothing that is in use before is written over."""
    live = {
        sector
        for place in places_of(map_volume(before, before.lv("lv")), data_start, data)
        for sector in sectors(place)
    }
    written = [*plan.blanks, *plan.header, *(copy.target for copy in plan.copies)]
    targets = [sector for place in written for sector in sectors(place)]
    assert len(targets) == len(set(targets)), "no place is written twice"
    assert live.isdisjoint(targets), "nothing goes where data are before the commit"
    used = {
        (pv_id, before.pv(pv_id).pe_start_sectors + pe * SIZE + sector)
        for lv in before.lvs
        if lv.name not in ("lv", "lv_cryptdata", plan.store_name)
        for segment in lv.segments
        for pv_id, start, length in segment.footprint()
        for pe in range(start, start + length)
        for sector in range(SIZE)
    }
    assert used.isdisjoint(targets), "nor where other volumes are"
    assert not check(plan.after)
    assert not live.intersection(sectors_of(plan.stale)) or data_start == 0
    source = {sector: disk.sectors.get(sector) for copy in plan.copies for sector in sectors(copy.source)}
    for copy in plan.copies:
        for old, new in zip(sectors(copy.source), sectors(copy.target), strict=True):
            disk.sectors[new] = source[old]
    for blank in plan.blanks:
        for sector in sectors(blank):
            disk.sectors[sector] = 0


def sectors_of(places: tuple[Place, ...]) -> set[tuple[str, int]]:
    return {sector for place in places for sector in sectors(place)}


@pytest.mark.parametrize("stripes", [1, 2])
def test_data_of_volumes_of_any_shape_are_the_same_after_import_and_after_export(stripes: int) -> None:
    rng = random.Random(stripes)
    kinds = set()
    for _ in range(400):
        lv = shaped(rng, stripes)
        vg = group(lv)
        total = lv.length_le * SIZE
        payload = Payload(offset_sectors=rng.randint(1, total - 1), header_sectors=1, is_in_front=True)
        payload = payload.replace(header_sectors=rng.randint(1, payload.offset_sectors))
        data = total - payload.offset_sectors
        disk = Disk()
        values: list[object] = [*(("header", n) for n in range(payload.offset_sectors)), *range(1, data + 1)]
        disk.write(vg, values)
        plan = plan_import(vg, lv, payload, MAKE)
        perform(disk, vg, plan, payload.offset_sectors, data)
        after = plan.after.lv("lv")
        length = after.length_le * SIZE
        assert 0 <= length - data < SIZE
        assert disk.read(plan.after, 0, length) == [*range(1, data + 1), *([0] * (length - data))]
        headers = {s for s, value in disk.sectors.items() if isinstance(value, tuple)} - sectors_of(plan.stale)
        ((pv_id, start, count),) = plan.after.lv("cryptostore1").segments[0].footprint()
        there = {(pv_id, 3 + start * SIZE + n) for n in range(count * SIZE)}
        assert headers <= there, "no header stays outside the keystore"
        assert bool(plan.header) != bool(headers), "it is copied, or stays where it is"
        kinds.add((bool(plan.header), bool(plan.copies), after.segments[0].data_offset_sectors > 0))
        for in_front in (False, True):
            _export(rng, disk, plan, length, data, in_front=in_front)
    assert len(kinds) >= 2


def _export(rng: random.Random, disk: Disk, imported: Conversion, length: int, data: int, *, in_front: bool) -> None:
    vg = imported.after
    other = Disk()
    other.sectors = dict(disk.sectors)
    offset = vg.lv("lv").segments[0].data_offset_sectors
    size = rng.choice((1, max(offset, 1), SIZE + 3)) if in_front else min(1, offset)
    try:
        plan = plan_export(vg, vg.lv("lv"), size, MAKE, in_front=in_front)
    except RefusedError as error:
        assert "stripes" in str(error)
        return
    perform(other, vg, plan, 0, length)
    assert {lv.name for lv in plan.after.lvs} == {"lv"}
    found = other.read(plan.after, plan.data_offset_sectors, length)
    assert found[:data] == list(range(1, data + 1))
    assert all(segment.type_name == "striped" for segment in plan.after.lv("lv").segments)
    if in_front:
        header = sectors_of(plan.header)
        assert len(header) == size <= plan.data_offset_sectors
        assert header.isdisjoint(sectors_of(plan.stale))


def test_the_seeds_example_of_four_extents_is_a_keystore_of_one_and_a_volume_of_three_where_they_are() -> None:
    lv = volume(linear(0, 4, PvArea(pv_id=IDS[0], start_pe=7)))
    plan = plan_import(group(lv), lv, Payload(offset_sectors=SIZE, header_sectors=5, is_in_front=True), MAKE)
    assert (plan.header, plan.copies, plan.blanks, plan.stale) == ((), (), (), ())
    assert list(plan.after.lv("cryptostore1").segments[0].footprint()) == [(IDS[0], 7, 1)]
    assert plan.after.lv("lv").segments == (crypt(0, 3, PvArea(pv_id=IDS[0], start_pe=8), 0),)
    back = plan_export(plan.after, plan.after.lv("lv"), 5, MAKE, in_front=True)
    assert back.after.lvs == (lv,)
    assert (back.copies, back.stale, back.data_offset_sectors) == ((), (), SIZE)


def test_unaligned_data_in_one_piece_need_one_extent_for_the_header_and_one_for_the_end() -> None:
    lv = volume(linear(0, 4, PvArea(pv_id=IDS[0], start_pe=7)))
    plan = plan_import(group(lv), lv, Payload(offset_sectors=3, header_sectors=2, is_in_front=True), MAKE)
    first, last = plan.after.lv("lv").segments
    assert first == crypt(0, 3, PvArea(pv_id=IDS[0], start_pe=7), 3)
    assert (last.start_le, last.length_le, last.data_offset_sectors) == (3, 1, 0)
    assert [copy.source for copy in plan.copies] == [
        Place(pv_id=IDS[0], start_sectors=3 + 10 * 8 + 3, length_sectors=5)
    ]
    assert plan.stale == (Place(pv_id=IDS[0], start_sectors=3 + 7 * 8, length_sectors=3),)


def test_no_free_extent_and_no_data_are_refused() -> None:
    lv = volume(
        linear(0, PES, PvArea(pv_id=IDS[0], start_pe=0)), linear(PES, PES - 1, PvArea(pv_id=IDS[1], start_pe=0))
    )
    with pytest.raises(NoSpaceError, match=r"0 extents free, 2 required"):
        plan_import(group(lv), lv, Payload(offset_sectors=3, header_sectors=2, is_in_front=True), MAKE)
    short = volume(linear(0, 2, PvArea(pv_id=IDS[0], start_pe=7)))
    with pytest.raises(RefusedError, match="before its data begin"):
        plan_import(group(short), short, Payload(offset_sectors=16, header_sectors=2, is_in_front=True), MAKE)


def test_what_no_header_can_say_is_refused() -> None:
    area = PvArea(pv_id=IDS[0], start_pe=7)
    kept = store(PvArea(pv_id=IDS[1], start_pe=0), 1)
    lv = volume(crypt(0, 2, area, 3))
    with pytest.raises(RefusedError, match="pvmove"):
        plan_export(group(lv, kept), lv, 4, MAKE, in_front=False)
    mixed = volume(crypt(0, 2, area, 3), crypt(2, 1, area.replace(start_pe=20), 4))
    with pytest.raises(RefusedError, match="pvmove"):
        plan_export(group(mixed, kept), mixed, 1, MAKE, in_front=False)


def test_the_header_of_a_shared_keystore_is_copied_and_the_need_for_extents_is_said() -> None:
    kept = store(PvArea(pv_id=IDS[1], start_pe=0), 2)
    lv = volume(crypt(0, 2, PvArea(pv_id=IDS[0], start_pe=7), 0))
    first, second = (PvArea(pv_id=pv_id, start_pe=0) for pv_id in IDS)
    user = LogicalVolume(name="other", id=lv_id("other"), segments=(crypt(0, 1, first, 0),))
    plan = plan_export(group(lv, user, kept), lv, 9, MAKE, in_front=True)
    assert {other.name for other in plan.after.lvs} == {"lv", "other", "cryptostore1"}
    assert (plan.data_offset_sectors, plan.stale) == (16, ())
    pieces = (linear(0, PES - 9, first.replace(start_pe=9)), linear(PES - 9, PES - 2, second.replace(start_pe=2)))
    full = LogicalVolume(name="full", id=lv_id("full"), segments=pieces)
    with pytest.raises(NoSpaceError, match="6 extents free, 7 required"):
        plan_export(group(lv, user, kept, full), lv, 49, MAKE, in_front=True)


def test_places_go_through_stripes_and_hidden_volumes() -> None:
    areas = tuple(PvArea(pv_id=pv_id, start_pe=2) for pv_id in IDS)
    below = hidden("lv_cryptdata", (StripedSegment(start_le=0, length_le=4, areas=areas, stripe_size_sectors=4),))
    lv = volume(crypt(0, 2, LvArea(lv_name="lv_cryptdata", start_le=1), 2))
    vg = group(lv, below, store(PvArea(pv_id=IDS[0], start_pe=0), 1))
    base = 3 + 2 * SIZE
    # sector 10 of the stripes is the third of chunk 2, the first stripe's second
    assert places_of(map_volume(vg, lv), 0, 5) == (
        Place(pv_id=IDS[0], start_sectors=base + 4 + 2, length_sectors=2),
        Place(pv_id=IDS[1], start_sectors=base + 4, length_sectors=3),
    )
