"""Moving extents from one physical volume to others: which are meant, where they go, and the group after it.

What is moved in one go is a piece: extents in a row that belong to one area of one segment, as lvm2 puts its
temporary mirror under them (lib/metadata/lv_manip.c:insert_layer_for_segments_on_pv). A volume keeps its extents and
their order; only places change, so what is encrypted stays as it is (the IV counts from the start of the volume).
"""

from __future__ import annotations

from itertools import pairwise

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.model.allocate import POLICIES, used_extents
from cryptlv.model.merge import merge_segments
from cryptlv.model.vg import PvArea
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cryptlv.model.vg import LogicalVolume, Segment, VolumeGroup

    _Chosen = tuple["_Space", "_Area", int]


class Place(Record):
    """A physical volume, or `ranges` of its extents, (first, how many) each."""

    pv_id: str
    ranges: tuple[tuple[int, int], ...]


class Piece(Record):
    """`length_pe` extents of area `number` of the segment at `start_le` of a volume, now at `source`.

    Behind each extent of the area there are `le_per_pe` logical ones. The data begin `offset_sectors` into the first
    extent. What `is_indivisible` goes into one run of extents. `beside` has the PVs of the segment's areas, which
    new extents stay away from.
    """

    lv_name: str
    start_le: int
    number: int
    le_per_pe: int
    source: PvArea
    length_pe: int
    offset_sectors: int = 0
    is_indivisible: bool = False
    beside: frozenset[str] = frozenset()

    def part(self, skip_pe: int, length_pe: int) -> Piece:
        """`length_pe` of its extents, from `skip_pe` on."""
        return self.replace(
            start_le=self.start_le + skip_pe * self.le_per_pe,
            source=self.source.replace(start_pe=self.source.start_pe + skip_pe),
            length_pe=length_pe,
        )


class Move(Record):
    """A piece and the extents to which it goes, which are free."""

    piece: Piece
    target: PvArea

    def part(self, skip_pe: int, length_pe: int) -> Move:
        """`length_pe` of its extents, from `skip_pe` on."""
        target = self.target.replace(start_pe=self.target.start_pe + skip_pe)
        return Move(piece=self.piece.part(skip_pe, length_pe), target=target)


def parse_ranges(text: str, pe_count: int) -> tuple[tuple[int, int], ...]:
    """What stands behind a physical volume's name, `:PE[-PE|+COUNT]...`: (first, how many) each, in order.

    Nothing means all extents; a number that is left out is the first's or the last's (lib/metadata/pv_list.c).
    Raises RefusedError for what cannot be read, and for extents that the physical volume does not have.
    """
    if not text:
        return ((0, pe_count),)
    return tuple(_parse_range(word, pe_count) for word in text[1:].split(":"))


def _parse_range(word: str, pe_count: int) -> tuple[int, int]:
    first, sign, last = next((found for mark in "-+" if (found := word.partition(mark))[1]), (word, "", ""))
    if not word or not word.isascii() or not all(number.isdigit() for number in (first, last) if number):
        raise RefusedError(f"Physical extent parsing error at {word}")
    start = int(first) if first else 0
    if sign == "+" and last:
        end = start + max(int(last), 1) - 1
    else:
        end = int(last) if last else start if first and not sign else pe_count - 1
    if start > end or end > pe_count - 1:
        raise RefusedError(f"PE range error: start extent {start} to end extent {end}.")
    return start, end - start + 1


def check_apart(ranges: Sequence[tuple[int, int]], name: str) -> None:
    """Raise RefusedError when two ranges of extents of the PV `name` have one in common."""
    for (start, count), (following, more) in pairwise(sorted(ranges)):
        if following < start + count:
            raise RefusedError(
                f"Overlapping PE ranges specified ({following}-{following + more - 1}, {start}-{start + count - 1}) "
                f"on {name}."
            )


def find_pieces(vg: VolumeGroup, source: Place, is_meant: Callable[[LogicalVolume], bool]) -> tuple[Piece, ...]:
    """What lies on `source`, of the volumes that are meant, in the order in which lvm2 goes through it.

    Segments of types that cannot be moved are left out; what is indivisible is moved when any extent is meant, and
    so is a volume that a keystore lies on.
    """
    segments = ((lv, segment) for lv in vg.lvs for segment in lv.segments)
    stores = {name for _, segment in segments if segment.is_indivisible for _, name in segment.parts()}
    return tuple(
        piece
        for lv in vg.lvs
        if is_meant(lv)
        for segment in lv.segments
        for piece in _pieces(lv, segment, source, is_whole=segment.is_indivisible or lv.name in stores)
    )


