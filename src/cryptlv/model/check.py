"""The rules that every volume group must keep: what lvm2's vg_validate and check_lv_segments ask, and ours.

Nothing is committed, allocated from or activated while `check` finds something; it goes on after a fault, so that
all of them are reported at once. Each rule takes time in proportion to the number of segments and places.
"""

from __future__ import annotations

from itertools import islice

from cryptlv.model.vg import Surroundings
from cryptlv.names import is_name, printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptlv.model.vg import LogicalVolume, Segment, VolumeGroup

    Place = tuple[int, int, int, int]
    """First extent, number of extents, the volume's place among the group's, number of the segment."""

_MAX_EXTENTS = 2**32 - 1
_MOST = 100
_KEPT = 3
_ANSWERS: list[tuple[VolumeGroup, tuple[str, ...]]] = []


class Violation(Record):
    """A rule that is broken: `message` says by what, `keys` leads to it in the metadata text, from the group on.

    The last key is the field. `lv_names` has the volumes that are concerned; none when the whole group is.
    """

    message: str
    keys: tuple[str, ...]
    lv_names: tuple[str, ...] = ()


def find_violations(vg: VolumeGroup) -> Iterator[Violation]:
    """Every violation, as it is found."""
    yield from _check_group(vg)
    yield from _check_lvs(vg)


def check(vg: VolumeGroup) -> tuple[str, ...]:
    """The violations, one line each, the first hundred of them; empty when the volume group is sound.

    The last answers are kept: a command asks several times of one value, which may have ten thousand volumes.
    """
    for known, answer in _ANSWERS:
        if known is vg:
            return answer
    answer = tuple(violation.message for violation in islice(find_violations(vg), _MOST))
    _ANSWERS[_KEPT - 1 :] = []
    _ANSWERS.insert(0, (vg, answer))
    return answer


def check_lv(vg: VolumeGroup, lv: LogicalVolume) -> tuple[str, ...]:
    """What is wrong with one volume, with those that it is made of, or with the group; empty when all is sound."""
    if not check(vg):
        return ()
    names = _with_parts(vg, lv)
    found = (line for line in find_violations(vg) if not line.lv_names or not names.isdisjoint(line.lv_names))
    return tuple(line.message for line in islice(found, _MOST))


def _with_parts(vg: VolumeGroup, lv: LogicalVolume) -> frozenset[str]:
    """The names of a volume and of all below it."""
    names, waiting = {lv.name}, [lv]
    while waiting:
        for segment in waiting.pop().segments:
            for _, name in segment.parts():
                below = vg.find_lv(name) if name not in names else None
                if below is not None:
                    names.add(name)
                    waiting.append(below)
    return frozenset(names)


_ENCRYPTION = ("crypt", "crypt-keystore")


