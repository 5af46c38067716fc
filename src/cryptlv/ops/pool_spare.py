"""The spare volume for the repair of pools' metadata, as lvm2 keeps one (pool_manip.c:handle_pool_metadata_spare)."""

from __future__ import annotations

import re

from cryptlv.model.allocate import Wish, allocate
from cryptlv.model.edit import add_lvs
from cryptlv.model.split_merge import find_spare, without
from cryptlv.model.vg import LogicalVolume
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.environment import Environment
    from cryptlv.model.vg import VolumeGroup

_MOST_BYTES = 16 * 1024**3
_POOLS = ("thin-pool", "cache-pool")


def with_spare(vg: VolumeGroup, env: Environment) -> VolumeGroup:
    """The volume group with a spare as long as the longest metadata of its pools, without one when it has no pool.

    Raises NoSpaceError.
    """
    spare = find_spare(vg)
    wanted = min(_needed_le(vg), -(-_MOST_BYTES // (vg.extent_size_sectors * SECTOR_SIZE)))
    if not wanted:
        return vg if spare is None else without(vg, spare)
    start_le = spare.length_le if spare is not None else 0
    if start_le >= wanted:
        return vg
    segments = []
    for piece in allocate(vg, Wish(length_le=wanted - start_le, what="pool metadata spare")):
        segments.append(StripedSegment(start_le=start_le, length_le=piece.length_le, areas=piece.areas))
        start_le += piece.length_le
    if spare is not None:
        return vg.with_lv(spare.replace(segments=(*spare.segments, *segments)))
    made = LogicalVolume(
        name=f"{_next_name(vg)}_pmspare",
        id=env.new_uuid(),
        status=("READ", "WRITE"),
        creation_time=env.now,
        creation_host=env.hostname,
        segments=tuple(segments),
    )
    return add_lvs(vg, made)


def _needed_le(vg: VolumeGroup) -> int:
    names = {
        name
        for lv in vg.lvs
        for segment in lv.segments
        if segment.shown_type in _POOLS
        for field, name in segment.parts()
        if field == "metadata"
    }
    return max((lv.length_le for lv in vg.lvs if lv.name in names), default=0)


def _next_name(vg: VolumeGroup) -> str:
    """The next of lvm2's `lvolN`; the names of hidden volumes count (lib/metadata/lv_manip.c:generate_lv_name)."""
    numbers = [int(match[1]) for lv in vg.lvs if (match := re.match(r"lvol(\d+)", lv.name))]
    return f"lvol{max(numbers, default=-1) + 1}"
