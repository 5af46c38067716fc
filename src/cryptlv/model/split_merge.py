"""Physical volumes that go from one volume group to another, and the logical volumes that go with them.

The rules are those of lvm2's vgsplit and vgmerge (tools/vgsplit.c, tools/vgmerge.c, lib/metadata/metadata.c:
vgs_are_compatible, move_pv): a volume and everything it is made of, or needs, is on one side afterwards. Keystores
are such things too. What has no place on any physical volume goes along, as with lvm2.
"""

from __future__ import annotations

from cryptlv.errors import ExistsError, NotFoundError, RefusedError
from cryptlv.model.edit import canonical, next_keystore_name, users_of
from cryptlv.model.nodes import Section
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cryptlv.model.nodes import Value
    from cryptlv.model.vg import LogicalVolume, VolumeGroup

    Sides = frozenset[bool]
    """Whether something lies on physical volumes that go (True), on others (False), on both, or on none."""

_SPARE_SUFFIX = "_pmspare"


class Move(Record):
    """Both volume groups after the move, and the volumes that moved, as they were named before.

    `renamed` has the new name of each keystore whose name the other group had already.
    """

    source: VolumeGroup
    target: VolumeGroup
    moved: tuple[LogicalVolume, ...]
    renamed: Mapping[str, str]


def pvs_under(vg: VolumeGroup, name: str) -> tuple[str, ...]:
    """The ids of the physical volumes under a volume and the keystores it needs, parts first (for_each_sub_lv).

    Raises NotFoundError.
    """
    lvs = {lv.name: lv for lv in vg.lvs}
    if name not in lvs:
        raise NotFoundError(f"Logical volume {printable(name)} not in volume group {printable(vg.name)}")
    found: dict[str, None] = {}
    for part in _below(lvs, name):
        found |= dict.fromkeys(pv_id for segment in lvs[part].segments for pv_id, _, _ in segment.footprint())
    return tuple(found)


def _below(lvs: Mapping[str, LogicalVolume], name: str) -> list[str]:
    """A volume and all that it needs, what is needed first."""
    order: list[str] = []
    waiting, seen = [(name, False)], set()
    while waiting:
        current, ready = waiting.pop()
        if ready:
            order.append(current)
        elif current in lvs and current not in seen:
            seen.add(current)
            waiting.append((current, True))
            waiting += [(needed, False) for needed in reversed(list(_needs(lvs[current])))]
    return order


def _needs(lv: LogicalVolume) -> Iterator[str]:
    """The names of the volumes that one is made of or cannot be read without."""
    for segment in lv.segments:
        for _, name in segment.parts():
            yield name
        yield from segment.keystores


def check_compatible(source: VolumeGroup, target: VolumeGroup) -> None:
    """Raise RefusedError or ExistsError when a group may not take in another's volumes (vgs_are_compatible).

    As with lvm2 the whole of `source` is looked at, though some of it may stay. Keystores are renamed where they
    must, and one spare volume for pools' metadata is enough, so neither collides.
    """
    names = f'"{printable(target.name)}" and "{printable(source.name)}"'
    if target.extent_size_sectors != source.extent_size_sectors:
        raise RefusedError(
            f"Extent sizes differ: {target.extent_size_sectors} ({printable(target.name)}) and "
            f"{source.extent_size_sectors} ({printable(source.name)}) sectors"
        )
    if target.max_pv and target.max_pv < len(target.pvs) + len(source.pvs):
        raise RefusedError(f"Maximum number of physical volumes ({target.max_pv}) exceeded for {names}")
    if target.max_lv and target.max_lv < sum(lv.is_visible for lv in (*target.lvs, *source.lvs)):
        raise RefusedError(f"Maximum number of logical volumes ({target.max_lv}) exceeded for {names}")
    if target.format != source.format:
        raise RefusedError(f"Metadata types differ for {names}")
    taken = {lv.name for lv in target.lvs}
    for lv in source.lvs:
        if lv.name in taken and not _is_keystore(lv):
            raise ExistsError(f'Duplicate logical volume name "{printable(lv.name)}" in {names}')


def _is_keystore(lv: LogicalVolume) -> bool:
    return not lv.is_visible and bool(lv.segments) and lv.segments[0].type_name == "crypt-keystore"


