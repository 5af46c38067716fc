"""Logical volumes: change properties that say nothing of where they lie."""

from __future__ import annotations

from cryptlv.activate.process import active_lv_ids
from cryptlv.host.system import observe_dm_major, observe_page_sectors
from cryptlv.model.edit import canonical
from cryptlv.model.lv_properties import ChangeRules, LvChange, change_lv
from cryptlv.names import printable
from cryptlv.ops.commit import commit_change
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptlv.ops.session import Session
    from cryptlv.ops.targets import LvTarget

__all__ = ["ChangedLv", "LvChange", "change"]


class ChangedLv(Record):
    """What became of a volume: whether anything of it was changed, and what could not be."""

    lv_name: str
    is_changed: bool
    problems: tuple[str, ...] = ()


def change(session: Session, vg_name: str, targets: Sequence[LvTarget], wanted: LvChange) -> tuple[ChangedLv, ...]:
    """Change volumes of a group, all in one commit; gives what became of each.

    As with lvm2 a volume to which a change does not apply is a problem where it was named, and is left out where not;
    what can be changed is, though something else of the same volume cannot. Raises NotFoundError for the group,
    RefusedError, CommitError.
    """
    wanted = _observed(session, wanted)
    with session.locked(vg_name, write=True):
        group = session.writable_group(vg_name, missing_ok=True)
        vg = group.vg
        missing = {pv.id for pv in vg.pvs if pv.is_missing} | set(group.missing_pv_ids)
        rules = ChangeRules(vg, wanted, frozenset(missing))
        active = active_lv_ids(session.directories.run_dir)
        by_name = {lv.name: lv for lv in vg.lvs}
        results: list[ChangedLv] = []
        for target in targets:
            where = f"{printable(vg_name)}/{printable(target.lv_name)}"
            lv = by_name.get(target.lv_name)
            refusal = f'Failed to find logical volume "{where}"' if lv is None else rules.refusal(lv)
            if lv is None or refusal:
                if target.was_named:
                    results.append(ChangedLv(lv_name=target.lv_name, is_changed=False, problems=(refusal,)))
                continue
            changed = change_lv(lv, where, wanted)
            by_name[lv.name] = changed.lv
            results.append(ChangedLv(lv_name=lv.name, is_changed=changed.done > 0, problems=changed.problems))
            if lv.id in active and changed.lv.is_writable != lv.is_writable:
                session.warn(f"{where} is active: its permission changes when it is activated again")
        after = vg.replace(lvs=tuple(by_name[lv.name] for lv in vg.lvs))
        if after != vg:
            commit_change(session, group, canonical(after))
        return tuple(results)


def _observed(session: Session, wanted: LvChange) -> LvChange:
    """The change with what follows from this machine: device-mapper's number, and read ahead in whole pages."""
    page = observe_page_sectors()
    read_ahead = tuple(
        sectors if sectors is None or sectors < 0 else max(sectors // page * page, page)
        for sectors in wanted.read_ahead
    )
    if read_ahead != wanted.read_ahead:
        session.warn(f"Overriding readahead to {read_ahead[0]} sectors, a multiple of {page // 2}K page size.")
    return wanted.replace(read_ahead=read_ahead, major=observe_dm_major() if wanted.minor is not None else -1)
