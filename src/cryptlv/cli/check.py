"""pvck and vgck."""

from __future__ import annotations

import os
import sys

from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import CryptlvError, UsageError
from cryptlv.names import printable
from cryptlv.ops.check import describe_pv, dump_headers, find_metadata, save_metadata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.check import MetadataText
    from cryptlv.ops.session import Session


_DUMPS = ("headers", "metadata", "metadata_all", "metadata_search")
_REPAIRS = ("label_header", "pv_header", "metadata")
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
    path = os.path.abspath(arguments.words[0])
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if arguments.has("repair") or arguments.has("repairtype"):
            _repair(arguments, terminal, session, path)
        elif arguments.has("dump"):
            _dump(arguments, terminal, session, path)
        else:
            for line in describe_pv(session, path):
                terminal.give(line)
    return 0


def _dump(arguments: Arguments, terminal: Terminal, session: Session, path: str) -> None:
    what = arguments.choice("dump", _DUMPS, "")
    target = arguments.text("file")
    if what == "headers":
        dump_headers(session, path, terminal.give)
    elif what == "metadata" and target:
        terminal.give(save_metadata(session, path, target) or _NOTHING)
    elif what == "metadata":
        _show(find_metadata(session, path), terminal)
    else:
        from cryptlv.ops.search import dump_all, dump_search, parse_settings

        dump = dump_all if what == "metadata_all" else dump_search
        dump(session, path, parse_settings(arguments.all("settings")), terminal.give, target)


def _repair(arguments: Arguments, terminal: Terminal, session: Session, path: str) -> None:
    from cryptlv.ops.repair import read_given, repair, repair_label
    from cryptlv.ops.search import parse_settings

    kind = arguments.choice("repairtype", (*_REPAIRS, ""), "")
    if arguments.has("dump") or (kind and arguments.has("repair")):
        raise UsageError("pvck: one of --dump, --repair and --repairtype")
    settings = parse_settings(arguments.all("settings"))
    if kind == "label_header":
        repair_label(session, path, terminal.confirm, terminal.give)
        return
    given = read_given(session, arguments.text("file")) if arguments.has("file") else None
    repair(
        session,
        path,
        given,
        settings,
        terminal.confirm,
        terminal.give,
        with_label=kind != "metadata",
        with_metadata=kind != "pv_header",
    )


PVCK = Command(
    name="pvck",
    summary="Show what lies in a device's label and metadata areas; write them anew.",
    usage=(
        "PATH",
        "--dump headers PATH",
        "--dump metadata|metadata_all|metadata_search [-f FILE] [--settings SETTINGS] PATH",
        "--repair -f FILE [--settings SETTINGS] PATH",
        "--repairtype label_header|pv_header|metadata [-f FILE] [--settings SETTINGS] PATH",
    ),
    options=(
        Option(long="dump", takes="|".join(_DUMPS), help="What to show."),
        Option(long="repair", help="Write label and metadata anew, from a file."),
        Option(long="repairtype", takes="|".join(_REPAIRS), help="Write only this anew."),
        Option(
            long="file",
            short="f",
            takes="FILE",
            help="Metadata: --dump writes it there, --repair takes it from there.",
        ),
        Option(
            long="settings",
            takes="KEY=VALUE ...",
            help="Where things are, when the device does not say it (see below).",
        ),
    ),
    run=_pvck,
    notes="""
metadata_all shows every text in the metadata area, older ones included; metadata_search does so without a label.
Settings, in bytes: mda_num=1|2 mda_offset= mda_size= mda2_offset= mda2_size= metadata_offset= seqno= for --dump;
pv_uuid= device_size= data_offset= besides for --repair. A device that a repair writes is one that you have a copy of.
""",
)


def _vgck(arguments: Arguments) -> int:
    terminal = Terminal(arguments)
    status = 0
    with open_command(arguments, terminal) as session:
        world = session.world(silent=bool(arguments.words))
        for name in arguments.words or tuple(group.vg.name for group in world.groups):
            try:
                status = max(status, _vgck_one(arguments, terminal, session, name.removeprefix("/dev/")))
            except CryptlvError as error:
                terminal.error(str(error))
                status = 5
    return status


def _vgck_one(arguments: Arguments, terminal: Terminal, session: Session, name: str) -> int:
    from cryptlv.ops.vgck import find_faults, update_metadata

    if arguments.has("updatemetadata"):
        update_metadata(session, name)
        return 0
    faults = find_faults(session, name)
    for fault in faults:
        terminal.error(f"{name}: {fault}")
    return 5 if faults else 0


VGCK = Command(
    name="vgck",
    summary="Check a volume group: all copies of its metadata, its devices, its volumes.",
    usage=("[VG ...]", "--updatemetadata VG ..."),
    options=(Option(long="updatemetadata", help="Write the metadata anew wherever it is old or damaged."),),
    run=_vgck,
    notes="The exit status is 5 when something is wrong; each thing is one line that names the device.",
)