def split(source: VolumeGroup, target: VolumeGroup, pv_ids: Sequence[str], new_id: Callable[[], str]) -> Move:
    """Move physical volumes, in that order, and all that lies on them into another group, which may have none yet.

    `new_id` gives the id of a volume whose own is taken. Raises RefusedError for a volume that would be torn apart,
    and what `check_compatible` raises.
    """
    moving = frozenset(pv_ids)
    for vg in (source, target):
        _refuse_unknown(vg)
        if "RESIZEABLE" not in vg.status:
            raise RefusedError(f"Volume group {printable(vg.name)} is not resizeable.")
    if target.pvs:
        check_compatible(source, target)
    names = _names_to_move(source, moving)
    _refuse_history(source, names)
    moved = tuple(lv for lv in source.lvs if lv.name in names)
    renamed, arrived = _arrivals(target, moved, new_id)
    return Move(
        source=canonical(
            source.replace(
                pvs=tuple(pv for pv in source.pvs if pv.id not in moving),
                lvs=tuple(lv for lv in source.lvs if lv.name not in names),
            )
        ),
        target=canonical(
            target.replace(
                pvs=(*target.pvs, *(source.pv(pv_id) for pv_id in pv_ids)),
                lvs=(*target.lvs, *arrived),
                historical=_history(source, target) if len(moving) == len(source.pvs) else target.historical,
            )
        ),
        moved=moved,
        renamed=renamed,
    )


def merge(source: VolumeGroup, target: VolumeGroup, new_id: Callable[[], str]) -> Move:
    """Move everything. Of two spare volumes for pools' metadata the larger stays, as with lvm2.

    Raises what `split` raises.
    """
    source, target = _one_spare(source, target)
    return split(source, target, [pv.id for pv in source.pvs], new_id)


def _one_spare(source: VolumeGroup, target: VolumeGroup) -> tuple[VolumeGroup, VolumeGroup]:
    ours, theirs = find_spare(source), find_spare(target)
    if ours is None or theirs is None:
        return source, target
    if ours.length_le > theirs.length_le:
        return source, without(target, theirs)
    return without(source, ours), target


def find_spare(vg: VolumeGroup) -> LogicalVolume | None:
    """The hidden volume that is kept for the repair of pools' metadata, known by its name as with lvm2."""
    return next((lv for lv in vg.lvs if not lv.is_visible and lv.name.endswith(_SPARE_SUFFIX)), None)


def without(vg: VolumeGroup, lv: LogicalVolume) -> VolumeGroup:
    """The volume group without a volume that nothing needs."""
    return vg.replace(lvs=tuple(other for other in vg.lvs if other.id != lv.id))


def _refuse_unknown(vg: VolumeGroup) -> None:
    """What is not known may lie anywhere (lib/metadata/metadata.c:vg_has_unknown_segments)."""
    for lv in vg.lvs:
        for segment in lv.segments:
            if segment.is_unknown:
                raise RefusedError(
                    f"Cannot change VG {printable(vg.name)} with unknown segments in it: {printable(lv.name)} is of "
                    f"type {printable(segment.type_name)}"
                )


def _names_to_move(vg: VolumeGroup, moving: frozenset[str]) -> frozenset[str]:
    """The volumes that go with physical volumes; raises RefusedError for one that lies on both sides."""
    lvs = {lv.name: lv for lv in vg.lvs}
    own: dict[str, Sides] = {
        lv.name: frozenset(pv_id in moving for part in lv.segments for pv_id, _, _ in part.footprint())
        for lv in vg.lvs
    }
    names: set[str] = set()
    for together in _families(vg.lvs):
        sides: Sides = frozenset().union(*(own[name] for name in together))
        if len(sides) > 1:
            raise RefusedError(_why_torn(vg, lvs, own, together))
        if False not in sides:
            names.update(together)
    return frozenset(names)


def _families(lvs: Sequence[LogicalVolume]) -> Iterator[list[str]]:
    """The names of volumes that need each other, directly or through others; each volume once, in order."""
    near: dict[str, list[str]] = {lv.name: [] for lv in lvs}
    for lv in lvs:
        for name in _needs(lv):
            if name in near:
                near[lv.name].append(name)
                near[name].append(lv.name)
    place = {lv.name: number for number, lv in enumerate(lvs)}
    done: set[str] = set()
    for first in near:
        if first in done:
            continue
        done.add(first)
        family, waiting = [], [first]
        while waiting:
            name = waiting.pop()
            family.append(name)
            waiting += (more := [other for other in dict.fromkeys(near[name]) if other not in done])
            done.update(more)
        yield sorted(family, key=place.__getitem__)


