"""/dev/VG/LV: the links that udevd makes for active volumes, and that are made here where none runs
(lvm2's lib/activate/fs.c)."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from cryptlv.errors import ActivationError


def make_link(dev_dir: str, vg_name: str, lv_name: str, node: str) -> None:
    """Have DEV_DIR/VG/LV lead to a node; one that does already, as udevd makes it, stays.

    Raises ActivationError when something else is in its place.
    """
    path = os.path.join(dev_dir, vg_name, lv_name)
    try:
        if os.path.realpath(path) == os.path.realpath(node) and os.path.lexists(path):
            return
        if os.path.lexists(path) and not stat.S_ISLNK(os.lstat(path).st_mode):
            raise ActivationError(f"{path}: is there already and is no link; remove it and activate again")
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.symlink(node, path)
    except OSError as error:
        raise ActivationError(f"{path}: cannot make a link: {error.strerror}") from None


def remove_link(dev_dir: str, vg_name: str, lv_name: str) -> None:
    """Take DEV_DIR/VG/LV away if it is a link, and the directory with the last one; raises ActivationError."""
    path = os.path.join(dev_dir, vg_name, lv_name)
    try:
        if os.path.islink(path):
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ActivationError(f"{path}: cannot remove the link: {error.strerror}") from None
    with suppress(OSError):  # there are others, or none was there
        os.rmdir(os.path.dirname(path))


def remove_nodes(directory: str, number: str, but: str) -> None:
    """Remove the nodes of a device (MAJOR:MINOR) in a directory but the one of its name: those of names that it had.

    Only nodes themselves are looked at; where udevd runs they are links, which it looks after.
    """
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.name != but and not entry.is_symlink()]
    except OSError:
        return
    for name in names:
        path = os.path.join(directory, name)
        with suppress(OSError):
            found = os.lstat(path)
            if stat.S_ISBLK(found.st_mode) and f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" == number:
                os.unlink(path)
