"""Properties of volumes that say nothing of where they lie, and which volumes may get them."""

from __future__ import annotations

from cryptlv.model.lv_edit import seen_by_users
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cryptlv.model.vg import LogicalVolume, VolumeGroup

_STATUS_ORDER = ("READ", "WRITE", "FIXED_MINOR", "VISIBLE")
_FLAGS_ORDER = ("WRITE_LOCKED", "ACTIVATION_SKIP", "NOAUTOACTIVATE")
"""Words in the order in which lvm2 writes them, as far as they are changed here (lib/format_text/flags.c)."""
_DATA_OF_POOLS = frozenset((("thin-pool", "pool"), ("vdo-pool", "data")))
"""How pools name their data: hidden volumes whose properties may be changed all the same."""


class LvChange(Record):
    """What lvchange is to change of a volume; None, or no tags, for what stays.

    `allocation_policy` is "" for the group's. `read_ahead` has one value, in sectors as the metadata have it (None is
    the kernel's choice, -1 none), or nothing. `minor` is the device number that the kernel is to use, -1 for any.
    `crypt_flags` are dm-crypt's words for an encrypted volume. `is_for_pools` stands for properties that only thin
    pools have.
    """

    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    allocation_policy: str | None = None
    is_writable: bool | None = None
    read_ahead: tuple[int | None, ...] = ()
    skips_activation: bool | None = None
    activates_automatically: bool | None = None
    minor: int | None = None
    major: int = -1
    crypt_flags: tuple[str, ...] | None = None
    is_for_pools: bool = False


class Changed(Record):
    """A volume after a change. `done` counts the properties that were set; a problem is one that could not be."""

    lv: LogicalVolume
    done: int = 0
    problems: tuple[str, ...] = ()


def change_lv(lv: LogicalVolume, where: str, change: LvChange) -> Changed:
    """Change one volume, named `where` in problems; what is so already is a problem with some properties, as with
    stock (tools/lvchange.c:_lvchange_properties_single)."""
    done = 0
    problems: list[str] = []
    for make in _MAKERS:
        made = make(lv, where, change)
        if isinstance(made, str):
            problems.append(made)
        elif made is not None:
            lv = made
            done += 1
    return Changed(lv=lv, done=done, problems=tuple(problems))


def _tagged(lv: LogicalVolume, _: str, change: LvChange) -> LogicalVolume | str | None:
    if not change.add_tags and not change.remove_tags:
        return None
    tags = dict.fromkeys((*lv.tags, *change.add_tags))
    return lv.replace(tags=tuple(tag for tag in tags if tag not in change.remove_tags))


def _allocated(lv: LogicalVolume, where: str, change: LvChange) -> LogicalVolume | str | None:
    policy = change.allocation_policy
    if policy == lv.allocation_policy:
        return f"Allocation policy of logical volume {where} is already {policy or 'inherit'}."
    return None if policy is None else lv.replace(allocation_policy=policy)


def _permitted(lv: LogicalVolume, where: str, change: LvChange) -> LogicalVolume | str | None:
    if change.is_writable is None:
        return None
    if change.is_writable == lv.is_writable:
        return f"Logical volume {where} is already {'writable' if lv.is_writable else 'read only'}."
    flags = tuple(flag for flag in lv.flags if flag != "WRITE_LOCKED")
    return lv.replace(status=_with_word(lv.status, "WRITE", _STATUS_ORDER, there=change.is_writable), flags=flags)


def _reading_ahead(lv: LogicalVolume, where: str, change: LvChange) -> LogicalVolume | str | None:
    for sectors in change.read_ahead:
        if sectors == lv.read_ahead:
            return f"Read ahead is already {'auto' if sectors is None else max(sectors, 0)} for {where}."
        return lv.replace(read_ahead=sectors)
    return None


def _skipped(lv: LogicalVolume, _: str, change: LvChange) -> LogicalVolume | str | None:
    if change.skips_activation is None:
        return None
    return lv.replace(flags=_with_word(lv.flags, "ACTIVATION_SKIP", _FLAGS_ORDER, there=change.skips_activation))


def _automatic(lv: LogicalVolume, _: str, change: LvChange) -> LogicalVolume | str | None:
    if change.activates_automatically is None:
        return None
    is_kept_out = not change.activates_automatically
    return lv.replace(flags=_with_word(lv.flags, "NOAUTOACTIVATE", _FLAGS_ORDER, there=is_kept_out))


