"""Archive, commit, backup: how every change of a volume group ends."""

from __future__ import annotations

from cryptlv.errors import ActivationError, CryptlvError
from cryptlv.host.archive import write_archive, write_backup
from cryptlv.host.signals import held_back
from cryptlv.host.store import ignore_areas, plan_areas, plan_places, prepare, write_metadata
from cryptlv.model.allocate import used_extents
from cryptlv.names import printable
from cryptlv.ondisk.vgrender import LvTexts, render_backup
from cryptlv.ops.kernel import live_change
from cryptlv.ops.pv import mark_used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import Group
    from cryptlv.host.store import Outcome, Place
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.kernel import LiveChange
    from cryptlv.ops.session import Session


def commit_change(
    session: Session, group: Group, after: VolumeGroup, *, use_all_areas: bool = False, archive: bool = True
) -> VolumeGroup:
    """Put `after` in force in place of `group.vg`; gives the value committed. The caller holds the lock.

    It is written to `group.areas`, as many of them as `after` wants to use, or all: for a group that gets or loses
    physical volumes the caller has put those of the new ones in, or left those of the old ones out, and likewise in
    `group.pv_paths` and `group.unmarked`. Each PV is noted under the name that its device has now, one that is
    missing under the last that is known, and as missing. With --test everything is checked and rendered and nothing
    is written. The value before is kept, unless the group is new (seqno 0), or without `archive`: for a step of a
    change whose beginning is in the archive. What the kernel has active of what is changed follows: its new tables
    are loaded before, it is suspended for the moment of the commit, and is resumed after it. Raises what
    `write_metadata` raises, DeviceError when the archive cannot be written, DeviceMapperError when the kernel does
    not take a table: the old metadata are then in force. Raises ActivationError when the change is made and the
    kernel has not followed.
    """
    after = _with_places(group, after)
    texts = LvTexts()
    if session.test:
        vg, _ = prepare(after, session.env)
        return vg
    if archive and group.vg.seqno:
        archive_before(session, group.vg, texts)
    used, ignored = (
        plan_places(areas, lambda path: session.device(path, writable=True))
        for areas in plan_areas(group.areas, after.metadata_copies, use_all=use_all_areas)
    )
    live = live_change(session, group, after)
    with held_back():
        outcome, problem = _write(used, after, session, live)
        for miss in (*outcome.misses, *ignore_areas(ignored)):
            session.warn(f"{miss}; its copy of the metadata is old, and is renewed by the next change")
        _mark_used(session, group, outcome.vg)
        for area in group.areas:
            if area.header is None:
                session.warn(f"{area.path}: its damaged metadata area was not written")
        backup_after(session, outcome.vg, texts)
    if problem is not None:
        raise ActivationError(f"the change of {printable(after.name)} is made, but {problem}")
    return outcome.vg


def _write(
    used: list[Place], after: VolumeGroup, session: Session, live: LiveChange | None
) -> tuple[Outcome, CryptlvError | None]:
    """Write the metadata, and have the kernel follow; what it could not do.

    Between `freeze` and `finish` nothing else is done: the system's own files may be on a suspended volume.
    """
    if live is None:
        return write_metadata(used, after, session.env), None
    live.prepare()
    try:
        outcome = write_metadata(used, after, session.env, live.freeze)
    except BaseException:
        live.undo()
        raise
    try:
        live.finish()
    except CryptlvError as error:
        return outcome, error
    return outcome, None


def _mark_used(session: Session, group: Group, vg: VolumeGroup) -> None:
    """Have the labels of the group's PVs say that they are used, where they do not. The change is made already."""
    own = {pv.id for pv in vg.pvs}
    for found in group.unmarked:
        if found.label.pv_id in own:
            try:
                mark_used(session.device(found.path, writable=True), found, used=True)
            except CryptlvError as error:
                session.warn(f"{error}; its label does not say that a volume group uses it")


def _with_places(group: Group, after: VolumeGroup) -> VolumeGroup:
    """The value with each PV under its device's name, absent ones marked as missing, and unused ones that are here
    not (lib/metadata/metadata.c:vg_read)."""
    used = used_extents(after) if after.is_partial else {}
    pvs = []
    for pv in after.pvs:
        flags = pv.flags
        if pv.id not in group.pv_paths or (pv.is_missing and used[pv.id]):
            flags = flags if pv.is_missing else (*flags, "MISSING")
        elif pv.is_missing:
            flags = tuple(flag for flag in flags if flag != "MISSING")
        pvs.append(pv.replace(device=group.pv_paths.get(pv.id, pv.device), flags=flags))
    return after.replace(pvs=tuple(pvs))


def archive_before(session: Session, vg: VolumeGroup, texts: LvTexts | None = None) -> None:
    """Keep the metadata that is about to be replaced, unless that is not wanted; raises DeviceError."""
    if not session.keeps_archives:
        return
    description = f"Created *before* executing '{session.env.command}'"
    text = render_backup(vg, session.env, description, texts)
    settings = session.settings
    write_archive(
        session.directories.archive_dir,
        vg.name,
        text,
        session.env,
        retain_min=settings.retain_min,
        retain_days=settings.retain_days,
    )


def backup_after(session: Session, vg: VolumeGroup, texts: LvTexts | None = None) -> None:
    """Keep the metadata that is now in force. The change is made: a failure here is a warning."""
    if not session.keeps_backups:
        session.warn("This metadata update is NOT backed up.")
        return
    description = f"Created *after* executing '{session.env.command}'"
    try:
        text = render_backup(vg, session.env, description, texts)
        write_backup(session.directories.backup_dir, vg.name, text)
    except CryptlvError as error:
        session.warn(f"the change of {printable(vg.name)} is made, but its backup is not: {error}")
