"""Runs of extents of physical volumes; that `pvs --segments` is stock's is in compat/test_stock_layouts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.report.fields import FIELDS
from cryptlv.report.pvseg_fields import run_rows
from cryptlv.report.rows import SeenPv, pv_rows

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup


def test_every_extent_is_in_one_run(seen: SeenGroup) -> None:
    orphan = SeenPv(pv_id="x", path="/o", size_bytes=7)
    rows = run_rows(pv_rows([seen], [orphan]))
    shown = [
        tuple(FIELDS[name].value(row) for name in ("pvseg_start", "pvseg_size", "lv_name", "segtype"))
        for row in rows
        if row.pv is not None
    ]
    assert shown == [
        (0, 1, "[cryptostore1]", "crypt-keystore"),
        (1, 2, "secret", "crypt"),
        (3, 7, "", "free"),
        (0, 1, "secret", "crypt"),
        (1, 4, "data", "linear"),
        (5, 5, "", "free"),
    ]
    assert [row.run for row in rows if row.pv is None] == [(0, 0)]
