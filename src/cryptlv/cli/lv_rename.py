"""lvrename."""

from __future__ import annotations

from cryptlv.cli.options import Command
from cryptlv.cli.terminal import Terminal, open_command, split_lv
from cryptlv.errors import UsageError
from cryptlv.names import check_lv_name, check_vg_name
from cryptlv.ops.lv_rename import rename

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _names(words: tuple[str, ...]) -> tuple[str, str, str]:
    """The volume group, the old and the new name; raises UsageError."""
    if len(words) == 3:
        vg_name = words[0].removeprefix("/dev/")
        old = _within(vg_name, words[1])
    elif len(words) == 2:
        vg_name, old = split_lv(words[0])
    else:
        raise UsageError("Old and new logical volume names required: lvrename VG OLD NEW, or VG/OLD NEW")
    check_vg_name(vg_name)
    new = check_lv_name(vg_name, _within(vg_name, words[-1]))
    if old == new:
        raise UsageError("Old and new logical volume names must differ")
    return vg_name, old, new


def _within(vg_name: str, word: str) -> str:
    """The name of a volume of that group, from `LV`, `VG/LV` or a path."""
    if "/" not in word:
        return word
    other, name = split_lv(word)
    if other != vg_name:
        raise UsageError(f"a volume stays in its volume group: {word!r} is not in {vg_name!r}")
    return name


def _lvrename(arguments: Arguments) -> int:
    vg_name, old, new = _names(arguments.words)
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        rename(session, vg_name, old, new)
    terminal.say(f'Renamed "{old}" to "{new}" in volume group "{vg_name}"')
    return 0


LVRENAME = Command(
    name="lvrename",
    summary="Give a logical volume another name.",
    usage=("VG OLD NEW", "VG/OLD NEW"),
    run=_lvrename,
    notes="""
Hidden volumes that it is made of get names that follow. What the kernel has active is renamed there, too; a volume
that is served as a file or an export is refused, as its path is in use.
""",
)
