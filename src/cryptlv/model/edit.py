"""Changes of a volume group: functions from one value to the next. They do no I/O and commit nothing."""

from __future__ import annotations

from cryptlv.errors import ExistsError, RefusedError
from cryptlv.names import KEYSTORE_PREFIX, is_keystore_name, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.model.vg import LogicalVolume, VolumeGroup


def canonical(vg: VolumeGroup) -> VolumeGroup:
    """The form in which a volume group is written: visible volumes first, as lvm2 does, and every segment safe."""
    safe = [lv.replace(segments=tuple(segment.made_safe() for segment in lv.segments)) for lv in vg.lvs]
    shown = {name for lv in vg.lvs for segment in lv.segments for name in segment.makes_visible()}
    return vg.replace(lvs=tuple(sorted(safe, key=lambda lv: not lv.is_visible and lv.name not in shown)))


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


def remove_lv(vg: VolumeGroup, name: str) -> VolumeGroup:
    """The volume group without a volume, and without the keystores that only it used.

    Raises NotFoundError, and RefusedError for a keystore in use and for a hidden volume of another program's.
    """
    lv = vg.lv(name)
    users = users_of(vg, name)
    if users:
        raise RefusedError(
            f"{vg.name}/{name} is the keystore of {printable(users[0])}: it goes when its last volume is removed"
        )
    if not lv.is_visible and not is_keystore_name(name):
        raise RefusedError(f"{vg.name}/{printable(name)} is a hidden part of another volume and cannot be removed")
    _refuse_entangled(vg, lv)
    left = vg.replace(lvs=tuple(other for other in vg.lvs if other.id != lv.id))
    orphaned = {store for segment in lv.segments for store in segment.keystores if not users_of(left, store)}
    return canonical(left.replace(lvs=tuple(other for other in left.lvs if other.name not in orphaned)))


def _refuse_entangled(vg: VolumeGroup, lv: LogicalVolume) -> None:
    """Raise RefusedError for a volume that others are part of, or that is part of others."""
    name = f"{vg.name}/{printable(lv.name)}"
    for segment in lv.segments:
        if segment.is_opaque:
            raise RefusedError(f"{name} is of type {printable(segment.shown_type)}: remove it with lvm2's lvremove")
        for part in segment.mentioned():
            raise RefusedError(f"{name} lies on {printable(part)}: remove it with lvm2's lvremove")
    for other in vg.lvs:
        if other.id != lv.id and any(lv.name in segment.mentioned() for segment in other.segments):
            raise RefusedError(f"{name} is part of {printable(other.name)}, and is not removed before that")


def removed_lvs(before: VolumeGroup, after: VolumeGroup) -> tuple[LogicalVolume, ...]:
    """The volumes of `before` that `after` does not have."""
    kept = {lv.id for lv in after.lvs}
    return tuple(lv for lv in before.lvs if lv.id not in kept)
