"""Logical volumes: remove."""

from __future__ import annotations

from cryptlv.activate.process import active_lv_ids, stop_server
from cryptlv.errors import CryptlvError, InUseError
from cryptlv.model.edit import removed_lvs
from cryptlv.model.lv_edit import Removal, remove_lvs
from cryptlv.names import is_keystore_name, printable
from cryptlv.ops.commit import commit_change
from cryptlv.ops.lv import refuse_active
from cryptlv.ops.wipe import wipe_freed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptlv.host.scan import Group
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.copying import Watch
    from cryptlv.ops.session import Session

    Confirm = Callable[[str], None]
    """Asks a question; raises RefusedError unless the answer is yes."""


def remove(
    session: Session,
    vg_name: str,
    lv_names: Sequence[str],
    confirm: Confirm | None = None,
    wipe_watch: Watch | None = None,
) -> Removal:
    """Remove volumes, and each keystore with the last volume that uses it, in one commit; then wipe the key headers.

    One that cannot be removed does not stop the others: it is a problem of the result, as with lvm2. `confirm` is
    asked, while no lock is held, before a key is lost and before an active volume is closed; without it nobody is
    asked, and active volumes stay. Missing physical volumes are no hindrance. With `wipe_watch` all that was freed is
    overwritten after the commit, while nobody else can have it. Raises NotFoundError for the group, RefusedError,
    CommitError.
    """
    accepted = tuple(lv_names)
    asked: frozenset[str] = frozenset()
    problems: list[CryptlvError] = []
    if confirm is not None and not session.test:
        accepted, asked, problems = _ask(session, vg_name, accepted, confirm)
    with session.locked(vg_name, write=True):
        group = session.writable_group(vg_name, missing_ok=True)
        closed, stay = _close(session, group.vg, accepted, may_close=confirm is not None)
        removal = remove_lvs(group.vg, closed)
        if confirm is not None and not session.test and not asked.issuperset(_keystores(group.vg, removal)):
            raise InUseError(f"{printable(vg_name)} was changed by another command meanwhile; nothing removed")
        if removal.names:
            commit_change(session, group, removal.after)
            if not session.test:
                _forget_keys(session, group, removal)
                if wipe_watch is not None:
                    wipe_freed(session, group, removal.after, wipe_watch)
    return removal.replace(problems=(*problems, *stay, *removal.problems))


def _forget_keys(session: Session, group: Group, removal: Removal) -> None:
    """Overwrite the headers of the keystores that are gone, before anybody else can be given their extents."""
    from cryptlv.ops.keystore import wipe_images

    wipe_images(session, group.vg, removed_lvs(group.vg, removal.after), group.pv_paths)


def _keystores(vg: VolumeGroup, removal: Removal) -> frozenset[str]:
    """The keystores that go with volumes; those that were named themselves have no user."""
    gone = (lv.name for lv in removed_lvs(vg, removal.after) if is_keystore_name(lv.name))
    return frozenset(name for name in gone if name not in removal.names)


def _ask(
    session: Session, vg_name: str, lv_names: tuple[str, ...], confirm: Confirm
) -> tuple[tuple[str, ...], frozenset[str], list[CryptlvError]]:
    """The volumes that may be removed, the keystores that may go with them, and the refusals."""
    with session.locked(vg_name, write=False):
        vg = session.world().group(vg_name).vg
    active = active_lv_ids(session.directories.run_dir)
    accepted: list[str] = []
    refused: list[CryptlvError] = []
    lost: frozenset[str] = frozenset()
    by_name = {lv.name: lv for lv in vg.lvs}
    encrypted = {lv.name for lv in vg.lvs if any(segment.keystores for segment in lv.segments)}
    for name in dict.fromkeys(lv_names):
        where = f"{printable(vg_name)}/{printable(name)}"
        try:
            if name in by_name and by_name[name].id in active:
                confirm(f"Do you really want to remove active logical volume {where}?")
            if name in encrypted:
                more = _keystores(vg, remove_lvs(vg, (*accepted, name))) - lost
                if more:
                    confirm(f'Do you really want to remove "{where}" and its key? Nothing can bring its data back.')
                    lost |= more
            accepted.append(name)
        except CryptlvError as error:
            refused.append(error)
    return tuple(accepted), lost, refused


def _close(
    session: Session, vg: VolumeGroup, lv_names: tuple[str, ...], *, may_close: bool
) -> tuple[tuple[str, ...], list[CryptlvError]]:
    """Deactivate the volumes that are active; the names of all that are not active then, and why others still are."""
    active = active_lv_ids(session.directories.run_dir)
    closed: list[str] = []
    problems: list[CryptlvError] = []
    by_name = {lv.name: lv for lv in vg.lvs}
    for name in lv_names:
        lv = by_name.get(name)
        try:
            if lv is not None and lv.id in active:
                if not may_close:
                    refuse_active(session, vg, lv)
                if not session.test:
                    stop_server(session.directories.run_dir, lv.id)
            closed.append(name)
        except CryptlvError as error:
            problems.append(error)
    return tuple(closed), problems
