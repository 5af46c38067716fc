"""Logical volumes: remove."""

from __future__ import annotations

from cryptlv.activate.process import find_server, stop_server
from cryptlv.errors import CryptlvError
from cryptlv.model.edit import removed_lvs
from cryptlv.model.lv_edit import Removal, remove_lvs
from cryptlv.names import is_keystore_name, printable
from cryptlv.ops.commit import commit_change
from cryptlv.ops.kernel import active_ids, deactivate_in_kernel
from cryptlv.ops.lv import refuse_active
from cryptlv.ops.wipe import wipe_freed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptlv.host.scan import Group
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
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
    names = list(dict.fromkeys(lv_names))
    answered: set[str] = set()
    problems: list[CryptlvError] = []
    while True:
        with session.locked(vg_name, write=True):
            group = session.writable_group(vg_name, missing_ok=True)
            questions = [] if confirm is None or session.test else _questions(session, group.vg, names)
            open_questions = [(name, text) for name, text in questions if text not in answered]
            if confirm is None or not open_questions:
                closed, stay = _close(session, group.vg, names, may_close=confirm is not None)
                removal = remove_lvs(group.vg, closed)
                _commit(session, group, removal, wipe_watch)
                return removal.replace(problems=(*problems, *stay, *removal.problems))
        for name, text in open_questions:
            if name not in names:
                continue
            try:
                confirm(text)
                answered.add(text)
            except CryptlvError as error:
                names.remove(name)
                problems.append(error)


def _commit(session: Session, group: Group, removal: Removal, wipe_watch: Watch | None) -> None:
    """Put the group without the volumes in force, and overwrite the headers of the keystores that are gone, and
    everything else where that is asked for, before anybody else can be given their extents."""
    from cryptlv.ops.keystore import wipe_images

    if not removal.names:
        return
    commit_change(session, group, removal.after)
    if not session.test:
        wipe_images(session, group.vg, removed_lvs(group.vg, removal.after), group.pv_paths)
        if wipe_watch is not None:
            wipe_freed(session, group, removal.after, wipe_watch)


def _questions(session: Session, vg: VolumeGroup, names: Sequence[str]) -> list[tuple[str, str]]:
    """What must be asked before volumes are removed, one after the other: (volume, question)."""
    active = active_ids(session)
    by_name = {lv.name: lv for lv in vg.lvs}
    questions: list[tuple[str, str]] = []
    gone: list[str] = []
    lost: set[str] = set()
    for name in names:
        lv = by_name.get(name)
        if lv is None:
            continue
        where = f"{printable(vg.name)}/{printable(name)}"
        if lv.id in active:
            questions.append((name, f"Do you really want to remove active logical volume {where}?"))
        if not any(segment.keystores for segment in lv.segments):
            continue
        gone.append(name)
        stores = {other.name for other in removed_lvs(vg, remove_lvs(vg, gone).after) if is_keystore_name(other.name)}
        if stores - lost:
            text = f'Do you really want to remove "{where}" and its key? Nothing can bring its data back.'
            questions.append((name, text))
            lost |= stores
    return questions


def _close(
    session: Session, vg: VolumeGroup, lv_names: Sequence[str], *, may_close: bool
) -> tuple[tuple[str, ...], list[CryptlvError]]:
    """Deactivate the volumes that are active; the names of all that are not active then, and why others still are."""
    active = active_ids(session)
    closed: list[str] = []
    problems: list[CryptlvError] = []
    by_name = {lv.name: lv for lv in vg.lvs}
    for name in lv_names:
        lv = by_name.get(name)
        try:
            if lv is not None and lv.id in active:
                if not may_close:
                    refuse_active(session, vg, lv)
                _deactivate(session, vg, lv)
            closed.append(name)
        except CryptlvError as error:
            problems.append(error)
    return tuple(closed), problems


def _deactivate(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> None:
    deactivate_in_kernel(session, vg, lv)
    run_dir = session.directories.run_dir
    if not session.test and find_server(run_dir, lv.id) is not None:
        stop_server(run_dir, lv.id)
