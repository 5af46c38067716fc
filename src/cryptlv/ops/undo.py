"""vgundo: what the last command changed, and the value before it in force again.

The value before is the newest archive file of the same volume group whose seqno is one less. Putting it in force is a
change like any other: seqno goes up, and the value that was undone is archived, so that undoing an undo is a redo, as
with `git revert`; to go further back, see vgcfgrestore.

A physical volume that the change brought in (vgextend) leaves again: it is released after the commit, as by vgreduce.
One that it put out (vgreduce) comes back when it is still nobody's. What has become part of another volume group
(vgsplit, vgmerge) does not.
"""

from __future__ import annotations

from cryptlv.errors import FormatError, NotFoundError, RefusedError
from cryptlv.host.archive import read_archive
from cryptlv.model.edit import removed_lvs
from cryptlv.model.undo import changed_lvs, check_undo, losses, returning_extents
from cryptlv.names import printable
from cryptlv.ondisk.vgtext import parse_document
from cryptlv.ops.carry import refuse_active
from cryptlv.ops.commit import commit_change
from cryptlv.ops.pv import mark_used, release
from cryptlv.record import Record
from cryptlv.report.difference import difference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import FoundPv, Group, World
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session

_WRITE = "Write from "


class LastChange(Record):
    """The last change of a volume group: both values, and what its metadata say of how it was made.

    `made_at` is in seconds since the epoch. `lines` are the difference. `problem` says why it cannot be undone, ""
    when it can; `warnings` what an undo gives up.
    """

    vg: VolumeGroup
    before: VolumeGroup
    command: str
    made_at: int
    host: str
    lines: tuple[str, ...]
    problem: str = ""
    warnings: tuple[str, ...] = ()


def last_change(session: Session, name: str) -> LastChange:
    """What the last command changed; raises NotFoundError when there is no archive file of the value before."""
    with session.locked(name, write=False):
        world = session.world()
        group = world.group(name)
        session.check_accessible(group.vg)
        change = _find(session, group)
        try:
            _check(world, group, change)
        except RefusedError as error:
            return change.replace(problem=str(error))
        return change


def undo(session: Session, name: str) -> LastChange:
    """Put the value before the last change in force; gives that change.

    Raises NotFoundError, RefusedError when it cannot be undone, InUseError when a volume that would not stay as it is
    is active, CommitError.
    """
    from cryptlv.ops.keystore import wipe_images

    with session.locked(name, write=True, global_write=True):
        group = session.writable_group(name, exported_ok=True, read_only_ok=True)
        world = session.world()
        change = _find(session, group)
        _check(world, group, change)
        names = changed_lvs(group.vg, change.before)
        refuse_active(session, group.vg, names, lambda lv: f"logical volume {printable(name)}/{lv} is active")
        for warning in change.warnings:
            session.warn(warning)
        after = change.before.replace(seqno=group.vg.seqno)
        ids = {pv.id for pv in after.pvs}
        found = {pv.label.pv_id: pv for pv in world.pvs}
        leaving = [found[pv.id] for pv in group.vg.pvs if pv.id not in ids]
        coming = [found[pv_id] for pv_id in ids - {pv.id for pv in group.vg.pvs}]
        commit_change(session, _with_pvs(group, [found[pv.id] for pv in after.pvs if pv.id in found]), after)
        if not session.test:
            for pv in coming:
                mark_used(session.device(pv.path, writable=True), pv, used=True)
            wipe_images(session, group.vg, removed_lvs(group.vg, after), group.pv_paths)
            for pv in leaving:
                release(session.device(pv.path, writable=True), pv.label)
    return change


def _with_pvs(group: Group, pvs: list[FoundPv]) -> Group:
    return group.replace(
        pv_paths={pv.label.pv_id: pv.path for pv in pvs}, areas=tuple(area for pv in pvs for area in pv.areas)
    )


def _find(session: Session, group: Group) -> LastChange:
    """The last change, from the newest archive file with the value before it."""
    now = group.vg
    begun = ""
    for _, text in read_archive(session.directories.archive_dir, now.name):
        try:
            archived = parse_document(text)
        except FormatError:
            continue
        if archived.vg.id != now.id:
            continue
        if archived.vg.seqno == now.seqno and not begun:
            begun = archived.description
        if archived.vg.seqno == now.seqno - 1:
            return _change(group, archived.vg, begun)
    raise NotFoundError(
        f"no archive file has volume group {printable(now.name)} with seqno {now.seqno - 1}, as it was before its "
        "last change: that was its creation, a vgsplit or vgmerge, or a command that keeps none; see vgcfgrestore -l"
    )


def _change(group: Group, before: VolumeGroup, begun: str) -> LastChange:
    now = group.vg
    warnings = list(losses(now, before))
    if begun and returning_extents(now, before):
        warnings.append(f"extents that come back may have been written by a command that did not end: {begun}")
    text = next((area.text for area in group.areas if area.vg == now and area.text), b"")
    written = parse_document(text) if text else None
    command = written.description if written is not None else ""
    return LastChange(
        vg=now,
        before=before,
        command=command.removeprefix(_WRITE).removesuffix("."),
        made_at=written.creation_time if written is not None else 0,
        host=written.creation_host if written is not None else "",
        lines=difference(before, now),
        warnings=tuple(warnings),
    )


def _check(world: World, group: Group, change: LastChange) -> None:
    """Raise RefusedError when the change cannot be undone."""
    name = printable(group.vg.name)
    if group.vg.is_unfinished:
        raise RefusedError(f"volume group {name} was being split or merged: finish that first")
    if not change.lines:
        raise RefusedError("there is nothing to undo: the last command changed nothing in the metadata")
    for pv in change.before.pvs:
        other = world.group_of(pv.id)
        if other is not None and other.vg.id != group.vg.id:
            device = printable(pv.device)
            raise RefusedError(
                f"the last change cannot be undone: {device} belongs to volume group {printable(other.vg.name)} now"
            )
    check_undo(group.vg, change.before, change.command)
    found = {pv.label.pv_id: pv for pv in world.pvs}
    there = {pv.id for pv in group.vg.pvs}
    for pv in change.before.pvs:
        if pv.id in there:
            continue
        if pv.id not in found or found[pv.id].label.is_used or found[pv.id].problems:
            raise RefusedError(
                f"the last change cannot be undone: {printable(pv.device)} is not there, or used otherwise"
            )
