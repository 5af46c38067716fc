"""pvck."""

from __future__ import annotations

import os
import sys

from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import UsageError
from cryptlv.ops.check import dump_headers, dump_metadata, save_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _pvck(arguments: Arguments) -> int:
    if len(arguments.words) != 1:
        raise UsageError("pvck: name one device or image file")
    what = arguments.choice("dump", ("headers", "metadata"), "")
    path = os.path.abspath(arguments.words[0])
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if what == "headers":
            dump_headers(session, path, terminal.give)
        elif arguments.has("file"):
            save_metadata(session, path, arguments.text("file"))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(dump_metadata(session, path))
    return 0


PVCK = Command(
    name="pvck",
    summary="Show what lies in a device's label and metadata areas.",
    usage=("--dump headers PATH", "--dump metadata [-f FILE] PATH"),
    options=(
        Option(long="dump", takes="headers|metadata", help="What to show."),
        Option(long="file", short="f", takes="FILE", help="Write the metadata there, not to standard output."),
    ),
    run=_pvck,
)
