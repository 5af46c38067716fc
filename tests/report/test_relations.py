"""How volumes hang together; what stock says of its own images is in test_stock_samples.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.vg import LogicalVolume, VolumeGroup
from cryptlv.report.relations import relate
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
    found = relate(vg)
    assert (found["lv"].pool, found["lv"].origin) == ("fast", "lv_corig")
    assert (found["lv_corig"].parent, found["lv_corig"].part) == ("lv", "cache,origin")
    assert (found["fast"].data, found["fast"].metadata) == ("fast_cdata", "fast_cmeta")
    assert found["fast_cdata"].part == "cache,pool,data"


def test_a_mirror_its_images_and_its_log() -> None:
    vg = group(
        m=("mirror", (("mirror_log", "m_mlog"), ("mirrors", ("m_mimage_0", 0, "m_mimage_1", 0)))),
        m_mimage_0=("x", ()),
        m_mimage_1=("x", ()),
        m_mlog=("x", ()),
    )
    found = relate(vg)
    assert found["m"].mirror_log == "m_mlog"
    assert found["m_mlog"].part == "mirror,log"
    assert {found[name].parent for name in ("m_mimage_0", "m_mimage_1")} == {"m"}


@pytest.mark.parametrize("body", [(("raids", 7),), (("pool", 3), ("metadata", ("x",))), (("origin", ""),), ()])
def test_odd_bodies_are_no_relation(body: tuple[Item, ...]) -> None:
    for kind in ("raid1", "thin-pool", "thin", "snapshot", "cache"):
        relate(group(lv=(kind, body)))


def test_a_ring_of_origins_is_walked_once() -> None:
    from cryptlv.report.fields import FIELDS

    vg = group(a=("thin", (("origin", "b"),)), b=("thin", (("origin", "a"),)))
    seen = seen_group(vg, {}, frozenset())
    row = Row(group=seen, lv=vg.lv("a"))
    assert FIELDS["lv_ancestors"].value(row) == "b,a"
    assert FIELDS["lv_descendants"].value(row) == "b,a"
