"""lvremove."""

from __future__ import annotations

from contextlib import ExitStack

from cryptlv.cli.options import Command, Option
from cryptlv.cli.progress import PROGRESS_JSON, progress
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import EXIT_FAILED, CryptlvError, UsageError
from cryptlv.ops.targets import lv_targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session
    from cryptlv.ops.targets import LvTarget

SELECT = Option(long="select", short="S", takes="SELECTION", help="Those of the volumes that match; see lvs -S help.")


WIPE = Option(long="wipe", help="Overwrite the extents that become free, with zeros.")


def targets_by_group(
    session: Session, terminal: Terminal, arguments: Arguments
) -> tuple[Mapping[str, Sequence[LvTarget]], int]:
    """The volumes that the words and -S mean, by volume group, and the exit status so far; raises UsageError."""
    if not arguments.words and not arguments.has("select"):
        raise UsageError(
            f"{arguments.command.name}: name volumes (VG/LV), volume groups, tags (@TAG), or -S SELECTION"
        )
    found, problems = lv_targets(session, arguments.words, arguments.text("select"))
    for problem in problems:
        terminal.error(problem)
    groups: dict[str, list[LvTarget]] = {}
    for target in found:
        groups.setdefault(target.vg_name, []).append(target)
    return groups, EXIT_FAILED if problems else 0


def _lvremove(arguments: Arguments) -> int:
    from cryptlv.ops.lv_remove import remove

    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session, ExitStack() as stack:
        watch = stack.enter_context(progress(arguments, "lvremove")) if arguments.has("wipe") else None
        groups, status = targets_by_group(session, terminal, arguments)
        for vg_name, targets in groups.items():
            names = [target.lv_name for target in targets]
            try:
                removal = remove(session, vg_name, names, terminal.confirm, watch)
            except CryptlvError as error:
                terminal.error(str(error))
                status = EXIT_FAILED
                continue
            for name in removal.names:
                terminal.say(f'Logical volume "{name}" successfully removed.')
            for problem in removal.problems:
                terminal.error(str(problem))
                status = EXIT_FAILED
    return status


LVREMOVE = Command(
    name="lvremove",
    summary="Remove logical volumes; the keystore goes with the last volume that uses it.",
    usage=("[-f|-y] VG/LV|VG|@TAG ...", "[-f|-y] -S SELECTION [VG ...]"),
    options=(
        SELECT,
        WIPE,
        PROGRESS_JSON,
        Option(long="nohistory", help="Accepted for lvm2's sake: no history of removed volumes is kept."),
    ),
    run=_lvremove,
    notes="""
The volumes of a group are removed in one commit; one that cannot be does not stop the others. A question is asked
before an active volume is closed and removed, and where the key of an encrypted volume goes with it: the key header
is overwritten, and no metadata backup brings the data back. Pools, thin volumes, caches and snapshots are left to
lvm2's lvremove.
""",
)
