"""Fields of pools, thin volumes and snapshots; that they are stock's is in compat/test_complex_layouts.py."""

from __future__ import annotations

import pytest

from cryptlv.model.nodes import Section
from cryptlv.model.vg import LogicalVolume, VolumeGroup
from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import Row, SeenGroup, lv_rows, seen_group, segment_rows
from cryptlv.segments.opaque import OpaqueSegment


def lv(name: str, kind: str, *body: tuple[str, str | int], length: int = 1) -> LogicalVolume:
    segment = OpaqueSegment(start_le=0, length_le=length, type_word=kind, body=body)
    return LogicalVolume(name=name, id=f"id-{name}", segments=(segment,))


@pytest.fixture
def rows() -> dict[str, Row]:
    lvs = (
        lv(
            "pool", "thin-pool", ("metadata", "meta"), ("pool", "data"), ("transaction_id", 3), ("zero_new_blocks", 1)
        ),
        lv("meta", "striped", length=2),
        lv("data", "striped", length=9),
        lv("thin", "thin", ("thin_pool", "pool"), ("transaction_id", 1), ("device_id", 7)),
        lv("copy", "thin", ("thin_pool", "pool"), ("device_id", 8), ("origin", "thin")),
    )
    seen = seen_group(VolumeGroup(name="vg", id="id", seqno=1, extent_size_sectors=8, lvs=lvs), {}, frozenset())
    return {row.lv.name: row for row in segment_rows(lv_rows([seen], hidden=True)) if row.lv is not None}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("thin_count", {"pool": 2, "thin": None, "meta": None}),
        ("thin_id", {"pool": None, "thin": 7, "copy": 8}),
        ("transaction_id", {"pool": 3, "thin": 1, "copy": 0, "data": None}),
        ("zero", {"pool": "zero", "thin": "zero", "meta": "unknown"}),
        ("discards", {"pool": "ignore", "copy": "ignore", "meta": ""}),
        ("lv_metadata_size", {"pool": 8192, "thin": None}),
        ("origin_uuid", {"copy": "id-thin", "thin": ""}),
        ("pool_lv_uuid", {"thin": "id-pool", "pool": ""}),
        ("data_lv_uuid", {"pool": "id-data"}),
        ("metadata_lv_uuid", {"pool": "id-meta"}),
        ("lv_when_full", {"pool": "queue", "thin": ""}),
        ("lv_permissions", {"thin": "unknown"}),
    ],
)
def test_values(rows: dict[str, Row], field: str, expected: dict[str, object]) -> None:
    assert {name: FIELDS[field].value(rows[name]) for name in expected} == expected


def test_what_is_encrypted_has_none_of_it(seen: SeenGroup) -> None:
    for row in segment_rows(lv_rows([seen], hidden=True)):
        assert FIELDS["thin_count"].value(row) is None
        assert FIELDS["zero"].value(row) == "unknown"
        assert FIELDS["origin_size"].value(row) is None


def test_a_cache_shows_the_settings_of_its_pool() -> None:
    settings = Section(items=(("migration_threshold", 2048), ("sequential_threshold", 1)))
    pool = LogicalVolume(
        name="pool",
        id="id-pool",
        segments=(
            OpaqueSegment(
                start_le=0,
                length_le=1,
                type_word="cache-pool",
                body=(
                    ("cache_mode", "writethrough"),
                    ("policy", "smq"),
                    ("metadata_format", 2),
                    ("policy_settings", settings),
                ),
            ),
        ),
    )
    lvs = (pool, lv("cached", "cache", ("cache_pool", "pool"), ("origin", "slow")), lv("slow", "striped"))
    seen = seen_group(VolumeGroup(name="vg", id="id", seqno=1, lvs=lvs), {}, frozenset())
    for row in segment_rows(lv_rows([seen], hidden=True)):
        shown = [FIELDS[f"cache_{word}"].value(row) for word in ("mode", "policy", "settings", "metadata_format")]
        if row.lv is not None and row.lv.name == "slow":
            assert shown == ["", "", "", None]
        else:
            assert shown == ["writethrough", "smq", "migration_threshold=2048,sequential_threshold=1", 2]
