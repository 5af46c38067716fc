"""The fields of runs of extents of a physical volume (`pvs --segments`), under lvm2's names, and their rows."""

from __future__ import annotations

from cryptlv.model.vg import LogicalVolume
from cryptlv.report.field import NUMBER, Field
from cryptlv.segments.opaque import OpaqueSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptlv.model.vg import Segment
    from cryptlv.report.field import Value
    from cryptlv.report.rows import Row, SeenGroup

    _Run = tuple[int, int, LogicalVolume, Segment]

_NOTHING = LogicalVolume(name="", id="")
_FREE = OpaqueSegment(start_le=0, length_le=0, type_word="free")


def _place(number: int) -> Callable[[Row], Value]:
    return lambda row: row.run[number] if row.run is not None else 0


PVSEG_FIELDS = (
    Field(prefix="pvseg_", name="pvseg_start", heading="Start", kind=NUMBER, value=_place(0), help="First extent."),
    Field(
        prefix="pvseg_", name="pvseg_size", heading="SSize", kind=NUMBER, value=_place(1), help="Number of extents."
    ),
)


def run_rows(rows: Sequence[Row]) -> list[Row]:
    """For each physical volume of `rows` a row for each run of extents: of a segment, or free."""
    used: dict[str, dict[str, list[_Run]]] = {}
    found: list[Row] = []
    for row in rows:
        if row.pv is None or row.group is None:
            found.append(row.replace(run=(0, 0), lv=_NOTHING, segment=_FREE))
            continue
        vg = row.group.vg
        if vg.id not in used:
            used[vg.id] = _used(row.group)
        found += _rows_of(row, used[vg.id].get(row.pv.id, []), row.pv.pe_count)
    return found


def _used(group: SeenGroup) -> dict[str, list[_Run]]:
    found: dict[str, list[_Run]] = {}
    for lv in group.vg.lvs:
        for segment in lv.segments:
            for pv_id, start, length in segment.footprint():
                found.setdefault(pv_id, []).append((start, length, lv, segment))
    return found


def _rows_of(row: Row, runs: list[_Run], count: int) -> Iterator[Row]:
    behind = 0
    for start, length, lv, segment in sorted(runs, key=lambda run: run[:2]):
        if start > behind:
            yield row.replace(run=(behind, start - behind), lv=_NOTHING, segment=_FREE)
        yield row.replace(run=(start, length), lv=lv, segment=segment)
        behind = max(behind, start + length)
    if behind < count:
        yield row.replace(run=(behind, count - behind), lv=_NOTHING, segment=_FREE)
