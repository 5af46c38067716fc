"""pvdisplay, vgdisplay, lvdisplay."""

from __future__ import annotations

import os.path
from functools import partial

from cryptlv.cli.options import Command, Option
from cryptlv.cli.reports import LVS, PVS, VGS
from cryptlv.cli.terminal import Terminal, open_command, split_target
from cryptlv.errors import EXIT_FAILED, UsageError
from cryptlv.ops.report import report_everything
from cryptlv.report.lv_display import lv_colons, lv_full
from cryptlv.report.pv_display import pv_colons, pv_full, pv_in_group, pv_map, pv_remarks, pv_short
from cryptlv.report.rows import pv_rows_as_found
from cryptlv.report.seg_display import lv_segments
from cryptlv.report.selection import choose_lvs, choose_pvs, choose_vgs, lvs_of
from cryptlv.report.vg_display import vg_colons, vg_full, vg_short
from cryptlv.units import format_long_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    from cryptlv.cli.options import Arguments
    from cryptlv.report.rows import Row, SeenGroup
    from cryptlv.report.selection import Volume

    Size: TypeAlias = Callable[[int], str]

_UNITS = tuple("hHrRbBsSkKmMgGtTpPeE")
_OF_BOTH = frozenset(("units", "nosuffix", "all"))
"""Options of the report commands that the other forms have as well."""
_COLUMNS = Option(long="columns", short="C", help="A table, as the report command makes it, with its options.")
_COLON = Option(long="colon", short="c", help="A line of fields with colons between them, for programs.")
_MAPS = Option(long="maps", short="m", help="Show where the extents are.")
_SHORT = Option(long="short", short="s", help="A line for each.")


def size_format(arguments: Arguments) -> Size:
    """How sizes are written; raises UsageError for an unknown unit."""
    units = arguments.choice("units", _UNITS, "r")
    return partial(format_long_size, units=units, suffix=not arguments.has("nosuffix"))


def _check_forms(arguments: Arguments, report: Command, *pairs: tuple[str, str]) -> None:
    """Raise UsageError when options are given together that do not go together."""
    forms = [option for option in ("colon", "maps", "short", "activevolumegroups") if arguments.has(option)]
    if arguments.has("columns"):
        if forms:
            raise UsageError(f"--columns and --{forms[0]} do not go together")
        return
    for option in report.options:
        if arguments.has(option.long) and option.long not in _OF_BOTH:
            raise UsageError(f"--{option.long} is for the table that --columns makes")
    for first, second in pairs:
        if arguments.has(first) and arguments.has(second):
            raise UsageError(f"--{first} and --{second} do not go together")


def show(terminal: Terminal, lines: Iterable[str], problems: Iterable[str] = ()) -> int:
    """Print lines, then what could not be shown, a line each; gives the exit status."""
    for line in lines:
        terminal.give(line)
    failed = list(problems)
    for problem in failed:
        terminal.error(problem)
    return EXIT_FAILED if failed else 0


def path_words(words: Iterable[str]) -> tuple[str, ...]:
    """Paths made absolute, tags as they are."""
    return tuple(word if word.startswith("@") else os.path.abspath(word) for word in words)


def _pv_lines(arguments: Arguments, rows: Iterable[Row], size: Size, *, silent: bool) -> Iterator[str]:
    for row in rows:
        if arguments.has("short"):
            yield from pv_short(row, size)
            continue
        if not silent:
            yield from pv_remarks(row, size)
        if arguments.has("colon"):
            yield from pv_colons(row)
            continue
        yield from pv_full(row, size)
        if arguments.has("maps"):
            yield from pv_map(row)


def _pvdisplay(arguments: Arguments) -> int:
    _check_forms(arguments, PVS, ("colon", "maps"), ("colon", "short"))
    if arguments.has("columns"):
        return PVS.run(arguments)
    size, terminal = size_format(arguments), Terminal(arguments)
    with open_command(arguments, terminal) as session:
        rows, problems = choose_pvs(*report_everything(session), path_words(arguments.words))
    return show(terminal, _pv_lines(arguments, rows, size, silent=terminal.quiet > 1), problems)


