"""vgcfgrestore: the metadata in a file are put in force again (lvm2's lib/format_text/archiver.c, archive.c).

Unlike stock, what is restored is written with a higher seqno than anything on the disks, so that it is in force on
all devices; PVs that are in the group now and not in the file are released; PVs of another group are not taken.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, FormatError, RefusedError
from cryptlv.host.archive import archive_paths, read_metadata_file
from cryptlv.host.scan import Group
from cryptlv.model.allocate import used_extents
from cryptlv.model.edit import removed_lvs
from cryptlv.names import check_vg_name, printable
from cryptlv.ondisk.config import parse_config
from cryptlv.ondisk.vgtext import parse_vg
from cryptlv.ops.commit import commit_change
from cryptlv.ops.keystore import attributes_of, keystore_segment, read_image, wipe_images
from cryptlv.ops.vg_change import refuse_any_active
from cryptlv.ops.vg_members import release_found
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cryptlv.host.scan import World
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.ops.session import Session

_ENCRYPTION = ("crypt", "crypt-keystore")


class BackupFile(Record):
    """A file with metadata: the group, and the description and time that it was written with."""

    path: str
    vg: VolumeGroup
    description: str = ""
    written_at: int = 0


def read_backup(path: str) -> BackupFile:
    """A backup or archive file; raises NotFoundError, DeviceError, FormatError."""
    text = read_metadata_file(path).rstrip(b"\0")
    try:
        vg = parse_vg(text)
        root = parse_config(text)
    except FormatError as error:
        raise error.at(path) from None
    description, written_at = root.get("description"), root.get("creation_time")
    return BackupFile(
        path=path,
        vg=vg,
        description=description if isinstance(description, str) else "",
        written_at=written_at if isinstance(written_at, int) else 0,
    )


def backup_path(session: Session, name: str) -> str:
    """Where the backup of a group lies."""
    import os.path

    return os.path.join(session.directories.backup_dir, check_vg_name(name))


def list_backups(session: Session, name: str) -> tuple[BackupFile, ...]:
    """A group's archive files, oldest first, and its backup; one that cannot be read is warned about."""
    import os.path

    backup = backup_path(session, name)
    paths = (*archive_paths(session.directories.archive_dir, name), *((backup,) if os.path.exists(backup) else ()))
    files = []
    for path in paths:
        try:
            files.append(read_backup(path))
        except CryptlvError as error:
            session.warn(str(error))
    return tuple(files)


def restore(session: Session, name: str, path: str = "", *, agreed: bool = False) -> VolumeGroup:
    """Put the metadata in a file (the group's backup when none is named) in force; gives them.

    `agreed` allows what would be lost: volumes of types that lvm2 cannot restore safely (thin, cache), and encrypted
    volumes that go, or come back without a key header that can be read. The headers of keystores that go are wiped.
    Raises NotFoundError, FormatError, RefusedError, InUseError, CommitError; nothing is changed then.
    """
    check_vg_name(name)
    file = read_backup(path or backup_path(session, name))
    if file.vg.name != name:
        raise RefusedError(f"'{file.path}' does not contain volume group '{name}'.")
    with session.locked(name, write=True, global_write=True):
        world = session.world()
        now = _present(world, file.vg)
        if now is not None:
            session.check_accessible(now.vg)
            refuse_any_active(session, now.vg)
        session.check_accessible(file.vg)
        group = _group_for(world, file.vg, now)
        _check_volumes(session, group, file.vg, now, agreed=agreed)
        after = file.vg.replace(seqno=max([file.vg.seqno, *_seqnos(world, file.vg)]))
        committed = commit_change(session, group, after)
        if now is not None and not session.test:
            _let_go(session, world, now, committed)
        return committed


def _present(world: World, wanted: VolumeGroup) -> Group | None:
    """The group as it is now; raises RefusedError when another one has its name."""
    for group in world.groups:
        if group.vg.id == wanted.id:
            return group
    if world.find_group(wanted.name) is not None:
        raise RefusedError(f"another volume group is named {printable(wanted.name)}: rename or remove it first")
    return None


def _seqnos(world: World, wanted: VolumeGroup) -> Iterator[int]:
    return (area.vg.seqno for pv in world.pvs for area in pv.areas if area.vg is not None and area.vg.id == wanted.id)


