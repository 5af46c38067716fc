"""vgcfgbackup: a volume group's metadata as a file."""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.host.archive import write_backup, write_whole_file
from cryptlv.ondisk.vgrender import render_backup
from cryptlv.ops.vg import names as names_of_groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ops.session import Session


def vgcfgbackup(session: Session, vg_names: tuple[str, ...], file_template: str = "") -> tuple[tuple[str, str], ...]:
    """Back up the named volume groups (all when none is named); gives (vg name, path) of each.

    `%s` in the file name stands for the volume group's name, and is needed for more than one. Raises NotFoundError,
    RefusedError, DeviceError.
    """
    done: list[tuple[str, str]] = []
    with session.locked(write=False, global_read=not vg_names):
        names = vg_names or names_of_groups(session)
        if file_template and len(names) > 1 and "%s" not in file_template:
            raise RefusedError(f"{file_template}: one file for {len(names)} volume groups; put %s in its name")
        for name in names:
            with session.locked(name, write=False):
                vg = session.world().group(name).vg
                session.check_accessible(vg)
                text = render_backup(vg, session.env, f"{session.env.command}")
                if session.test:
                    continue
                if file_template:
                    path = file_template.replace("%s", name)
                    write_whole_file(path, text)
                else:
                    path = write_backup(session.directories.backup_dir, name, text)
                done.append((name, path))
    return tuple(done)
