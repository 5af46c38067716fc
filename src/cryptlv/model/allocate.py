"""Free extents and the choice among them, as lvm2 makes it.

The choice is that of lvm2's lib/metadata/lv_manip.c:_allocate and lib/metadata/pv_map.c, so that a volume of ours
lies where stock would have put it: the policies are tried from `contiguous` to the one asked for, each in passes that
take one area of free extents for each stripe. Its settings are the defaults (allocation/maximise_cling on, no
cling_tag_list).
"""

from __future__ import annotations

from cryptlv.errors import NoSpaceError, UsageError
from cryptlv.model.vg import PvArea
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cryptlv.model.vg import PhysicalVolume, VolumeGroup

POLICIES = ("contiguous", "cling", "normal", "anywhere")
"""From the strictest on."""
_EVERYTHING = 2**62


class Run(Record):
    """`length_pe` physical extents in a row."""

    area: PvArea
    length_pe: int


class Piece(Record):
    """Parallel areas, one for each stripe, each `length_pe` long."""

    areas: tuple[PvArea, ...]
    length_pe: int

    @property
    def length_le(self) -> int:
        """The logical extents that it makes."""
        return self.length_pe * len(self.areas)


class Candidate(Record):
    """A physical volume to take extents from, and which: (start_pe, length_pe) ranges in the user's order."""

    pv_id: str
    ranges_pe: tuple[tuple[int, int], ...] = ((0, _EVERYTHING),)


class Neighbours(Record):
    """Where a volume that is extended lies: the places behind each stripe of its last segment, and the PVs of the
    stripes of its first one, which is what lvm2's cling policy looks at."""

    last: tuple[PvArea, ...]
    first_pv_ids: tuple[str, ...]


class Wish(Record):
    """What is to be allocated: `length_le` extents over `stripes` stripes.

    `what` names the purpose in an error. `candidates` are the PVs to take from, None for all of the group. With
    `is_whole` the extents must be in one piece for each stripe, with `is_approximate` fewer will do.
    """

    length_le: int
    what: str
    stripes: int = 1
    policy: str = "normal"
    candidates: tuple[Candidate, ...] | None = None
    neighbours: Neighbours | None = None
    is_whole: bool = False
    is_approximate: bool = False


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


def free_in(vg: VolumeGroup, candidates: Sequence[Candidate] | None) -> int:
    """Free extents that an allocation from candidates may take, those of PVs that are not allocatable left out."""
    return sum(area.count for pool in _pools(vg, candidates) for area in pool.areas)


def allocate(vg: VolumeGroup, wish: Wish) -> tuple[Piece, ...]:
    """Pieces of free extents, in the order in which they are to be used; together `length_le` long.

    Raises NoSpaceError, and UsageError for an unknown policy or a length that the stripes do not divide.
    """
    if wish.policy not in POLICIES:
        raise UsageError(f"allocation policy {wish.policy!r} is not one of {', '.join(POLICIES)}")
    if wish.length_le % wish.stripes:
        raise UsageError(f"{wish.what}: {wish.length_le} extents cannot be divided among {wish.stripes} stripes")
    search = _Search(wish, _pools(vg, wish.candidates))
    free = sum(area.count for pool in search.pools for area in pool.areas)
    if wish.length_le > free and not wish.is_approximate:
        raise NoSpaceError(
            f"volume group {printable(vg.name)!r} has insufficient free space for {wish.what}: "
            f"{free} extents free, {wish.length_le} required"
        )
    for policy in POLICIES[: POLICIES.index(wish.policy) + 1]:
        before = search.missing_le
        search.try_policy(policy)
        if not search.missing_le or (not search.can_split and search.missing_le < before):
            break
    if search.missing_le and not (wish.is_approximate and search.pieces):
        raise NoSpaceError(
            f"volume group {printable(vg.name)!r} has insufficient free space for {wish.what}: {free} extents free, "
            f"{wish.length_le} required {'where the policy allows them' if search.can_split else 'in one piece'}"
        )
    return _joined(search.pieces)


def _joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Pieces that follow each other on every stripe as one."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and piece.areas == tuple(
            area.replace(start_pe=area.start_pe + last.length_pe) for area in last.areas
        ):
            joined[-1] = last.replace(length_pe=last.length_pe + piece.length_pe)
        else:
            joined.append(piece)
    return tuple(joined)


