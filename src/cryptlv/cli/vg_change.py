"""vgchange, vgrename, vgexport, vgimport."""

from __future__ import annotations

from contextlib import ExitStack

from cryptlv.cli.activation import (
    ACTIVATION_OPTIONS,
    EVENT,
    FREEZE_OPTIONS,
    freeze_keys,
    key_freezing,
    refresh_active,
    set_active,
    wanted_state,
)
from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.cli.vg import (
    ADDTAG,
    ALLOC,
    AUTOACTIVATION,
    EXTENT_SIZE,
    SELECT,
    SYSTEM_ID,
    VG_COPIES,
    chosen_groups,
    each_group,
    limit,
    metadata_copies,
)
from cryptlv.errors import UsageError
from cryptlv.names import POLICY_WORDS, check_tag
from cryptlv.ops import vg, vg_change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session

_NO_OPS = ("monitor", "poll")


def _change_of(arguments: Arguments) -> vg_change.VgChange:
    """What is to be changed; raises UsageError."""
    extent_size_bytes = arguments.size_bytes("physicalextentsize")
    if extent_size_bytes is not None and extent_size_bytes % 512:
        raise UsageError("--physicalextentsize is not a whole number of 512-byte sectors")
    return vg_change.VgChange(
        add_tags=tuple(check_tag(tag) for tag in arguments.all("addtag")),
        del_tags=tuple(check_tag(tag) for tag in arguments.all("deltag")),
        max_lv=limit(arguments, "logicalvolume") if arguments.has("logicalvolume") else None,
        max_pv=limit(arguments, "maxphysicalvolumes") if arguments.has("maxphysicalvolumes") else None,
        is_resizeable=arguments.yes_no("resizeable"),
        autoactivates=arguments.yes_no("setautoactivation"),
        extent_size_sectors=extent_size_bytes // 512 if extent_size_bytes is not None else None,
        allocation_policy=arguments.choice("alloc", ("", *POLICY_WORDS), ""),
        metadata_copies=metadata_copies(arguments) if arguments.has("vgmetadatacopies") else None,
        system_id=vg_change.clean_id(arguments.text("systemid")) if arguments.has("systemid") else None,
    )


def _freeze(arguments: Arguments) -> int:
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        names, status = chosen_groups(session, terminal, arguments)
        return max([status, *(freeze_keys(session, terminal, arguments, name, ()) for name in names)])


def _vgchange(arguments: Arguments) -> int:
    if key_freezing(arguments):
        return _freeze(arguments)
    wanted = _change_of(arguments)
    new_id = arguments.has("uuid")
    changes = new_id or wanted != vg_change.VgChange()
    if arguments.has("deltag") or arguments.has("addtag"):
        changes = True
    if not changes and not arguments.has("activate") and not any(arguments.has(n) for n in ("refresh", *_NO_OPS)):
        raise UsageError("Need one or more command options.")
    active = wanted_state(arguments) if arguments.has("activate") else None
    for name in ("monitor", "poll"):
        arguments.yes_no(name)
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if not changes and active is not None and not arguments.has("select"):
            return _activate(session, terminal, arguments, active=active)

        def change(name: str) -> None:
            if changes:
                _agree(session, terminal, name, wanted)
                vg_change.change(session, name, wanted, new_id=new_id)
                terminal.say(f'Volume group "{name}" successfully changed')
            elif active is None and not arguments.has("refresh"):
                vg_change.look_at(session, name)

        names, status = chosen_groups(session, terminal, arguments)
        status = max(status, each_group(terminal, names, change))
        for name in names if arguments.has("refresh") else ():
            status = max(status, refresh_active(session, terminal, arguments, name, ()))
        if active is not None:
            for name in names:
                status = max(status, set_active(session, terminal, arguments, name, (), active=active))
        return status


def _agree(session: Session, terminal: Terminal, name: str, wanted: vg_change.VgChange) -> None:
    """Ask before a group may become another host's or anybody's; raises RefusedError."""
    own, system_id = session.env.system_id, wanted.system_id
    if system_id is None or system_id == own:
        return
    if not system_id:
        terminal.warn("Removing the system ID allows unsafe access from other hosts.")
        terminal.confirm(f"Remove system ID from volume group {name}?")
        return
    terminal.warn(
        f"Requested system ID {system_id} does not match local system ID {own}." if own else
        "No local system ID is set."
    )  # fmt: skip
    terminal.warn(f"Volume group {name} might become inaccessible from this machine.")
    terminal.confirm(f"Set foreign system ID {system_id} on volume group {name}?")


