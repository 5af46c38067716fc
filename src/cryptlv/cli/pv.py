"""pvcreate, pvremove, pvchange, pvresize."""

from __future__ import annotations

from cryptlv.cli.options import Command, Option
from cryptlv.cli.pv_options import PV_OPTIONS, pv_options, whole_sectors
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import CryptlvError, RefusedError, UsageError
from cryptlv.names import check_tag, is_plain_uuid, render_uuid
from cryptlv.ops import pv, pv_change, pv_remove, pv_resize
from cryptlv.ops.targets import pv_targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session


class _Failures:
    """Failures that do not stop a command."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.status = 0

    def add(self, error: CryptlvError) -> None:
        self.terminal.error(str(error))
        self.status = error.exit_code


def _options(arguments: Arguments) -> pv.PvOptions:
    restores = arguments.has("restorefile")
    if restores and not arguments.has("uuid"):
        raise UsageError("--uuid is required with --restorefile")
    if arguments.has("uuid") and not restores and not arguments.has("norestorefile"):
        raise UsageError("--restorefile is required with --uuid")
    for other in ("norestorefile", "bootloaderareasize"):
        if restores and arguments.has(other):
            raise UsageError(f"--{other} cannot be used with --restorefile")
    plain = arguments.text("uuid").replace("-", "")
    if arguments.has("uuid") and not is_plain_uuid(plain):
        raise UsageError(f"--uuid {arguments.text('uuid')!r} is not an LVM2 UUID")
    return pv_options(arguments).replace(
        size_bytes=whole_sectors(arguments, "setphysicalvolumesize"), pv_id=render_uuid(plain) if plain else ""
    )


def _pvcreate(arguments: Arguments) -> int:
    if not arguments.words:
        raise UsageError("pvcreate: name at least one device or image file")
    options = _options(arguments)
    terminal = Terminal(arguments)
    failures = _Failures(terminal)
    with open_command(arguments, terminal) as session:
        if arguments.has("restorefile"):
            options = pv.restored(session, options, arguments.text("restorefile"))
        for path in pv.create(session, arguments.words, options, terminal.ask, failures.add):
            terminal.say(f'Physical volume "{path}" successfully created.')
    return failures.status


def _pvremove(arguments: Arguments) -> int:
    if not arguments.words:
        raise UsageError("Please enter a physical volume path")
    terminal = Terminal(arguments)
    failures = _Failures(terminal)
    with open_command(arguments, terminal) as session:
        for path in pv_remove.remove(session, arguments.words, terminal.ask, failures.add):
            terminal.say(f'Labels on physical volume "{path}" successfully wiped.')
    return failures.status


def _each(
    session: Session, arguments: Arguments, failures: _Failures, change: Callable[[str], bool]
) -> tuple[int, int]:
    """Do something to each physical volume that is meant; gives to how many it was done, and to how many not."""
    paths, problems = pv_targets(session, arguments.words, arguments.text("select"))
    for problem in problems:
        failures.add(RefusedError(f"Failed to find physical volume: {problem}"))
    done = 0
    for path in paths:
        try:
            changed = change(path)
        except CryptlvError as error:
            failures.add(error)
            changed = False
        done += changed
        failures.terminal.say(
            f'Physical volume "{path}" changed' if changed else f"Physical volume {path} not changed"
        )
    return done, len(paths) - done


def _pvchange(arguments: Arguments) -> int:
    wanted = pv_change.PvChange(
        allocatable=arguments.yes_no("allocatable"),
        add_tags=tuple(map(check_tag, arguments.all("addtag"))),
        remove_tags=tuple(map(check_tag, arguments.all("deltag"))),
        ignore_metadata=arguments.yes_no("metadataignore"),
        new_id=arguments.has("uuid"),
    )
    if wanted == pv_change.PvChange():
        raise UsageError("Please give one or more of -x, -uuid, --addtag, --deltag or --metadataignore")
    if not arguments.words and not arguments.has("all") and not arguments.has("select"):
        raise UsageError("Please give a physical volume path or use --select for selection.")
    if arguments.words and arguments.has("all"):
        raise UsageError("Option --all and PhysicalVolumePath are exclusive.")
    terminal = Terminal(arguments)
    failures = _Failures(terminal)
    with open_command(arguments, terminal) as session:
        done, left = _each(
            session, arguments, failures, lambda path: pv_change.change(session, path, wanted, terminal.confirm)
        )
    plural = {1: ""}
    terminal.say(
        f"{done} physical volume{plural.get(done, 's')} changed / "
        f"{left} physical volume{plural.get(left, 's')} not changed"
    )
    return failures.status


def _pvresize(arguments: Arguments) -> int:
    if not arguments.words:
        raise UsageError("Please supply physical volume(s)")
    size_bytes = whole_sectors(arguments, "setphysicalvolumesize")
    terminal = Terminal(arguments)
    failures = _Failures(terminal)

    def change(path: str) -> bool:
        pv_resize.resize(session, path, size_bytes, terminal.ask)
        return True

    with open_command(arguments, terminal) as session:
        done, left = _each(session, arguments, failures, change)
    terminal.say(f"{done} physical volume(s) resized or updated / {left} physical volume(s) not resized")
    return failures.status


PVCREATE = Command(
    name="pvcreate",
    summary="Make devices or image files ready for use in volume groups.",
    usage=("[OPTIONS] PATH ...", "--uuid UUID --restorefile FILE|--norestorefile PATH"),
    options=(
        *PV_OPTIONS,
        Option(long="setphysicalvolumesize", takes="Size[m|UNIT]", help="Pretend that the device is of this size."),
        Option(long="uuid", short="u", takes="UUID", help="The id of the new physical volume."),
        Option(long="restorefile", takes="FILE", help="A backup in which the PV of that id is: it is made the same."),
        Option(long="norestorefile", help="An id without such a backup."),
    ),
    run=_pvcreate,
    notes="""
