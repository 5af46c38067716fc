"""Which things the words of a changing command mean: names, tags and selections, as lvm2's commands take them.

A word is `VG`, `VG/LV`, a path of a physical volume, or `@tag`; with `-S` also what a selection matches. What is not
there does not stop the rest: it is given back as a line of its own (lvm2's tools/toollib.c).
"""

from __future__ import annotations

from cryptlv.errors import UsageError
from cryptlv.ops.report import report_everything, with_keyslots
from cryptlv.record import Record
from cryptlv.report.fields import choose_rows
from cryptlv.report.rows import Row, segment_rows
from cryptlv.report.selection import choose_lvs, choose_pvs, choose_vgs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptlv.ops.session import Session


class LvTarget(Record):
    """A volume that is to be changed; `was_named` when a word was its own name."""

    vg_name: str
    lv_name: str
    was_named: bool = True


def lv_targets(
    session: Session, words: Sequence[str], selection: str = "", *, hidden: bool = False
) -> tuple[tuple[LvTarget, ...], tuple[str, ...]]:
    """The volumes that words and a selection mean, each once, and a line for each word that means nothing.

    Hidden volumes are among them only by their own names, or with `hidden`. Raises UsageError for a word that can be
    no name.
    """
    pairs = [_split(word) for word in words if not word.startswith("@")]
    tags = [word for word in words if word.startswith("@")]
    named = [pair for pair in pairs if pair[1]]
    if named and not tags and not selection and len(named) == len(pairs):
        return tuple(LvTarget(vg_name=vg, lv_name=lv) for vg, lv in dict.fromkeys(named)), ()
    groups, _ = report_everything(session, () if tags else tuple(dict.fromkeys(vg for vg, _ in pairs)))
    volumes, problems = choose_lvs(groups, [pair for pair in pairs if not pair[1]], tags, hidden=hidden)
    if not words or named:
        more, unknown = choose_lvs(groups, named, (), hidden=True)
        volumes += more if words else []
        problems += unknown if words else []
    if selection:
        matching = choose_rows("lv", selection, session.env.now)
        rows = with_keyslots(session, [Row(group=group, lv=lv) for group, lv in volumes], matching.fields)
        volumes = [
            volume
            for volume, row in zip(volumes, rows, strict=True)
            if any(matching.matches(part) for part in segment_rows([row]))
        ]
    targets = dict.fromkeys((group.vg.name, lv.name) for group, lv in volumes)
    return tuple(LvTarget(vg_name=vg, lv_name=lv, was_named=(vg, lv) in named) for vg, lv in targets), tuple(problems)


def _split(word: str) -> tuple[str, str]:
    """`VG/LV` or `VG`, also as a path under /dev, as two names."""
    trimmed = word.removeprefix("/dev/")
    vg_name, slash, lv_name = trimmed.partition("/")
    if not vg_name or (slash and not lv_name) or "/" in lv_name:
        raise UsageError(f"{word!r} is not the name of a volume group or logical volume: write VG or VG/LV")
    return vg_name, lv_name


def vg_targets(
    session: Session, words: Sequence[str], selection: str = ""
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the volume groups that words and a selection mean, all where there are none; and problems."""
    trimmed = [word.removeprefix("/dev/") for word in words]
    for word in trimmed:
        if not word or "/" in word:
            raise UsageError(f"{word!r} is not the name of a volume group")
    if trimmed and not selection and not any(word.startswith("@") for word in trimmed):
        return tuple(dict.fromkeys(trimmed)), ()
    groups, _ = report_everything(session)
    chosen, problems = choose_vgs(groups, trimmed)
    if selection:
        matching = choose_rows("vg", selection, session.env.now)
        chosen = [group for group in chosen if matching.matches(Row(group=group))]
    return tuple(group.vg.name for group in chosen), tuple(problems)


def pv_targets(
    session: Session, words: Sequence[str], selection: str = ""
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paths of the physical volumes that words and a selection mean, all where there are none; and problems."""
    import os.path

    places = [word if word.startswith("@") else os.path.abspath(word) for word in words]
    groups, orphans = report_everything(session)
    rows, problems = choose_pvs(groups, orphans, places)
    if selection:
        matching = choose_rows("pv", selection, session.env.now)
        rows = [row for row in rows if matching.matches(row)]
    return tuple(row.seen.path for row in rows if row.seen is not None), tuple(problems)
