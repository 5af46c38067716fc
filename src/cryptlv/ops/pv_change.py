"""Physical volumes: change what their volume group or their label says of them (lvm2's tools/pvchange.c)."""

from __future__ import annotations

from contextlib import contextmanager

from cryptlv.errors import CommitError, CryptlvError, InUseError, NotFoundError, RefusedError
from cryptlv.model.pv_edit import change_tags, rename_pv, set_allocatable, with_pv
from cryptlv.names import parse_uuid, printable
from cryptlv.ondisk.mda import encode_mda_header
from cryptlv.ops.commit import commit_change
from cryptlv.ops.consent import ask_nobody
from cryptlv.ops.pv import refuse_served, used_by, write_label
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptlv.device import Device
    from cryptlv.host.scan import FoundPv, Group, MetadataArea
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ondisk.label import PvLabel
    from cryptlv.ops.consent import Ask
    from cryptlv.ops.session import Session


class PvChange(Record):
    """What is to be changed; None and nothing leave it as it is. `new_id` gives the PV a fresh id."""

    allocatable: bool | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    ignore_metadata: bool | None = None
    new_id: bool = False


def change(session: Session, path: str, wanted: PvChange, ask: Ask = ask_nobody) -> bool:
    """Change the physical volume on a device; gives whether there was anything to change.

    Raises NotFoundError, InUseError when an active volume forbids it, RefusedError for what only a PV in a volume
    group has, or for the last metadata areas of one, CommitError, DeviceError. A crash leaves the old or the new.
    """
    if wanted.ignore_metadata is not None and not session.force:
        group = _group_at(session, path)
        if group is not None and group.vg.metadata_copies:
            ask(f"Override preferred number of copies of VG {printable(group.vg.name)} metadata?")
    with locked_pv(session, path, global_write=wanted.new_id) as (found, group):
        if group is None:
            return _change_orphan(session, found, wanted)
        return _change_in_group(session, group, found, wanted)


@contextmanager
def locked_pv(session: Session, path: str, *, global_write: bool = False) -> Iterator[tuple[FoundPv, Group | None]]:
    """Hold the locks for a change of a PV: (the PV, its volume group or None) as they are under them.

    A PV in a group needs the group's lock, one in none the global one for writing. Raises NotFoundError, InUseError
    when the PV has changed hands meanwhile or its volume group cannot be read, and what `writable_group` raises.
    """
    group = _group_at(session, path)
    names = (group.vg.name,) if group is not None else ()
    alone = global_write or group is None
    with session.locked(*names, write=True, global_write=alone, global_read=not alone):
        world = session.world()
        found = next((pv for pv in world.pvs if pv.path == path), None)
        if found is None:
            raise NotFoundError(f'Failed to find physical volume "{path}".')
        now = world.group_of(found.label.pv_id)
        if (now and now.vg.name) != (group and group.vg.name):
            raise InUseError(f"{path} was changed by another command meanwhile; try again")
        if found.problems:
            raise RefusedError(f"{found.problems[0]}; nothing changed")
        if now is not None:
            now = session.writable_group(now.vg.name)
        elif used_by(world, found) and session.force < 2:
            raise InUseError(f"PV {path} is used by a VG but its metadata is missing. Can't change it without -ff.")
        yield found, now


def _group_at(session: Session, path: str) -> Group | None:
    world = session.world(silent=True)
    found = next((pv for pv in world.pvs if pv.path == path), None)
    return None if found is None else world.group_of(found.label.pv_id)


def _change_orphan(session: Session, found: FoundPv, wanted: PvChange) -> bool:
    if wanted.add_tags or wanted.remove_tags:
        raise RefusedError(f"Can't change tag on Physical Volume {found.path} not in volume group")
    if wanted.allocatable is not None:
        raise RefusedError(f"Allocatability not supported by orphan lvm2 format PV {found.path}")
    areas = _areas_to_change(found, ignore=wanted.ignore_metadata)
    if session.test:
        return True
    device = session.device(found.path, writable=True)
    _mark_areas(session, areas, ignore=bool(wanted.ignore_metadata))
    if wanted.new_id:
        new_id = session.env.new_uuid()
        write_label(device, found.label.replace(pv_id=new_id))
        session.remember_devices([(found.path, parse_uuid(new_id))])
    return True