def _numbered(lv: LogicalVolume, where: str, change: LvChange) -> LogicalVolume | str | None:
    if change.minor is None:
        return None
    is_fixed = change.minor >= 0
    if not is_fixed and "FIXED_MINOR" not in lv.status:
        return f"Minor number is already not persistent for {where}."
    return lv.replace(
        status=_with_word(lv.status, "FIXED_MINOR", _STATUS_ORDER, there=is_fixed),
        major=change.major if is_fixed else None,
        minor=change.minor if is_fixed else None,
    )


def _flagged(lv: LogicalVolume, where: str, change: LvChange) -> LogicalVolume | str | None:
    if change.crypt_flags is None:
        return None
    changed = [segment.with_crypt_flags(change.crypt_flags) for segment in lv.segments]
    segments = tuple(segment for segment in changed if segment is not None)
    if not segments or len(segments) != len(changed):
        return f"Logical volume {where} is not encrypted: it has no flags of dm-crypt's."
    return lv.replace(segments=segments)


_MAKERS = (_tagged, _allocated, _permitted, _reading_ahead, _skipped, _automatic, _numbered, _flagged)


def _with_word(words: tuple[str, ...], word: str, order: Sequence[str], *, there: bool) -> tuple[str, ...]:
    """Status words with one more, in its place, or without it."""
    others = tuple(other for other in words if other != word)
    if not there:
        return others
    at = sum(other in order[: order.index(word)] for other in others)
    return (*others[:at], word, *others[at:])


class ChangeRules:
    """Which volumes of a group may be changed so (lvchange's rules in tools/command-lines.in).

    `missing` has the ids of the PVs that are not here.
    """

    def __init__(self, vg: VolumeGroup, change: LvChange, missing: frozenset[str]) -> None:
        self._group = printable(vg.name)
        self._lvs = {lv.name: lv for lv in vg.lvs}
        self._change = change
        self._missing = missing
        self._seen = seen_by_users(vg)
        self._uses: dict[str, set[tuple[str, str]]] = {}
        for lv in vg.lvs:
            for segment in lv.segments:
                for key, part in segment.parts():
                    self._uses.setdefault(part, set()).add((segment.shown_type, key))

    def refusal(self, lv: LogicalVolume) -> str:
        """Why a volume must not be changed so, "" when it may be."""
        name = f"{self._group}/{printable(lv.name)}"
        is_data = bool(self._uses.get(lv.name, set()) & _DATA_OF_POOLS)
        if not lv.is_visible and lv.name not in self._seen and not is_data:
            return f"Operation not permitted on hidden LV {name}."
        reason = next(self._reasons(lv), "")
        return f"Command not permitted on LV {name}: {reason}" if reason else ""

    def _reasons(self, lv: LogicalVolume) -> Iterator[str]:
        change = self._change
        uses = self._uses.get(lv.name, set())
        is_pool = any(segment.shown_type == "thin-pool" for segment in lv.segments)
        has_policy = change.allocation_policy is not None
        if "PVMOVE" in lv.status or uses & {("mirror", "mirrors"), ("mirror", "mirror_log")}:
            yield "it is being moved, or is part of a mirror"
        if change.is_for_pools:
            yield "it is lvm2's to change" if is_pool else "it uses options that require LV types thinpool"
        if change.is_writable is not None and (is_pool or ("thin", "external_origin") in uses):
            yield "the permission of pools and external origins stays"
        if (has_policy or change.read_ahead or change.minor is not None) and ("snapshot", "origin") in uses:
            yield "it has snapshots"
        if has_policy and self._missing and not self._missing.isdisjoint(self._pv_ids(lv)):
            yield "some of it is on a physical volume that is missing"

    def _pv_ids(self, lv: LogicalVolume) -> set[str]:
        """The PVs that a volume lies on, in the end."""
        found: set[str] = set()
        seen = {lv.name}
        walk = [lv]
        while walk:
            for segment in walk.pop().segments:
                found.update(pv_id for pv_id, _, _ in segment.footprint())
                for _, name in segment.parts():
                    if name in self._lvs and name not in seen:
                        seen.add(name)
                        walk.append(self._lvs[name])
        return found
