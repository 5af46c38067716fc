"""Physical volumes that come into a volume group and leave it: extend, reduce, and what to do about missing ones.

New ones get a label and empty metadata areas before the metadata name them; those that leave are released after the
commit. Mirrors lvm2's tools/vgextend.c and vgreduce.c.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, NotFoundError, RefusedError, UsageError
from cryptlv.model.allocate import used_extents
from cryptlv.model.edit import removed_lvs
from cryptlv.model.vg_edit import (
    check_resizeable,
    partial_lvs,
    with_pvs,
    without_missing_marks,
    without_partial,
    without_pvs,
)
from cryptlv.names import printable
from cryptlv.ops.commit import commit_change
from cryptlv.ops.consent import ask_nobody, with_consent
from cryptlv.ops.lv import refuse_active
from cryptlv.ops.pv import PvOptions, absolute_paths, release
from cryptlv.ops.vg import as_pv, new_members, prepare_members, with_members
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import FoundPv, Group, World
    from cryptlv.ops.consent import Ask
    from cryptlv.ops.session import Session


def extend(
    session: Session,
    name: str,
    paths: tuple[str, ...],
    options: PvOptions | None = None,
    ask: Ask = ask_nobody,
) -> None:
    """Add physical volumes to a group; a device that is none yet is made one.

    A group may be extended while others of its PVs are missing. `ask` is asked about devices that hold something.
    Raises UsageError, NotFoundError, InUseError, RefusedError, DeviceError, CommitError; the group is unchanged then,
    but devices may be physical volumes.
    """
    places = absolute_paths(paths)
    with_consent(lambda agreed: _extend(session, name, places, options or PvOptions(), agreed), ask)


def _extend(session: Session, name: str, places: tuple[str, ...], wanted: PvOptions, agreed: frozenset[str]) -> None:
    with session.locked(name, write=True, global_write=True):
        world = session.world(places)
        group = world.group(name)
        session.check_changeable(group, world, missing_ok=True)
        check_resizeable(group.vg)
        members = new_members(session, world, places, wanted, agreed)
        _check_block_sizes(session, group, places)
        after = with_pvs(group.vg, *(as_pv(session, member, group.vg) for member in members))
        if not session.test:
            group = with_members(group, prepare_members(session, members, wanted))
        commit_change(session, group, after)


def _check_block_sizes(session: Session, group: Group, places: tuple[str, ...]) -> None:
    """Raise RefusedError when devices would be the first of another logical block size in the group
    (lib/metadata/metadata.c:vg_extend_each_pv)."""
    sizes = {session.device(path).sector_size for path in group.pv_paths.values()}
    for path in places:
        size = session.device(path).sector_size
        if len(sizes) == 1 and size not in sizes:
            raise RefusedError(f"Devices have inconsistent logical block sizes ({sizes.pop()} and {size}).")


def restore_missing(session: Session, name: str, paths: tuple[str, ...]) -> None:
    """Take PVs that have come back as they are: not missing any more. Raises RefusedError when none was."""
    places = absolute_paths(paths)
    with session.locked(name, write=True, global_write=True):
        group = session.writable_group(name, missing_ok=True)
        by_path = {path: pv_id for pv_id, path in group.pv_paths.items()}
        restored = []
        for path in places:
            if path not in by_path:
                session.warn(f"PV {path} not found in VG {printable(name)}")
            elif not group.vg.pv(by_path[path]).is_missing:
                session.warn(f"PV {path} was not missing in VG {printable(name)}")
            else:
                restored.append(by_path[path])
        if not restored:
            raise RefusedError("No PV has been restored.")
        commit_change(session, group, without_missing_marks(group.vg, restored))


class Reduced(Record):
    """What came of a reduction: the paths of the PVs that left, and a line for each that did not, or not cleanly."""

    paths: tuple[str, ...]
    failures: tuple[str, ...] = ()


def reduce(session: Session, name: str, paths: tuple[str, ...] | None) -> Reduced:
    """Take physical volumes out of a group, each with a commit of its own, all unused ones for None.

    One that is used, or the last, stays, and does not stop the others. Raises NotFoundError for paths that are no
    physical volumes, and RefusedError when the group must not be changed.
    """
    done: list[str] = []
    failures: list[str] = []
    with session.locked(name, write=True, global_write=True):
        world = session.world()
        group = world.group(name)
        session.check_changeable(group, world)
        places = _places(group, paths)
        check_resizeable(group.vg)
        for path in places:
            try:
                group = _reduce_one(session, world, group, path)
                done.append(path)
            except CryptlvError as error:
                failures.append(str(error))
    return Reduced(paths=tuple(done), failures=tuple(failures))


def _places(group: Group, paths: tuple[str, ...] | None) -> tuple[str, ...]:
    if paths is None:
        return tuple(group.pv_paths[pv.id] for pv in group.vg.pvs if pv.id in group.pv_paths)
    places = absolute_paths(paths)
    if not places:
        raise UsageError("Please enter physical volume paths or option -a.")
    for path in places:
        if path not in group.pv_paths.values():
            raise NotFoundError(f'Failed to find physical volume "{printable(path)}" in {printable(group.vg.name)}.')
    return places


def _reduce_one(session: Session, world: World, group: Group, path: str) -> Group:
    """Take out one PV; gives the group without it."""
    (pv_id,) = (pv_id for pv_id, place in group.pv_paths.items() if place == path)
    after = without_pvs(group.vg, (pv_id,), group.pv_paths)
    left = without_paths(group, (pv_id,))
    if all(area.header is None for area in left.areas):
        raise RefusedError(f'Cannot remove final metadata area on "{path}" from "{printable(group.vg.name)}"')
    committed = commit_change(session, left, after)
    if not session.test:
        (found,) = (pv for pv in world.pvs if pv.path == path)
        release_found(session, group.vg.name, found)
    return left.replace(vg=committed)


def without_paths(group: Group, pv_ids: tuple[str, ...]) -> Group:
    """The group as a commit writes it that takes PVs out: without their devices and areas."""
    return group.replace(
        pv_paths={pv_id: path for pv_id, path in group.pv_paths.items() if pv_id not in pv_ids},
        areas=tuple(area for area in group.areas if area.pv_id not in pv_ids),
        unmarked=tuple(pv for pv in group.unmarked if pv.label.pv_id not in pv_ids),
    )


def release_found(session: Session, name: str, found: FoundPv) -> None:
    """Release a PV that has left a group. The change is made: a failure is a warning."""
    try:
        release(session.device(found.path, writable=True), found.label)
    except CryptlvError as error:
        session.warn(
            f"{error}; {found.path} has left volume group {printable(name)}, but still has its old metadata: "
            f"see cryptlv vgck --updatemetadata {printable(name)}"
        )


class Repaired(Record):
    """What `remove_missing` found and did: volumes that are partial and stand in the way, and those removed."""

    was_consistent: bool = False
    partial: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def remove_missing(session: Session, name: str) -> Repaired:
    """Take the missing PVs out of a group; with force the volumes that lie on them, too, with their keystores.

    Without it, and with such volumes, the PVs are marked as missing and nothing else is done. The key headers of
    removed keystores on PVs that are here are wiped after the commit. Raises RefusedError, InUseError, CommitError.
    """
    from cryptlv.ops.keystore import wipe_images

    with session.locked(name, write=True, global_write=True):
        world = session.world()
        group = world.group(name)
        session.check_changeable(group, world, missing_ok=True)
        missing = _missing(group)
        if not missing:
            return Repaired(was_consistent=True)
        broken = partial_lvs(group.vg, missing)
        if broken and not session.force:
            commit_change(session, group, group.vg)
            return Repaired(partial=tuple(lv.name for lv in broken if lv.is_visible))
        after = without_partial(group.vg, missing)
        gone = removed_lvs(group.vg, after)
        for lv in gone:
            refuse_active(session, group.vg, lv)
            if lv.is_visible:
                session.warn(f"Removing partial LV {group.vg.name}/{printable(lv.name)}.")
        commit_change(session, without_paths(group, missing), after)
        if not session.test:
            wipe_images(session, group.vg, gone, group.pv_paths)
            for found in world.pvs:
                if found.label.pv_id in missing:
                    release_found(session, name, found)
        return Repaired(removed=tuple(lv.name for lv in gone if lv.is_visible))


def _missing(group: Group) -> tuple[str, ...]:
    """PVs that are not here, and those that were not when something was changed, where anything lies on them."""
    used = used_extents(group.vg)
    return tuple(pv.id for pv in group.vg.pvs if pv.id not in group.pv_paths or (pv.is_missing and bool(used[pv.id])))
