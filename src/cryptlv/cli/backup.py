"""vgcfgbackup."""

from __future__ import annotations

from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.ops.backup import vgcfgbackup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _vgcfgbackup(arguments: Arguments) -> int:
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        for name, path in vgcfgbackup(session, arguments.words, arguments.text("file")):
            terminal.say(f'Volume group "{name}" successfully backed up.')
            terminal.detail(f"Its metadata are in {path}.")
    return 0


VGCFGBACKUP = Command(
    name="vgcfgbackup",
    summary="Write the metadata of volume groups to files.",
    usage=("[-f FILE] [VG ...]",),
    options=(
        Option(
            long="file",
            short="f",
            takes="FILE",
            help="Where to; %s stands for the name. The backup directory if not.",
        ),
    ),
    run=_vgcfgbackup,
)
