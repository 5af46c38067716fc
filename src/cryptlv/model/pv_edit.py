"""Changes of a physical volume within its volume group: functions from one value to the next."""

from __future__ import annotations

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.model.allocate import used_extents
from cryptlv.model.nodes import PvWord
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.model.vg import PhysicalVolume, VolumeGroup

_ALLOCATABLE = "ALLOCATABLE"
_MAX_EXTENTS = 2**32 - 1


def with_pv(vg: VolumeGroup, pv: PhysicalVolume) -> VolumeGroup:
    """The volume group with `pv` in the place of the one with the same id."""
    return vg.replace(pvs=tuple(pv if old.id == pv.id else old for old in vg.pvs))


def set_allocatable(pv: PhysicalVolume, *, allocatable: bool) -> PhysicalVolume:
    """The PV from which new extents may be taken, or may not."""
    rest = tuple(word for word in pv.status if word != _ALLOCATABLE)
    return pv.replace(status=(_ALLOCATABLE, *rest) if allocatable else rest)


def change_tags(pv: PhysicalVolume, add: Iterable[str], remove: Iterable[str]) -> PhysicalVolume:
    """The PV with tags added at the end, each once, then others taken away (tools/toollib.c:change_tag)."""
    gone = set(remove)
    return pv.replace(tags=tuple(tag for tag in dict.fromkeys((*pv.tags, *add)) if tag not in gone))


def rename_pv(vg: VolumeGroup, old_id: str, new_id: str) -> VolumeGroup:
    """The volume group where a PV has another id, in every place that names it."""
    pvs = tuple(pv.replace(id=new_id) if pv.id == old_id else pv for pv in vg.pvs)
    return vg.replace(pvs=pvs, lvs=_renamed(vg.lvs, old_id, new_id))


def _renamed(value: object, old_id: str, new_id: str) -> object:
    """A value in which each place on the PV (the field `pv_id` of a record, a word of a list) has the new id."""
    if isinstance(value, PvWord):
        return PvWord(new_id) if value == old_id else value
    if isinstance(value, tuple):
        items = tuple(_renamed(item, old_id, new_id) for item in value)
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if not isinstance(value, Record):
        return value
    changes = {}
    for name in type(value).__fields__:
        old = getattr(value, name)
        new = new_id if name == "pv_id" and old == old_id else _renamed(old, old_id, new_id)
        if new is not old:
            changes[name] = new
    return value.replace(**changes) if changes else value


def resize_pv(vg: VolumeGroup, pv_id: str, size_sectors: int, end_sectors: int, where: str) -> VolumeGroup:
    """The volume group where a PV has as many extents as fit before `end_sectors` (metadata/pv_manip.c:_pv_resize).

    `size_sectors` is that of the device, `where` its name for errors. Raises RefusedError when no extent fits, and
    NoSpaceError when extents that would go are in use.
    """
    pv = vg.pv(pv_id)
    count = (end_sectors - pv.pe_start_sectors) // vg.extent_size_sectors
    extent = f"{vg.extent_size_sectors} sectors"
    if count < 1:
        raise RefusedError(f"Size must leave space for at least one physical extent of {extent} on PV {where}.")
    if count > _MAX_EXTENTS:
        raise RefusedError(f"PV {where} too large for extent size {extent}.")
    used = used_extents(vg)[pv_id]
    taken = sum(length for _, length in used)
    if count < taken:
        raise NoSpaceError(f"{where}: cannot resize to {count} extents as {taken} are allocated.")
    if any(start + length > count for start, length in used):
        raise NoSpaceError(f"{where}: cannot resize to {count} extents as later ones are allocated.")
    return with_pv(vg, pv.replace(pe_count=count, dev_size_sectors=size_sectors))
