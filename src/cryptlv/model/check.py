"""The rules that every volume group must keep: what lvm2's vg_validate and check_lv_segments ask, and ours.

Nothing is committed, allocated from or activated while `check` finds something; it goes on after a fault, so that
all of them are reported at once.
"""

from __future__ import annotations

from itertools import pairwise

from cryptlv.model.vg import Surroundings
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptlv.model.vg import LogicalVolume, VolumeGroup


def check(vg: VolumeGroup) -> tuple[str, ...]:
    """Every violation, one line each; empty when the volume group is sound."""
    return (*_check_pvs(vg), *_check_lvs(vg), *_check_space(vg))


def check_lv(vg: VolumeGroup, lv: LogicalVolume) -> tuple[str, ...]:
    """What is wrong with one volume and its place in the group; empty when it is sound."""
    around = Surroundings(vg=vg, lvs={other.name: other for other in vg.lvs})
    prefix = f"{printable(vg.name)}/{printable(lv.name)} "
    return (
        *_check_segments(lv, around),
        *(line for line in _check_space(vg) if line.startswith(prefix) or prefix in line),
    )


def _duplicates(values: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            yield value
        seen.add(value)


def _check_pvs(vg: VolumeGroup) -> Iterator[str]:
    name = printable(vg.name)
    if vg.extent_size_sectors < 1:
        yield f"{name}: extent_size {vg.extent_size_sectors} is not positive"
    if vg.seqno < 0:
        yield f"{name}: seqno {vg.seqno} is negative"
    for pv_id in _duplicates(pv.id for pv in vg.pvs):
        yield f"{name}: physical volume {printable(pv_id)} is listed twice"
    for pv in vg.pvs:
        if min(pv.pe_start_sectors, pv.pe_count, pv.dev_size_sectors) < 0:
            yield f"{name}: physical volume {printable(pv.id)} has a negative size"


def _check_lvs(vg: VolumeGroup) -> Iterator[str]:
    for name in _duplicates(lv.name for lv in vg.lvs):
        yield f"{printable(vg.name)}: two logical volumes are named {printable(name)}"
    for lv_id in _duplicates(lv.id for lv in vg.lvs):
        yield f"{printable(vg.name)}: two logical volumes have the id {printable(lv_id)}"
    around = Surroundings(vg=vg, lvs={lv.name: lv for lv in vg.lvs})
    for lv in vg.lvs:
        yield from _check_segments(lv, around)


def _check_segments(lv: LogicalVolume, around: Surroundings) -> Iterator[str]:
    name = f"{printable(around.vg.name)}/{printable(lv.name)}"
    if not lv.segments:
        yield f"{name}: has no segment"
    expected_le = 0
    for number, segment in enumerate(lv.segments, 1):
        where = f"{name} segment {number}"
        if segment.start_le != expected_le:
            yield f"{where}: starts at extent {segment.start_le}, not at {expected_le}"
        if segment.length_le < 1:
            yield f"{where}: has {segment.length_le} extents"
        expected_le = segment.start_le + max(segment.length_le, 0)
        yield from segment.check(where, lv, around)


def _check_space(vg: VolumeGroup) -> Iterator[str]:
    """Each physical extent belongs to one segment and lies on its physical volume."""
    counts = {pv.id: pv.pe_count for pv in vg.pvs}
    used: dict[str, list[tuple[int, int, str]]] = {}
    for lv in vg.lvs:
        for number, segment in enumerate(lv.segments, 1):
            where = f"{printable(vg.name)}/{printable(lv.name)} segment {number}"
            for pv_id, start_pe, length_pe in segment.footprint():
                if pv_id not in counts:
                    yield f"{where}: physical volume {printable(pv_id)} is not in the volume group"
                elif start_pe < 0 or length_pe < 0 or start_pe + length_pe > counts[pv_id]:
                    end = counts[pv_id]
                    yield f"{where}: extents {start_pe}+{length_pe} lie beyond the {end} of {printable(pv_id)}"
                else:
                    used.setdefault(pv_id, []).append((start_pe, length_pe, where))
    for pv_id, places in used.items():
        places.sort()
        for (start, length, where), (next_start, _, next_where) in pairwise(places):
            if start + length > next_start:
                yield f"{next_where}: extent {next_start} of {printable(pv_id)} belongs to {where} too"
