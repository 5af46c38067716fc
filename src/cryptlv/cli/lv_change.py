"""lvchange."""

from __future__ import annotations

from cryptlv.cli.activation import (
    ACTIVATION_OPTIONS,
    CRYPT_FLAGS,
    FREEZE_OPTIONS,
    crypt_flags_of,
    freeze_keys,
    key_freezing,
    refresh_active,
    set_active,
    wanted_state,
)
from cryptlv.cli.keyslots import KEY_OPTIONS, change_keys, key_action
from cryptlv.cli.lv import SELECT, targets_by_group
from cryptlv.cli.options import Command, Option
from cryptlv.cli.sizes import minor_of, policy_of, read_ahead_of, tags_of
from cryptlv.cli.terminal import Terminal, open_command, split_target
from cryptlv.errors import EXIT_FAILED, CryptlvError, UsageError
from cryptlv.ops.lv_change import LvChange, change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session
    from cryptlv.ops.targets import LvTarget

_KEPT = LvChange()


def _wanted(arguments: Arguments) -> LvChange:
    """The properties that the options name; raises UsageError."""
    permission = arguments.choice("permission", ("rw", "wr", "r"), "") if arguments.has("permission") else ""
    policy = policy_of(arguments)
    if arguments.has("persistent") or arguments.has("minor") or arguments.has("major"):
        minor = minor_of(arguments)
        minor = -1 if minor is None else minor
    else:
        minor = None
    return LvChange(
        add_tags=tags_of(arguments, "addtag"),
        remove_tags=tags_of(arguments, "deltag"),
        allocation_policy=None if not policy else "" if policy == "inherit" else policy,
        is_writable=permission != "r" if permission else None,
        read_ahead=(read_ahead_of(arguments),) if arguments.has("readahead") else (),
        skips_activation=arguments.yes_no("setactivationskip"),
        activates_automatically=arguments.yes_no("setautoactivation"),
        minor=minor,
        crypt_flags=crypt_flags_of(arguments) if arguments.has("crypt-flags") else None,
        is_for_pools=arguments.yes_no("zero") is not None,
    )


def _lvchange(arguments: Arguments) -> int:
    action = key_action(arguments)
    if action:
        return _change_keys(arguments, action)
    wanted = _wanted(arguments)
    is_change = wanted != _KEPT
    if key_freezing(arguments):
        return _freeze(arguments, is_change=is_change)
    if not is_change and not arguments.has("activate") and not arguments.has("refresh"):
        raise UsageError("lvchange: name what to change; see: cryptlv lvchange --help")
    active = wanted_state(arguments) if arguments.has("activate") else None
    terminal = Terminal(arguments)
    status = 0
    with open_command(arguments, terminal) as session:
        if is_change:
            groups, status = targets_by_group(session, terminal, arguments)
            for vg_name, targets in groups.items():
                status = max(status, _change(session, terminal, vg_name, targets, wanted))
        if arguments.has("refresh") and not status:
            status = _refresh(session, terminal, arguments)
        if active is not None and not status:
            if is_change:
                terminal.warn("Combining activation change with other commands is not advised.")
            status = _activate(session, terminal, arguments, active=active)
    return status


def _freeze(arguments: Arguments, *, is_change: bool) -> int:
    if is_change:
        raise UsageError("lvchange: --suspendkey and --resumekey go with no other change")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        wanted, status = _activated(session, terminal, arguments)
        for vg_name, names in wanted.items():
            status = max(status, freeze_keys(session, terminal, arguments, vg_name, names))
    return status


def _change_keys(arguments: Arguments, action: str) -> int:
    if _wanted(arguments) != _KEPT or arguments.has("activate"):
        raise UsageError(f"lvchange: --{action} goes with no other change")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        change_keys(session, terminal, arguments, action)
    return 0


def _change(session: Session, terminal: Terminal, vg_name: str, targets: Sequence[LvTarget], wanted: LvChange) -> int:
    try:
        results = change(session, vg_name, targets, wanted)
    except CryptlvError as error:
        terminal.error(str(error))
        return EXIT_FAILED
    for result in results:
        for problem in result.problems:
            terminal.error(problem)
        if result.is_changed:
            terminal.say(f"Logical volume {vg_name}/{result.lv_name} changed.")
    return EXIT_FAILED if any(result.problems for result in results) else 0


