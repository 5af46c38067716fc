"""Encrypted volumes made of LUKS volumes and back, without a byte of the data encrypted or decrypted: what the group
is after it, and which bytes must be elsewhere then.

A LUKS volume has its data behind a header, which need not end with an extent. As a crypt segment may begin inside its
first extent (`area_offset`), data stay where they are as long as extents follow each other on the disk; an extent's
worth of data that does not lie in one piece goes to an extent of its own. The way back puts such pieces into the
slack before and behind their neighbours. Nothing here is ever copied to where data are that the value before uses:
until the commit the volume before is whole, after it the one after.
"""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.model.allocate import Wish, allocate
from cryptlv.model.edit import add_lvs, canonical, users_of
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, map_volume
from cryptlv.model.merge import merged
from cryptlv.model.vg import LvArea, PvArea
from cryptlv.names import DATA_SUFFIX, check_lv_name, printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cryptlv.model.allocate import Candidate, Piece
    from cryptlv.model.mapping import Target, VolumeMapping
    from cryptlv.model.vg import Area, LogicalVolume, Segment, VolumeGroup


class Place(Record):
    """Sectors on a physical volume, counted from its start."""

    pv_id: str
    start_sectors: int
    length_sectors: int

    @property
    def end_sectors(self) -> int:
        """The first sector behind it."""
        return self.start_sectors + self.length_sectors

    def has(self, other: Place) -> bool:
        """Whether another place begins in it."""
        return self.pv_id == other.pv_id and self.start_sectors <= other.start_sectors < self.end_sectors

    def part(self, skip_sectors: int, length_sectors: int) -> Place:
        """Some sectors of it."""
        return self.replace(start_sectors=self.start_sectors + skip_sectors, length_sectors=length_sectors)


class Copy(Record):
    """Sectors that must be somewhere else, too, before the commit; places of the same length."""

    source: Place
    target: Place

    def blocks(self, most_sectors: int) -> Iterator[Copy]:
        """The same in parts of so many sectors at most."""
        for start in range(0, self.source.length_sectors, most_sectors):
            length = min(most_sectors, self.source.length_sectors - start)
            yield Copy(source=self.source.part(start, length), target=self.target.part(start, length))


class Conversion(Record):
    """A conversion thought through.

    `data_offset_sectors` is where the data begin in the volume that is not encrypted by the group. `header` is where
    the key header must be written, in order; none when it stays where it is, or is nowhere. `blanks` are zeroed
    before the commit; `stale`, with what is left of the header, after it.
    """

    after: VolumeGroup
    lv_name: str
    store_name: str
    data_offset_sectors: int
    header: tuple[Place, ...] = ()
    copies: tuple[Copy, ...] = ()
    blanks: tuple[Place, ...] = ()
    stale: tuple[Place, ...] = ()


class Makers(Record):
    """Makes what is not known here: `linear(start_le, length_le, area)` and `crypt(start_le, length_le, area,
    area_offset_sectors)` are segments, `store(area or None, length_le)` is a new keystore of that place, and
    `hidden(name, segments)` a new hidden volume. New extents come from `candidates` (None: all) by `policy`."""

    linear: Callable[[int, int, Area], Segment]
    crypt: Callable[[int, int, Area, int], Segment]
    store: Callable[[PvArea | None, int], LogicalVolume]
    hidden: Callable[[str, tuple[Segment, ...]], LogicalVolume]
    candidates: tuple[Candidate, ...] | None = None
    policy: str = "normal"


def places_of(mapping: VolumeMapping, start_sectors: int, length_sectors: int) -> tuple[Place, ...]:
    """Where sectors of a volume lie, as they are on the disks (those of encrypted ones are ciphertext), in order."""
    layers = {layer.lv_id: layer for layer in mapping.layers}
    found: list[Place] = []
    for target in mapping.targets:
        first = max(start_sectors, target.start_sectors)
        length = min(start_sectors + length_sectors, target.end_sectors) - first
        if length <= 0:
            continue
        for place in _within(target, first - target.start_sectors, length):
            layer = layers.get(place.pv_id)
            parts = (place,) if layer is None else places_of(layer, place.start_sectors, place.length_sectors)
            for part in parts:
                last = found[-1] if found else None
                if last is not None and (last.pv_id, last.end_sectors) == (part.pv_id, part.start_sectors):
                    found[-1] = last.replace(length_sectors=last.length_sectors + part.length_sectors)
                else:
                    found.append(part)
    return tuple(found)


