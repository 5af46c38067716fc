"""Physical volumes as a user names them to take extents from: `PATH`, `PATH:0-99:200`, `@tag`.

Mirrors lvm2's tools/toollib.c:create_pv_list.
"""

from __future__ import annotations

from cryptlv.errors import NoSpaceError, NotFoundError, RefusedError, UsageError
from cryptlv.model.allocate import Candidate, free_in
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.host.scan import Group
    from cryptlv.ops.session import Session

_MAX_DIGITS = 10


class PvArgument(Record):
    """One word: a path or a tag, and (start_pe, length_pe) ranges, None for all extents."""

    path: str = ""
    tag: str = ""
    ranges_pe: tuple[tuple[int, int | None], ...] = ()


def parse_pv_argument(word: str) -> PvArgument:
    """Read `PATH[:PE[-PE|+COUNT]]...` or `@tag`; raises UsageError. A path is made absolute."""
    import os.path

    if word.startswith("@"):
        if len(word) == 1:
            raise UsageError("@ is followed by no tag")
        return PvArgument(tag=word[1:])
    path, *ranges = word.split(":")
    if not path:
        raise UsageError(f"{word!r} names no device")
    return PvArgument(path=os.path.abspath(path), ranges_pe=tuple(_range(word, text) for text in ranges if text))


def _range(word: str, text: str) -> tuple[int, int | None]:
    first, dash, last = text.partition("-")
    start, plus, count = first.partition("+")
    numbers = [part for part in (start, last, count) if part]
    if any(not part.isascii() or not part.isdigit() or len(part) > _MAX_DIGITS for part in numbers) or (
        dash and plus
    ):
        raise UsageError(f"{word!r}: {text!r} is no range of extents: write PE, PE-PE or PE+COUNT")
    begin = int(start) if start else 0
    if plus:
        return begin, int(count) if count else None
    if dash:
        if last and int(last) < begin:
            raise UsageError(f"{word!r}: {text!r} ends before it starts")
        return begin, int(last) - begin + 1 if last else None
    return begin, 1


def choose_candidates(
    session: Session, group: Group, arguments: Iterable[PvArgument]
) -> tuple[Candidate, ...] | None:
    """The physical volumes that words name, in their order; None when there are no words.

    What cannot be allocated from is left out with a warning. Raises NotFoundError for a path that is none of the
    group's, RefusedError for extents that it does not have, NoSpaceError when nothing is left.
    """
    words = tuple(arguments)
    if not words:
        return None
    ids = {path: pv_id for pv_id, path in group.pv_paths.items()}
    chosen: list[Candidate] = []
    for word in words:
        for pv in group.vg.pvs:
            if pv.id != ids.get(word.path) and not (word.tag and word.tag in pv.tags):
                continue
            name = group.pv_paths.get(pv.id, pv.id)
            if not pv.is_allocatable:
                session.warn(f"physical volume {name} is not allocatable")
                continue
            for start, _ in word.ranges_pe:
                if start >= pv.pe_count:
                    raise RefusedError(f"{name} has {pv.pe_count} extents, none with number {start}")
            ranges = tuple((start, pv.pe_count if length is None else length) for start, length in word.ranges_pe)
            candidate = Candidate(pv_id=pv.id, ranges_pe=ranges) if ranges else Candidate(pv_id=pv.id)
            if not free_in(group.vg, (Candidate(pv_id=pv.id),)):
                session.warn(f"no free extents on physical volume {name}")
                continue
            chosen.append(candidate)
        if word.path and word.path not in ids:
            vg_name = printable(group.vg.name)
            raise NotFoundError(f"{printable(word.path)} is not a physical volume of volume group {vg_name!r}")
    if not chosen:
        raise NoSpaceError(f"volume group {printable(group.vg.name)!r}: no specified physical volume has space")
    return tuple(chosen)