def _activate(session: Session, terminal: Terminal, arguments: Arguments, *, active: bool) -> int:
    wanted, status = _activated(session, terminal, arguments)
    for vg_name, names in wanted.items():
        status = max(status, set_active(session, terminal, arguments, vg_name, names, active=active))
    return status


def _refresh(session: Session, terminal: Terminal, arguments: Arguments) -> int:
    wanted, status = _activated(session, terminal, arguments)
    for vg_name, names in wanted.items():
        status = max(status, refresh_active(session, terminal, arguments, vg_name, names))
    return status


def _activated(
    session: Session, terminal: Terminal, arguments: Arguments
) -> tuple[Mapping[str, tuple[str, ...]], int]:
    """The names of volumes by group, none for all of a group that was named itself, and the exit status so far."""
    if arguments.has("select") or any(word.startswith("@") for word in arguments.words):
        groups, status = targets_by_group(session, terminal, arguments)
        return {vg_name: tuple(target.lv_name for target in found) for vg_name, found in groups.items()}, status
    if not arguments.words:
        raise UsageError("lvchange: name the volumes, VG/LV, or a volume group for all of them")
    named: dict[str, list[str]] = {}
    for word in arguments.words:
        vg_name, lv_name = split_target(word)
        named.setdefault(vg_name, []).append(lv_name)
    return {vg_name: () if "" in names else tuple(dict.fromkeys(names)) for vg_name, names in named.items()}, 0


LVCHANGE = Command(
    name="lvchange",
    summary="Change properties of logical volumes; activate or deactivate them.",
    usage=(
        "OPTION ... VG/LV|VG|@TAG ...",
        "--addkey|--changekey [--keyslot N] [--keyfile FILE] [--newkeyfile FILE] VG/LV",
        "--removekey [--keyfile FILE] VG/LV",
        "--killkey N VG/LV",
        "--backupkeystore|--restorekeystore FILE VG/LV",
        "--refresh VG/LV|VG|@TAG ...",
        "--suspendkey|--resumekey [--keyfile FILE] VG/LV|VG|@TAG ...",
        "-a y|n|ay [-K] [--keyfile FILE] [--backend auto|dm|fuse|nbd] VG/LV|VG|@TAG ...",
    ),
    options=(
        *ACTIVATION_OPTIONS,
        *FREEZE_OPTIONS,
        SELECT,
        Option(long="permission", short="p", takes="rw|r", help="Read and write, or read only."),
        Option(long="addtag", takes="TAG", help="Add a tag; may be given several times."),
        Option(long="deltag", takes="TAG", help="Take a tag away; may be given several times."),
        Option(
            long="alloc", takes="contiguous|cling|normal|anywhere|inherit", help="Where further extents are taken."
        ),
        Option(long="contiguous", short="C", takes="y|n", help="Short for --alloc contiguous and --alloc inherit."),
        Option(long="readahead", short="r", takes="auto|none|NUMBER", help="Read ahead, in sectors."),
        Option(long="persistent", short="M", takes="y|n", help="Keep the device number; y needs --minor."),
        Option(long="major", takes="NUMBER", help="Accepted for lvm2's sake: the kernel chooses major numbers."),
        Option(long="minor", takes="NUMBER", help="Minor device number, with -My."),
        Option(
            long="setactivationskip",
            short="k",
            takes="y|n",
            help="Leave it out when volumes are activated, but for -K.",
        ),
        CRYPT_FLAGS,
        Option(long="setautoactivation", takes="y|n", help="Whether -a ay activates it, as at boot."),
        Option(long="refresh", help="Have the kernel's device of an active volume be as the metadata say."),
        Option(long="zero", short="Z", takes="y|n", help="For thin pools, which are left to lvm2's lvchange."),
        *KEY_OPTIONS,
    ),
    run=_lvchange,
    notes="""
An active volume is a block device in the kernel (dm), a file (fuse) or the unix socket of an NBD export (nbd); its
path is printed. The kernel is the default for root, where it has device-mapper and all physical volumes are block
devices. A file or an export is served by a process of its own until it is deactivated.

Flags of dm-crypt's are kept with a volume: allow_discards passes discards down, which shows who sees the disk what is
free; same_cpu_crypt, submit_from_crypt_cpus, no_read_workqueue and no_write_workqueue are for speed.

A keystore that several volumes share has one set of keyslots: what is done to one volume's keys is done to all.
lvs -o+crypt_keyslots shows them. A key header that was kept in a file opens with the passphrases of that time, also
with those that were removed since.
""",
)
