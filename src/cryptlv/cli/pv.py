"""pvcreate."""

from __future__ import annotations

from cryptlv.cli.options import Command
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import UsageError
from cryptlv.ops import pv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _pvcreate(arguments: Arguments) -> int:
    if not arguments.words:
        raise UsageError("pvcreate: name at least one device or image file")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        for path in pv.create(session, arguments.words):
            terminal.say(f'Physical volume "{path}" successfully created.')
    return 0


PVCREATE = Command(
    name="pvcreate",
    summary="Make devices or image files ready for use in volume groups.",
    usage=("PATH ...",),
    run=_pvcreate,
    notes="""
A device that is a physical volume already, belongs to a volume group, or holds a file system is refused; -f makes it
anew, -ff even when a volume group uses it.
""",
)
