"""vgremove: a volume group goes, with its volumes and their keys (lvm2's tools/vgremove.c)."""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.host.archive import remove_backup
from cryptlv.host.signals import held_back
from cryptlv.host.store import erase_metadata, usable_places
from cryptlv.names import printable
from cryptlv.ops.commit import archive_before
from cryptlv.ops.kernel import deactivate_in_kernel
from cryptlv.ops.lv import refuse_active, refuse_served
from cryptlv.ops.vg_members import release_found
from cryptlv.ops.vgck import outdated_pvs
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import Group, World
    from cryptlv.ops.session import Session


class VgContents(Record):
    """What would go with a group: names of the volumes that users see, how many have keys, PVs that are missing."""

    lv_names: tuple[str, ...] = ()
    keystore_count: int = 0
    missing_count: int = 0


def contents(session: Session, name: str) -> VgContents:
    """What a volume group has; raises NotFoundError, and RefusedError when it is not to be removed."""
    with session.locked(name, write=False):
        return _contents(session.writable_group(name, missing_ok=True))


def _contents(group: Group) -> VgContents:
    stores = {lv.name for lv in group.vg.lvs if any(part.type_name == "crypt-keystore" for part in lv.segments)}
    return VgContents(
        lv_names=tuple(lv.name for lv in group.vg.lvs if lv.is_visible),
        keystore_count=len(stores),
        missing_count=sum(pv.is_missing or pv.id not in group.pv_paths for pv in group.vg.pvs),
    )


def remove(session: Session, name: str, *, agreed: VgContents | None = None) -> VgContents:
    """Remove a volume group with all its volumes; gives what went. `agreed` is what the user was asked about.

    Old metadata on devices that have left the group goes first, so that nothing comes back; then the metadata, area
    by area; then the key headers are wiped, under the same locks; then the labels say that the PVs are free. What the
    kernel has active is deactivated before, as with lvm2. Raises NotFoundError, InUseError when a volume is served or
    in use, RefusedError, CommitError.
    """
    with session.locked(name, write=True, global_write=True):
        world = session.world()
        group = world.group(name)
        session.check_changeable(group, world, missing_ok=True)
        found = _contents(group)
        if agreed is not None and found != agreed:
            raise RefusedError(f"volume group {printable(name)} was changed meanwhile; not removed")
        if found.missing_count and not found.lv_names and agreed is not None:
            raise RefusedError(
                f'Volume group "{printable(name)}" has PVs missing; '
                f"consider vgreduce --removemissing {printable(name)}, or remove it with -y"
            )
        for lv in group.vg.lvs:
            refuse_served(session, group.vg, lv)
        for lv in group.vg.lvs:
            if not (lv.is_visible and deactivate_in_kernel(session, group.vg, lv)) and not session.test:
                refuse_active(session, group.vg, lv)
        if not session.test:
            with held_back():
                _remove(session, world, group)
        return found


def _remove(session: Session, world: World, group: Group) -> None:
    from cryptlv.ops.keystore import wipe_images

    name = group.vg.name
    archive_before(session, group.vg)
    for found in outdated_pvs(world, group):
        release_found(session, name, found)
    erase_metadata(usable_places(group.areas, lambda path: session.device(path, writable=True)), name)
    wipe_images(session, group.vg, group.vg.lvs, group.pv_paths)
    for found in world.pvs:
        if found.label.pv_id in group.pv_paths:
            release_found(session, name, found)
    remove_backup(session.directories.backup_dir, name)
