"""vgextend, vgreduce."""

from __future__ import annotations

from cryptlv.cli.options import Command, Option
from cryptlv.cli.pv_options import PV_OPTIONS, pv_options
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import EXIT_FAILED, UsageError
from cryptlv.ops import vg_members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session


def _vgextend(arguments: Arguments) -> int:
    if len(arguments.words) < 2:
        raise UsageError("vgextend: name the volume group, then the devices that come to it")
    name, paths = arguments.words[0].removeprefix("/dev/"), arguments.words[1:]
    options = pv_options(arguments)
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if arguments.has("restoremissing"):
            vg_members.restore_missing(session, name, paths)
        else:
            vg_members.extend(session, name, paths, options, terminal.ask)
    terminal.say(f'Volume group "{name}" successfully extended')
    return 0


VGEXTEND = Command(
    name="vgextend",
    summary="Add physical volumes to a volume group.",
    usage=("VG PATH ...", "--restoremissing VG PATH ..."),
    options=(
        *PV_OPTIONS,
        Option(long="restoremissing", help="Take devices that were missing, and have come back, as they are."),
    ),
    run=_vgextend,
    notes="A device that is no physical volume yet is made one first.",
)


def _vgreduce(arguments: Arguments) -> int:
    repairs, takes_all = arguments.has("removemissing"), arguments.has("all")
    if not arguments.words:
        raise UsageError("vgreduce: name the volume group, and the devices that leave it")
    name, paths = arguments.words[0].removeprefix("/dev/"), arguments.words[1:]
    if arguments.has("mirrorsonly") and not repairs:
        raise UsageError("--mirrorsonly requires --removemissing.")
    if (repairs or takes_all) and paths:
        raise UsageError("vgreduce: --all and --removemissing take no devices")
    if repairs and takes_all:
        raise UsageError("vgreduce: --all and --removemissing do not go together")
    if not (repairs or takes_all or paths):
        raise UsageError("Please enter physical volume paths or option -a.")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if repairs:
            return _remove_missing(session, terminal, name)
        done = vg_members.reduce(session, name, None if takes_all else paths)
    for path in done.paths:
        terminal.say(f'Removed "{path}" from volume group "{name}"')
    for failure in done.failures:
        terminal.error(failure)
    return EXIT_FAILED if done.failures else 0


def _remove_missing(session: Session, terminal: Terminal, name: str) -> int:
    done = vg_members.remove_missing(session, name)
    for lv_name in done.partial:
        terminal.warn(f"Partial LV {lv_name} needs to be repaired or removed.")
    if done.partial:
        terminal.error(f"There are still partial LVs in VG {name}.")
        terminal.error("To remove them unconditionally use: vgreduce --removemissing --force.")
        return EXIT_FAILED
    for lv_name in done.removed:
        terminal.say(f'Logical volume "{lv_name}" successfully removed.')
    if done.was_consistent:
        terminal.say(f'Volume group "{name}" is already consistent.')
    else:
        terminal.say(f"Wrote out consistent volume group {name}.")
    return 0


VGREDUCE = Command(
    name="vgreduce",
    summary="Take physical volumes out of a volume group.",
    usage=("VG PATH ...", "-a VG", "--removemissing [-f] VG"),
    options=(
        Option(long="all", short="a", help="Every physical volume that is not used."),
        Option(long="removemissing", help="Those that are missing; with -f also the volumes that lie on them."),
        Option(long="mirrorsonly", help="Accepted for lvm2's sake, with --removemissing."),
    ),
    run=_vgreduce,
    notes="""
A physical volume that is used stays, and does not stop the others. Volumes that --removemissing -f removes are those
of which anything was on a missing physical volume: extents, or the keystore; other keystores go with their last
volume.
""",
)
