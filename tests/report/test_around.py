"""What display commands know of a group's volumes; stock's word on it is in compat/test_display_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.model.vg import LogicalVolume, PvArea
from cryptlv.report.around import Snapshot, is_partial, is_snapshot_record, look_around
from cryptlv.report.rows import seen_group
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item
    from cryptlv.report.rows import SeenGroup

HIDDEN = ("READ", "WRITE")


def opaque(name: str, kind: str, *body: Item, status: tuple[str, ...] = HIDDEN) -> LogicalVolume:
    segment = OpaqueSegment(start_le=0, length_le=1, type_word=kind, body=body)
    return LogicalVolume(name=name, id=f"id-{name}", status=status, segments=(segment,))


def linear(name: str, pv_id: str, *, status: tuple[str, ...] = HIDDEN) -> LogicalVolume:
    segment = StripedSegment(start_le=0, length_le=1, areas=(PvArea(pv_id=pv_id, start_pe=0),))
    return LogicalVolume(name=name, id=f"id-{name}", status=status, segments=(segment,))


def with_lvs(seen: SeenGroup, *lvs: LogicalVolume) -> SeenGroup:
    return seen_group(seen.vg.replace(lvs=lvs), seen.pvs, seen.active_ids)


def test_a_snapshot_is_seen_when_its_origin_is_and_its_record_never(seen: SeenGroup) -> None:
    origin = linear("org", "pv0", status=("READ", "WRITE", "VISIBLE"))
    store = linear("cow", "pv0")
    record = opaque("snapshot0", "snapshot", ("chunk_size", 8), ("origin", "org"), ("cow_store", "cow"))
    around = look_around(with_lvs(seen, origin, store, record))
    assert around.hidden == {"snapshot0"}
    assert around.snapshots == {"cow": Snapshot(origin="org", chunk_size_sectors=8)}
    assert around.holders(origin) == ["cow"]
    assert [is_snapshot_record(lv) for lv in (origin, store, record)] == [False, False, True]
    merging = opaque("snapshot0", "snapshot", ("chunk_size", 8), ("origin", "org"), ("merging_store", "cow"))
    assert look_around(with_lvs(seen, origin, store, merging)).hidden == {"snapshot0", "cow"}
    assert look_around(with_lvs(seen, store, record)).hidden == {"snapshot0", "cow"}


def test_users_of_pools_and_volumes_over_origins_are_found(seen: SeenGroup) -> None:
    around = look_around(
        with_lvs(
            seen,
            opaque("t1", "thin", ("thin_pool", "pool")),
            opaque("t2", "thin", ("thin_pool", "pool"), ("origin", "t1")),
            opaque("c", "cache", ("cache_pool", "fast"), ("origin", "c_corig")),
        )
    )
    assert (around.users["pool"], around.users["fast"]) == (2, 1)
    assert around.cached == {"c_corig": "c"}


def test_a_volume_is_partial_when_a_part_of_it_is_missing(seen: SeenGroup) -> None:
    whole = opaque("r", "raid1", ("raids", ("m0", "i0", "m1", "i1")))
    ring = opaque("ring", "cache", ("origin", "ring"), ("cache_pool", "nothing"))
    lvs = (whole, linear("i0", "pv0"), linear("i1", "pv1"), ring)
    vg = seen.vg.replace(lvs=lvs)
    partial = seen_group(vg, {"pv0": seen.pvs["pv0"]}, frozenset())
    assert [is_partial(partial, lv) for lv in lvs] == [True, False, True, False]
    assert not any(is_partial(with_lvs(seen, *lvs), lv) for lv in lvs)


def test_an_encrypted_volume_is_partial_without_its_keystore(seen: SeenGroup) -> None:
    partial = seen_group(seen.vg, {"pv1": seen.pvs["pv1"]}, frozenset())
    only_second = seen.vg.lv("secret").replace(segments=seen.vg.lv("secret").segments[1:])
    assert is_partial(partial, only_second)
    assert not is_partial(partial, seen.vg.lv("data"))


def test_active_volumes_are_those_that_are_served(seen: SeenGroup) -> None:
    around = look_around(seen)
    assert [lv.name for lv in around.vg.lvs if around.is_active(lv)] == ["secret"]
