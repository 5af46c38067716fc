"""A group that is split and merged again is what it was, but for the order of things and the names of keystores."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.errors import RefusedError
from cryptlv.model.check import check
from cryptlv.model.split_merge import merge, rest_after, split
from cryptlv.model.vg import LogicalVolume, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment

EXTENTS = 30


@st.composite
def groups(draw: st.DrawFn, name: str = "vg") -> VolumeGroup:
    """Linear, striped and encrypted volumes, some of which share keystores with and without places."""
    pvs = [f"{name}-pv{number}" for number in range(draw(st.integers(1, 4)))]
    free = dict.fromkeys(pvs, 0)
    lvs: list[LogicalVolume] = []

    def take(pv_id: str, length: int) -> PvArea:
        free[pv_id] += length
        return PvArea(pv_id=pv_id, start_pe=free[pv_id] - length)

    def add(lv_name: str, *segments: StripedSegment | CryptSegment | KeystoreSegment, hidden: bool = False) -> None:
        status = ("READ",) if hidden else ("READ", "WRITE", "VISIBLE")
        lvs.append(LogicalVolume(name=lv_name, id=f"{name}-{lv_name}", status=status, segments=tuple(segments)))

    stores = draw(st.integers(0, 3))
    for number in range(1, stores + 1):
        place = (take(draw(st.sampled_from(pvs)), 1),) if draw(st.booleans()) else ()
        add(
            f"cryptostore{number}",
            KeystoreSegment(start_le=0, length_le=1, handler="luks1", areas=place),
            hidden=True,
        )
    for number in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["linear", "two", "striped", *(["crypt"] if stores else [])]))
        first, second = draw(st.sampled_from(pvs)), draw(st.sampled_from(pvs))
        if kind == "striped" and first == second:
            kind = "linear"
        if kind == "linear":
            add(f"{name}{number}", StripedSegment(start_le=0, length_le=2, areas=(take(first, 2),)))
        elif kind == "two":
            parts = (
                StripedSegment(start_le=2 * n, length_le=2, areas=(take(pv, 2),))
                for n, pv in enumerate((first, second))
            )
            add(f"{name}{number}", *parts)
        elif kind == "striped":
            areas = (take(first, 2), take(second, 2))
            add(f"{name}{number}", StripedSegment(start_le=0, length_le=4, stripe_size_sectors=8, areas=areas))
        else:
            store = f"cryptostore{draw(st.integers(1, stores))}"
            add(f"{name}{number}", CryptSegment(start_le=0, length_le=2, crypto_store=store, areas=(take(first, 2),)))
    return VolumeGroup(
        name=name,
        id=f"id-{name}",
        seqno=1,
        pvs=tuple(PhysicalVolume(id=pv, device=f"/{pv}", pe_start_sectors=2048, pe_count=EXTENTS) for pv in pvs),
        lvs=tuple(lvs),
    )


def shape(vg: VolumeGroup) -> tuple[object, ...]:
    """All but the order of things and the names of keystores, which are known by their ids."""
    ids = {lv.name: lv.id for lv in vg.lvs if not lv.is_visible}
    volumes = {
        lv.id: (
            lv.name if lv.is_visible else "",
            lv.status,
            tuple(segment.with_names(ids) for segment in lv.segments),
        )
        for lv in vg.lvs
    }
    return vg.name, vg.id, {pv.id: pv for pv in vg.pvs}, volumes


@settings(max_examples=300)
@given(groups(), st.data())
def test_split_then_merge_is_what_was(vg: VolumeGroup, data: st.DataObject) -> None:
    assert check(vg) == ()
    going = data.draw(st.lists(st.sampled_from([pv.id for pv in vg.pvs]), min_size=1, unique=True))
    empty = VolumeGroup(name="new", id="new", seqno=0)
    try:
        move = split(vg, empty, going, lambda: "unused")
    except RefusedError:
        return
    for side in (move.source, move.target):
        assert check(side) == ()
    assert {lv.id for lv in move.source.lvs}.isdisjoint(lv.id for lv in move.target.lvs)
    assert rest_after(vg, move.target) == move.source
    back = merge(move.target, move.source, lambda: "unused")
    assert check(back.target) == ()
    assert shape(back.target) == shape(vg)
    assert back.source.pvs == back.source.lvs == ()


@settings(max_examples=300)
@given(groups(), st.data())
def test_what_is_refused_is_really_torn(vg: VolumeGroup, data: st.DataObject) -> None:
    """An independent look: volumes and keystores as sets of physical volumes, grown until nothing changes."""
    going = set(data.draw(st.lists(st.sampled_from([pv.id for pv in vg.pvs]), min_size=1, unique=True)))
    reach = {lv.name: {pv_id for segment in lv.segments for pv_id, _, _ in segment.footprint()} for lv in vg.lvs}
    changed = True
    while changed:
        changed = False
        for lv in vg.lvs:
            for name in {store for segment in lv.segments for store in segment.keystores}:
                both = reach[lv.name] | reach[name]
                changed |= reach[lv.name] != reach[name]
                reach[lv.name] = reach[name] = both
    torn = any(places & going and places - going for places in reach.values())
    try:
        split(vg, VolumeGroup(name="new", id="new", seqno=0), sorted(going), lambda: "unused")
    except RefusedError:
        assert torn
    else:
        assert not torn


@settings(max_examples=200)
@given(groups(), groups("other"))
def test_merged_groups_have_the_volumes_of_both_with_their_keys(one: VolumeGroup, two: VolumeGroup) -> None:
    move = merge(two, one, lambda: "unused")
    assert check(move.target) == ()
    for vg in (one, two):
        _, _, pvs, volumes = shape(vg)
        _, _, all_pvs, all_volumes = shape(move.target)
        assert isinstance(pvs, dict)
        assert isinstance(all_pvs, dict)
        assert isinstance(volumes, dict)
        assert isinstance(all_volumes, dict)
        assert pvs.items() <= all_pvs.items()
        assert volumes.items() <= all_volumes.items()
