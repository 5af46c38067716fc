"""pvmove."""

from __future__ import annotations

from cryptlv.cli.options import Command, Option
from cryptlv.cli.progress import PROGRESS_JSON, progress
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import EXIT_INTERRUPTED, RefusedError, UsageError
from cryptlv.names import POLICY_WORDS, check_vg_name, printable
from cryptlv.ops.pvmove import MoveRequest, move, split_pv
from cryptlv.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _request(arguments: Arguments) -> MoveRequest:
    arguments.number("interval")
    policy = arguments.choice("alloc", POLICY_WORDS, "inherit")
    source, *targets = arguments.words
    return MoveRequest(
        source=source,
        targets=tuple(targets),
        lv_name=_volume(arguments.text("name")),
        policy="" if policy == "inherit" else policy.removesuffix("_by_tags"),
        is_atomic=arguments.has("atomic"),
    )


def _volume(name: str) -> str:
    """`LV`, `VG/LV` or a path under /dev; raises UsageError for what can be no name."""
    for word in name.removeprefix("/dev/").split("/") if name else ():
        check_vg_name(word)
    return name.removeprefix("/dev/")


def _pvmove(arguments: Arguments) -> int:
    if arguments.has("abort"):
        raise RefusedError(
            "pvmove --abort: there is nothing to take back. What a pvmove of cryptlv has moved stays moved, and the "
            "rest has not been touched; one of lvm2's is aborted with lvm2's pvmove --abort"
        )
    if not arguments.words:
        raise UsageError("pvmove: name the physical volume to move off; a move that was interrupted goes on that way")
    request = _request(arguments)
    terminal = Terminal(arguments)
    if arguments.has("background"):
        terminal.detail("Not moved in the background: the command ends when the move does.")
    with open_command(arguments, terminal) as session, progress(arguments, "pvmove") as watch:
        result = move(session, request, watch)
    for step in result.steps:
        if arguments.has("test"):
            terminal.say(f"Would move {step}.")
        else:
            terminal.detail(f"Moved {step}.")
    if arguments.has("test"):
        return 0
    if not result.is_complete:
        terminal.error(
            f"Interrupted: {format_size(result.done_bytes).strip()} of {format_size(result.total_bytes)} are moved; "
            "every volume is whole, and the same command goes on from there."
        )
        return EXIT_INTERRUPTED
    terminal.say(f"{printable(split_pv(request.source)[0])}: Moved: 100.00%")
    return 0


PVMOVE = Command(
    name="pvmove",
    summary="Move extents of deactivated volumes to other physical volumes.",
    usage=("[-n LV] [--alloc POLICY] PV[:PE[-PE]...] [PV[:PE[-PE]...]|@TAG ...]",),
    options=(
        Option(long="name", short="n", takes="LV", help="Move this volume's extents only, and of what it is made."),
        Option(long="alloc", takes="contiguous|cling|normal|anywhere", help="Where new extents may be taken."),
        Option(long="atomic", help="Commit once, when everything is copied: all is moved, or nothing."),
        PROGRESS_JSON,
        Option(long="interval", short="i", takes="SECONDS", help="Accepted for lvm2's sake."),
        Option(long="background", short="b", help="Accepted for lvm2's sake: it is not done in the background."),
        Option(long="noudevsync", help="Accepted for lvm2's sake."),
        Option(long="abort", help="Refused: an interrupted move leaves nothing to abort."),
    ),
    run=_pvmove,
    notes="""
Chunk by chunk, extents are copied to free ones, flushed, and then the metadata point there: a crash at any moment
leaves every volume whole. Ctrl-C ends the move after what is being copied; a second one at once. Either way the same
command goes on from where it was.

Active volumes are skipped, as are volumes of types that only lvm2 understands. Encrypted volumes are moved without
their key: not a byte of what is encrypted changes. When a keystore has moved, its old place is overwritten.
""",
)