def _duplicates(values: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            yield value
        seen.add(value)


def _check_group(vg: VolumeGroup) -> Iterator[Violation]:
    name = printable(vg.name)
    if vg.extent_size_sectors < 1:
        yield Violation(
            message=f"{name}: extent_size {vg.extent_size_sectors} is not positive", keys=("extent_size",)
        )
    if vg.format != "lvm2":
        ours = next((lv for lv in vg.lvs for part in lv.segments if part.type_name in _ENCRYPTION), None)
        if ours is not None:
            yield Violation(
                message=f"{name}: format {printable(vg.format)} cannot have encrypted volumes, as "
                f"{printable(ours.name)} is: convert the volume group to lvm2",
                keys=("format",),
            )
    if vg.seqno < 0:
        yield Violation(message=f"{name}: seqno {vg.seqno} is negative", keys=("seqno",))
    place = ("physical_volumes", "id")
    for pv_id in dict.fromkeys(_duplicates(pv.id for pv in vg.pvs)):
        yield Violation(message=f"{name}: physical volume {printable(pv_id)} is listed twice", keys=place)
    for pv in vg.pvs:
        if min(pv.pe_start_sectors, pv.pe_count, pv.dev_size_sectors) < 0:
            yield Violation(message=f"{name}: physical volume {printable(pv.id)} has a negative size", keys=place)


def _check_lvs(vg: VolumeGroup) -> Iterator[Violation]:
    lvs = {lv.name: lv for lv in vg.lvs}
    group = printable(vg.name)
    if len(lvs) < len(vg.lvs):
        for name in dict.fromkeys(_duplicates(lv.name for lv in vg.lvs)):
            yield Violation(
                message=f"{group}: two logical volumes are named {printable(name)}",
                keys=_keys(name),
                lv_names=(name,),
            )
    if len({lv.id for lv in vg.lvs}) < len(vg.lvs):
        yield from _check_ids(vg)
    around = Surroundings(vg=vg, lvs=lvs)
    used: dict[str, list[Place]] = {pv.id: [] for pv in vg.pvs}
    parts: dict[str, list[str]] = {}
    for index, lv in enumerate(vg.lvs):
        only = lv.segments[0] if len(lv.segments) == 1 else None
        place = only.plain_place() if only is not None and only.start_le == 0 else None
        if place is not None and place[2] > 0 and place[0] in used and is_name(lv.name):
            used[place[0]].append((place[1], place[2], index, 1))  # most volumes are so, and may be ten thousand
        else:
            yield from _check_lv(lv, index, around, used, parts)
    yield from _check_space(vg, used)
    for name in _in_circles(parts):
        message = f"{group}/{printable(name)}: is a part of itself"
        yield Violation(message=message, keys=_keys(name), lv_names=(name,))


def _check_ids(vg: VolumeGroup) -> Iterator[Violation]:
    names: dict[str, list[str]] = {}
    for lv in vg.lvs:
        names.setdefault(lv.id, []).append(lv.name)
    for lv_id, same in names.items():
        if len(same) > 1:
            message = f"{printable(vg.name)}: {len(same)} logical volumes have the id {printable(lv_id)}"
            yield Violation(message=message, keys=_keys(same[1], "id"), lv_names=tuple(same))


def _keys(name: str, *tail: str) -> tuple[str, ...]:
    return ("logical_volumes", name, *tail)


def _check_lv(
    lv: LogicalVolume, index: int, around: Surroundings, used: dict[str, list[Place]], parts: dict[str, list[str]]
) -> Iterator[Violation]:
    """The rules of one volume, number `index` of the group's.

    Notes where it lies in `used`, and the volumes that it is made of in `parts`.
    """
    if not is_name(lv.name):
        yield _of_lv(lv, around, "name", "the name is not allowed")
    if not lv.segments:
        yield _of_lv(lv, around, "segment_count", "has no segment")
    expected_le = 0
    for number, segment in enumerate(lv.segments, 1):
        if segment.start_le != expected_le:
            message = f"starts at extent {segment.start_le}, not at {expected_le}"
            yield _of_segment(lv, around, number, "start_extent", message)
        if segment.length_le < 1:
            yield _of_segment(lv, around, number, "extent_count", f"has {segment.length_le} extents")
        expected_le = segment.start_le + max(segment.length_le, 0)
        for field, message in (*segment.check(lv, around), *_unknown_parts(segment, around)):
            yield _of_segment(lv, around, number, field, message)
        for pv_id, start_pe, length_pe in segment.footprint():
            places = used.get(pv_id)
            if places is None:
                message = f"physical volume {printable(pv_id)} is not in the volume group"
                yield _of_segment(lv, around, number, "areas", message)
            else:
                places.append((start_pe, length_pe, index, number))
        if named := [name for _, name in segment.parts()]:
            parts.setdefault(lv.name, []).extend(named)
    if expected_le > _MAX_EXTENTS:
        yield _of_lv(lv, around, "segment_count", f"has {expected_le} extents, more than {_MAX_EXTENTS}")


def _unknown_parts(segment: Segment, around: Surroundings) -> Iterator[tuple[str, str]]:
    for field, name in segment.parts():
        if name not in around.lvs:
            yield field, f"{field} names {printable(name[:64])}, neither a physical nor a logical volume here"


def _of_lv(lv: LogicalVolume, around: Surroundings, field: str, message: str) -> Violation:
    name = f"{printable(around.vg.name)}/{printable(lv.name)}"
    return Violation(message=f"{name}: {message}", keys=_keys(lv.name, field), lv_names=(lv.name,))


def _of_segment(lv: LogicalVolume, around: Surroundings, number: int, field: str, message: str) -> Violation:
    keys = _keys(lv.name, f"segment{number}", field)
    return Violation(message=f"{_where(around.vg, lv, number)}: {message}", keys=keys, lv_names=(lv.name,))


def _where(vg: VolumeGroup, lv: LogicalVolume, number: int) -> str:
    return f"{printable(vg.name)}/{printable(lv.name)} segment {number}"


def _check_space(vg: VolumeGroup, used: dict[str, list[Place]]) -> Iterator[Violation]:
    """Each physical extent belongs to one segment and lies on its physical volume."""
    counts = {pv.id: pv.pe_count for pv in vg.pvs}
    for pv_id, places in used.items():
        places.sort()
        reached = 0
        last: Place | None = None
        for place in places:
            start, length, index, number = place
            if start >= reached and length >= 0 and start + length <= counts[pv_id]:
                reached, last = start + length, place
                continue
            lv = vg.lvs[index]
            names: tuple[str, ...] = (lv.name,)
            if start < 0 or length < 0 or start + length > counts[pv_id]:
                message = f"extents {start}+{length} lie beyond the {counts[pv_id]} of {printable(pv_id)}"
            elif last is not None:
                other = vg.lvs[last[2]]
                names = lv.name, other.name
                message = f"extent {start} of {printable(pv_id)} belongs to {_where(vg, other, last[3])} too"
                if start + length > reached:
                    reached, last = start + length, place
            else:
                continue
            keys = _keys(lv.name, f"segment{number}", "areas")
            yield Violation(message=f"{_where(vg, lv, number)}: {message}", keys=keys, lv_names=names)


def _in_circles(parts: dict[str, list[str]]) -> list[str]:
    """The volumes at which a walk from a volume to its parts comes back to one that it is still in."""
    found: list[str] = []
    done: set[str] = set()
    for first, its_parts in parts.items():
        if first in done:
            continue
        inside: set[str] = {first}
        walk = [(first, iter(its_parts))]
        while walk:
            name, rest = walk[-1]
            part = next(rest, None)
            if part is None:
                done.add(name)
                inside.discard(name)
                walk.pop()
            elif part in inside:
                found.append(part)
            elif part in parts and part not in done:
                inside.add(part)
                walk.append((part, iter(parts[part])))
    return found
