"""Volumes that become longer or shorter: which segments they have then. Linear, striped and encrypted ones, over
physical volumes or over a hidden volume; other types are lvm2's own to change.
"""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.model.allocate import Neighbours
from cryptlv.model.edit import canonical
from cryptlv.model.merge import merged
from cryptlv.model.vg import LvArea, PvArea
from cryptlv.names import printable
from cryptlv.units import round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptlv.model.allocate import Piece
    from cryptlv.model.vg import Footprint, LogicalVolume, Segment, VolumeGroup

    MakeSegment = Callable[[int, Piece], Segment]
    """Makes a segment at a logical extent, of a piece."""


def base_of(vg: VolumeGroup, lv: LogicalVolume) -> LogicalVolume:
    """The volume whose segments have the extents: itself, or the hidden one below a stacked encrypted volume.

    Raises RefusedError for a volume whose size is not ours to change.
    """
    name = f"{printable(vg.name)}/{printable(lv.name)}"
    for segment in lv.segments:
        if not segment.places():
            raise RefusedError(f"{name} has a segment of type {printable(segment.shown_type)}: resize it with lvm2")
    below = {part for segment in lv.segments for _, part in segment.parts()}
    if not below:
        return lv
    if len(below) > 1 or len(lv.segments) > 1:
        raise RefusedError(f"{name} lies on several volumes, and is not resized")
    base = vg.lv(next(iter(below)))
    lead = _lead(lv)
    if base.length_le < lv.length_le + lead or (base.length_le > lv.length_le and not lead):
        raise RefusedError(f"{name} and {printable(base.name)} below it have different sizes; see: cryptlv vgck")
    return base_of(vg, base)


def _lead(lv: LogicalVolume) -> int:
    """How many extents longer, at least, the hidden volume is below one whose data do not begin at its start."""
    (segment,) = lv.segments
    starts = (area.start_le for area in segment.places() if isinstance(area, LvArea))
    return sum(starts) + (1 if segment.data_offset_sectors else 0)


def neighbours_of(lv: LogicalVolume) -> Neighbours | None:
    """Where a volume lies, for the choice of the extents that are to follow; None when it is on no PV."""
    first, last = lv.segments[0], lv.segments[-1]
    starts, ends = _on_pvs(first), _on_pvs(last)
    if not starts or not ends:
        return None
    each = last.length_le // len(ends)
    behind = tuple(area.replace(start_pe=area.start_pe + each) for area in ends)
    return Neighbours(last=behind, first_pv_ids=tuple(area.pv_id for area in starts))


def _on_pvs(segment: Segment) -> tuple[PvArea, ...]:
    return tuple(area for area in segment.places() if isinstance(area, PvArea))


def extended(vg: VolumeGroup, lv: LogicalVolume, pieces: tuple[Piece, ...], make: MakeSegment) -> VolumeGroup:
    """The group with a volume longer by pieces, of which `make` makes the segments."""
    base = base_of(vg, lv)
    segments = list(base.segments)
    for piece in pieces:
        segments.append(make(segments[-1].end_le, piece))
    return _resized(vg, lv, base, merged(segments))


def reduced(vg: VolumeGroup, lv: LogicalVolume, length_le: int) -> VolumeGroup:
    """The group with a volume cut to `length_le`, or to the end of a row of stripes where the data do not begin with
    one; raises RefusedError where stripes do not allow it."""
    base = base_of(vg, lv)
    lead = base.length_le - lv.length_le
    kept = tuple(
        segment if segment.end_le <= length_le + lead else segment.part(0, _cut_at(segment, length_le, lead))
        for segment in base.segments
        if segment.start_le < length_le + lead
    )
    return _resized(vg, lv, base, kept)


def _cut_at(segment: Segment, length_le: int, lead_le: int) -> int:
    extents = length_le + lead_le - segment.start_le
    return round_up(extents, segment.le_per_pe) if lead_le else extents


def _resized(vg: VolumeGroup, lv: LogicalVolume, base: LogicalVolume, segments: tuple[Segment, ...]) -> VolumeGroup:
    """The group with new segments in the base of a volume, and those above it longer or shorter by as much."""
    length_le = segments[-1].end_le + lv.length_le - base.length_le
    vg = vg.with_lv(base.replace(segments=segments))
    while lv.id != base.id:
        (segment,) = lv.segments
        vg = vg.with_lv(lv.replace(segments=(segment.replace(length_le=length_le),)))
        ((_, part),) = segment.parts()
        lv = vg.lv(part)
    return canonical(vg)


def freed_extents(before: VolumeGroup, after: VolumeGroup) -> tuple[Footprint, ...]:
    """The extents that `before` uses and `after` does not: (pv_id, start_pe, length_pe), in order.

    Places that both have are left out first: in a sound group they overlap with no other.
    """
    was, now = set(_footprints(before)), set(_footprints(after))
    kept = sorted(now - was)
    freed: list[Footprint] = []
    for pv_id, start, length in sorted(was - now):
        at, end = start, start + length
        for other_id, other, other_length in kept:
            if other_id != pv_id or other + other_length <= at or other >= end:
                continue
            if other > at:
                freed.append((pv_id, at, other - at))
            at = other + other_length
        if at < end:
            freed.append((pv_id, at, end - at))
    return tuple(freed)


def _footprints(vg: VolumeGroup) -> Iterator[Footprint]:
    return (place for lv in vg.lvs for segment in lv.segments for place in segment.footprint())
