"""Fields of physical volumes beyond what stock's samples have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import SeenArea, SeenPv, pv_rows

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup


def test_an_ignored_area_is_counted_but_gives_no_room(seen: SeenGroup) -> None:
    areas = (SeenArea(size_bytes=1000, free_bytes=400), SeenArea(size_bytes=2000, free_bytes=900, is_ignored=True))
    (row,) = pv_rows([], [SeenPv(pv_id="x", path="/x", size_bytes=1, areas=areas)])
    names = ("pv_mda_count", "pv_mda_used_count", "pv_mda_size", "pv_mda_free")
    assert [FIELDS[name].value(row) for name in names] == [2, 1, 1000, 0]


def test_tags_from_the_disk_are_escaped(seen: SeenGroup) -> None:
    odd = seen.vg.pvs[0].replace(tags=("b\x1b[31m", "a"))
    row = pv_rows([seen.replace(vg=seen.vg.replace(pvs=(odd,)))], [])[0]
    assert FIELDS["pv_tags"].value(row) == "a,b\\x1b[31m"
