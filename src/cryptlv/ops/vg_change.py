"""Changes of a volume group that leave its physical volumes and volumes where they are: its fields, name and export.

Mirrors lvm2's tools/vgchange.c, vgrename.c, vgexport.c and vgimport.c.
"""

from __future__ import annotations

from cryptlv.errors import ExistsError, RefusedError, UsageError
from cryptlv.host.archive import remove_backup
from cryptlv.model.vg_edit import ALL_COPIES, VgChange, change_vg, exported, imported
from cryptlv.names import is_name, parse_uuid, printable
from cryptlv.ops.commit import commit_change
from cryptlv.ops.kernel import active_ids
from cryptlv.ops.lv import refuse_active, refuse_served
from cryptlv.ops.vg import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import World
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session

__all__ = ["VgChange"]
_MAX_DM_NAME = 127


def change(session: Session, name: str, wanted: VgChange, *, new_id: bool = False) -> VolumeGroup:
    """Change fields of a volume group, all in one commit.

    Raises NotFoundError, RefusedError, InUseError, CommitError.

    Tags may be changed while physical volumes are missing. A new id, or another host's system ID, needs all volumes
    inactive.
    """
    with session.locked(name, write=True):
        group = session.writable_group(name, missing_ok=wanted.is_safe_when_partial and not new_id)
        if new_id or (wanted.system_id and wanted.system_id != session.env.system_id):
            refuse_any_active(session, group.vg)
        if new_id:
            wanted = wanted.replace(new_id=session.env.new_uuid())
        if wanted.extent_size_sectors == group.vg.extent_size_sectors:
            session.inform(f"Physical extent size of VG {name} is already as wanted.")
        if wanted.metadata_copies == group.vg.metadata_copies:
            session.inform(f"Number of metadata copies for VG {name} is already as wanted.")
        after = change_vg(group.vg, wanted)
        return commit_change(session, group, after, use_all_areas=wanted.metadata_copies == ALL_COPIES)


def refuse_any_active(session: Session, vg: VolumeGroup) -> None:
    """Raise InUseError when a volume of the group is being served."""
    active = active_ids(session)
    for lv in vg.lvs:
        if lv.id in active:
            refuse_active(session, vg, lv)


def rename(session: Session, old: str, new: str) -> str:
    """Rename a volume group, which may be named by its id; gives its old name.

    Exported groups are renamed, too, and what the kernel has active of them. Raises NotFoundError, ExistsError,
    RefusedError, InUseError when a volume is served, CommitError, DeviceMapperError.
    """
    for word, which in ((old, "Old"), (new, "New")):
        if not is_name(word):
            raise RefusedError(f'{which} volume group name "{printable(word)}" is invalid.')
    with session.locked(write=True, global_write=True):
        name = _name_of(session, old)
        if name == new:
            raise RefusedError("Old and new volume group names must differ")
        with session.locked(name, new, write=True):
            world = session.world(silent=True)
            _refuse_taken(world, new)
            group = session.writable_group(name, exported_ok=True)
            active = active_ids(session)
            for lv in group.vg.lvs:
                if lv.id in active:
                    refuse_served(session, group.vg, lv)
                if len(new) + len(lv.name) + 3 > _MAX_DM_NAME:
                    raise RefusedError(f"New name {new!r} is too long for volume {printable(lv.name)}")
            commit_change(session, group, group.vg.replace(name=new))
            if not session.test:
                remove_backup(session.directories.backup_dir, name)
    return name


def _name_of(session: Session, word: str) -> str:
    """The name of a group that is named by its name or its id."""
    try:
        parse_uuid(word)
    except ValueError:
        return word
    named = [group.vg.name for group in session.world(silent=True).groups if group.vg.id == word]
    return named[0] if named else word


def _refuse_taken(world: World, new: str) -> None:
    for group in world.groups:
        if group.vg.name == new:
            raise ExistsError(f'New VG name "{new}" already exists')
        if group.vg.id == new:
            raise ExistsError(f'New VG name "{new}" matches the UUID of existing VG {printable(group.vg.name)}')


def look_at(session: Session, name: str) -> None:
    """Raise NotFoundError or RefusedError when there is no such group that this host may use."""
    with session.locked(name, write=False):
        session.check_usable(session.world().group(name))


def names_to_export(session: Session) -> tuple[str, ...]:
    """The groups of this host that are not exported."""
    world = session.world(silent=True)
    return tuple(name for name in names(session) if not world.group(name).vg.is_exported)


def export(session: Session, name: str) -> None:
    """Make a volume group nobody's, for another host to import. Raises RefusedError, InUseError, CommitError."""
    with session.locked(name, write=True):
        group = session.writable_group(name)
        refuse_any_active(session, group.vg)
        commit_change(session, group, exported(group.vg))


def import_(session: Session, name: str) -> None:
    """Take an exported volume group; with force also when physical volumes of it are missing.

    Raises NotFoundError, RefusedError, CommitError.
    """
    with session.locked(name, write=True):
        world = session.world()
        group = world.group(name)
        session.check_changeable(group, world, exported_ok=True, missing_ok=session.force > 0)
        own = {pv.id for pv in group.vg.pvs}
        for other in world.groups if group.vg.is_unfinished else ():
            if other.vg.id != group.vg.id and own.intersection(pv.id for pv in other.vg.pvs):
                raise RefusedError(
                    f"a vgsplit or vgmerge of volume group {printable(other.vg.name)} with {name} was interrupted: "
                    "run that command again first"
                )
        if not group.vg.is_exported:
            raise RefusedError(f'Volume group "{name}" is not exported')
        commit_change(session, group, imported(group.vg, session.env.system_id))


def clean_id(text: str) -> str:
    """A system ID as lvm2 keeps it, "" for none; raises UsageError (toolcontext.c:system_id_from_string)."""
    from cryptlv.host.lvmconf import clean_system_id

    found = clean_system_id(text)
    if (text and not found) or found.startswith("localhost"):
        raise UsageError(f"Invalid system ID format: {printable(text)}")
    return found
