"""Changes of a volume group: functions from one value to the next. They do no I/O and commit nothing."""

from __future__ import annotations

from cryptlv.errors import ExistsError
from cryptlv.names import KEYSTORE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from cryptlv.model.vg import LogicalVolume, VolumeGroup

    _Permitted = TypeVar("_Permitted", LogicalVolume, VolumeGroup)


def canonical(vg: VolumeGroup) -> VolumeGroup:
    """The form in which a volume group is written: visible volumes first, as lvm2 does, and every segment safe.

    A group that is one host's or shared is written as WRITE_LOCKED, with its volumes: lvm2 before 2.02.118 knows
    neither and takes them for read-only (lib/metadata/metadata.c:vg_flag_write_locked).
    """
    locked = bool(vg.system_id) or vg.lock_type not in ("", "none")
    safe = [_made_safe(_with_permission(lv, locked=locked)) for lv in vg.lvs]
    shown = {name for lv in vg.lvs for segment in lv.segments for name in segment.makes_visible()}
    ordered = tuple(sorted(safe, key=lambda lv: not lv.is_visible and lv.name not in shown))
    return _with_permission(vg, locked=locked).replace(system_id=vg.system_id or None, lvs=ordered)


def _made_safe(lv: LogicalVolume) -> LogicalVolume:
    """The volume with every segment safe; itself when they are, as nearly all of many are."""
    for segment in lv.segments:
        if segment.made_safe() is not segment:
            return lv.replace(segments=tuple(segment.made_safe() for segment in lv.segments))
    return lv


def _with_permission(item: _Permitted, *, locked: bool) -> _Permitted:
    """A volume (group) that says in the right way that it may be written; one that may not is left as it is."""
    if not item.is_writable or ("WRITE_LOCKED" in item.flags, "WRITE" in item.status) == (locked, not locked):
        return item
    status: tuple[str, ...] = tuple(word for word in item.status if word != "WRITE")
    flags: tuple[str, ...] = tuple(word for word in item.flags if word != "WRITE_LOCKED")
    if locked:
        return item.replace(status=status, flags=("WRITE_LOCKED", *flags))
    at: int = status.index("READ") + 1 if "READ" in status else 0
    return item.replace(status=(*status[:at], "WRITE", *status[at:]), flags=flags)


def next_keystore_name(vg: VolumeGroup) -> str:
    """`cryptostoreN` with the lowest N, from 1 on, that no volume has."""
    taken = {lv.name for lv in vg.lvs}
    number = 1
    while f"{KEYSTORE_PREFIX}{number}" in taken:
        number += 1
    return f"{KEYSTORE_PREFIX}{number}"


def users_of(vg: VolumeGroup, keystore_name: str) -> tuple[str, ...]:
    """Names of the volumes with a segment whose key comes from that keystore."""
    return tuple(lv.name for lv in vg.lvs if any(keystore_name in segment.keystores for segment in lv.segments))


def add_lvs(vg: VolumeGroup, *lvs: LogicalVolume) -> VolumeGroup:
    """The volume group with more volumes; raises ExistsError for a name that is taken."""
    taken = {lv.name for lv in vg.lvs}
    for lv in lvs:
        if lv.name in taken:
            raise ExistsError(f"logical volume {lv.name!r} already exists in volume group {vg.name!r}")
        taken.add(lv.name)
    return canonical(vg.replace(lvs=(*vg.lvs, *lvs)))


def removed_lvs(before: VolumeGroup, after: VolumeGroup) -> tuple[LogicalVolume, ...]:
    """The volumes of `before` that `after` does not have."""
    kept = {lv.id for lv in after.lvs}
    return tuple(lv for lv in before.lvs if lv.id not in kept)
