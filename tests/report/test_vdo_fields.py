"""Settings of VDO pools; their values with stock are in compat/test_complex_layouts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.model.vg import LogicalVolume, VolumeGroup
from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import lv_rows, seen_group, segment_rows
from cryptlv.report.vdo_fields import VDO_FIELDS
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item
    from cryptlv.report.rows import Row, SeenGroup


def rows(*body: Item) -> list[Row]:
    """A volume `v` and its pool `p` with these settings."""
    parts = {"p": ("vdo-pool", (("data", "d"), *body)), "v": ("vdo", (("vdo_pool", "p"),))}
    lvs = [
        LogicalVolume(
            name=name, id=name, segments=(OpaqueSegment(start_le=0, length_le=1, type_word=kind, body=items),)
        )
        for name, (kind, items) in parts.items()
    ]
    vg = VolumeGroup(name="vg", id="id", seqno=1, lvs=tuple(lvs))
    return segment_rows(lv_rows([seen_group(vg, {}, frozenset())], hidden=True))


def test_a_volume_shows_the_settings_of_its_pool() -> None:
    for row in rows(("use_compression", 1), ("slab_size_mb", 2048), ("cpu_threads", 2), ("header_size", 1024)):
        assert FIELDS["vdo_compression"].value(row) == "enabled"
        assert FIELDS["vdo_deduplication"].value(row) == ""
        assert FIELDS["vdo_slab_size"].value(row) == 2048 * 2**20
        assert FIELDS["vdo_cpu_threads"].value(row) == 2
        assert FIELDS["vdo_header_size"].value(row) == 1024 * 512
        assert FIELDS["vdo_write_policy"].value(row) == "auto"


def test_odd_settings_and_other_volumes_have_none(seen: SeenGroup) -> None:
    for row in rows(("slab_size_mb", "x"), ("use_compression", 7)):
        assert FIELDS["vdo_slab_size"].value(row) is None
        assert FIELDS["vdo_compression"].value(row) == ""
    for row in segment_rows(lv_rows([seen], hidden=True)):
        assert not any(field.value(row) for field in VDO_FIELDS)
