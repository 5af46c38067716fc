"""pvck."""

from __future__ import annotations

import os
import sys

from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import UsageError
from cryptlv.names import printable
from cryptlv.ops.check import dump_headers, find_metadata, save_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.check import MetadataText


_NOTHING = "no metadata text: the device is in no volume group, or keeps its metadata on others"


def _show(metadata: MetadataText | None, terminal: Terminal) -> None:
    """The text between two lines of hyphens, as lvm2's pvck shows it; -f has it byte for byte.

    A sound text has no control characters; those of another would go to the terminal.
    """
    if metadata is None:
        terminal.error(_NOTHING)
        return
    terminal.give(metadata.summary)
    terminal.give("---")
    sys.stdout.flush()
    shown = printable(metadata.text.decode("utf-8", "surrogateescape"), keep="\n\t")
    sys.stdout.buffer.write(shown.encode() + b"\n")
    sys.stdout.buffer.flush()
    terminal.give("---")


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
            terminal.give(save_metadata(session, path, arguments.text("file")) or _NOTHING)
        else:
            _show(find_metadata(session, path), terminal)
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