def _why_torn(
    vg: VolumeGroup, lvs: Mapping[str, LogicalVolume], own: Mapping[str, Sides], family: Iterable[str]
) -> str:
    """The line that says which volume of a family would be torn apart, and by what."""
    family = tuple(family)
    torn = next((name for name in family if len(own[name]) > 1), None)
    if torn is not None:
        return f"Can't split Logical Volume {printable(torn)} between two Volume Groups"
    below = {name: _sides_below(lvs, own, name) for name in family}
    torn = next((name for name in family if len(below[name]) > 1), None)
    if torn is not None:
        return f"Can't split Logical Volume {printable(torn)} between two Volume Groups"
    for store in (name for name in family if _is_keystore(lvs[name])):
        users = users_of(vg, store)
        going = [name for name in users if True in below[name]]
        staying = [name for name in users if False in below[name]]
        if going and staying:
            return (
                f"Can't split keystore {printable(store)} between two Volume Groups: {printable(going[0])}, which "
                f"would go, and {printable(staying[0])}, which would stay, share it"
            )
        if own[store] and (going or staying):
            return (
                f"Can't split keystore {printable(store)} from {printable(users[0])} into another Volume Group: "
                f"it lies on {_device_of(vg, lvs[store])}, which {'stays' if going else 'goes'}; move it first"
            )
    return f"Can't split Logical Volume {printable(family[0])} between two Volume Groups"


def _sides_below(lvs: Mapping[str, LogicalVolume], own: Mapping[str, Sides], name: str) -> Sides:
    """The sides on which a volume lies with its parts; its keystore is looked at on its own."""
    found: set[bool] = set()
    waiting, seen = [name], {name}
    while waiting:
        current = waiting.pop()
        found |= own[current]
        parts = {part for segment in lvs[current].segments for _, part in segment.parts()}
        waiting += (new := [part for part in sorted(parts) if part in lvs and part not in seen])
        seen.update(new)
    return frozenset(found)


def _device_of(vg: VolumeGroup, lv: LogicalVolume) -> str:
    (pv_id, _, _), *_ = (place for segment in lv.segments for place in segment.footprint())
    return printable(vg.pv(pv_id).device)


def _refuse_history(vg: VolumeGroup, names: frozenset[str]) -> None:
    """A removed volume's record must not name volumes that are elsewhere: lvm2 could not read it."""
    if vg.historical is not None and len(names) < len(vg.lvs):
        for name in _words(vg.historical):
            if name in names:
                raise RefusedError(
                    f"Can't split Logical Volume {printable(name)} from the history that volume group "
                    f"{printable(vg.name)} keeps of its ancestors: remove that first (lvm2's lvremove --nohistory)"
                )


def _words(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _words(item)
    elif isinstance(value, Section):
        for _, inner in value.items:
            yield from _words(inner)


def _history(source: VolumeGroup, target: VolumeGroup) -> Section | None:
    """The records of removed volumes of both; lvm2 forgets those of a group that ends."""
    if source.historical is None or target.historical is None:
        return target.historical or source.historical
    known = {key for key, _ in target.historical.items}
    return Section(
        items=(*target.historical.items, *(item for item in source.historical.items if item[0] not in known))
    )


def _arrivals(
    target: VolumeGroup, moved: Sequence[LogicalVolume], new_id: Callable[[], str]
) -> tuple[dict[str, str], tuple[LogicalVolume, ...]]:
    """New names of keystores where theirs are taken, and the volumes as the group that takes them in has them."""
    ids = {lv.id for lv in target.lvs}
    taken = {lv.name for lv in target.lvs}
    everything = target.replace(lvs=(*target.lvs, *moved))
    renamed: dict[str, str] = {}
    for lv in moved:
        if lv.name in taken:
            renamed[lv.name] = next_keystore_name(everything)
            everything = everything.replace(lvs=(*everything.lvs, lv.replace(name=renamed[lv.name])))
    return renamed, tuple(
        lv.replace(
            name=renamed.get(lv.name, lv.name),
            id=new_id() if lv.id in ids else lv.id,
            segments=tuple(segment.with_names(renamed) for segment in lv.segments),
        )
        for lv in moved
    )


def rest_after(source: VolumeGroup, target: VolumeGroup) -> VolumeGroup:
    """What an interrupted move leaves of `source`, when `target` has all that was to move.

    Raises RefusedError when `source` was changed since, so that the two do not say the same of what moved.
    """
    taken = {pv.id for pv in target.pvs}
    there = {lv.id: lv for lv in target.lvs}
    left: list[LogicalVolume] = []
    for lv in source.lvs:
        places = [place for segment in lv.segments for place in segment.footprint()]
        twin = there.get(lv.id)
        if twin is not None and [place for part in twin.segments for place in part.footprint()] == places:
            continue
        if twin is not None or any(pv_id in taken for pv_id, _, _ in places):
            if lv == find_spare(source):
                continue
            raise RefusedError(
                f"volume group {printable(source.name)} was changed since {printable(target.name)} was to take "
                f"{printable(lv.name)}: the move cannot be finished; see vgcfgrestore"
            )
        left.append(lv)
    return canonical(source.replace(pvs=tuple(pv for pv in source.pvs if pv.id not in taken), lvs=tuple(left)))
