"""Archive, commit, backup: how every change of a volume group ends."""

from __future__ import annotations

from cryptlv.errors import CryptlvError
from cryptlv.host.archive import write_archive, write_backup
from cryptlv.host.store import prepare, usable_places, write_metadata
from cryptlv.names import printable
from cryptlv.ondisk.vgrender import render_backup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import Group
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session


def commit_change(session: Session, group: Group, after: VolumeGroup) -> VolumeGroup:
    """Put `after` in force in place of `group.vg`; gives the value committed. The caller holds the lock.

    Each PV is noted under the name that its device has now, one that is missing under the last that is known. With
    --test everything is checked and rendered and nothing is written. Raises what `write_metadata` raises, and
    DeviceError when the archive cannot be written; the old metadata is then in force.
    """
    after = after.replace(pvs=tuple(pv.replace(device=group.pv_paths.get(pv.id, pv.device)) for pv in after.pvs))
    if session.test:
        vg, _ = prepare(after, session.env)
        return vg
    archive_before(session, group.vg)
    places = usable_places(group.areas, lambda path: session.device(path, writable=True))
    outcome = write_metadata(places, after, session.env)
    for miss in outcome.misses:
        session.warn(f"{miss}; its copy of the metadata is old, and is renewed by the next change")
    for area in group.areas:
        if area.header is None:
            session.warn(f"{area.path}: its damaged metadata area was not written")
    backup_after(session, outcome.vg)
    return outcome.vg


def archive_before(session: Session, vg: VolumeGroup) -> None:
    """Keep the metadata that is about to be replaced; raises DeviceError."""
    description = f"Created *before* executing '{session.env.command}'"
    text = render_backup(vg, session.env, description)
    write_archive(session.directories.archive_dir, vg.name, text, session.env)


def backup_after(session: Session, vg: VolumeGroup) -> None:
    """Keep the metadata that is now in force. The change is made: a failure here is a warning."""
    description = f"Created *after* executing '{session.env.command}'"
    try:
        write_backup(session.directories.backup_dir, vg.name, render_backup(vg, session.env, description))
    except CryptlvError as error:
        session.warn(f"the change of {printable(vg.name)} is made, but its backup is not: {error}")
