"""Stock lvm2's hints: its note of which devices hold what, by which it leaves out reading the others.

It trusts the note as long as no device comes or goes, so that a physical volume or volume group that another program
makes on a device of old is not seen by it. Every command of stock's that changes which devices are physical volumes,
or which volume groups there are, empties the file first and keeps it locked till it ends (lib/label/hints.c:
clear_hint_file); those are the commands that hold the global lock for writing, and so do we.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@contextmanager
def hints_cleared(directory: str, warn: Callable[[str], None]) -> Iterator[None]:
    """Empty the hints in a directory and keep them locked, so that none are used or made meanwhile.

    Nothing is done when the directory is "" or is not there: stock has made no hints then. A failure is a warning.
    """
    if not directory or not os.path.isdir(directory):
        yield
        return
    lock = -1
    try:
        lock = _clear(directory)
    except OSError as error:
        warn(f"{directory}: cannot clear lvm2's hints: {error.strerror}; if lvm2 misses a device: pvscan --cache")
    try:
        yield
    finally:
        if lock >= 0:
            os.close(lock)


def _clear(directory: str) -> int:
    """The locked descriptor of the emptied hints, -1 when there were none yet."""
    hints = os.path.join(directory, "hints")
    no_hints = os.path.join(directory, "nohints")
    _create(no_hints)  # readers that come while we wait do without hints
    lock = -1
    try:
        with suppress(FileNotFoundError):
            lock = os.open(hints, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
        os.unlink(no_hints)
        _create(hints, f"# Created empty by cryptlv pid {os.getpid()}\n".encode())
        _create(os.path.join(directory, "newhints"))
    except BaseException:  # an interrupt while waiting must not leave the file open
        if lock >= 0:
            os.close(lock)
        raise
    return lock


def _create(path: str, content: bytes = b"") -> None:
    descriptor = os.open(path, _NEW_FILE, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