A device that holds a file system or the like is asked about; -y or -f answers. One that belongs to a volume group is
refused but for -ff, which asks (-y answers): what the group has there is lost. What stands against one device does
not stop the others.
""",
)

PVREMOVE = Command(
    name="pvremove",
    summary="Take the label from devices, so that they are no physical volumes any more.",
    usage=("PATH ...",),
    run=_pvremove,
    notes="""
A physical volume that belongs to a volume group is refused: see vgreduce. -ff asks, and -y answers: what the group
has there is lost. With -f a device without a label is no failure.
""",
)

PVCHANGE = Command(
    name="pvchange",
    summary="Change properties of physical volumes.",
    usage=("OPTIONS PATH|@TAG ...", "OPTIONS -S SELECTION", "OPTIONS -a"),
    options=(
        Option(long="allocatable", short="x", takes="y|n", help="Whether new extents may be taken from it."),
        Option(long="addtag", takes="TAG", help="Add a tag; may be given several times."),
        Option(long="deltag", takes="TAG", help="Take a tag away; may be given several times."),
        Option(long="metadataignore", takes="y|n", help="Whether its metadata areas are not in use."),
        Option(long="uuid", short="u", help="Give it a new random id."),
        Option(long="all", short="a", help="Change all physical volumes."),
        Option(long="select", short="S", takes="SELECTION", help="Change those that match."),
    ),
    run=_pvchange,
)

PVRESIZE = Command(
    name="pvresize",
    summary="Have physical volumes take up the size that their devices have now.",
    usage=("[--setphysicalvolumesize SIZE] PATH|@TAG ...",),
    options=(
        Option(
            long="setphysicalvolumesize",
            takes="Size[m|UNIT]",
            help="This size instead of the device's, to shrink one before its device; asks, -y answers.",
        ),
    ),
    run=_pvresize,
)
