"""Volumes removed and renamed: functions from one value of their group to the next."""

from __future__ import annotations

from cryptlv.errors import CryptlvError, ExistsError, NotFoundError, RefusedError
from cryptlv.model.edit import canonical
from cryptlv.names import check_lv_name, is_keystore_name, is_name, printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptlv.model.nodes import Item, Section, Value
    from cryptlv.model.vg import LogicalVolume, Segment, VolumeGroup

_REMOVABLE = frozenset(("error", "integrity", "mirror", "zero"))
"""Opaque types, besides those of raid, whose volumes are gone when they and their hidden parts are."""
_POOLS = frozenset(("cache-pool", "thin-pool", "vdo-pool"))


def seen_by_users(vg: VolumeGroup) -> frozenset[str]:
    """The volumes that users see though their status does not say so: stores of snapshots."""
    return frozenset(name for lv in vg.lvs for segment in lv.segments for name in segment.makes_visible())


class Removal(Record):
    """What became of a removal: the group after it, the volumes asked for that are gone, and why others are not."""

    after: VolumeGroup
    names: tuple[str, ...]
    problems: tuple[CryptlvError, ...] = ()


def remove_lv(vg: VolumeGroup, name: str) -> VolumeGroup:
    """The volume group without a volume, its hidden parts, and the keystores that only it used.

    Raises NotFoundError, and RefusedError for a keystore in use, a hidden volume, one that others are made of, and
    those that only lvm2 can remove.
    """
    removal = remove_lvs(vg, (name,))
    for problem in removal.problems:
        raise problem
    return removal.after


def remove_lvs(vg: VolumeGroup, names: Iterable[str]) -> Removal:
    """The same for several volumes, one after the other; one that cannot be removed stays, and is a problem."""
    left = _Left(vg)
    removed: list[str] = []
    problems: list[CryptlvError] = []
    for name in dict.fromkeys(names):
        try:
            left.remove(name)
            removed.append(name)
        except CryptlvError as error:
            problems.append(error)
    after = canonical(vg.replace(lvs=tuple(left.lvs.values()))) if removed else vg
    return Removal(after=after, names=tuple(removed), problems=tuple(problems))


class _Left:
    """The volumes that are left, by name, and by whom each is named."""

    def __init__(self, vg: VolumeGroup) -> None:
        self._group = printable(vg.name)
        self.lvs = {lv.name: lv for lv in vg.lvs}
        self._shown = seen_by_users(vg)
        self._users: dict[str, dict[str, None]] = {}
        for lv in vg.lvs:
            for word in _named_in(lv):
                self._users.setdefault(word, {})[lv.name] = None

    def remove(self, name: str) -> None:
        """Take a volume out, with its parts and keystores; raises NotFoundError or RefusedError."""
        lv = self.lvs.get(name)
        where = f"{self._group}/{printable(name)}"
        if lv is None:
            raise NotFoundError(f"no logical volume {printable(name)!r} in volume group {self._group!r}")
        users = self._users.get(name, {})
        if users and is_keystore_name(name):
            first = printable(next(iter(users)))
            raise RefusedError(f"{where} is the keystore of {first}: it goes when its last volume is removed")
        if not lv.is_visible and not is_keystore_name(name) and name not in self._shown:
            raise RefusedError(f"{where} is a hidden part of another volume and cannot be removed")
        doomed = self._with_parts(lv)
        for part in doomed:
            others = [user for user in self._users.get(part, {}) if user not in doomed and user in self.lvs]
            if others:
                where = f"{self._group}/{printable(part)}"
                raise RefusedError(f"{where} is part of {printable(others[0])}, and is not removed before that")
        stores = {store for part in doomed.values() for segment in part.segments for store in segment.keystores}
        for part in doomed:
            self._take(part)
        for store in stores:
            if store in self.lvs and not self._users.get(store):
                for part in self._with_parts(self.lvs[store]):
                    self._take(part)

    def _take(self, name: str) -> None:
        lv = self.lvs.pop(name, None)
        for word in _named_in(lv) if lv is not None else ():
            self._users[word].pop(name, None)

    def _with_parts(self, lv: LogicalVolume) -> dict[str, LogicalVolume]:
        """A volume and the hidden ones that it is made of; raises RefusedError for what is lvm2's to remove."""
        found = {lv.name: lv}
        walk = [lv]
        while walk:
            whole = walk.pop()
            where = f"{self._group}/{printable(whole.name)}"
            if "LOCKED" in whole.status or "PVMOVE" in whole.status:
                raise RefusedError(f"Can't remove locked logical volume {where}.")
            for segment in whole.segments:
                if segment.is_opaque and not _is_removable(segment):
                    kind = printable(segment.shown_type)
                    raise RefusedError(f"{where} is of type {kind}: remove it with lvm2's lvremove")
                for _, name in segment.parts():
                    part = self.lvs.get(name)
                    if part is None or name in found:
                        continue
                    if part.is_visible:
                        raise RefusedError(f"{where} lies on {printable(name)}: remove it with lvm2's lvremove")
                    found[name] = part
                    walk.append(part)
        return found


