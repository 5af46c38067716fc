"""Every command: its name, and the module that declares it (as its name in capitals). Imported when it is run."""

from __future__ import annotations

from cryptlv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Command

COMMANDS: dict[str, str] = {
    "pvcreate": "cryptlv.cli.pv",
    "pvremove": "cryptlv.cli.pv",
    "pvchange": "cryptlv.cli.pv",
    "pvresize": "cryptlv.cli.pv",
    "pvs": "cryptlv.cli.reports",
    "pvdisplay": "cryptlv.cli.display",
    "pvscan": "cryptlv.cli.scans",
    "pvck": "cryptlv.cli.check",
    "pvmove": "cryptlv.cli.pvmove",
    "vgcreate": "cryptlv.cli.vg",
    "vgsplit": "cryptlv.cli.vg_split",
    "vgmerge": "cryptlv.cli.vg_split",
    "vgundo": "cryptlv.cli.undo",
    "vgextend": "cryptlv.cli.vg_members",
    "vgreduce": "cryptlv.cli.vg_members",
    "vgremove": "cryptlv.cli.vg",
    "vgrename": "cryptlv.cli.vg_change",
    "vgchange": "cryptlv.cli.vg_change",
    "vgexport": "cryptlv.cli.vg_change",
    "vgimport": "cryptlv.cli.vg_change",
    "vgimportclone": "cryptlv.cli.vg_copies",
    "vgs": "cryptlv.cli.reports",
    "vgck": "cryptlv.cli.check",
    "vgdisplay": "cryptlv.cli.display",
    "vgscan": "cryptlv.cli.scans",
    "vgcfgbackup": "cryptlv.cli.backup",
    "vgcfgrestore": "cryptlv.cli.vg_copies",
    "lvconvert": "cryptlv.cli.lvconvert",
    "lvcreate": "cryptlv.cli.lvcreate",
    "lvextend": "cryptlv.cli.lv_resize",
    "lvreduce": "cryptlv.cli.lv_resize",
    "lvresize": "cryptlv.cli.lv_resize",
    "lvremove": "cryptlv.cli.lv",
    "lvrename": "cryptlv.cli.lv_rename",
    "lvchange": "cryptlv.cli.lv_change",
    "lvs": "cryptlv.cli.reports",
    "lvdisplay": "cryptlv.cli.display",
    "lvscan": "cryptlv.cli.scans",
    "copy": "cryptlv.cli.copy",
    "serve": "cryptlv.cli.serve",
    "version": "cryptlv.cli.version",
}


def find_command(name: str) -> Command:
    """The declaration of a command; raises UsageError for a name that is none."""
    from importlib import import_module

    if name not in COMMANDS:
        raise UsageError(f"no such command {name!r}; see: cryptlv help")
    command: Command = getattr(import_module(COMMANDS[name]), name.upper())
    return command
