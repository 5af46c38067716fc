"""Free extents and the choice among them."""

from __future__ import annotations

from cryptlv.errors import NoSpaceError
from cryptlv.model.vg import PvArea
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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

    The choice is that of lvm2's normal policy for linear volumes (lib/metadata/lv_manip.c:_allocate). Raises
    NoSpaceError.
    """
    used = used_extents(vg)
    pools = [
        _Pool(pv.id, free_runs(pv, used[pv.id]))
        for pv in vg.pvs
        if pv.is_allocatable and (only is None or pv.id in only)
    ]
    free = sum(run.length_pe for pool in pools for run in pool.runs)
    chosen: list[Run] = []
    missing = length_le
    for pool in pools:
        run = pool.offer(length_le, whole=True)
        if run is not None and missing > 0:
            chosen.append(pool.take(run, length_le))
            missing = 0
            break
    while missing > 0 and not contiguous and any(pool.runs for pool in pools):
        run = _next(pools, missing, [part.area.pv_id for part in chosen])
        missing -= run.length_pe
        _append(chosen, run)
    if missing > 0:
        raise NoSpaceError(
            f"volume group {printable(vg.name)!r} has insufficient free space for {what}: "
            f"{free} extents free, {length_le} required{' in one piece' if contiguous else ''}"
        )
    return tuple(chosen)


class _Pool:
    """The free runs of one PV, the largest first.

    Which of several equal runs is used follows from how lvm2 keeps such a list: a run that is looked at is put back
    by the size that it would be left with, and later by its own, behind its equals (lib/metadata/pv_map.c).
    """

    def __init__(self, pv_id: str, runs: Iterable[Run]) -> None:
        self.pv_id = pv_id
        self.runs = sorted(runs, key=lambda run: -run.length_pe)
        self._looked_at: list[Run] = []

    def _insert(self, run: Run, size: int) -> int:
        place = next((place for place, other in enumerate(self.runs) if size > other.length_pe), len(self.runs))
        self.runs.insert(place, run)
        return place

    def settle(self) -> None:
        """Put the runs that were looked at back in their places."""
        for run in [run for run in self.runs if run in self._looked_at]:
            self.runs.remove(run)
            self._insert(run, run.length_pe)
        self._looked_at = []

    def offer(self, wanted: int, *, whole: bool) -> Run | None:
        """A small run that is long enough; without one, and not `whole`, the largest."""
        found = None
        place = 0
        while place < len(self.runs):
            run = self.runs[place]
            if run.length_pe < wanted and (whole or found is not None):
                break
            found = run
            self._looked_at.append(run)
            if run.length_pe > wanted:
                del self.runs[place]
                place = self._insert(run, run.length_pe - wanted)
            place += 1
        return found

    def take(self, run: Run, wanted: int) -> Run:
        """Take `wanted` extents, or all there are, off the front of a run; the rest stays."""
        self.runs.remove(run)
        rest = run.length_pe - wanted
        if rest <= 0:
            return run
        area = run.area.replace(start_pe=run.area.start_pe + wanted)
        self._insert(Run(area=area, length_pe=rest), rest)
        return run.replace(length_pe=wanted)


def _next(pools: Sequence[_Pool], wanted: int, taken_from: Sequence[str]) -> Run:
    """The next run of a volume in pieces: the largest on a PV that it is on already; else the longest that the PVs
    offer, of which no more than `wanted` counts."""
    for pool in pools:
        pool.settle()
    for pool in pools:
        if pool.pv_id in taken_from and pool.runs:
            return pool.take(pool.runs[0], wanted)
    offers = [(pool, run) for pool in pools if (run := pool.offer(wanted, whole=False)) is not None]
    pool, run = max(offers, key=lambda offer: min(offer[1].length_pe, wanted))
    return pool.take(run, wanted)


def _append(chosen: list[Run], run: Run) -> None:
    """Add a run, as one with the run before it where they touch."""
    if chosen:
        last = chosen[-1]
        if last.area.pv_id == run.area.pv_id and last.area.start_pe + last.length_pe == run.area.start_pe:
            chosen[-1] = last.replace(length_pe=last.length_pe + run.length_pe)
            return
    chosen.append(run)