def _activate(session: Session, terminal: Terminal, arguments: Arguments, *, active: bool) -> int:
    status = 0
    with ExitStack() as stack:
        if not arguments.words and not active:  # activating asks for passphrases, and no lock is held meanwhile
            stack.enter_context(session.locked(write=False, global_read=True))
        for name in arguments.words or vg.names(session):
            status = max(
                status, set_active(session, terminal, arguments, name.removeprefix("/dev/"), (), active=active)
            )
    return status


VGCHANGE = Command(
    name="vgchange",
    summary="Change volume groups; activate or deactivate their volumes.",
    usage=(
        "OPTION ... [VG|@TAG ...]",
        "--suspendkey|--resumekey [--keyfile FILE] [VG|@TAG ...]",
        "-a y|n [--keyfile FILE] [--backend auto|dm|fuse|nbd] [VG ...]",
    ),
    options=(
        *ACTIVATION_OPTIONS,
        *FREEZE_OPTIONS,
        EVENT,
        ADDTAG,
        Option(long="deltag", takes="TAG", help="Take a tag away; may be given several times."),
        Option(long="resizeable", short="x", takes="y|n", help="Whether physical volumes may come and go."),
        Option(long="logicalvolume", short="l", takes="NUMBER", help="At most so many volumes; 0 is any number."),
        Option(long="maxphysicalvolumes", short="p", takes="NUMBER", help="Likewise for physical volumes."),
        EXTENT_SIZE,
        Option(long="uuid", short="u", help="Give it a new id."),
        ALLOC,
        SYSTEM_ID,
        AUTOACTIVATION,
        VG_COPIES,
        Option(long="pvmetadatacopies", takes="NUMBER", help="Accepted for lvm2's sake; changes nothing here."),
        Option(long="refresh", help="Have the kernel's devices of active volumes be as the metadata say."),
        Option(long="monitor", takes="y|n", help="Accepted for lvm2's sake: nothing is to be watched."),
        Option(long="poll", takes="y|n", help="Accepted for lvm2's sake, likewise."),
        SELECT,
    ),
    run=_vgchange,
    notes="""
All changes of a group are made together or not at all. A passphrase is asked for once for each keystore. A volume
that cannot be activated does not stop the others; the exit status is 5 then. With -aay a volume whose key can come
from a person only is skipped with a warning, unless there is a terminal or a key file.
""",
)


def _vgrename(arguments: Arguments) -> int:
    if len(arguments.words) != 2:
        raise UsageError("vgrename: name the volume group, by name or UUID, and give its new name")
    old, new = (word.removeprefix("/dev/") for word in arguments.words)
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        vg_change.rename(session, old, new)
    terminal.say(f'Volume group "{old}" successfully renamed to "{new}"')
    return 0


VGRENAME = Command(
    name="vgrename",
    summary="Rename a volume group.",
    usage=("VG|UUID NEW",),
    run=_vgrename,
    notes="What the kernel has active is renamed, too. A group with a volume that is served is refused.",
)


def _each_exported(
    arguments: Arguments,
    do: Callable[[Session, str], None],
    word: str,
    *,
    every: Callable[[Session], tuple[str, ...]],
) -> int:
    """Export or import each of the groups that are named, or all of them."""
    takes_all = arguments.has("all")
    if not arguments.words and not takes_all and not arguments.has("select"):
        raise UsageError(f"Please supply volume groups or use --select for selection or use -a for all ({word}).")
    if takes_all and (arguments.words or arguments.has("select")):
        raise UsageError("No arguments permitted when using -a for all.")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:

        def one(name: str) -> None:
            do(session, name)
            terminal.say(f'Volume group "{name}" successfully {word}ed')

        names, status = (every(session), 0) if takes_all else chosen_groups(session, terminal, arguments)
        return max(status, each_group(terminal, names, one))


def _vgexport(arguments: Arguments) -> int:
    return _each_exported(arguments, vg_change.export, "export", every=vg_change.names_to_export)


def _vgimport(arguments: Arguments) -> int:
    if arguments.has("force"):
        Terminal(arguments).warn("Volume groups with missing PVs will be imported with --force.")
    return _each_exported(arguments, vg_change.import_, "import", every=vg.names)


_ALL = Option(long="all", short="a", help="Every volume group.")
VGEXPORT = Command(
    name="vgexport",
    summary="Make volume groups unknown to this host, so that another one can take them.",
    usage=("VG|@TAG ...", "-a"),
    options=(_ALL, SELECT),
    run=_vgexport,
)
VGIMPORT = Command(
    name="vgimport",
    summary="Make exported volume groups this host's.",
    usage=("[-f] VG|@TAG ...", "[-f] -a"),
    options=(_ALL, SELECT),
    run=_vgimport,
    notes="A group of which physical volumes are missing is imported with -f only.",
)
