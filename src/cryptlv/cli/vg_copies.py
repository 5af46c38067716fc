"""vgcfgrestore, vgimportclone: groups from their backups, and from copies of their devices."""

from __future__ import annotations

from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command
from cryptlv.errors import UsageError
from cryptlv.names import printable
from cryptlv.ops import vg_restore
from cryptlv.ops.vg_clone import import_clone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.session import Session


def _vgcfgrestore(arguments: Arguments) -> int:
    lists, path = arguments.has("list"), arguments.text("file")
    if len(arguments.words) > 1 or not (arguments.words or (lists and path)):
        raise UsageError("Please specify a *single* volume group to restore.")
    name = arguments.words[0].removeprefix("/dev/") if arguments.words else ""
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if lists:
            _list(session, terminal, name, path)
            return 0
        vg_restore.restore(session, name, path, agreed=arguments.has("force"))
    terminal.say(f"Restored volume group {name}.")
    return 0


def _list(session: Session, terminal: Terminal, name: str, path: str) -> None:
    import time

    files = (vg_restore.read_backup(path),) if path else vg_restore.list_backups(session, name)
    if not files:
        terminal.say(f"No archives found in {session.directories.archive_dir}.")
    for file in files:
        for line in (
            " ",
            f"File:\t\t{printable(file.path)}",
            f"VG name:    \t{printable(file.vg.name)}",
            f"Description:\t{printable(file.description or '<No description>')}",
            f"Backup Time:\t{time.ctime(file.written_at)}\n",
        ):
            terminal.give(line)


VGCFGRESTORE = Command(
    name="vgcfgrestore",
    summary="Put the metadata of a volume group, as a backup or archive file has them, in force again.",
    usage=("[-f FILE] [--force] VG", "-l VG", "-l -f FILE"),
    options=(
        Option(long="file", short="f", takes="FILE", help="The file; the last backup without it."),
        Option(long="list", short="l", help="List archive files and the backup, or one file."),
        Option(long="metadatatype", short="M", takes="lvm2", help="Accepted for lvm2's sake."),
    ),
    run=_vgcfgrestore,
    notes="""
All devices that the file names must be here. --force is needed where encrypted volumes would go with their keys,
where they would come back although their key headers are overwritten, and for thin volumes; what it is about is said.
""",
)


def _vgimportclone(arguments: Arguments) -> int:
    if not arguments.words:
        raise UsageError("vgimportclone: name the devices of the copy")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        made = import_clone(
            session, arguments.words, arguments.text("basevgname"), import_exported=arguments.has("import")
        )
    terminal.say(f'Volume group "{made.name}" successfully imported')
    return 0


VGIMPORTCLONE = Command(
    name="vgimportclone",
    summary="Make copies of a volume group's devices a volume group of its own.",
    usage=("[-n VG] [-i] PATH ...",),
    options=(
        Option(long="basevgname", short="n", takes="VG", help="Its name, with a number behind it where taken."),
        Option(long="import", short="i", help="Import it, too, if the original was exported."),
        Option(long="importdevices", help="Accepted for lvm2's sake: the devices are always entered."),
    ),
    run=_vgimportclone,
    notes="The copy gets new ids for itself, its physical volumes and its volumes; passphrases and data stay.",
)
