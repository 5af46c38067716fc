"""Logical volumes as lvdisplay and lvscan show them, line by line (lib/display/display.c, tools/lvscan.c).

What only the kernel knows (how often a volume is open, its device numbers) is not shown: our volumes are files.
"""

from __future__ import annotations

from cryptlv.names import printable
from cryptlv.report.fields import FIELDS
from cryptlv.report.relations import CACHE_ORIGIN, body_of, word
from cryptlv.report.rows import Row
from cryptlv.report.seg_display import mirror_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from cryptlv.model.nodes import Value
    from cryptlv.model.vg import LogicalVolume
    from cryptlv.report.rows import SeenGroup

    Size: TypeAlias = Callable[[int], str]

_AUTO = -1
"""How lvdisplay -c writes a read ahead that is left to the kernel."""


def lv_path(group: SeenGroup, lv: LogicalVolume) -> str:
    """Where lvm2 would have it."""
    return f"/dev/{printable(group.vg.name)}/{printable(lv.name)}"


def _size_bytes(group: SeenGroup, lv: LogicalVolume) -> int:
    return lv.length_le * group.vg.extent_size_bytes


def _kind(lv: LogicalVolume) -> str:
    return lv.segments[0].shown_type if lv.segments else ""


def _first_body(lv: LogicalVolume) -> dict[str, Value]:
    return body_of(lv.segments[0]) if lv.segments else {}


def lv_full(group: SeenGroup, lv: LogicalVolume, size: Size) -> Iterator[str]:
    """The lines of lvdisplay."""
    snapshot = group.snapshots.get(lv.name)
    origin = group.lvs.get(snapshot.origin) if snapshot is not None else None
    yield "--- Logical volume ---"
    if lv.name not in group.hidden:
        if _kind(lv) != "thin-pool":
            yield f"LV Path                {lv_path(group, lv)}"
        yield f"LV Name                {printable(lv.name)}"
    else:
        yield f"Internal LV Name       {printable(lv.name)}"
    yield f"VG Name                {printable(group.vg.name)}"
    yield f"LV UUID                {lv.id}"
    yield f"LV Write Access        {'read/write' if lv.is_writable else 'read only'}"
    yield f"LV Creation host, time {printable(lv.creation_host)}, {FIELDS['lv_time'].value(Row(lv=lv))}"
    yield from _snapshot_lines(group, lv)
    yield from _related_lines(group, lv)
    state = group.kernel.get(lv.id)
    if state is not None and state.is_suspended:
        yield "LV Status              suspended"
    else:
        available = "" if group.is_active(lv) else "NOT "
        yield f"LV Status              {available}available{' (partial)' if lv.name in group.partial else ''}"
    if state is not None:
        yield f"# open                 {state.open_count}"
    shown = origin or lv
    yield f"LV Size                {size(_size_bytes(group, shown))}"
    yield f"Current LE             {shown.length_le}"
    if snapshot is not None and origin is not None:
        yield f"COW-table size         {size(_size_bytes(group, lv))}"
        yield f"COW-table LE           {lv.length_le}"
        yield f"Snapshot chunk size    {size(snapshot.chunk_size_sectors * 512)}"
    copies = mirror_count(lv)
    if copies:
        yield f"Mirrored volumes       {copies}"
    yield f"Segments               {len(lv.segments)}"
    yield f"Allocation             {printable(lv.allocation_policy) or 'inherit'}"
    yield f"Read ahead sectors     {'auto' if lv.read_ahead is None else max(lv.read_ahead, 0)}"
    if state is not None and (lv.read_ahead is None or lv.read_ahead * 512 != state.read_ahead_bytes):
        yield f"- currently set to     {state.read_ahead_bytes // 512}"
    if "FIXED_MINOR" in lv.status:
        if lv.major is not None and lv.major >= 0:
            yield f"Persistent major       {lv.major}"
        yield f"Persistent minor       {-1 if lv.minor is None else lv.minor}"
    if state is not None:
        yield f"Block device           {state.number[0]}:{state.number[1]}"
    yield " "


def _snapshot_lines(group: SeenGroup, lv: LogicalVolume) -> Iterator[str]:
    """A snapshot's state; those here are never active."""
    holders = group.relation(lv).snapshots
    if holders:
        yield "LV snapshot status     source of"
        yield from (f"                       {printable(name)} [INACTIVE]" for name in holders)
    elif lv.name in group.snapshots:
        yield f"LV snapshot status     INACTIVE destination for {printable(group.snapshots[lv.name].origin)}"


def _related_lines(group: SeenGroup, lv: LogicalVolume) -> Iterator[str]:
    """Pools, origins and what they are made of."""
    kind, body = _kind(lv), _first_body(lv)
    if kind == "thin":
        yield f"LV Pool name           {_name(body, 'thin_pool')}"
        for key, label in (("origin", "LV Thin origin name    "), ("external_origin", "LV External origin name ")):
            if word(body.get(key)):
                yield f"{label}{_name(body, key)}"
        if word(body.get("merge")):
            yield f"LV merging to          {_name(body, 'merge')}"
    elif kind in ("thin-pool", "cache-pool"):
        yield f"LV Pool metadata       {_name(body, 'metadata')}"
        yield f"LV Pool data           {_name(body, 'pool' if kind == 'thin-pool' else 'data')}"
    elif CACHE_ORIGIN in group.relation(lv).parts:
        yield f"LV origin of Cache LV  {printable(group.relation(lv).parent)}"
    elif kind == "vdo-pool":
        yield f"LV VDO Pool data       {_name(body, 'data')}"
    elif kind == "vdo":
        yield f"LV VDO Pool name       {_name(body, 'vdo_pool')}"


def _name(body: dict[str, Value], key: str) -> str:
    return printable(word(body.get(key)))


def lv_colons(group: SeenGroup, lv: LogicalVolume) -> Iterator[str]:
    """The line of lvdisplay -c: the size in sectors, -1 where nothing is known."""
    access = ("READ" in lv.status) + 2 * lv.is_writable
    contiguous = 2 if lv.allocation_policy == "contiguous" else 0
    read_ahead = _AUTO if lv.read_ahead is None else max(lv.read_ahead, 0)
    state = group.kernel.get(lv.id)
    access += 4 * (state is not None and state.is_read_only)
    major, minor = (-1, -1) if state is None else state.number
    fields = (
        lv_path(group, lv), printable(group.vg.name), access, int(group.is_active(lv)), -1,
        0 if state is None else state.open_count,
        _size_bytes(group, lv) // 512, lv.length_le, -1, contiguous, read_ahead, major, minor,
    )  # fmt: skip
    yield ":".join(map(str, fields))


def lv_scan(group: SeenGroup, lv: LogicalVolume, size: Size) -> str:
    """The line of lvscan."""
    state = "ACTIVE   " if group.is_active(lv) else "inactive "
    role = "        "
    if group.relation(lv).snapshots:
        role = "Original"
    elif lv.name in group.snapshots:
        role = "Snapshot"
    policy = printable(lv.allocation_policy) or "inherit"
    return f"{state}{role} '{lv_path(group, lv)}' [{size(_size_bytes(group, lv))}] {policy}"
