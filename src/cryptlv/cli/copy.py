"""copy."""

from __future__ import annotations

import sys

from cryptlv.cli.activation import KEYFILE, KEYFILE_PART, credentials_of
from cryptlv.cli.options import Command, Option
from cryptlv.cli.progress import progress
from cryptlv.cli.serve import DISCARDS
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import EXIT_INTERRUPTED, UsageError
from cryptlv.names import printable
from cryptlv.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _copy(arguments: Arguments) -> int:
    from cryptlv.ops.volume_copy import PIPE, CopyRequest, copy

    if len(arguments.words) != 2:
        raise UsageError("copy: name what to copy, and where to: SRC DST")
    source, target = arguments.words
    if source == PIPE and not arguments.has("keyfile") and not arguments.has("yes"):
        raise UsageError("copy: with - as source nobody can be asked: give --keyfile where a key is needed, and -y")
    if source == PIPE and arguments.text("keyfile") == "-":
        raise UsageError("copy: standard input cannot be both the source and the key")
    if target == PIPE and sys.stdout.isatty():
        raise UsageError("copy: a volume is not for a terminal; redirect standard output")
    as_json = arguments.choice("progress", ("line", "json"), "line") == "json"
    terminal = Terminal(arguments)
    request = CopyRequest(source=source, target=target, allow_discards=arguments.has("allow-discards"))
    with (
        open_command(arguments, terminal) as session,
        credentials_of(arguments, session.warn) as credentials,
        progress(arguments, "copy", as_json=as_json, begins_late=True) as watch,
    ):
        copied = copy(session, request, credentials, terminal.confirm, watch)
    size = format_size(copied.done_bytes).strip()
    if not copied.is_complete:
        total = format_size(copied.total_bytes).strip()
        terminal.error(f"Interrupted: {size} of {total} are copied; {printable(target)} is incomplete.")
        return EXIT_INTERRUPTED
    if target != PIPE and not arguments.has("test"):
        terminal.say(f"{size} copied from {printable(source)} to {printable(target)}.")
    return 0


COPY = Command(
    name="copy",
    summary="Copy a volume to or from a file, an NBD export, or a pipe.",
    usage=("[-y] [--keyfile FILE] [--progress json] SRC DST",),
    options=(
        Option(long="progress", takes="line|json", help="How far it is: a line on a terminal, or JSON lines."),
        DISCARDS,
        KEYFILE,
        *KEYFILE_PART,
    ),
    run=_copy,
    notes="""
SRC and DST are VG/LV, the path of a file or block device, an NBD URI (nbd://HOST[:PORT]/EXPORT, or
nbd+unix:///EXPORT?socket=PATH), or - for standard input or output. A path that looks like VG/LV is written
./DIR/FILE.

A volume is opened by the command itself and must not be active. Holes and zeros become holes of a new file; ranges
of an encrypted volume that were never written have no content, and are left out, too. DST is overwritten, after a
question that -y answers, and flushed.
""",
)
