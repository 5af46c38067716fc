"""vgsplit, vgmerge."""

from __future__ import annotations

from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import EXIT_FAILED, CryptlvError, UsageError
from cryptlv.names import POLICY_WORDS
from cryptlv.ops.vg import ALL_COPIES
from cryptlv.ops.vg_merge import vgmerge
from cryptlv.ops.vg_split import NewGroup, SplitRequest, vgsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.vg_split import Done

_COMMON = (
    Option(
        long="poolmetadataspare",
        takes="y|n",
        help="Whether the spare volume for pools' metadata is made, made longer or removed as it is needed; y.",
    ),
)


def _name(word: str) -> str:
    return word.removeprefix("/dev/")


def _spare(arguments: Arguments) -> bool:
    return arguments.yes_no("poolmetadataspare") is not False


def _say_renamed(terminal: Terminal, done: Done) -> None:
    for old, new in done.renamed:
        terminal.say(f'Keystore "{old}" is now "{new}" in volume group "{done.vg.name}"')


def _vgsplit(arguments: Arguments) -> int:
    lv_name = arguments.text("name")
    if len(arguments.words) + bool(lv_name) < 3:
        raise UsageError("Existing VG, new VG and either physical volumes or logical volume required.")
    if lv_name and len(arguments.words) > 2:
        raise UsageError("A logical volume name cannot be given with physical volumes.")
    source, target, *paths = arguments.words
    lv_name = lv_name.removeprefix("/dev/").removeprefix(f"{_name(source)}/")
    request = SplitRequest(
        source=_name(source),
        target=_name(target),
        pv_paths=tuple(paths),
        lv_name=lv_name,
        new=_new_group(arguments),
        pool_metadata_spare=_spare(arguments),
    )
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        done = vgsplit(session, request)
    _say_renamed(terminal, done)
    kind = "Existing" if done.existed else "New"
    terminal.say(f'{kind} volume group "{request.target}" successfully split from "{request.source}"')
    return 0


def _new_group(arguments: Arguments) -> NewGroup:
    arguments.choice("metadatatype", ("lvm2", "2"), "lvm2")
    policy = arguments.choice("alloc", POLICY_WORDS, "") if arguments.has("alloc") else None
    if policy == "inherit":
        raise UsageError("Volume Group allocation policy cannot inherit from anything")
    return NewGroup(
        max_lv=arguments.number("maxlogicalvolumes") if arguments.has("maxlogicalvolumes") else None,
        max_pv=arguments.number("maxphysicalvolumes") if arguments.has("maxphysicalvolumes") else None,
        allocation_policy="" if policy == "normal" else policy,
        metadata_copies=_copies(arguments),
    )


def _copies(arguments: Arguments) -> int | None:
    """`--vgmetadatacopies`: a number, `unmanaged` (what is in use stays so), or `all`."""
    word = arguments.text("vgmetadatacopies").lower()
    if word in ("", "unmanaged", "all"):
        return {"": None, "unmanaged": 0, "all": ALL_COPIES}[word]
    return arguments.number("vgmetadatacopies")


VGSPLIT = Command(
    name="vgsplit",
    summary="Move physical volumes, and what lies on them, into a new or another volume group.",
    usage=("[OPTION]... VG NEW_VG PV ...", "[OPTION]... -n LV VG NEW_VG"),
    options=(
        Option(long="name", short="n", takes="LV", help="Move the physical volumes that this volume lies on."),
        Option(long="maxlogicalvolumes", short="l", takes="N", help="Most volumes of the new group; 0 is no limit."),
        Option(long="maxphysicalvolumes", short="p", takes="N", help="Most physical volumes of the new group."),
        Option(long="metadatatype", short="M", takes="lvm2", help="The format of the new group's metadata."),
        Option(long="alloc", takes="POLICY", help="How it allocates: " + ", ".join(POLICY_WORDS[:-1]) + "."),
        Option(
            long="vgmetadatacopies", takes="all|unmanaged|N", help="How many metadata areas the new group has in use."
        ),
        *_COMMON,
    ),
    run=_vgsplit,
    notes="""
A volume goes when all of it lies on these physical volumes, and its keystore goes with it; what would be torn apart
is refused. Volumes that go must be inactive. Where a new group has the name of a keystore already, the one that comes
gets the next free number. When the command was interrupted, run it again: it finishes what it began.
""",
)


def _vgmerge(arguments: Arguments) -> int:
    if len(arguments.words) < 2:
        raise UsageError("Please enter 2 or more volume groups to merge")
    target, *sources = map(_name, arguments.words)
    terminal = Terminal(arguments)
    status = 0
    with open_command(arguments, terminal) as session:
        for source in sources:
            try:
                done = vgmerge(session, target, source, pool_metadata_spare=_spare(arguments))
            except UsageError:
                raise
            except CryptlvError as error:
                terminal.error(str(error))
                status = EXIT_FAILED
                continue
            _say_renamed(terminal, done)
            terminal.say(f'Volume group "{source}" successfully merged into "{target}"')
            if arguments.has("list"):
                for lv in done.vg.lvs:
                    terminal.say(f"{lv.name}")
    return status


VGMERGE = Command(
    name="vgmerge",
    summary="Merge volume groups into the first one named.",
    usage=("[-l] VG VG ...",),
    options=(Option(long="list", short="l", help="Show the volumes of the merged group."), *_COMMON),
    run=_vgmerge,
    notes="""
The volumes of the groups that are merged in must be inactive, and extent sizes the same. A keystore whose name both
have gets the next free number. When the command was interrupted, run it again: it finishes what it began.
""",
)