class _Area:
    """Free extents in a row; `unreserved` of them are not spoken for in the pass that is going on."""

    __slots__ = ("count", "pool", "start_pe", "unreserved")

    def __init__(self, pool: _Pool, start_pe: int, count: int) -> None:
        self.pool = pool
        self.start_pe = start_pe
        self.count = count
        self.unreserved = count


class _Pool:
    """The free areas of one PV, the largest first.

    Which of several equal areas is used follows from how lvm2 keeps such a list: one of which a part is reserved goes
    back by the size of its rest, and later by its own, behind its equals.
    """

    def __init__(self, pv_id: str) -> None:
        self.pv_id = pv_id
        self.areas: list[_Area] = []

    def insert(self, area: _Area, size: int) -> int:
        """Put an area in the place of that size; gives the place."""
        place = next((place for place, other in enumerate(self.areas) if size > other.count), len(self.areas))
        self.areas.insert(place, area)
        return place

    def reserve(self, place: int, wanted: int) -> tuple[int, int]:
        """Reserve up to `wanted` extents of the area at a place: how many, and the place where it is then."""
        area = self.areas[place]
        if wanted >= area.unreserved:
            wanted, area.unreserved = area.unreserved, 0
            return wanted, place
        area.unreserved -= wanted
        del self.areas[place]
        return wanted, self.insert(area, area.unreserved)

    def settle(self) -> None:
        """Give every reservation up."""
        for area in list(self.areas):
            if area.unreserved != area.count:
                area.unreserved = area.count
                self.areas.remove(area)
                self.insert(area, area.count)

    def consume(self, area: _Area, count: int) -> PvArea:
        """Take extents off the front of an area; the rest stays."""
        self.areas.remove(area)
        taken = PvArea(pv_id=self.pv_id, start_pe=area.start_pe)
        area.start_pe += count
        area.count -= count
        area.unreserved = area.count
        if area.count:
            self.insert(area, area.count)
        return taken


def _pools(vg: VolumeGroup, candidates: Sequence[Candidate] | None) -> list[_Pool]:
    """The free areas of the allocatable PVs among the candidates, in their order."""
    used = used_extents(vg)
    pvs = {pv.id: pv for pv in vg.pvs}
    pools: dict[str, _Pool] = {}
    for candidate in candidates if candidates is not None else [Candidate(pv_id=pv.id) for pv in vg.pvs]:
        pv = pvs[candidate.pv_id]
        if not pv.is_allocatable:
            continue
        pool = pools.setdefault(pv.id, _Pool(pv.id))
        for start_pe, length_pe in candidate.ranges_pe:
            for run in free_runs(pv, used[pv.id]):
                first = max(start_pe, run.area.start_pe)
                count = min(start_pe + length_pe, run.area.start_pe + run.length_pe) - first
                if count > 0 and not _is_there(pool, first, count):
                    pool.insert(_Area(pool, first, count), count)
    return list(pools.values())


def _is_there(pool: _Pool, start_pe: int, count: int) -> bool:
    """Whether extents are among a pool's areas already, from a range that overlaps."""
    return any(area.start_pe < start_pe + count and start_pe < area.start_pe + area.count for area in pool.areas)


class _Pass:
    """One pass: `slots` has the areas found, (area, extents of it), those of fixed stripes in front.

    `fixed` is how many stripes must follow or cling to what is there, `preferred` how many of them are found.
    """

    def __init__(self, fixed: int) -> None:
        self.fixed = fixed
        self.preferred = 0
        self.slots: list[tuple[_Area, int] | None] = [None] * fixed

    @property
    def found(self) -> int:
        """Areas found that belong to no stripe yet."""
        return len(self.slots) - self.fixed