def _is_removable(segment: Segment) -> bool:
    return segment.shown_type in _REMOVABLE or segment.shown_type.startswith("raid")


def _named_in(lv: LogicalVolume) -> Iterator[str]:
    for segment in lv.segments:
        yield from segment.mentioned()
        yield from segment.keystores


def rename_lv(vg: VolumeGroup, old: str, new: str) -> VolumeGroup:
    """The volume group with a volume under a new name, and its hidden parts under names that follow it.

    What names them is changed with them (lib/metadata/lv_manip.c:lv_rename_update). Raises UsageError for a name that
    is not allowed, NotFoundError, ExistsError, and RefusedError for a hidden or locked volume.
    """
    check_lv_name(vg.name, new)
    lv = vg.lv(old)
    where = f"{printable(vg.name)}/{printable(old)}"
    is_pool = any(segment.shown_type in _POOLS for segment in lv.segments)
    if not lv.is_visible and not is_pool and old not in seen_by_users(vg):
        what = "a keystore" if is_keystore_name(old) else "a hidden part of another volume"
        raise RefusedError(f"{where} is {what}, and cannot be renamed")
    names = {old: new}
    for part in _own_parts(vg, lv):
        suffix = part.name.removeprefix(old)
        if suffix == part.name or not suffix.startswith("_"):
            raise RefusedError(f"{where} cannot be renamed: its part {printable(part.name)} has a name of its own")
        names[part.name] = new + suffix
    taken = {other.name for other in vg.lvs} | set(_historical_names(vg))
    for name, follows in names.items():
        if not is_name(follows):
            raise RefusedError(f"{printable(name)} cannot be renamed: {printable(follows)} is too long")
        if follows in taken:
            raise ExistsError(
                f'Logical volume "{printable(follows)}" already exists in volume group "{printable(vg.name)}"'
            )
        status = vg.lv(name).status
        if "LOCKED" in status or "PVMOVE" in status:
            raise RefusedError(f"Cannot rename locked LV {printable(name)}")
    historical = None if vg.historical is None else _renamed_section(vg.historical, names)
    lvs = tuple(_with_names(other, names) for other in vg.lvs)
    return canonical(vg.replace(lvs=lvs, historical=historical))


def _own_parts(vg: VolumeGroup, lv: LogicalVolume) -> Iterator[LogicalVolume]:
    """The hidden volumes below a volume whose names follow its own; the origin of a sparse snapshot is one."""
    lvs = {other.name: other for other in vg.lvs}
    seen = {lv.name}
    walk = [lv]
    while walk:
        whole = walk.pop()
        below = [name for segment in whole.segments for name in segment.own_parts()]
        for name in (*below, f"{whole.name}_vorigin"):
            part = lvs.get(name)
            if part is None or part.is_visible or name in seen:
                continue
            seen.add(name)
            if any(segment.shown_type in _POOLS for segment in part.segments):
                continue
            yield part
            walk.append(part)


def _with_names(lv: LogicalVolume, names: dict[str, str]) -> LogicalVolume:
    if not any(word in names for word in _named_in(lv)):
        return lv.replace(name=names[lv.name]) if lv.name in names else lv
    segments = tuple(segment.with_names(names) for segment in lv.segments)
    return lv.replace(name=names.get(lv.name, lv.name), segments=segments)


def _historical_names(vg: VolumeGroup) -> Iterator[str]:
    if vg.historical is not None:
        for _, section in vg.historical.sections():
            name = section.get("name")
            if isinstance(name, str):
                yield name


def _renamed_section(section: Section, names: dict[str, str]) -> Section:
    """Volumes that are gone name those they came from and those that came from them."""
    return section.replace(items=tuple(_renamed_item(item, names) for item in section.items))


def _renamed_item(item: Item, names: dict[str, str]) -> Item:
    key, value = item
    changed: Value = value
    if key in ("origin", "descendants") and isinstance(value, str):
        changed = names.get(value, value)
    elif key in ("origin", "descendants") and isinstance(value, tuple):
        changed = tuple(names.get(word, word) if isinstance(word, str) else word for word in value)
    elif not isinstance(value, int | float | str | tuple):
        changed = _renamed_section(value, names)
    return key, changed