def joined(places: Iterable[Place]) -> tuple[Place, ...]:
    """The same sectors in the order in which they lie, with places that follow each other as one."""
    found: list[Place] = []
    for place in sorted(places, key=lambda place: (place.pv_id, place.start_sectors)):
        last = found[-1] if found else None
        if last is not None and (last.pv_id, last.end_sectors) == (place.pv_id, place.start_sectors):
            found[-1] = last.replace(length_sectors=last.length_sectors + place.length_sectors)
        else:
            found.append(place)
    return tuple(found)


def _within(target: Target, skip: int, length: int) -> Iterator[Place]:
    """Sectors of a target. Stripes: Documentation/admin-guide/device-mapper/striped.rst."""
    if isinstance(target, LinearTarget | CryptTarget):
        yield Place(pv_id=target.pv_id, start_sectors=target.offset_sectors + skip, length_sectors=length)
        return
    assert isinstance(target, StripedTarget)  # noqa: S101 - there are no others
    chunk, count = target.chunk_sectors, len(target.stripes)
    end = skip + length
    while skip < end:
        number, inside = divmod(skip, chunk)
        row, stripe = divmod(number, count)
        pv_id, offset = target.stripes[stripe]
        here = min(chunk - inside, end - skip)
        yield Place(pv_id=pv_id, start_sectors=offset + row * chunk + inside, length_sectors=here)
        skip += here


def _differences(old: Iterable[Place], new: Iterable[Place]) -> tuple[Copy, ...]:
    """What must be copied so that the same data that lie at `old` lie at `new`; both are as long."""
    copies: list[Copy] = []
    left, right = list(old)[::-1], list(new)[::-1]
    while left:
        source, target = left.pop(), right.pop()
        length = min(source.length_sectors, target.length_sectors)
        for rest, others in ((source, left), (target, right)):
            if rest.length_sectors > length:
                others.append(rest.part(length, rest.length_sectors - length))
        source, target = source.part(0, length), target.part(0, length)
        if source != target:
            copies.append(Copy(source=source, target=target))
    return tuple(copies)


class Payload(Record):
    """What a volume that is to be imported holds: data from `offset_sectors` on, and a header that takes
    `header_sectors` (0: none), which lies in front of the data when `is_in_front`."""

    offset_sectors: int
    header_sectors: int
    is_in_front: bool


def plan_import(vg: VolumeGroup, lv: LogicalVolume, payload: Payload, make: Makers) -> Conversion:
    """A linear or striped volume becomes a keystore and an encrypted volume. Its last extent may be new in part.

    Whole extents of the header, in a row, become the keystore; else the header goes to new extents. Raises
    RefusedError when there are no data, NoSpaceError, ExistsError, CheckError.
    """
    size = vg.extent_size_sectors
    skip_le, rest = divmod(payload.offset_sectors, size)
    length_le = lv.length_le - skip_le
    if length_le <= 0:
        where = f"{printable(vg.name)}/{printable(lv.name)}"
        raise RefusedError(f"{where} ends before its data begin, at sector {payload.offset_sectors}")
    runs = _runs(lv)
    in_place = _is_store(payload, runs, skip_le, rest)
    if in_place and runs is not None:
        store = make.store(runs[0][0], skip_le)
        grown = vg
    else:
        store = _new_store(vg, payload, make, lv)
        grown = add_lvs(vg, store)
    if runs is None:
        volumes: tuple[LogicalVolume, ...] = _stacked(grown, lv, skip_le, rest, make)
    else:
        volumes = (lv.replace(segments=_crypt_segments(grown, runs, skip_le, rest, make, lv)),)
    after = add_lvs(vg.with_lv(volumes[0]), *volumes[1:], store)
    old, new = map_volume(vg, lv), map_volume(after, volumes[0])
    data = lv.length_le * size - payload.offset_sectors
    copies: tuple[Copy, ...] = ()
    if runs is not None and rest:
        copies = _differences(places_of(old, payload.offset_sectors, data), places_of(new, 0, data))
    return Conversion(
        after=after,
        lv_name=lv.name,
        store_name=store.name,
        data_offset_sectors=payload.offset_sectors,
        header=() if in_place or not payload.header_sectors else _store_places(after, store, payload.header_sectors),
        copies=copies,
        blanks=joined(places_of(new, data, length_le * size - data)),
        stale=joined(places_of(old, 0, payload.offset_sectors)) if payload.is_in_front and not in_place else (),
    )