def _vg_lines(arguments: Arguments, groups: Iterable[SeenGroup], size: Size) -> Iterator[str]:
    for group in groups:
        if arguments.has("activevolumegroups") and not any(lv.id in group.active_ids for lv in group.vg.lvs):
            continue
        if arguments.has("colon"):
            yield from vg_colons(group)
        elif arguments.has("short"):
            yield from vg_short(group, size)
        else:
            yield from vg_full(group, size)
            if arguments.has("verbose"):
                yield from _details(group, size)


def _details(group: SeenGroup, size: Size) -> Iterator[str]:
    for _, lv in lvs_of(group, hidden=False):
        yield from lv_full(group, lv, size)
    yield "--- Physical volumes ---"
    for row in pv_rows_as_found([group]):
        yield from pv_in_group(row)


def _vgdisplay(arguments: Arguments) -> int:
    _check_forms(arguments, VGS, ("colon", "short"))
    if arguments.has("columns"):
        return VGS.run(arguments)
    if arguments.words and arguments.has("activevolumegroups"):
        raise UsageError("--activevolumegroups and names do not go together")
    size, terminal = size_format(arguments), Terminal(arguments)
    with open_command(arguments, terminal) as session:
        groups, _ = report_everything(session)
    chosen, problems = choose_vgs(groups, [word.removeprefix("/dev/") for word in arguments.words])
    return show(terminal, _vg_lines(arguments, chosen, size), problems)


def _lv_lines(arguments: Arguments, volumes: Iterable[Volume], size: Size) -> Iterator[str]:
    for group, lv in volumes:
        if arguments.has("colon"):
            yield from lv_colons(group, lv)
            continue
        yield from lv_full(group, lv, size)
        if arguments.has("maps"):
            yield from lv_segments(group, lv, size)


def _lvdisplay(arguments: Arguments) -> int:
    _check_forms(arguments, LVS, ("colon", "maps"))
    if arguments.has("columns"):
        return LVS.run(arguments)
    size, terminal = size_format(arguments), Terminal(arguments)
    tags = [word for word in arguments.words if word.startswith("@")]
    names = [split_target(word) for word in arguments.words if not word.startswith("@")]
    with open_command(arguments, terminal) as session:
        groups, _ = report_everything(session)
    volumes, problems = choose_lvs(groups, names, tags, hidden=arguments.has("all"))
    return show(terminal, _lv_lines(arguments, volumes, size), problems)


PVDISPLAY = Command(
    name="pvdisplay",
    summary="Show all about physical volumes.",
    usage=("[-m|-s|-c] [PATH|@TAG ...]", "-C [OPTIONS OF pvs] [PATH ...]"),
    options=(_COLON, _COLUMNS, _MAPS, _SHORT, *PVS.options),
    run=_pvdisplay,
)
VGDISPLAY = Command(
    name="vgdisplay",
    summary="Show all about volume groups.",
    usage=("[-s|-c|-v] [VG|@TAG ...]", "-C [OPTIONS OF vgs] [VG ...]"),
    options=(
        Option(long="activevolumegroups", short="A", help="Groups with an active volume only."),
        _COLON,
        _COLUMNS,
        _SHORT,
        *VGS.options,
    ),
    run=_vgdisplay,
    notes="-v shows the volumes of each group as well.",
)
LVDISPLAY = Command(
    name="lvdisplay",
    summary="Show all about logical volumes.",
    usage=("[-a] [-m|-c] [VG|VG/LV|@TAG ...]", "-C [OPTIONS OF lvs] [VG|VG/LV ...]"),
    options=(_COLON, _COLUMNS, _MAPS, *LVS.options),
    run=_lvdisplay,
    notes="Of an encrypted volume -m shows the keystore, the cipher and the place, never a key.",
)