def _group_for(world: World, wanted: VolumeGroup, now: Group | None) -> Group:
    """The devices that the metadata in the file name; raises RefusedError when they are not what they were."""
    ids = {pv.id for pv in wanted.pvs}
    found = {pv.label.pv_id: pv for pv in world.pvs if pv.label.pv_id in ids}
    missing = [pv for pv in wanted.pvs if pv.id not in found or pv.is_missing]
    if missing:
        names = ", ".join(f"{printable(pv.id)} ({printable(pv.device)})" for pv in missing)
        raise RefusedError(
            f"Cannot restore Volume Group {printable(wanted.name)} with {len(missing)} PVs marked as missing: {names}"
        )
    for pv in wanted.pvs:
        seen = found[pv.id]
        owner = world.group_of(pv.id)
        if owner is not None and owner.vg.id != wanted.id:
            raise RefusedError(f"{seen.path} is in volume group {printable(owner.vg.name)} now; nothing changed")
        end_bytes = (pv.pe_start_sectors + pv.pe_count * wanted.extent_size_sectors) * SECTOR_SIZE
        if end_bytes > seen.size_bytes:
            raise RefusedError(f"{seen.path} has {seen.size_bytes} bytes, its extents end at {end_bytes}")
        start_bytes = pv.pe_start_sectors * SECTOR_SIZE
        for area, size in ((0, SECTOR_SIZE), *seen.label.mdas):
            if pv.pe_count and area < end_bytes and start_bytes < area + size:
                raise RefusedError(f"{seen.path} has metadata at byte {area} where its extents would lie")
    return Group(
        vg=now.vg if now is not None else wanted.replace(seqno=0),
        pv_paths={pv_id: pv.path for pv_id, pv in found.items()},
        areas=tuple(area for pv in wanted.pvs for area in found[pv.id].areas),
        unmarked=tuple(pv for pv in found.values() if pv.is_unmarked),
    )


def _check_volumes(session: Session, group: Group, wanted: VolumeGroup, now: Group | None, *, agreed: bool) -> None:
    """Say what happens to encrypted volumes and pools; raises RefusedError where that needs to be agreed to."""
    doubts = []
    if any(segment.shown_type in ("thin", "thin-pool") for lv in wanted.lvs for segment in lv.segments):
        doubts.append("it has thin volumes, whose pools may have changed since")
    present = now.vg.lvs if now is not None else ()
    going = [lv for lv in present if _encrypted(lv) and lv.id not in {other.id for other in wanted.lvs}]
    doubts += [f"{_kind(lv)} {printable(lv.name)} would go, and nothing could bring its data back" for lv in going]
    for lv in wanted.lvs:
        problem = _header_problem(session, group, wanted, lv)
        is_back = lv.id not in {other.id for other in present}
        if problem:
            doubts.append(f"keystore {printable(lv.name)} would {'come back' if is_back else 'stay'}, but {problem}")
        elif is_back and _encrypted(lv):
            session.inform(f"{_kind(lv).capitalize()} {printable(lv.name)} comes back.")
    if not doubts:
        return
    if not agreed:
        raise RefusedError(f"{printable(wanted.name)} is not restored: {'; '.join(doubts)}. --force does it")
    for doubt in doubts:
        session.warn(doubt)


def _encrypted(lv: LogicalVolume) -> bool:
    return any(segment.type_name in _ENCRYPTION for segment in lv.segments)


def _is_keystore(lv: LogicalVolume) -> bool:
    return any(segment.type_name == "crypt-keystore" for segment in lv.segments)


def _kind(lv: LogicalVolume) -> str:
    return "keystore" if _is_keystore(lv) else "encrypted volume"


def _header_problem(session: Session, group: Group, vg: VolumeGroup, lv: LogicalVolume) -> str:
    """Why the key header of a keystore can not be used, "" when it can, or cannot be judged, or there is none."""
    from cryptlv.errors import HandlerUnavailable
    from cryptlv.ops.handlers import find_handler

    if not _is_keystore(lv):
        return ""
    try:
        attributes = attributes_of(keystore_segment(vg, lv.name))
        image = read_image(session, vg, lv.name, group.pv_paths)
        if image:
            find_handler(attributes.handler).parameters(attributes, image)
    except HandlerUnavailable:
        return ""
    except CryptlvError as error:
        return f"its key header is not there any more ({error})"
    return ""


def _let_go(session: Session, world: World, now: Group, committed: VolumeGroup) -> None:
    """Wipe the key headers of keystores that are gone, where nothing else lies now, and release PVs that are out."""
    used = used_extents(committed)
    gone = tuple(lv for lv in removed_lvs(now.vg, committed) if _is_keystore(lv) and not _is_covered(lv, used))
    wipe_images(session, now.vg, gone, now.pv_paths)
    ids = {pv.id for pv in committed.pvs}
    for found in world.pvs:
        if found.label.pv_id in now.pv_paths and found.label.pv_id not in ids:
            release_found(session, committed.name, found)


def _is_covered(lv: LogicalVolume, used: Mapping[str, Sequence[tuple[int, int]]]) -> bool:
    return any(
        start_pe < start + length and start < start_pe + length_pe
        for segment in lv.segments
        for pv_id, start_pe, length_pe in segment.footprint()
        for start, length in used.get(pv_id, ())
    )