def _mark_areas(session: Session, areas: Sequence[MetadataArea], *, ignore: bool) -> None:
    """Write the headers of metadata areas as ones that are not in use, or as empty ones; flush."""
    for area in areas:
        if area.header is not None:
            device = session.device(area.path, writable=True)
            header = area.header.ignored() if ignore else area.header.emptied()
            device.write(area.start_bytes, encode_mda_header(header))
            device.flush()


def _areas_to_change(found: FoundPv, *, ignore: bool | None) -> tuple[MetadataArea, ...]:
    """The PV's areas that are to be ignored, or used again; raises RefusedError when there are none."""
    if ignore is None:
        return ()
    areas = tuple(area for area in found.areas if area.header is not None and area.is_ignored != ignore)
    if not areas:
        state = "ignored" if ignore else "marked as in-use"
        raise RefusedError(f'Metadata areas on physical volume "{found.path}" already {state}.')
    return areas


def _edited(session: Session, vg: VolumeGroup, found: FoundPv, wanted: PvChange) -> VolumeGroup:
    """The volume group with the PV's words changed; itself when there is nothing to change in them."""
    pv = vg.pv(found.label.pv_id)
    if wanted.allocatable is not None:
        if ("ALLOCATABLE" in pv.status) == wanted.allocatable:
            state = "allocatable" if wanted.allocatable else "unallocatable"
            session.inform(f'Physical volume "{found.path}" is already {state}.')
        else:
            pv = set_allocatable(pv, allocatable=wanted.allocatable)
    return with_pv(vg, change_tags(pv, wanted.add_tags, wanted.remove_tags))


def _change_in_group(session: Session, group: Group, found: FoundPv, wanted: PvChange) -> bool:
    """One commit for all of it. Areas that are to be ignored are marked after it: they keep the value before, which
    is older than the others'. Those that are used again count as empty, and get the new text."""
    after = _edited(session, group.vg, found, wanted)
    areas = _areas_to_change(found, ignore=wanted.ignore_metadata)
    others = tuple(area for area in group.areas if area not in areas)
    if wanted.ignore_metadata:
        if not any(area.header is not None and not area.is_ignored for area in others):
            raise RefusedError(f"Cannot disable all metadata areas in volume group {printable(group.vg.name)}.")
        group = group.replace(areas=others)
    elif areas:
        woken = tuple(
            area.replace(header=area.header and area.header.emptied(), text=None, vg=None) for area in areas
        )
        group = group.replace(areas=(*others, *woken))
    if areas and after.metadata_copies:
        copies = sum(area.header is not None and not area.is_ignored for area in group.areas)
        name = printable(after.name)
        session.warn(
            f"Changing preferred number of copies of VG {name} metadata from {after.metadata_copies} to {copies}"
        )
        after = after.replace(metadata_copies=copies)
    if wanted.new_id:
        _commit_new_id(session, group, found, after)
    elif after != group.vg or areas or wanted.add_tags or wanted.remove_tags:
        commit_change(session, group, after)
    else:
        return False
    if wanted.ignore_metadata and not session.test:
        try:
            _mark_areas(session, areas, ignore=True)
        except CryptlvError as error:
            session.warn(f"{error}; its metadata area is still in use, and is old: pvchange --metadataignore y")
    return True


def _commit_new_id(session: Session, group: Group, found: FoundPv, after: VolumeGroup) -> None:
    """The label with the new id, which says what the old one was; the commit; the label with the new id alone.

    After a crash between the two the PV still is what its volume group knows (host/scan.py), and the next change puts
    its label right.
    """
    refuse_served(session, group, found.path)
    old, new = found.label.pv_id, session.env.new_uuid()
    after = rename_pv(after, old, new)
    paths = {new if pv_id == old else pv_id: path for pv_id, path in group.pv_paths.items()}
    group = group.replace(pv_paths=paths)
    if session.test:
        commit_change(session, group, after)
        return
    device = session.device(found.path, writable=True)
    label = found.label.replace(pv_id=old, former_id="")
    try:
        write_label(device, label.replace(pv_id=new, former_id=old))
        commit_change(session, group, after)
    except CryptlvError as error:
        if not isinstance(error, CommitError) or error.outcome == "reverted":
            _put_back(session, device, label)
        raise
    _put_back(session, device, label.replace(pv_id=new))
    session.remember_devices([(found.path, parse_uuid(new))])


def _put_back(session: Session, device: Device, label: PvLabel) -> None:
    """Write a label that says nothing of another id; where that fails, the next change does it."""
    try:
        write_label(device, label)
    except CryptlvError as error:
        session.warn(f"{error}; the label of {device.path} is put right by the next change of its volume group")
