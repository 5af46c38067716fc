"""Physical volumes as pvdisplay and pvscan show them, line by line (lib/display/display.c, tools/pvscan.c)."""

from __future__ import annotations

from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.report.pv_fields import used_pe
from cryptlv.report.rows import pv_name
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from cryptlv.model.vg import Footprint
    from cryptlv.report.rows import Row, SeenGroup, SeenPv

    Size: TypeAlias = Callable[[int], str]

_EXPORTED, _ALLOCATABLE, _MISSING = 0x2, 0x8, 0x800000
_WIDEST_UUID_TAIL = 50
"""What pvscan -u makes the column of names wider by."""
_NAME_OF_NO_GROUP = "#orphans_lvm2"
"""The group in which stock lvm2 holds PVs without one; its length counts as well."""


class _Numbers(Record):
    """What all forms of a physical volume are made of. Sizes in bytes."""

    name: str
    vg_name: str
    pv_id: str
    status: int
    size_bytes: int
    start_bytes: int
    extent_bytes: int
    extents: int
    used: int

    @property
    def free(self) -> int:
        return self.extents - self.used


def _status(row: Row) -> int:
    """The bits of lvm2's `pv->status` (lib/metadata/metadata-exported.h)."""
    if row.pv is None:
        return 0
    bits = _ALLOCATABLE if "ALLOCATABLE" in row.pv.status else 0
    bits |= _EXPORTED if "EXPORTED" in row.pv.status else 0
    return bits | (_MISSING if row.pv.is_missing or row.seen is None else 0)


def _numbers(row: Row) -> _Numbers:
    pv, group, seen = row.pv, row.group, row.seen
    device_bytes = seen.size_bytes if seen is not None else 0
    return _Numbers(
        name=printable(pv_name(row)),
        vg_name=printable(group.vg.name) if group is not None else "",
        pv_id=pv.id if pv is not None else seen.pv_id if seen is not None else "",
        status=_status(row),
        size_bytes=pv.dev_size_sectors * SECTOR_SIZE or device_bytes if pv is not None else device_bytes,
        start_bytes=pv.pe_start_sectors * SECTOR_SIZE if pv is not None else seen.pe_start_bytes if seen else 0,
        extent_bytes=group.vg.extent_size_bytes if group is not None else 0,
        extents=pv.pe_count if pv is not None else 0,
        used=used_pe(row),
    )


def pv_remarks(row: Row, size: Size) -> Iterator[str]:
    """What pvdisplay says before a PV that is in no group or in an exported one."""
    numbers = _numbers(row)
    if numbers.status & _EXPORTED:
        yield f'Physical volume "{numbers.name}" of volume group "{numbers.vg_name}" is exported'
    if row.group is None:
        yield f'"{numbers.name}" is a new physical volume of "{size(numbers.size_bytes)}"'


def pv_full(row: Row, size: Size) -> Iterator[str]:
    """The lines of pvdisplay."""
    numbers = _numbers(row)
    data_bytes = numbers.extents * numbers.extent_bytes
    end_bytes = data_bytes + numbers.start_bytes
    shown_bytes, unusable_bytes = numbers.size_bytes, numbers.size_bytes - data_bytes
    if numbers.size_bytes <= end_bytes:
        shown_bytes, unusable_bytes = end_bytes, end_bytes - numbers.size_bytes
    yield f"--- {'' if numbers.extent_bytes else 'NEW '}Physical volume ---"
    yield f"PV Name               {numbers.name}"
    yield f"VG Name               {numbers.vg_name}{' (exported)' if numbers.status & _EXPORTED else ''}"
    tail = f" / not usable {size(unusable_bytes)}" if data_bytes else ""
    yield f"PV Size               {size(shown_bytes)}{tail}"
    if numbers.extents and numbers.status & _ALLOCATABLE:
        yield f"Allocatable           yes {'' if numbers.free else '(but full)'}"
    else:
        yield "Allocatable           NO"
    yield f"PE Size               {size(numbers.extent_bytes)}"
    yield f"Total PE              {numbers.extents}"
    yield f"Free PE               {numbers.free}"
    yield f"Allocated PE          {numbers.used}"
    yield f"PV UUID               {numbers.pv_id}"
    yield " "


def pv_colons(row: Row) -> Iterator[str]:
    """The line of pvdisplay -c: sizes in sectors, extent sizes in KiB, -1 where lvm2 has nothing to say any more."""
    numbers = _numbers(row)
    fields = (
        numbers.name, numbers.vg_name, numbers.size_bytes // SECTOR_SIZE, -1, numbers.status,
        numbers.status & _ALLOCATABLE, -1, numbers.extent_bytes // 1024, numbers.extents, numbers.free, numbers.used,
        numbers.pv_id,
    )  # fmt: skip
    yield ":".join(map(str, fields))


