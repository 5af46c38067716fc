"""Free extents and the choice among them."""

from __future__ import annotations

from cryptlv.errors import NoSpaceError
from cryptlv.model.vg import PvArea
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.model.vg import PhysicalVolume, VolumeGroup


class Run(Record):
    """`length_pe` physical extents in a row."""

    area: PvArea
    length_pe: int


def used_extents(vg: VolumeGroup) -> dict[str, list[tuple[int, int]]]:
    """For each PV's id the (start_pe, length_pe) in use, in order."""
    used: dict[str, list[tuple[int, int]]] = {pv.id: [] for pv in vg.pvs}
    for lv in vg.lvs:
        for segment in lv.segments:
            for pv_id, start_pe, length_pe in segment.footprint():
                used.setdefault(pv_id, []).append((start_pe, length_pe))
    for places in used.values():
        places.sort()
    return used


def free_runs(pv: PhysicalVolume, used: Iterable[tuple[int, int]]) -> list[Run]:
    """The runs of free extents of one PV, in order; `used` is sorted."""
    runs, next_pe = [], 0
    for start_pe, length_pe in used:
        if start_pe > next_pe:
            runs.append(Run(area=PvArea(pv_id=pv.id, start_pe=next_pe), length_pe=start_pe - next_pe))
        next_pe = max(next_pe, start_pe + length_pe)
    if pv.pe_count > next_pe:
        runs.append(Run(area=PvArea(pv_id=pv.id, start_pe=next_pe), length_pe=pv.pe_count - next_pe))
    return runs


def free_count(vg: VolumeGroup) -> int:
    """Extents that no segment uses, on allocatable and other PVs alike, as `vgs` counts them."""
    taken = sum(length for places in used_extents(vg).values() for _, length in places)
    return vg.extent_count - taken


def allocate(
    vg: VolumeGroup, length_le: int, *, what: str, contiguous: bool = False, only: frozenset[str] | None = None
) -> tuple[Run, ...]:
    """Runs of free extents, together `length_le` long, in the order in which they are to be used.

    `what` names the purpose in an error; `contiguous` asks for one run; `only` has the ids of the PVs to take from.

    One run when one is long enough: the first PV that has such a run gives its smallest, as lvm2's normal policy
    does for linear volumes; otherwise whole runs, the largest first, from as few as possible. Raises NoSpaceError.
    """
    used = used_extents(vg)
    per_pv = [free_runs(pv, used[pv.id]) for pv in vg.pvs if pv.is_allocatable and (only is None or pv.id in only)]
    for runs in per_pv:
        fitting = [run for run in runs if run.length_pe >= length_le]
        if fitting:
            best = min(fitting, key=lambda run: (run.length_pe, run.area.start_pe))
            return (best.replace(length_pe=length_le),)
    chosen: list[Run] = []
    missing = length_le
    for run in sorted((run for runs in per_pv for run in runs), key=lambda run: -run.length_pe):
        if missing <= 0 or contiguous:
            break
        chosen.append(run.replace(length_pe=min(run.length_pe, missing)))
        missing -= chosen[-1].length_pe
    if missing > 0:
        free = sum(run.length_pe for runs in per_pv for run in runs)
        raise NoSpaceError(
            f"volume group {printable(vg.name)!r} has insufficient free space for {what}: "
            f"{free} extents free, {length_le} required{' in one piece' if contiguous else ''}"
        )
    return tuple(chosen)
