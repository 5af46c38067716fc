"""pvscan, vgscan, lvscan: what there is, a line for each."""

from __future__ import annotations

from cryptlv.cli.display import show
from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, no_words, open_command
from cryptlv.errors import UsageError
from cryptlv.names import printable
from cryptlv.ops.report import report_everything
from cryptlv.report.lv_display import lv_scan
from cryptlv.report.pv_display import PvScan
from cryptlv.report.rows import pv_name
from cryptlv.report.selection import choose_lvs, choose_pvs, found_order
from cryptlv.report.vg_display import vg_scan
from cryptlv.units import format_long_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptlv.cli.options import Arguments
    from cryptlv.report.rows import SeenGroup, SeenPv


def _everything(arguments: Arguments, terminal: Terminal) -> tuple[Sequence[SeenGroup], Sequence[SeenPv]]:
    no_words(arguments)
    with open_command(arguments, terminal) as session:
        return report_everything(session)


def _unless_silent(terminal: Terminal, lines: Sequence[str]) -> int:
    return show(terminal, lines if terminal.quiet < 2 else ())


def _pvscan(arguments: Arguments) -> int:
    exported, alone = arguments.has("exported"), arguments.has("novolumegroup")
    if exported and alone:
        raise UsageError("--exported and --novolumegroup do not go together")
    terminal = Terminal(arguments)
    if exported or alone:
        terminal.warn(
            f"only considering physical volumes {'of exported volume groups' if exported else 'in no group'}"
        )
    groups, orphans = _everything(arguments, terminal)
    scan = PvScan(groups, orphans, format_long_size)
    rows, _ = choose_pvs(groups, orphans, ())
    if exported:
        rows = [row for row in rows if row.group is not None and row.group.vg.is_exported]
    if alone:
        rows = [row for row in rows if row.group is None]
    with_uuid = arguments.has("uuid")
    lines = [
        printable(pv_name(row)) if arguments.has("short") else scan.line(row, with_uuid=with_uuid) for row in rows
    ]
    return _unless_silent(terminal, [*lines, scan.total(rows)])


def _vgscan(arguments: Arguments) -> int:
    terminal = Terminal(arguments)
    groups, _ = _everything(arguments, terminal)
    return _unless_silent(terminal, [vg_scan(group) for group in found_order(groups)])


def _lvscan(arguments: Arguments) -> int:
    terminal = Terminal(arguments)
    groups, _ = _everything(arguments, terminal)
    volumes, _ = choose_lvs(groups, (), (), hidden=arguments.has("all"))
    return _unless_silent(terminal, [lv_scan(group, lv, format_long_size) for group, lv in volumes])


PVSCAN = Command(
    name="pvscan",
    summary="List physical volumes.",
    usage=("[-s|-u] [-e|-n]",),
    options=(
        Option(long="exported", short="e", help="Those of exported volume groups only."),
        Option(long="novolumegroup", short="n", help="Those in no volume group only."),
        Option(long="short", short="s", help="Paths only."),
        Option(long="uuid", short="u", help="Unique identifiers too."),
    ),
    run=_pvscan,
)
VGSCAN = Command(name="vgscan", summary="List volume groups.", usage=("",), run=_vgscan)
LVSCAN = Command(
    name="lvscan",
    summary="List logical volumes.",
    usage=("[-a]",),
    options=(Option(long="all", short="a", help="Hidden volumes too."),),
    run=_lvscan,
)