def pv_short(row: Row, size: Size) -> Iterator[str]:
    """The line of pvdisplay -s: what is free."""
    numbers = _numbers(row)
    free_bytes = numbers.free * numbers.extent_bytes if row.group is not None else numbers.size_bytes
    yield f'Device "{numbers.name}" has a capacity of {size(free_bytes)}'


def pv_in_group(row: Row) -> Iterator[str]:
    """The lines of a PV in vgdisplay -v."""
    numbers = _numbers(row)
    yield f"PV Name               {numbers.name}     "
    yield f"PV UUID               {numbers.pv_id}"
    yield f"PV Status             {'' if numbers.status & _ALLOCATABLE else 'NOT '}allocatable"
    yield f"Total PE / Free PE    {numbers.extents} / {numbers.free}"
    yield " "


def pv_map(row: Row) -> Iterator[str]:
    """The lines that pvdisplay -m adds: which volume every run of extents belongs to."""
    if row.group is not None and row.pv is not None:
        yield "--- Physical Segments ---"
        next_pe = 0
        for start_pe, length, lines in sorted(_runs(row.group, row.pv.id)):
            if start_pe > next_pe:
                yield from _free(next_pe, start_pe)
            yield f"Physical extent {start_pe} to {start_pe + length - 1}:"
            yield from lines
            next_pe = max(next_pe, start_pe + length)
        if next_pe < row.pv.pe_count:
            yield from _free(next_pe, row.pv.pe_count)
    yield " "


def _free(start_pe: int, end_pe: int) -> Iterator[str]:
    yield f"Physical extent {start_pe} to {end_pe - 1}:"
    yield "  FREE"


def _runs(group: SeenGroup, pv_id: str) -> Iterator[tuple[int, int, tuple[str, str]]]:
    """(first extent, length, lines) of each run of extents of a PV that is in use."""
    places: Iterator[Footprint]
    for lv in group.vg.lvs:
        for segment in lv.segments:
            places = segment.footprint()
            for place, start_pe, length in places:
                if place == pv_id:
                    yield (
                        start_pe,
                        length,
                        (
                            f"  Logical volume\t/dev/{printable(group.vg.name)}/{printable(lv.name)}",
                            f"  Logical extents\t{segment.start_le} to {segment.end_le - 1}",
                        ),
                    )


class PvScan:
    """The lines of pvscan. All that was found is needed, chosen or not: it makes the columns' widths."""

    def __init__(self, groups: Sequence[SeenGroup], orphans: Sequence[SeenPv], size: Size) -> None:
        found = [seen for group in groups for seen in group.pvs.values()]
        self._size = size
        self._pv_width = max((len(seen.path) for seen in (*found, *orphans)), default=0) + 2
        self._vg_width = max(len(name) for name in (_NAME_OF_NO_GROUP, *(group.vg.name for group in groups))) + 2

    def line(self, row: Row, *, with_uuid: bool = False) -> str:
        """One physical volume."""
        numbers = _numbers(row)
        name, width = numbers.name, self._pv_width
        if with_uuid:
            name = f"{name:<{width - 2}} with UUID {numbers.pv_id}"
            width += _WIDEST_UUID_TAIL
        if row.group is None:
            return f"PV {name:<{width}}    {' ':<{self._vg_width}} lvm2 [{self._size(numbers.size_bytes)}]"
        total, free = (self._size(count * numbers.extent_bytes) for count in (numbers.extents, numbers.free))
        if numbers.status & _EXPORTED:
            return f"PV {name:<{width}}  is in exported VG {numbers.vg_name} [{total} / {free} free]"
        return f"PV {name:<{width}} VG {numbers.vg_name:<{self._vg_width}} lvm2 [{total} / {free} free]"

    def total(self, rows: Sequence[Row]) -> str:
        """The last line, which counts them."""
        if not rows:
            return "No matching physical volumes found"
        new = [_numbers(row).size_bytes for row in rows if row.group is None]
        used = [numbers.extents * numbers.extent_bytes for numbers in map(_numbers, (r for r in rows if r.group))]
        size = self._size
        return (
            f"Total: {len(rows)} [{size(sum(new) + sum(used))}] / in use: {len(used)} [{size(sum(used))}]"
            f" / in no VG: {len(new)} [{size(sum(new))}]"
        )
