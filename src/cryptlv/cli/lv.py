"""lvremove, lvchange."""

from __future__ import annotations

from cryptlv.cli.activation import ACTIVATION_OPTIONS, set_active, wanted_state
from cryptlv.cli.options import Command
from cryptlv.cli.terminal import Terminal, open_command, split_target
from cryptlv.errors import EXIT_FAILED, CryptlvError, UsageError
from cryptlv.ops import lv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _lvremove(arguments: Arguments) -> int:
    if not arguments.words:
        raise UsageError("lvremove: name the volumes to remove, VG/LV, or a volume group for all of them")
    terminal = Terminal(arguments)
    status = 0
    may_ask = not (arguments.has("yes") or arguments.has("force"))
    with open_command(arguments, terminal) as session:
        for word in arguments.words:
            vg_name, named = split_target(word)
            for lv_name in [named] if named else lv.names(session, vg_name):
                try:
                    if may_ask and lv.would_lose_key(session, vg_name, lv_name):
                        terminal.confirm(
                            f'Do you really want to remove "{vg_name}/{lv_name}" and its key? '
                            "Nothing can bring its data back."
                        )
                    lv.remove(session, vg_name, lv_name)
                    terminal.say(f'Logical volume "{lv_name}" successfully removed.')
                except CryptlvError as error:
                    terminal.error(str(error))
                    status = EXIT_FAILED
    return status


LVREMOVE = Command(
    name="lvremove",
    summary="Remove logical volumes; the keystore goes with the last volume that uses it.",
    usage=("[-f|-y] VG/LV|VG ...",),
    run=_lvremove,
    notes="""
A volume that is active is refused. Where the key of an encrypted volume goes with it, a question is asked first: the
key header is overwritten, and no metadata backup brings the data back.
""",
)


def _lvchange(arguments: Arguments) -> int:
    active = wanted_state(arguments)
    if not arguments.words:
        raise UsageError("lvchange: name the volumes, VG/LV, or a volume group for all of them")
    wanted: dict[str, list[str]] = {}
    for word in arguments.words:
        vg_name, lv_name = split_target(word)
        wanted.setdefault(vg_name, []).append(lv_name)
    terminal = Terminal(arguments)
    status = 0
    with open_command(arguments, terminal) as session:
        for vg_name, names in wanted.items():
            chosen = () if "" in names else tuple(dict.fromkeys(names))
            status = max(status, set_active(session, terminal, arguments, vg_name, chosen, active=active))
    return status


LVCHANGE = Command(
    name="lvchange",
    summary="Activate or deactivate logical volumes.",
    usage=("-a y|n [--keyfile FILE] [--backend auto|fuse|nbd] VG/LV|VG ...",),
    options=ACTIVATION_OPTIONS,
    run=_lvchange,
    notes="""
An active volume is a file (fuse) or the unix socket of an NBD export (nbd); its path is printed. It is served by a
process of its own until it is deactivated.
""",
)
