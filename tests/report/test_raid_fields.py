"""RAID, integrity, write caching; their values with stock are in compat/test_complex_layouts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.vg import LogicalVolume, PvArea, VolumeGroup
from cryptlv.report.fields import FIELDS
from cryptlv.report.raid_fields import RAID_LV_FIELDS, RAID_SEG_FIELDS
from cryptlv.report.rows import lv_rows, seen_group, segment_rows
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item
    from cryptlv.report.rows import Row


def opaque(name: str, kind: str, *body: Item) -> LogicalVolume:
    segment = OpaqueSegment(start_le=0, length_le=4, type_word=kind, body=body)
    return LogicalVolume(name=name, id=name, segments=(segment,))


def shown(field: str, *lvs: LogicalVolume) -> dict[str, object]:
    vg = VolumeGroup(name="vg", id="id", seqno=1, extent_size_sectors=8, lvs=lvs)
    rows: list[Row] = segment_rows(lv_rows([seen_group(vg, {}, frozenset())], hidden=True))
    return {row.lv.name: FIELDS[field].value(row) for row in rows if row.lv is not None}


def test_space_for_reshaping_is_that_of_all_images_and_of_each() -> None:
    """Images are known by their names, as with stock."""
    image = StripedSegment(
        start_le=0, length_le=4, areas=(PvArea(pv_id="a", start_pe=0),), extra=(("reshape_count", 3),)
    )
    names = [f"r_{part}_{number}" for number in range(3) for part in ("rmeta", "rimage")]
    whole = opaque("r", "raid5_ls", ("reshape_count", 3), ("raids", tuple(names)))
    images = [LogicalVolume(name=name, id=name, segments=(image,)) for name in names if "rimage" in name]
    assert shown("reshape_len_le", whole, *images) == {"r": 9, "r_rimage_0": 3, "r_rimage_1": 3, "r_rimage_2": 3}
    assert shown("reshape_len", whole, *images)["r"] == 9 * 4096
    assert set(shown("reshape_len_le", whole.replace(name="other"), *images).values()) == {9, None}


@pytest.mark.parametrize(
    ("kind", "body", "copies", "parity"),
    [
        ("raid1", (("raids", ("m", "a", "n", "b", "o", "c")),), 3, 2), ("raid10", (("data_copies", 3),), 3, 2),
        ("raid10", (("data_copies", "x"),), 2, 1), ("raid4", (), 2, 1), ("raid6_zr", (), 3, 2),
        ("raid0", (), 1, None), ("mirror", (), 1, None), ("raid1", (), 1, None),
    ],
)  # fmt: skip
def test_copies_and_parity(kind: str, body: tuple[Item, ...], copies: int, parity: int | None) -> None:
    lv = opaque("x", kind, *body)
    assert shown("data_copies", lv) == {"x": copies}
    assert shown("parity_chunks", lv) == {"x": parity}


def test_integrity_is_that_of_the_images() -> None:
    whole = opaque("r", "raid1", ("raids", ("m", "i")), ("writebehind", 64), ("min_recovery_rate", 0))
    image = opaque("i", "integrity", ("mode", "B"), ("block_size", 4096))
    assert shown("raidintegritymode", whole, image) == {"r": "bitmap", "i": "bitmap"}
    assert shown("raidintegrityblocksize", whole, image) == {"r": 4096, "i": 4096}
    assert shown("raidintegrityblocksize", whole) == {"r": -1}
    assert shown("raid_write_behind", whole, image) == {"r": 64, "i": None}
    assert shown("raid_min_recovery_rate", whole) == {"r": None}
    cache = opaque("w", "writecache", ("writecache_block_size", 512))
    assert shown("writecache_block_size", cache, whole) == {"w": 512, "r": -1}


@pytest.mark.parametrize("kind", ["raid1", "raid5_ls", "raid10", "integrity", "writecache"])
def test_odd_bodies_show_something(kind: str) -> None:
    odd = opaque("x_y", kind, ("raids", 7), ("reshape_count", "x"), ("block_size", "x"), ("mode", 3))
    for field in (*RAID_LV_FIELDS, *RAID_SEG_FIELDS):
        assert all(isinstance(value, str | int | None) for value in shown(field.name, odd).values())
