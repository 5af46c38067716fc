"""lvextend, lvreduce, lvresize."""

from __future__ import annotations

from contextlib import ExitStack

from cryptlv.cli.activation import CACHE_TIMEOUT, KEYFILE, KEYFILE_PART, credentials_of
from cryptlv.cli.lv import WIPE
from cryptlv.cli.options import Command, Option
from cryptlv.cli.progress import PROGRESS_JSON, progress
from cryptlv.cli.sizes import ALLOCATION, policy_of, size_of, stripe_size_of
from cryptlv.cli.terminal import Terminal, open_command, split_lv
from cryptlv.errors import UsageError
from cryptlv.ops.activation import KeyRing
from cryptlv.ops.candidates import parse_pv_argument
from cryptlv.ops.filesystem import check_resizable, grow_filesystem, shrink_filesystem
from cryptlv.ops.lv_resize import EXTEND, REDUCE, RESIZE, ResizeRequest, foresee, resize
from cryptlv.units import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments

_TYPES = ("linear", "striped", "crypt")
_SIGNS = {EXTEND: "+", REDUCE: "-", RESIZE: "+-"}


def _request(arguments: Arguments, way: str) -> ResizeRequest:
    """What was asked for; only the growing of a volume may leave the size out, for all the room on some PVs."""
    sized = arguments.has("size") or arguments.has("extents") or way == REDUCE or len(arguments.words) < 2
    is_linear = arguments.has("type") and arguments.choice("type", _TYPES, "") == "linear"
    if is_linear and arguments.number("stripes", 1) > 1:
        raise UsageError("a linear volume has no stripes: leave -i or --type out")
    return ResizeRequest(
        way=way,
        size=size_of(arguments, _SIGNS[way]) if sized else None,
        stripes=1 if is_linear else arguments.number("stripes"),
        stripe_size_sectors=stripe_size_of(arguments),
        policy=policy_of(arguments),
        pvs=tuple(parse_pv_argument(word) for word in arguments.words[1:]),
    )


def _run(arguments: Arguments, way: str) -> int:
    if not arguments.words:
        raise UsageError(f"{arguments.command.name}: name the volume, VG/LV")
    vg_name, lv_name = split_lv(arguments.words[0])
    request = _request(arguments, way)
    terminal = Terminal(arguments)
    name = f"{vg_name}/{lv_name}"
    with open_command(arguments, terminal) as session, ExitStack() as stack:
        watch = stack.enter_context(progress(arguments, arguments.command.name)) if arguments.has("wipe") else None
        keys = None
        if arguments.has("resizefs") and not session.test:
            credentials = stack.enter_context(credentials_of(arguments, session.warn))
            keys = stack.enter_context(KeyRing(credentials, session.warn))
        foreseen = None
        if way != EXTEND or keys is not None:
            foreseen = foresee(session, vg_name, lv_name, request)
            if foreseen.is_shorter and not session.test and keys is None:
                size = format_size(foreseen.size_bytes(foreseen.after_le))
                terminal.confirm(
                    f"Reducing {name} to {size} may destroy what is behind that (filesystem etc.). "
                    f"Do you really want to reduce {name}?"
                )
        if keys is not None and foreseen is not None:
            if foreseen.is_shorter:
                shrink_filesystem(session, vg_name, lv_name, foreseen.size_bytes(foreseen.after_le), keys)
            else:
                check_resizable(session, vg_name, lv_name, keys)
        done = resize(session, vg_name, lv_name, request, foreseen, watch)
        terminal.say(f"Size of logical volume {name} changed {done.change}.")
        terminal.say(f"Logical volume {name} successfully resized.")
        if keys is not None and not done.is_shorter:
            grow_filesystem(session, vg_name, lv_name, keys)
    return 0


def _lvextend(arguments: Arguments) -> int:
    return _run(arguments, EXTEND)


def _lvreduce(arguments: Arguments) -> int:
    return _run(arguments, REDUCE)


def _lvresize(arguments: Arguments) -> int:
    return _run(arguments, RESIZE)


def _sizes(signs: str) -> tuple[Option, ...]:
    return (
        Option(long="size", short="L", takes=f"[{signs}]Size[m|UNIT]", help="The new size, or the change of it."),
        Option(
            long="extents",
            short="l",
            takes=f"[{signs}]Number[%VG|%FREE|%PVS|%LV]",
            help="The same in extents or as a percentage.",
        ),
    )


_FILE_SYSTEM = (
    Option(
        long="resizefs",
        short="r",
        help="Check and resize its ext2, ext3 or ext4 file system, too.",
    ),
    KEYFILE,
    *KEYFILE_PART,
    CACHE_TIMEOUT,
)
_WIPING = (WIPE, PROGRESS_JSON)
_TYPE = Option(long="type", takes="linear|striped|crypt", help="What is added; the volume's own type.")
_NOTES = """
What is added to an encrypted volume is encrypted with the same key, and nobody is asked for it. A volume that the
kernel has active has its new size at once. One that is served as a file or export may grow, not shrink, and shows it
when it is activated again. What is cut off is overwritten with --wipe only. With -r a volume that is not active is
opened for e2fsck and resize2fs alone, an encrypted one with its passphrase; a mounted file system may grow.
"""
LVEXTEND = Command(
    name="lvextend",
    summary="Make a logical volume larger.",
    usage=(
        "-L [+]Size|-l [+]Extents[%VG|%FREE|%PVS|%LV] VG/LV [PATH[:PE[-PE]]|@TAG ...]",
        "VG/LV PATH ...",
    ),
    options=(*_sizes("+"), *ALLOCATION, _TYPE, *_FILE_SYSTEM),
    run=_lvextend,
    notes=_NOTES,
)
LVREDUCE = Command(
    name="lvreduce",
    summary="Make a logical volume smaller.",
    usage=("-L [-]Size|-l [-]Extents[%VG|%FREE|%PVS|%LV] VG/LV",),
    options=(*_sizes("-"), *_FILE_SYSTEM, *_WIPING),
    run=_lvreduce,
    notes=_NOTES,
)
LVRESIZE = Command(
    name="lvresize",
    summary="Make a logical volume larger or smaller.",
    usage=("-L [+|-]Size|-l [+|-]Extents[%VG|%FREE|%PVS|%LV] VG/LV [PATH[:PE[-PE]]|@TAG ...]",),
    options=(*_sizes("+|-"), *ALLOCATION, _TYPE, *_FILE_SYSTEM, *_WIPING),
    run=_lvresize,
    notes=_NOTES,
)