def _pieces(lv: LogicalVolume, segment: Segment, source: Place, *, is_whole: bool) -> Iterator[Piece]:
    each = segment.le_per_pe
    length = segment.length_le // each
    areas = [(number, area) for number, area in segment.movable() if area.pv_id == source.pv_id]
    spans = {number: _spans(segment, area, length, source) for number, area in areas}
    if is_whole:
        spans = {number: [(0, length)] if found else [] for number, found in spans.items()}
    cuts = {0, length, *(end for found in spans.values() for span in found for end in span)}
    for first, last in pairwise(sorted(cuts)):
        for number, area in areas:
            if any(start <= first < end for start, end in spans[number]):
                whole = Piece(
                    lv_name=lv.name,
                    start_le=segment.start_le,
                    number=number,
                    le_per_pe=each,
                    source=area,
                    length_pe=length,
                    offset_sectors=segment.data_offset_sectors,
                    is_indivisible=is_whole,
                    beside=frozenset(place.pv_id for _, place in segment.movable()),
                )
                yield whole.part(first, last - first)


def _spans(segment: Segment, area: PvArea, length_pe: int, source: Place) -> list[tuple[int, int]]:
    """Which of an area's extents are meant: (first, behind the last) of each range, counted from the area's start.

    Where the data begin inside an extent each of them lies in two.
    """
    reach = 1 if segment.data_offset_sectors else 0
    found = []
    for start_pe, count in source.ranges:
        first = max(start_pe - area.start_pe - reach, 0)
        end = min(start_pe + count - area.start_pe, length_pe)
        if first < end:
            found.append((first, end))
    return found


def destinations(vg: VolumeGroup, source: Place, named: Sequence[Place], policy: str) -> tuple[Place, ...]:
    """The physical volumes that new extents are taken from: those named, or all, but the source and full ones.

    Policy anywhere leaves the source in (tools/pvmove.c:_get_allocatable_pvs). Raises NoSpaceError when none is left.
    """
    used = used_extents(vg)
    counts = {pv.id: pv.pe_count for pv in vg.pvs}
    full = {pv_id for pv_id, places in used.items() if sum(length for _, length in places) >= counts.get(pv_id, 0)}
    closed = full | (set() if policy == "anywhere" else {source.pv_id})
    places = named or [Place(pv_id=pv.id, ranges=((0, pv.pe_count),)) for pv in vg.pvs]
    left = tuple(place for place in places if place.pv_id not in closed)
    if not left:
        raise NoSpaceError("No extents available for allocation.")
    return left


def allocate_for_move(
    vg: VolumeGroup, pieces: Sequence[Piece], places: Sequence[Place], policy: str
) -> tuple[Move, ...]:
    """Where pieces go: free extents of `places`, off the PVs beside which they lie.

    The choice is lvm2's for the mirror of a pvmove (lib/metadata/lv_manip.c:_allocate with parallel areas): the first
    piece anywhere, those behind it on the PVs that are taken from already, as long as there is room; with policy
    contiguous there is one try. Raises NoSpaceError.
    """
    open_pvs = {pv.id: pv.pe_count for pv in vg.pvs if pv.is_allocatable}
    used = used_extents(vg)
    spaces: dict[str, _Space] = {}
    for place in places:
        if place.pv_id in open_pvs:
            space = spaces.setdefault(place.pv_id, _Space(place.pv_id))
            for free_area in _free(used[place.pv_id], place.ranges, open_pvs[place.pv_id]):
                space.insert(_Area(*free_area))
    search = _Search(list(spaces.values()), pieces)
    for step in POLICIES[: POLICIES.index(policy) + 1]:
        if not search.missing_pe:
            break
        free = sum(area.length_pe for space in search.spaces for area in space.areas)
        if search.missing_pe > free:
            raise NoSpaceError(
                f"Insufficient free space: {search.missing_pe} extents needed, but only {free} available"
            )
        search.take(step, only_whole=policy == "contiguous")
    if search.missing_pe:
        kind = "contiguous " if policy == "contiguous" else ""
        raise NoSpaceError(
            f"Insufficient suitable {kind}allocatable extents for the move: {search.missing_pe} more required"
        )
    return tuple(search.moves)


def _free(used: list[tuple[int, int]], ranges: Iterable[tuple[int, int]], pe_count: int) -> Iterator[tuple[int, int]]:
    """The free extents within ranges, (first, how many); those of one range are never one with those of another."""
    for first, count in ranges:
        at, end = first, min(first + count, pe_count)
        for start_pe, length_pe in used:
            if at < min(start_pe, end):
                yield at, min(start_pe, end) - at
            at = max(at, start_pe + length_pe)
        if at < end:
            yield at, end - at


