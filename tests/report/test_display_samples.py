"""What stock lvm2 2.03.16 displayed of its own images (golden/lvm2/CASE/display.txt), from ours, line by line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.ops.report import report_everything
from cryptlv.report.lv_display import lv_colons, lv_full, lv_scan
from cryptlv.report.pv_display import pv_colons, pv_full, pv_in_group, pv_map, pv_remarks, pv_short
from cryptlv.report.rows import pv_rows_as_found
from cryptlv.report.seg_display import lv_segments
from cryptlv.report.selection import choose_lvs, choose_pvs, choose_vgs, found_order, lvs_of
from cryptlv.report.vg_display import vg_colons, vg_full, vg_scan, vg_short
from cryptlv.units import format_long_size as size
from report.test_stock_samples import CASES, GOLDEN, disks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptlv.report.rows import SeenGroup, SeenPv


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stock ran in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def group_with_parts(group: SeenGroup) -> Iterator[str]:
    yield from vg_full(group, size)
    for _, lv in lvs_of(group, hidden=False):
        yield from lv_full(group, lv, size)
    yield "--- Physical volumes ---"
    for row in pv_rows_as_found([group]):
        yield from pv_in_group(row)


def shown(groups: tuple[SeenGroup, ...], orphans: tuple[SeenPv, ...]) -> dict[str, Iterator[str]]:
    """The lines of each command, as cli/display.py and cli/scans.py put them together."""
    pvs, _ = choose_pvs(groups, orphans, ())
    vgs, _ = choose_vgs(groups, ())
    lvs, _ = choose_lvs(groups, (), (), hidden=True)
    return {
        "pvdisplay -m": (line for row in pvs for line in (*pv_remarks(row, size), *pv_full(row, size), *pv_map(row))),
        "pvdisplay -c": (line for row in pvs for line in (*pv_remarks(row, size), *pv_colons(row))),
        "pvdisplay -s": (line for row in pvs for line in pv_short(row, size)),
        "vgdisplay -v": (line for group in vgs for line in group_with_parts(group)),
        "vgdisplay -c": (line for group in vgs for line in vg_colons(group)),
        "vgdisplay -s": (line for group in vgs for line in vg_short(group, size)),
        "lvdisplay -a -m": (
            line for group, lv in lvs for line in (*lv_full(group, lv, size), *lv_segments(group, lv, size))
        ),
        "lvdisplay -a -c": (line for group, lv in lvs for line in lv_colons(group, lv)),
        "vgscan": (vg_scan(group) for group in found_order(groups)),
        "lvscan -a": (lv_scan(group, lv, size) for group, lv in lvs),
    }


@pytest.mark.parametrize("case", CASES)
def test_every_line_is_stocks(case: str, tmp_path: Path) -> None:
    with disks(case, tmp_path).session() as session:
        ours = shown(*report_everything(session))
    samples = (GOLDEN / case / "display.txt").read_text().split("$ ")[1:]
    theirs = dict(sample.split("\n", 1) for sample in samples)
    assert {command: "".join(f"  {line}\n" for line in lines) for command, lines in ours.items()} == theirs
