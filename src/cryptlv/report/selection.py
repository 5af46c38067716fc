"""Which volumes the words of a display command mean, and in which order they are shown (lvm2's tools/toollib.c).

A word beginning with `@` is a tag; the others are paths of physical volumes, names of groups, or (VG, LV) pairs. What
is not there does not stop the rest: it is given back as a line of its own.
"""

from __future__ import annotations

from cryptlv.names import printable
from cryptlv.report.rows import is_snapshot_record, pv_rows_as_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from cryptlv.model.vg import LogicalVolume
    from cryptlv.report.rows import Row, SeenGroup, SeenPv

    Volume: TypeAlias = tuple[SeenGroup, LogicalVolume]


def _tags(words: Sequence[str]) -> frozenset[str]:
    return frozenset(word[1:] for word in words if word.startswith("@"))


def _plain(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in words if not word.startswith("@")))


def found_order(groups: Sequence[SeenGroup]) -> list[SeenGroup]:
    """Groups as stock lvm2 goes through them: the one found last is the first (lib/cache/lvmcache.c)."""
    return list(reversed(groups))


def choose_pvs(
    groups: Sequence[SeenGroup], orphans: Sequence[SeenPv], words: Sequence[str]
) -> tuple[list[Row], list[str]]:
    """A row for each physical volume, group by group as the metadata have them, those in no group last."""
    rows = pv_rows_as_found(found_order(groups), orphans)
    if not words:
        return rows, []
    paths, tags = _plain(words), _tags(words)
    there = {row.seen.path for row in rows if row.seen is not None}
    missing = [f"{path}: no physical volume of the devices that are looked at" for path in paths if path not in there]
    chosen = [
        row
        for row in rows
        if (row.seen is not None and row.seen.path in paths)
        or (row.pv is not None and tags.intersection(row.pv.tags))
    ]
    return chosen, missing


def choose_vgs(groups: Sequence[SeenGroup], words: Sequence[str]) -> tuple[list[SeenGroup], list[str]]:
    """All groups, or those that were named, in the order of their names."""
    if not words:
        return found_order(groups), []
    names, tags = _plain(words), _tags(words)
    by_name = {group.vg.name: group for group in groups}
    missing = [_no_group(name) for name in names if name not in by_name]
    if tags:
        return [g for g in found_order(groups) if g.vg.name in names or tags.intersection(g.vg.tags)], missing
    return [by_name[name] for name in names if name in by_name], missing


def _no_group(name: str) -> str:
    return f"volume group {printable(name)!r} not found"


def lvs_of(group: SeenGroup, *, hidden: bool) -> list[Volume]:
    """The volumes of a group as the metadata have them, thin pools before all others."""
    lvs = [lv for lv in group.vg.lvs if not is_snapshot_record(lv) and (hidden or lv.name not in group.hidden)]
    pools = [lv for lv in lvs if _is_thin_pool(lv)]
    return [(group, lv) for lv in (*reversed(pools), *(lv for lv in lvs if not _is_thin_pool(lv)))]


def _is_thin_pool(lv: LogicalVolume) -> bool:
    return any(segment.shown_type == "thin-pool" for segment in lv.segments)


def choose_lvs(
    groups: Sequence[SeenGroup], words: Sequence[tuple[str, str]], tags: Sequence[str], *, hidden: bool
) -> tuple[list[Volume], list[str]]:
    """Each volume of the groups that are not exported, or for those of `words` and `tags`.

    A word (VG, "") means all of a group. Hidden volumes are left out unless asked for, though they be named.
    """
    if not words and not tags:
        usable = [group for group in found_order(groups) if not group.vg.is_exported]
        return [volume for group in usable for volume in lvs_of(group, hidden=hidden)], []
    by_name = {group.vg.name: group for group in groups}
    named: dict[str, list[str]] = {}
    for vg_name, lv_name in words:
        named.setdefault(vg_name, []).append(lv_name)
    problems = [_no_group(name) for name in named if name not in by_name]
    wanted = _tags(tags)
    chosen: list[Volume] = []
    for group in found_order(groups) if wanted else [by_name[name] for name in named if name in by_name]:
        names = named.get(group.vg.name, [])
        if group.vg.is_exported:
            problems += [f"volume group {printable(group.vg.name)} is exported"] if names else []
        else:
            problems += _unknown(group, names)
            chosen += _matching(group, names, wanted, hidden=hidden)
    return chosen, problems


def _unknown(group: SeenGroup, names: Sequence[str]) -> list[str]:
    """A line for each name that is no volume's, unless the whole group was asked for."""
    there = {lv.name for lv in group.vg.lvs if not is_snapshot_record(lv)}
    vg_name = printable(group.vg.name)
    return [
        f"no logical volume {printable(name)!r} in volume group {vg_name!r}"
        for name in dict.fromkeys(names)
        if "" not in names and name not in there
    ]


def _matching(group: SeenGroup, names: Sequence[str], wanted: frozenset[str], *, hidden: bool) -> list[Volume]:
    whole = "" in names or bool(wanted.intersection(group.vg.tags))
    return [
        (group, lv)
        for _, lv in lvs_of(group, hidden=hidden)
        if whole or lv.name in names or wanted.intersection(lv.tags)
    ]