class _Area:
    """Free extents in a row; `unreserved_pe` of them have not been looked at."""

    __slots__ = ("length_pe", "start_pe", "unreserved_pe")

    def __init__(self, start_pe: int, length_pe: int) -> None:
        self.start_pe = start_pe
        self.length_pe = self.unreserved_pe = length_pe


class _Space:
    """The free areas of a PV, the largest first.

    Which of several equal areas is used follows from how lvm2 keeps the list: an area that is looked at is put back
    by the size that it would be left with, and before the next look by its own, behind its equals, from where the
    walk through the list goes on (lib/metadata/pv_map.c, lv_manip.c:_reset_unreserved).
    """

    def __init__(self, pv_id: str) -> None:
        self.pv_id = pv_id
        self.areas: list[_Area] = []

    def insert(self, area: _Area) -> int:
        """Put an area in its place by what is unreserved of it; gives the place."""
        size = area.unreserved_pe
        place = next((place for place, other in enumerate(self.areas) if size > other.length_pe), len(self.areas))
        self.areas.insert(place, area)
        return place

    def settle(self) -> None:
        """Put the areas that were looked at back in their places."""
        place = 0
        while place < len(self.areas):
            area = self.areas[place]
            if area.unreserved_pe != area.length_pe:
                area.unreserved_pe = area.length_pe
                del self.areas[place]
                place = self.insert(area)
            place += 1

    def reserve(
        self, wanted: int, enough: Callable[[_Area, bool], bool], *, first: bool = False
    ) -> tuple[_Area, int] | None:
        """Go through the areas as long as `enough(area, one was found before)`: the last one, or the `first`, and how
        much of it is reserved."""
        found: tuple[_Area, int] | None = None
        place = 0
        while place < len(self.areas):
            area = self.areas[place]
            if area.unreserved_pe:
                if not enough(area, found is not None):
                    break
                reserved = 0 if first and found is not None else min(area.unreserved_pe, wanted)
                if not first or found is None:
                    found = area, reserved
                area.unreserved_pe -= reserved
                if area.unreserved_pe:
                    del self.areas[place]
                    place = self.insert(area)
            place += 1
        return found

    def first(self) -> _Area | None:
        """The first area that has something left."""
        return next((area for area in self.areas if area.unreserved_pe), None)

    def consume(self, area: _Area, length_pe: int) -> int:
        """Take extents off the front of an area; gives the first."""
        self.areas.remove(area)
        start_pe = area.start_pe
        area.start_pe += length_pe
        area.length_pe -= length_pe
        area.unreserved_pe = area.length_pe
        if area.length_pe:
            self.insert(area)
        return start_pe


class _Search:
    """A search for extents: the spaces, the moves that have a place, and the pieces that have none yet."""

    def __init__(self, spaces: list[_Space], pieces: Sequence[Piece]) -> None:
        self.spaces = spaces
        self.moves: list[Move] = []
        self._left = list(reversed(pieces))
        self._taken_from: set[str] = set()

    @property
    def missing_pe(self) -> int:
        """Extents that have no place yet."""
        return sum(piece.length_pe for piece in self._left)

    def take(self, step: str, *, only_whole: bool) -> None:
        """Find what one policy finds."""
        if step == "contiguous":
            self._round(lambda piece: self._anywhere_beside(piece, only_whole=only_whole))
        elif step == "normal":
            self._take_normal()
        else:
            choose = self._first_taken if step == "cling" else self._first_of_all
            while self._left and self._round(choose):
                pass

    def _take_normal(self) -> None:
        """PVs that are taken from already before others, whenever something was found."""
        clinging = True
        while self._left:
            if self._round(
                self._any_taken if clinging else lambda piece: self._anywhere_beside(piece, only_whole=False)
            ):
                clinging = True
            elif clinging:
                clinging = False
            else:
                return

    def _round(self, choose: Callable[[Piece], _Chosen | None]) -> bool:
        for space in self.spaces:
            space.settle()
        piece = self._left[-1]
        chosen = choose(piece)
        if chosen is None:
            return False
        space, area, offered = chosen
        length = min(piece.length_pe, offered)
        target = PvArea(pv_id=space.pv_id, start_pe=space.consume(area, length))
        self.moves.append(Move(piece=piece.part(0, length), target=target))
        self._taken_from.add(space.pv_id)
        self._left.pop()
        if length < piece.length_pe:
            self._left.append(piece.part(length, piece.length_pe - length))
        return True

    def _apart(self, piece: Piece, *, taken: bool) -> Iterator[_Space]:
        """The spaces on other PVs than those beside a piece; with `taken` of PVs that are taken from already."""
        for space in self.spaces:
            if space.pv_id not in piece.beside and (not taken or space.pv_id in self._taken_from):
                yield space

    def _anywhere_beside(self, piece: Piece, *, only_whole: bool) -> _Chosen | None:
        """On each PV the smallest area that is long enough, else the largest; the one that gives most of these."""
        whole = only_whole or piece.is_indivisible
        return _most(
            piece,
            self._apart(piece, taken=False),
            lambda area, found: area.unreserved_pe >= piece.length_pe or not (whole or found),
        )

    def _any_taken(self, piece: Piece) -> _Chosen | None:
        """On each PV that is taken from the last area, whatever its size; the one that gives most of these."""
        return _most(piece, self._apart(piece, taken=True), lambda area, _: _fits(piece, area))

    def _first_taken(self, piece: Piece) -> _Chosen | None:
        """The largest area of the first PV that is taken from."""
        for space in self._apart(piece, taken=True):
            area = space.first()
            if area is not None and _fits(piece, area):
                return space, area, area.length_pe
        return None

    def _first_of_all(self, piece: Piece) -> _Chosen | None:
        """The largest area of the first PV, whatever lies on it."""
        for space in self.spaces:
            found = space.reserve(piece.length_pe, lambda area, _: _fits(piece, area), first=True)
            if found is not None:
                return space, *found
        return None


