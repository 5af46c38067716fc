"""vgcreate, vgremove; and what the commands for volume groups share."""

from __future__ import annotations

from cryptlv.cli.options import Command, Option
from cryptlv.cli.pv_options import PV_OPTIONS, pv_options
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import EXIT_FAILED, CryptlvError, UsageError
from cryptlv.names import POLICY_WORDS, check_tag
from cryptlv.ops import vg
from cryptlv.ops.targets import vg_targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session
    from cryptlv.ops.vg_remove import VgContents

ADDTAG = Option(long="addtag", takes="TAG", help="Give it a tag; may be given several times.")
ALLOC = Option(long="alloc", takes="|".join(POLICY_WORDS[:-1]), help="How extents of its volumes are chosen; normal.")
EXTENT_SIZE = Option(long="physicalextentsize", short="s", takes="Size[m|UNIT]", help="Size of an extent; 4m.")
SYSTEM_ID = Option(long="systemid", takes="TEXT", help="The host whose it is; this one's.")
AUTOACTIVATION = Option(long="setautoactivation", takes="y|n", help="Whether it is activated at boot; y.")
VG_COPIES = Option(
    long="vgmetadatacopies", takes="all|unmanaged|NUMBER", help="How many metadata areas are in use; unmanaged."
)
SELECT = Option(long="select", short="S", takes="CRITERIA", help="Those of which this is true.")


def metadata_copies(arguments: Arguments) -> int:
    """The value of --vgmetadatacopies; 0 is unmanaged. Raises UsageError."""
    text = arguments.text("vgmetadatacopies")
    if text in ("all", "unmanaged"):
        return vg.ALL_COPIES if text == "all" else 0
    return limit(arguments, "vgmetadatacopies")


def limit(arguments: Arguments, name: str) -> int:
    """The value of an option that 32 bits must hold; raises UsageError."""
    number = arguments.number(name)
    if number >= 2**32:
        raise UsageError(f"--{name} {number} is too large")
    return number


def each_group(terminal: Terminal, names: tuple[str, ...], do: Callable[[str], None]) -> int:
    """Do something with each group, the failure of one not stopping the others; gives the exit status."""
    status = 0
    for name in names:
        try:
            do(name)
        except CryptlvError as error:
            terminal.error(str(error))
            status = EXIT_FAILED
    return status


def chosen_groups(session: Session, terminal: Terminal, arguments: Arguments) -> tuple[tuple[str, ...], int]:
    """The groups that the words and -S mean, all where there are none, and the exit status of what means none."""
    names, problems = vg_targets(session, arguments.words, arguments.text("select"))
    for problem in problems:
        terminal.error(problem)
    return names, EXIT_FAILED if problems else 0


def _vgcreate(arguments: Arguments) -> int:
    from cryptlv.ops.vg_change import clean_id

    if len(arguments.words) < 2:
        raise UsageError("vgcreate: name the new volume group, then its devices")
    name, *paths = arguments.words
    name = name.removeprefix("/dev/")
    extent_size_bytes = arguments.size_bytes("physicalextentsize")
    if extent_size_bytes == 0:
        raise UsageError("Physical extent size may not be zero")
    policy = arguments.choice("alloc", POLICY_WORDS, "normal")
    if policy == "inherit":
        raise UsageError("Volume Group allocation policy cannot inherit from anything")
    options = vg.VgOptions(
        extent_size_bytes=extent_size_bytes or 0,
        max_lv=limit(arguments, "maxlogicalvolumes"),
        max_pv=limit(arguments, "maxphysicalvolumes"),
        tags=tuple(check_tag(tag) for tag in arguments.all("addtag")),
        allocation_policy=policy,
        metadata_copies=metadata_copies(arguments),
        system_id=clean_id(arguments.text("systemid")) if arguments.has("systemid") else None,
        autoactivates=arguments.yes_no("setautoactivation") is not False,
    )
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        _warn_of_system_id(terminal, options.system_id, session.env.system_id)
        fresh = pv_options(arguments)
        made = vg.create(session, name, tuple(paths), options=options, pv_options=fresh, ask=terminal.ask)
    of_host = f" with system ID {made.system_id}" if made.system_id else ""
    terminal.say(f'Volume group "{name}" successfully created{of_host}')
    return 0


def _warn_of_system_id(terminal: Terminal, wanted: str | None, own: str) -> None:
    if wanted == "":
        terminal.warn("A VG without a system ID allows unsafe access from other hosts.")
    elif wanted is not None and wanted != own:
        mine = f"as local system ID is {own}" if own else "as no local system ID is set"
        terminal.warn(f"VG with system ID {wanted} might become inaccessible {mine}")


VGCREATE = Command(
    name="vgcreate",
    summary="Make a volume group of physical volumes.",
    usage=("VG PATH ...",),
    options=(
        EXTENT_SIZE,
        Option(long="maxlogicalvolumes", short="l", takes="NUMBER", help="At most so many volumes; 0 is any number."),
        Option(long="maxphysicalvolumes", short="p", takes="NUMBER", help="Likewise for physical volumes."),
        ADDTAG,
        ALLOC,
        SYSTEM_ID,
        AUTOACTIVATION,
        VG_COPIES,
        *PV_OPTIONS,
    ),
    run=_vgcreate,
    notes="A device that is no physical volume yet is made one first.",
)


def _vgremove(arguments: Arguments) -> int:
    from cryptlv.ops import vg_remove

    if not arguments.words and not arguments.has("select"):
        raise UsageError("vgremove: name volume groups, or choose them with --select")
    terminal = Terminal(arguments)
    may_ask = not (arguments.has("yes") or arguments.has("force"))

    with open_command(arguments, terminal) as session:

        def remove(name: str) -> None:
            agreed = None
            if may_ask:
                agreed = vg_remove.contents(session, name)
                _ask(terminal, name, agreed)
            gone = vg_remove.remove(session, name, agreed=agreed)
            for lv_name in gone.lv_names:
                terminal.say(f'Logical volume "{lv_name}" successfully removed.')
            terminal.say(f'Volume group "{name}" successfully removed')

        names, status = chosen_groups(session, terminal, arguments)
        return max(status, each_group(terminal, names, remove))


def _ask(terminal: Terminal, name: str, what: VgContents) -> None:
    if not what.lv_names:
        return
    if what.missing_count:
        terminal.warn(f"{what.missing_count} physical volumes are currently missing from the system.")
    keys = f" and {what.keystore_count} keystores, without which their data are lost" if what.keystore_count else ""
    terminal.confirm(
        f'Do you really want to remove volume group "{name}" containing {len(what.lv_names)} logical volumes{keys}?'
    )


VGREMOVE = Command(
    name="vgremove",
    summary="Remove volume groups with all their volumes.",
    usage=("[-f|-y] VG|@TAG ...", "[-f|-y] -S CRITERIA"),
    options=(SELECT,),
    run=_vgremove,
    notes="""
A group with volumes is asked about first; one with an active volume is refused. The key headers of its keystores are
overwritten, and no metadata backup brings the data of its encrypted volumes back.
""",
)
