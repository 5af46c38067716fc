"""Backup and archive files of metadata, where and as lvm2 keeps them (lib/format_text/archive.c, archiver.c).

`backup/VG` is the metadata as last committed, `archive/VG_NNNNN-RANDOM.vg` as it was before each change. Both are
written to a temporary file, flushed and renamed. An archive file is dropped when it is older than `RETAIN_DAYS` and
more than `RETAIN_MIN` newer ones are kept.
"""

from __future__ import annotations

import os
import re

from cryptlv.errors import DeviceError
from cryptlv.host.system import make_private_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.environment import Environment

RETAIN_MIN = 10
RETAIN_DAYS = 30
_MOST_TEXT_BYTES = 64 * 1024 * 1024


def write_backup(directory: str, vg_name: str, text: bytes) -> str:
    """Replace the backup file of a volume group; gives its path. Raises DeviceError."""
    path = os.path.join(directory, vg_name)
    make_private_directory(directory)
    write_whole_file(path, text)
    return path


def write_archive(directory: str, vg_name: str, text: bytes, env: Environment) -> str:
    """Add an archive file under the next number, then prune; gives its path. Raises DeviceError."""
    make_private_directory(directory)
    numbered = _archived(directory, vg_name)
    number = numbered[-1][0] + 1 if numbered else 0
    mark = int.from_bytes(env.random_bytes(4), "big") & 0x7FFFFFFF
    path = os.path.join(directory, f"{vg_name}_{number:05d}-{mark}.vg")
    write_whole_file(path, text)
    _prune([name for _, name in numbered], directory, env.now)
    return path


def read_archive(directory: str, vg_name: str) -> Iterator[tuple[str, bytes]]:
    """(path, text) of a volume group's archive files, the newest first; those that cannot be read are left out."""
    if not os.path.isdir(directory):
        return
    for _, name in reversed(_archived(directory, vg_name)):
        path = os.path.join(directory, name)
        try:
            with open(path, "rb") as file:
                text = file.read(_MOST_TEXT_BYTES)
        except OSError:
            continue
        yield path, text


def _archived(directory: str, vg_name: str) -> list[tuple[int, str]]:
    """(number, file name) of a volume group's archive files, oldest first."""
    pattern = re.compile(re.escape(vg_name) + r"_(\d{5,9})-\d+\.vg")
    found = ((pattern.fullmatch(name), name) for name in os.listdir(directory))
    return sorted((int(match[1]), name) for match, name in found if match)


def _prune(oldest_first: list[str], directory: str, now: int) -> None:
    for name in oldest_first[: max(len(oldest_first) + 1 - RETAIN_MIN, 0)]:
        path = os.path.join(directory, name)
        try:
            if os.stat(path).st_mtime >= now - RETAIN_DAYS * 86400:
                return
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DeviceError(
                f"{path}: cannot remove old archive: {error.strerror}", errno=error.errno or 0
            ) from None


def write_whole_file(path: str, data: bytes) -> None:
    """Put a file in place whole and durable, 0600: temporary file, fsync, rename, fsync of the directory.

    Raises DeviceError; the old file is then still there. What is no file, such as /dev/null, is not replaced by one.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise DeviceError(f"{path}: is not a regular file, and is not replaced by one")
    directory, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    _remove_quietly(temporary)  # a process of that id that died here
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        _remove_quietly(temporary)
        raise DeviceError(f"{path}: cannot write: {error.strerror}", errno=error.errno or 0) from None


def _remove_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