def _fits(piece: Piece, area: _Area) -> bool:
    """Whether an area may be used for (part of) a piece."""
    return area.unreserved_pe >= piece.length_pe or not piece.is_indivisible


def _most(piece: Piece, spaces: Iterable[_Space], enough: Callable[[_Area, bool], bool]) -> _Chosen | None:
    """Of what each space reserves the most, the first of equals."""
    offers = [(space, *found) for space in spaces if (found := space.reserve(piece.length_pe, enough)) is not None]
    return max(offers, key=lambda offer: offer[2], default=None)


def apply_moves(vg: VolumeGroup, moves: Iterable[Move]) -> VolumeGroup:
    """The volume group with every piece at its new place, segments that go on joined."""
    by_lv: dict[str, list[Move]] = {}
    for move in moves:
        by_lv.setdefault(move.piece.lv_name, []).append(move)
    return vg.replace(lvs=tuple(_moved(lv, by_lv[lv.name]) if lv.name in by_lv else lv for lv in vg.lvs))


def _moved(lv: LogicalVolume, moves: Iterable[Move]) -> LogicalVolume:
    segments = list(lv.segments)
    for move in moves:
        rest, each = move, move.piece.le_per_pe
        while rest.piece.length_pe:
            start_le, length = rest.piece.start_le, rest.piece.length_pe
            place = next(place for place, segment in enumerate(segments) if segment.end_le > start_le)
            segment = segments[place]
            here = min((segment.end_le - start_le) // each, length)  # another stripe's move may have cut it
            before, meant, behind = (
                _cut(segment, first, end)
                for first, end in pairwise((segment.start_le, start_le, start_le + here * each, segment.end_le))
            )
            moved = meant.moved(move.piece.number, rest.target) if meant is not None else None
            segments[place : place + 1] = [part for part in (before, moved, behind) if part is not None]
            rest = rest.part(here, length - here)
    return merge_segments(lv.replace(segments=tuple(segments)))


def _cut(segment: Segment, start_le: int, end_le: int) -> Segment | None:
    """Logical extents of a segment, None when there are none; the segment itself when they are all it has."""
    if start_le == end_le:
        return None
    if (start_le, end_le) == (segment.start_le, segment.end_le):
        return segment
    return segment.part(start_le - segment.start_le, end_le - start_le)


def first_moves(moves: Sequence[Move], length_pe: int) -> tuple[tuple[Move, ...], tuple[Move, ...]]:
    """The moves of the first `length_pe` extents, and the others; one that is indivisible is not among the first
    before all of it is."""
    for place, move in enumerate(moves):
        rest = move.piece.length_pe - length_pe
        if rest > 0:
            if not length_pe or move.piece.is_indivisible:
                return tuple(moves[:place]), tuple(moves[place:])
            first, second = move.part(0, length_pe), move.part(length_pe, rest)
            return (*moves[:place], first), (second, *moves[place + 1 :])
        length_pe = -rest
    return tuple(moves), ()
