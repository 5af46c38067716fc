"""Rows come in lvm2's order: by name, hidden volumes when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.model.vg import LogicalVolume
from cryptlv.report.rows import (
    SeenPv,
    is_snapshot_record,
    lv_rows,
    pv_name,
    pv_rows,
    seen_group,
    segment_rows,
    vg_rows,
)
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup


def test_volumes_are_sorted_by_group_and_name(seen: SeenGroup) -> None:
    other = seen.replace(vg=seen.vg.replace(name="aaa"))
    names = [(row.group.vg.name, row.lv.name) for row in lv_rows([seen, other], hidden=False) if row.group and row.lv]
    assert names == [("aaa", "data"), ("aaa", "secret"), ("vg0", "data"), ("vg0", "secret")]
    assert [row.lv.name for row in lv_rows([seen], hidden=True) if row.lv] == ["cryptostore1", "data", "secret"]
    assert [row.group.vg.name for row in vg_rows([seen, other]) if row.group] == ["aaa", "vg0"]


def test_physical_volumes_are_sorted_by_path_and_missing_ones_are_unknown(seen: SeenGroup) -> None:
    orphan = SeenPv(pv_id="x", path="/dev/aa", size_bytes=1)
    partial = seen_group(seen.vg, {"pv1": seen.pvs["pv1"]}, seen.active_ids)
    assert [pv_name(row) for row in pv_rows([partial], [orphan])] == ["/dev/aa", "/dev/b", "[unknown]"]
    assert seen.used == {"pv0": 3, "pv1": 5}


def test_each_segment_has_a_row_where_segments_are_asked_for(seen: SeenGroup) -> None:
    rows = segment_rows(lv_rows([seen], hidden=False))
    assert [(row.lv.name, row.segment.start_le) for row in rows if row.lv and row.segment] == [
        ("data", 0), ("secret", 0), ("secret", 2),
    ]  # fmt: skip


def test_the_record_of_a_snapshot_is_never_shown(seen: SeenGroup) -> None:
    body = (("chunk_size", 8), ("origin", "data"), ("cow_store", "secret"))
    segment = OpaqueSegment(start_le=0, length_le=1, type_word="snapshot", body=body)
    record = LogicalVolume(name="snapshot0", id="id-snapshot0", segments=(segment,))
    group = seen_group(seen.vg.replace(lvs=(*seen.vg.lvs, record)), seen.pvs, seen.active_ids)
    assert [row.lv.name for row in lv_rows([group], hidden=True) if row.lv] == ["cryptostore1", "data", "secret"]
    assert [is_snapshot_record(lv) for lv in group.vg.lvs] == [False, False, False, True]


def test_an_encrypted_volume_is_partial_without_its_keystore(seen: SeenGroup) -> None:
    secret = seen.vg.lv("secret")
    vg = seen.vg.with_lv(secret.replace(segments=secret.segments[1:]))
    assert seen_group(vg, {"pv1": seen.pvs["pv1"]}, frozenset()).partial == {"secret", "cryptostore1"}
    assert seen_group(vg, seen.pvs, frozenset()).partial == frozenset()


def test_active_volumes_are_those_that_are_served(seen: SeenGroup) -> None:
    assert [lv.name for lv in seen.vg.lvs if seen.is_active(lv)] == ["secret"]
