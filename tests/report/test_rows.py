"""Rows come in lvm2's order: by name, hidden volumes when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.report.rows import SeenPv, lv_rows, pv_name, pv_rows, seen_group, segment_rows, vg_rows

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
