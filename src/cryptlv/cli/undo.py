"""vgundo."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptlv.cli.options import Command
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import UsageError
from cryptlv.ops.undo import last_change, undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.undo import LastChange


def _vgundo(arguments: Arguments) -> int:
    if len(arguments.words) != 1:
        raise UsageError("vgundo: name one volume group")
    name = arguments.words[0].removeprefix("/dev/")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if arguments.has("yes"):
            _show(terminal, undo(session, name))
            terminal.say(f'Volume group "{name}" is again as it was before this.')
            return 0
        change = last_change(session, name)
    _show(terminal, change)
    for warning in change.warnings:
        terminal.warn(warning)
    if change.problem:
        terminal.say(change.problem[:1].upper() + change.problem[1:] + ".")
    else:
        terminal.say(f"Nothing is changed yet. To undo this: cryptlv vgundo -y {name}")
    return 0


def _show(terminal: Terminal, change: LastChange) -> None:
    host = f" on {change.host}" if change.host else ""
    terminal.say(f'Volume group "{change.vg.name}" was last changed {_when(change.made_at)}{host} by')
    terminal.say(f"  {change.command}")
    for line in change.lines:
        terminal.say(line)


def _when(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


VGUNDO = Command(
    name="vgundo",
    summary="Show what the last command changed in a volume group; with -y undo it.",
    usage=("VG", "-y VG"),
    run=_vgundo,
    notes="""
What was before is taken from the archive, and may come back as long as nothing else was committed since. It is a
change like any other, so undoing an undo does the change again. To go further back, see vgcfgrestore -l.

Refused are changes that metadata alone cannot take back: a removed keystore, whose key header was overwritten;
volumes that were moved, wiped or converted; physical volumes that were resized or belong to another group now. A
volume that the change made is removed with its keystore, as by lvremove, and must be inactive.
""",
)
