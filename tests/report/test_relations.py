"""How volumes hang together; what stock says of its own images is in test_stock_samples.py."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from cryptlv.model.nodes import PvWord
from cryptlv.model.vg import LogicalVolume, VolumeGroup
from cryptlv.report.relations import (
    CACHE_DATA,
    CACHE_ORIGIN,
    MIRROR_LOG,
    Snapshot,
    hidden_names,
    partial_names,
    relate,
    snapshots_of,
)
from cryptlv.report.rows import Row, seen_group
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item


def group(**volumes: tuple[str, tuple[Item, ...]]) -> VolumeGroup:
    """Volumes by name: their type and the items of their one segment."""
    lvs = [
        LogicalVolume(
            name=name, id=f"id-{name}", segments=(OpaqueSegment(start_le=0, length_le=4, type_word=kind, body=body),)
        )
        for name, (kind, body) in volumes.items()
    ]
    return VolumeGroup(name="vg", id="id", seqno=1, lvs=tuple(lvs))


def test_a_cached_volume_its_pool_and_its_origin() -> None:
    vg = group(
        lv=("cache", (("cache_pool", "fast"), ("origin", "lv_corig"))),
        fast=("cache-pool", (("data", "fast_cdata"), ("metadata", "fast_cmeta"))),
        lv_corig=("striped+X", ()),
        fast_cdata=("striped+X", ()),
        fast_cmeta=("striped+X", ()),
    )
    found = relate(vg, {})
    assert (found["lv"].pool, found["lv"].origin) == ("fast", "lv_corig")
    assert (found["lv_corig"].parent, found["lv_corig"].parts) == ("lv", frozenset([CACHE_ORIGIN]))
    assert (found["fast"].data, found["fast"].metadata) == ("fast_cdata", "fast_cmeta")
    assert found["fast_cdata"].parts == {CACHE_DATA}


def test_a_mirror_its_images_and_its_log() -> None:
    vg = group(
        m=("mirror", (("mirror_log", "m_mlog"), ("mirrors", ("m_mimage_0", 0, "m_mimage_1", 0)))),
        m_mimage_0=("x", ()),
        m_mimage_1=("x", ()),
        m_mlog=("x", ()),
    )
    found = relate(vg, {})
    assert found["m"].mirror_log == "m_mlog"
    assert found["m_mlog"].parts == {MIRROR_LOG}
    assert {found[name].parent for name in ("m_mimage_0", "m_mimage_1")} == {"m"}


@pytest.mark.parametrize("body", [(("raids", 7),), (("pool", 3), ("metadata", ("x",))), (("origin", ""),), ()])
def test_odd_bodies_are_no_relation(body: tuple[Item, ...]) -> None:
    for kind in ("raid1", "thin-pool", "thin", "snapshot", "cache"):
        vg = group(lv=(kind, body))
        relate(vg, snapshots_of(vg))


def test_a_snapshot_is_as_visible_as_its_origin() -> None:
    """But for one that is merged, and one of a virtual origin, which is hidden."""
    vg = group(
        home=("x", ()),
        hidden=("x", ()),
        **{f"store{number}": ("x", ()) for number in range(3)},
        snapshot0=("snapshot", (("origin", "home"), ("cow_store", "store0"), ("chunk_size", 8))),
        snapshot1=("snapshot", (("origin", "home"), ("merging_store", "store1"))),
        snapshot2=("snapshot", (("origin", "hidden"), ("cow_store", "store2"))),
    )
    vg = vg.with_lv(vg.lv("hidden").replace(status=("READ",)))
    snapshots = snapshots_of(vg)
    assert snapshots["store0"] == Snapshot(origin="home", chunk_size_sectors=8)
    assert hidden_names(vg, snapshots) == {"hidden", "store1"}
    assert relate(vg, snapshots)["home"].snapshots == ("store0", "store1")
    assert relate(vg, snapshots)["home"].takes_merge


def test_users_of_pools_are_found() -> None:
    vg = group(
        pool=("thin-pool", ()),
        fast=("cache-pool", ()),
        t1=("thin", (("thin_pool", "pool"),)),
        t2=("thin", (("thin_pool", "pool"), ("origin", "t1"))),
        c=("cache", (("cache_pool", "fast"), ("origin", "c_corig"))),
    )
    found = relate(vg, {})
    assert (found["pool"].pool_users, found["fast"].pool_users) == (("t1", "t2"), ("c",))
    assert found["t1"].thin_snapshots == ("t2",)


def test_what_needs_a_part_that_is_gone_is_partial() -> None:
    """However long the chain; a ring ends."""
    names = [f"t{number}" for number in range(3000)]
    thin = {name: ("thin", (("external_origin", after),)) for name, after in pairwise(names)}
    vg = group(
        **thin, a=("thin", (("external_origin", "b"),)), b=("thin", (("external_origin", "a"),)), t2999=("x", ())
    )
    last = vg.lv("t2999")
    lost = OpaqueSegment(start_le=0, length_le=4, type_word="x", body=(("stripes", (PvWord("gone"), 0)),))
    vg = vg.with_lv(last.replace(segments=(lost,)))
    assert partial_names(vg, frozenset(), {}) == frozenset()
    assert partial_names(vg, frozenset(["gone"]), {}) == set(names)


def test_a_ring_of_origins_is_walked_once() -> None:
    from cryptlv.report.fields import FIELDS

    vg = group(a=("thin", (("origin", "b"),)), b=("thin", (("origin", "a"),)))
    seen = seen_group(vg, {}, frozenset())
    row = Row(group=seen, lv=vg.lv("a"))
    assert FIELDS["lv_ancestors"].value(row) == "b,a"
    assert FIELDS["lv_descendants"].value(row) == "b,a"
