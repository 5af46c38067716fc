"""vgcreate, vgchange."""

from __future__ import annotations

from contextlib import ExitStack

from cryptlv.cli.activation import ACTIVATION_OPTIONS, set_active, wanted_state
from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import UsageError
from cryptlv.ops import vg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _vgcreate(arguments: Arguments) -> int:
    if len(arguments.words) < 2:
        raise UsageError("vgcreate: name the new volume group, then its devices")
    name, *paths = arguments.words
    extent_size_bytes = arguments.size_bytes("physicalextentsize")
    if extent_size_bytes == 0:
        raise UsageError("--physicalextentsize must not be zero")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        made = vg.create(session, name.removeprefix("/dev/"), tuple(paths), extent_size_bytes or 0)
    of_host = f" with system ID {made.system_id}" if made.system_id else ""
    terminal.say(f'Volume group "{name}" successfully created{of_host}')
    return 0


VGCREATE = Command(
    name="vgcreate",
    summary="Make a volume group of physical volumes.",
    usage=("VG PATH ...",),
    options=(Option(long="physicalextentsize", short="s", takes="Size[m|UNIT]", help="Size of an extent; 4m."),),
    run=_vgcreate,
    notes="A device that is no physical volume yet is made one first.",
)


def _vgchange(arguments: Arguments) -> int:
    active = wanted_state(arguments)
    terminal = Terminal(arguments)
    status = 0
    with open_command(arguments, terminal) as session, ExitStack() as stack:
        if not arguments.words and not active:  # activating asks for passphrases, and no lock is held meanwhile
            stack.enter_context(session.locked(write=False, global_read=True))
        for name in arguments.words or vg.names(session):
            status = max(
                status, set_active(session, terminal, arguments, name.removeprefix("/dev/"), (), active=active)
            )
    return status


VGCHANGE = Command(
    name="vgchange",
    summary="Activate or deactivate every volume of a volume group.",
    usage=("-a y|n [--keyfile FILE] [--backend auto|fuse|nbd] [VG ...]",),
    options=ACTIVATION_OPTIONS,
    run=_vgchange,
    notes="""
A passphrase is asked for once for each keystore. A volume that cannot be activated does not stop the others; the
exit status is 5 then.
""",
)
