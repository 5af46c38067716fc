"""pvs, vgs, lvs."""

from __future__ import annotations

import sys

from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import EXIT_FAILED, CryptlvError, UsageError
from cryptlv.ops.report import report_lvs, report_pvs, report_vgs, with_keyslots
from cryptlv.report.fields import (
    choose_fields,
    choose_order,
    choose_rows,
    fitting_rows,
    only_labels,
    sort_rows,
    usable_fields,
)
from cryptlv.report.render import ReportOptions, render_json, render_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from cryptlv.cli.options import Arguments
    from cryptlv.ops.report import Problem
    from cryptlv.ops.session import Session
    from cryptlv.report.field import Field
    from cryptlv.report.rows import Row

    Gather: TypeAlias = Callable[[Session, Arguments, Iterable[Field], Problem], list[Row]]

_UNITS = "hHrRbBsSkKmMgGtTpPeE"
_OPTIONS = (
    Option(long="options", short="o", takes="[+|-]FIELD[,FIELD...]", help="Columns to show; help lists them."),
    Option(long="sort", short="O", takes="[+|-]FIELD[,[+|-]FIELD...]", help="Order of the lines; - is descending."),
    Option(long="select", short="S", takes="SELECTION", help="Only what a selection matches; help explains it."),
    Option(long="foreign", help="Volume groups of other hosts, too."),
    Option(long="shared", help="Volume groups that need lvmlockd, too."),
    Option(long="noheadings", help="No line of headings."),
    Option(long="separator", takes="TEXT", help="Between columns, which are not aligned then."),
    Option(long="units", takes="UNIT", help="h|r|b|s|k|m|g|t|p|e; capitals count by 1000."),
    Option(long="nosuffix", help="No unit behind sizes."),
    Option(long="reportformat", takes="basic|json|json_std", help="Text, or JSON: json has strings only."),
)


def _report(kind: str, arguments: Arguments, gather: Gather) -> int:
    chosen = arguments.all("options")
    if chosen == ("help",):
        for field in usable_fields(kind):
            sys.stdout.write(f"    {field.name:<18} - {field.help}\n")
        return 0
    if arguments.text("select") == "help":
        from cryptlv.report.select import selection_help

        sys.stdout.write(selection_help())
        return 0
    if arguments.has("segments"):
        kind = {"lv": "seg", "pv": "pvseg"}[kind]
    fields = choose_fields(kind, chosen)
    order = choose_order(kind, arguments.all("sort")[-1]) if arguments.has("sort") else []  # the last one counts
    form = arguments.choice("reportformat", ("basic", "json", "json_std"), "basic")
    units = arguments.text("units", "r")
    if len(units) != 1 or units not in _UNITS:
        raise UsageError(f"--units {units!r} is not one of h r b s k m g t p e")
    options = ReportOptions(
        units=units,
        suffix=not arguments.has("nosuffix"),
        headings=not arguments.has("noheadings"),
        separator=arguments.text("separator") if arguments.has("separator") else None,
        standard_json=form == "json_std",
    )
    terminal, problems = Terminal(arguments), list[CryptlvError]()
    problem: Problem = _raise if arguments.has("debug") else problems.append
    with open_command(arguments, terminal) as session:
        selection = choose_rows(kind, arguments.text("select"), session.env.now)
        needed = (*fields, *selection.fields, *(field for field, _ in order))
        rows = with_keyslots(session, gather(session, arguments, needed, problem), needed)
    rows = fitting_rows(kind, rows, needed)
    rows = [row for row in rows if selection.matches(row)]
    if arguments.has("sort"):
        rows = sort_rows(rows, order)
    text = render_text(fields, rows, options) if form == "basic" else render_json(kind, fields, rows, options)
    sys.stdout.write(text)
    for error in problems:
        terminal.error(str(error))
    return EXIT_FAILED if problems else 0


def _raise(error: CryptlvError) -> None:
    raise error


def _reach(arguments: Arguments) -> dict[str, bool]:
    """Which volume groups are shown that are not this host's to change."""
    return {"foreign": arguments.has("foreign"), "shared": arguments.has("shared")}


def _pvs(arguments: Arguments) -> int:
    def gather(session: Session, given: Arguments, fields: Iterable[Field], problem: Problem) -> list[Row]:
        labels = only_labels(fields)
        return report_pvs(session, given.words, labels=labels, problem=problem, **_reach(given))

    return _report("pv", arguments, gather)


def _vgs(arguments: Arguments) -> int:
    def gather(session: Session, given: Arguments, _: Iterable[Field], problem: Problem) -> list[Row]:
        return report_vgs(session, given.words, problem=problem, **_reach(given))

    return _report("vg", arguments, gather)


def _lvs(arguments: Arguments) -> int:
    def gather(session: Session, given: Arguments, _: Iterable[Field], problem: Problem) -> list[Row]:
        which = {"hidden": given.has("all"), "past": given.has("history"), **_reach(given)}
        return report_lvs(session, given.words, problem=problem, **which)

    return _report("lv", arguments, gather)


PVS = Command(
    name="pvs",
    summary="Show physical volumes.",
    usage=("[--segments] [PATH ...]",),
    options=(Option(long="segments", help="A line for each run of extents, used or free."), *_OPTIONS),
    run=_pvs,
)
VGS = Command(name="vgs", summary="Show volume groups.", usage=("[VG ...]",), options=_OPTIONS, run=_vgs)
LVS = Command(
    name="lvs",
    summary="Show logical volumes.",
    usage=("[-a] [-o FIELDS] [VG|VG/LV ...]",),
    options=(
        Option(long="all", short="a", help="Hidden volumes too, in brackets."),
        Option(long="history", short="H", help="Volumes too that were removed and are remembered."),
        Option(long="segments", help="A line for each segment."),
        *_OPTIONS,
    ),
    run=_lvs,
    notes="For encrypted volumes: -o +crypt_store,crypt_handler,crypt_cipher,crypt_keysize,crypt_keyslots",
)