def _is_store(payload: Payload, runs: list[tuple[PvArea, int]] | None, skip_le: int, rest: int) -> bool:
    """Whether the extents before the data can be the keystore as they are."""
    return payload.is_in_front and not rest and runs is not None and runs[0][1] >= skip_le


def _runs(lv: LogicalVolume) -> list[tuple[PvArea, int]] | None:
    """The extents of a linear volume as they follow each other on the disks; None for one with stripes."""
    runs: list[tuple[PvArea, int]] = []
    for segment in lv.segments:
        places = segment.places()
        if len(places) != 1 or not isinstance(area := places[0], PvArea):
            return None
        if runs and _behind(runs[-1]) == area:
            runs[-1] = (runs[-1][0], runs[-1][1] + segment.length_le)
        else:
            runs.append((area, segment.length_le))
    return runs


def _behind(run: tuple[PvArea, int]) -> PvArea:
    area, length = run
    return area.replace(start_pe=area.start_pe + length)


def _new_store(vg: VolumeGroup, payload: Payload, make: Makers, lv: LogicalVolume) -> LogicalVolume:
    """A keystore in free extents, or one that stores nothing."""
    if not payload.header_sectors:
        return make.store(None, 1)
    length_le = -(-payload.header_sectors // vg.extent_size_sectors)
    what = f"the keystore of {printable(lv.name)!r}"
    wish = Wish(length_le=length_le, what=what, candidates=make.candidates, is_whole=True)
    (piece,) = allocate(vg, wish)
    return make.store(piece.areas[0], length_le)


def _store_places(vg: VolumeGroup, store: LogicalVolume, length_sectors: int) -> tuple[Place, ...]:
    ((pv_id, start_pe, _),) = store.segments[0].footprint()
    start = vg.pv(pv_id).pe_start_sectors + start_pe * vg.extent_size_sectors
    return (Place(pv_id=pv_id, start_sectors=start, length_sectors=length_sectors),)


def _fresh(vg: VolumeGroup, count: int, make: Makers, lv: LogicalVolume) -> Iterator[PvArea]:
    """New extents, one by one."""
    pieces: tuple[Piece, ...] = ()
    if count:
        what = f"what {printable(lv.name)!r} needs besides its own extents"
        pieces = allocate(vg, Wish(length_le=count, what=what, candidates=make.candidates, policy=make.policy))
    for piece in pieces:
        for number in range(piece.length_pe):
            yield piece.areas[0].replace(start_pe=piece.areas[0].start_pe + number)


def _crypt_segments(
    vg: VolumeGroup, runs: list[tuple[PvArea, int]], skip_le: int, rest: int, make: Makers, lv: LogicalVolume
) -> tuple[Segment, ...]:
    """The data behind `skip_le` extents and `rest` sectors as encrypted segments; `vg` has all that is in use."""
    kept: list[tuple[PvArea, int]] = []
    for area, length in runs:
        skipped = min(skip_le, length)
        skip_le -= skipped
        if length > skipped:
            kept.append((area.replace(start_pe=area.start_pe + skipped), length - skipped))
    fresh = _fresh(vg, len(kept) if rest else 0, make, lv)
    segments: list[Segment] = []
    at = 0
    for area, length in kept:
        inside = length - 1 if rest else length
        if inside:
            segments.append(make.crypt(at, inside, area, rest))
        if rest:
            segments.append(make.crypt(at + inside, 1, next(fresh), 0))
        at += length
    return merged(segments)


def _stacked(
    vg: VolumeGroup, lv: LogicalVolume, skip_le: int, rest: int, make: Makers
) -> tuple[LogicalVolume, LogicalVolume]:
    """An encrypted volume over a hidden one that has the stripes. What is before the data is cut off where rows of
    stripes allow it; data that end inside an extent get a further row to end in."""
    check_lv_name(vg.name, lv.name, DATA_SUFFIX)
    segments, start_le = lv.segments, skip_le
    cut = None if rest else _cut(segments, skip_le)
    if cut is not None:
        segments, start_le = cut, 0
    if rest:
        last = segments[-1]
        count = len(last.places())
        what = f"the end of {printable(lv.name)!r}"
        wish = Wish(
            length_le=count, what=what, stripes=count, candidates=make.candidates, policy=make.policy, is_whole=True
        )
        (piece,) = allocate(vg, wish)
        more = last.replace(start_le=last.end_le, length_le=piece.length_le, areas=piece.areas)
        segments = merged((*segments, more))
    below = make.hidden(lv.name + DATA_SUFFIX, segments)
    area = LvArea(lv_name=below.name, start_le=start_le)
    return lv.replace(segments=(make.crypt(0, lv.length_le - skip_le, area, rest),)), below


def _cut(segments: tuple[Segment, ...], skip_le: int) -> tuple[Segment, ...] | None:
    """Segments without their first extents, counted from 0 again; None where they cannot be cut."""
    kept: list[Segment] = []
    for segment in segments:
        skipped = min(max(skip_le - segment.start_le, 0), segment.length_le)
        if skipped == segment.length_le:
            continue
        try:
            part = segment.part(skipped, segment.length_le - skipped)
        except RefusedError:
            return None
        kept.append(part.replace(start_le=part.start_le - skip_le))
    return tuple(kept)


def plan_export(
    vg: VolumeGroup, lv: LogicalVolume, header_sectors: int, make: Makers, *, in_front: bool
) -> Conversion:
    """An encrypted volume becomes a linear or striped one that holds ciphertext, with its header, which takes
    `header_sectors` (0: it has none), `in_front` of the data or elsewhere.

    In front it lies in slack before the data, in the keystore's own extents when no other volume uses these, or in
    new ones. Raises RefusedError when data begin where a header cannot say so, or several keystores are used,
    NoSpaceError.
    """
    where = f"{printable(vg.name)}/{printable(lv.name)}"
    stores = {name for segment in lv.segments for name in segment.keystores}
    offsets = {segment.data_offset_sectors for segment in lv.segments} - {0}
    if len(stores) != 1:
        raise RefusedError(f"{where} has keys of {len(stores)} keystores: a LUKS volume has one")
    if len(offsets) > 1:
        raise RefusedError(f"{where}: its segments begin at different places in extents; {_first_move(where)}")
    (store_name,) = stores
    rest = next(iter(offsets), 0)
    is_last = users_of(vg, store_name) == (lv.name,)
    gone = {store_name} if is_last else set()
    below = [name for segment in lv.segments for _, name in segment.parts()]
    lead: tuple[PvArea | None, int] = (None, 0)
    if below:
        hidden, rest = _below(vg, lv, where)
        segments = hidden.segments
        gone.add(hidden.name)
        if in_front and rest < header_sectors:
            raise RefusedError(f"{where} lies over stripes with no room for a header in front; see --splitcrypto")
    else:
        if in_front and header_sectors > rest:
            lead = _lead(vg, store_name, header_sectors, is_last=is_last)
        segments = _linear_segments(vg, lv, rest, lead, make)
    if not in_front and 0 < rest < header_sectors:
        raise RefusedError(
            f"{where}: its data begin {rest} sectors into an extent, and no header of {header_sectors} sectors can "
            f"say so; {_first_move(where)}"
        )
    offset = lead[1] * vg.extent_size_sectors + rest
    plain = lv.replace(segments=segments)
    kept = tuple(plain if other.id == lv.id else other for other in vg.lvs if other.name not in gone)
    after = canonical(vg.replace(lvs=kept))
    old, new = map_volume(vg, lv), map_volume(after, plain)
    data = lv.length_le * vg.extent_size_sectors
    copies: tuple[Copy, ...] = ()
    if not below:
        copies = _differences(places_of(old, 0, data), places_of(new, offset, data))
    return Conversion(
        after=after,
        lv_name=lv.name,
        store_name=store_name,
        data_offset_sectors=offset,
        header=places_of(new, 0, header_sectors) if in_front else (),
        copies=copies,
        stale=() if lead[0] is not None or not is_last else _footprint_places(vg, store_name),
    )


def _first_move(where: str) -> str:
    vg_name, _, lv_name = where.partition("/")
    return f"move it to other extents first: cryptlv pvmove -n {lv_name} PV (of {vg_name})"


def _footprint_places(vg: VolumeGroup, name: str) -> tuple[Place, ...]:
    size = vg.extent_size_sectors
    return tuple(
        Place(
            pv_id=pv_id,
            start_sectors=vg.pv(pv_id).pe_start_sectors + start_pe * size,
            length_sectors=length_pe * size,
        )
        for segment in vg.lv(name).segments
        for pv_id, start_pe, length_pe in segment.footprint()
    )


def _below(vg: VolumeGroup, lv: LogicalVolume, where: str) -> tuple[LogicalVolume, int]:
    """The one hidden volume below, and where in it, in sectors, the data begin."""
    areas = lv.segments[0].places()
    if len(lv.segments) > 1 or len(areas) != 1 or not isinstance(area := areas[0], LvArea):
        raise RefusedError(f"{where} lies on several volumes, and is not converted")
    offset = area.start_le * vg.extent_size_sectors + lv.segments[0].data_offset_sectors
    return vg.lv(area.lv_name), offset


def _lead(vg: VolumeGroup, store_name: str, header_sectors: int, *, is_last: bool) -> tuple[PvArea | None, int]:
    """Extents for a header in front of the data: those of the keystore itself where they will do, None for new ones;
    and how many."""
    needed_le = -(-header_sectors // vg.extent_size_sectors)
    for pv_id, start_pe, length_pe in vg.lv(store_name).segments[0].footprint():
        if is_last and length_pe >= needed_le:
            return PvArea(pv_id=pv_id, start_pe=start_pe), length_pe
    return None, needed_le


def _linear_segments(
    vg: VolumeGroup, lv: LogicalVolume, rest: int, lead: tuple[PvArea | None, int], make: Makers
) -> tuple[Segment, ...]:
    """The extents of an encrypted volume one behind the other, with data from sector `rest` of the first behind
    `lead` on.

    Data that begin inside an extent end inside one, too: there are more extents by one. Segments that begin at `rest`
    keep all of theirs; what has none at its place gets a new extent.
    """
    tail = 1 if rest else 0
    kept: list[tuple[int, int, PvArea]] = []
    taken = 0
    for segment in lv.segments:
        area = segment.places()[0]
        if segment.data_offset_sectors == rest and isinstance(area, PvArea):
            skipped = max(taken - segment.start_le, 0)  # the one before ends in the extent where this one begins
            taken = segment.end_le + tail
            first = area.replace(start_pe=area.start_pe + skipped)
            kept.append((segment.start_le + skipped, segment.length_le + tail - skipped, first))
    length_le = lv.length_le + tail
    lead_area, lead_le = lead
    new_le = length_le - sum(length for _, length, _ in kept) + (lead_le if lead_area is None else 0)
    fresh = _fresh(vg, new_le, make, lv)
    whole = [(lead_area, lead_le)] if lead_area is not None else [(next(fresh), 1) for _ in range(lead_le)]
    at = 0
    for start, length, first in kept:
        whole += [(next(fresh), 1) for _ in range(start - at)]
        whole.append((first, length))
        at = start + length
    whole += [(next(fresh), 1) for _ in range(length_le - at)]
    segments: list[Segment] = []
    for first, length in whole:
        segments.append(make.linear(segments[-1].end_le if segments else 0, length, first))
    return merged(segments)