class _Search:
    """An allocation that is going on."""

    def __init__(self, wish: Wish, pools: list[_Pool]) -> None:
        self.wish = wish
        self.pools = pools
        self.pieces: list[Piece] = []
        self.missing_le = wish.length_le
        self.can_split = not wish.is_whole and wish.policy != "contiguous"
        neighbours = wish.neighbours
        self.near = neighbours if neighbours is not None and len(neighbours.last) == wish.stripes else None

    def try_policy(self, policy: str) -> None:
        """Take what a policy allows."""
        clings = policy == "cling" and self.near is None
        prefers_same_pvs = policy == "normal"
        while self.missing_le:
            before = self.missing_le
            self._take(policy, clings=clings or prefers_same_pvs)
            if self.missing_le == before:
                if not prefers_same_pvs:
                    if policy == "cling" and self.near is not None and self._take_anywhere_near():
                        continue
                    return
                prefers_same_pvs = False
            elif policy == "normal":
                prefers_same_pvs = True
            if policy == "contiguous" or not self.can_split:
                return

    def _take_anywhere_near(self) -> bool:
        """lvm2's second try of the cling policy: on the volume's PVs, but any stripe on any of them."""
        before = self.missing_le
        self._take("cling", clings=False, positional=False)
        return self.missing_le < before

    def _take(self, policy: str, *, clings: bool, positional: bool = True) -> None:
        """One pass over the PVs; takes a piece when enough areas are found."""
        fills = positional and policy in ("contiguous", "cling") and (self.near is not None or policy == "cling")
        state = _Pass(self.wish.stripes if fills else 0)
        for pool in self.pools:
            pool.settle()
        while True:
            found = state.found
            for pool in self.pools:
                self._offer(pool, state, policy, clings=clings, fills=fills)
                enough = policy == "anywhere" and len(state.slots) >= self.wish.stripes
                if enough or (state.fixed and state.preferred == state.fixed == self.wish.stripes):
                    break
            if policy != "anywhere" or state.found == found or state.found >= self.wish.stripes:
                break
        if state.found + state.preferred < self.wish.stripes:
            return
        free = sorted((slot for slot in state.slots[state.fixed :] if slot is not None), key=lambda slot: -slot[1])
        rest = iter(free)
        chosen = [slot if slot is not None else next(rest) for slot in state.slots[: state.fixed]]
        chosen += rest
        self._consume(chosen[: self.wish.stripes])

    def _consume(self, chosen: Sequence[tuple[_Area, int]]) -> None:
        length_pe = min([self.missing_le // self.wish.stripes, *(count for _, count in chosen)])
        areas = tuple(area.pool.consume(area, length_pe) for area, _ in chosen)
        self.pieces.append(Piece(areas=areas, length_pe=length_pe))
        self.missing_le -= length_pe * self.wish.stripes

    def _offer(self, pool: _Pool, state: _Pass, policy: str, *, clings: bool, fills: bool) -> None:
        """Look through a PV's areas, the largest first; a smaller one that is long enough takes its place."""
        is_bound = clings or (self.near is not None and policy in ("contiguous", "cling"))
        found_one = False
        place = 0
        while place < len(pool.areas):
            area = pool.areas[place]
            place += 1
            if not area.unreserved:
                continue
            if is_bound:
                stripe = self._bound_stripe(area, state, policy, clings=clings, fills=fills)
                if stripe is None and policy == "contiguous":
                    continue
                if stripe is None:
                    return
                if fills:
                    state.slots[stripe] = (area, area.count)
                    state.preferred += 1
                    return
            elif area.unreserved * self.wish.stripes < self.missing_le and (
                not self.can_split or (found_one and policy != "anywhere")
            ):
                return
            if found_one and policy != "anywhere":
                state.slots.pop()
            found_one = True
            count, place = pool.reserve(place - 1, self.missing_le // self.wish.stripes)
            state.slots.append((area, count))
            place += 1

    def _bound_stripe(self, area: _Area, state: _Pass, policy: str, *, clings: bool, fills: bool) -> int | None:
        """The stripe that may go on in an area: behind what is there, on a PV that is used; None when none may."""
        for stripe in self._stripes_near(area, policy, clings=clings):
            if not fills or (stripe < state.fixed and state.slots[stripe] is None):
                return stripe
        return None

    def _stripes_near(self, area: _Area, policy: str, *, clings: bool) -> Iterator[int]:
        pv_id = area.pool.pv_id
        if self.near is not None:
            here = PvArea(pv_id=pv_id, start_pe=area.start_pe)
            yield from (stripe for stripe, place in enumerate(self.near.last) if place == here)
            if policy != "contiguous":
                yield from (stripe for stripe, other in enumerate(self.near.first_pv_ids) if other == pv_id)
        if clings and policy != "contiguous":
            for piece in self.pieces:
                yield from (stripe for stripe, place in enumerate(piece.areas) if place.pv_id == pv_id)
