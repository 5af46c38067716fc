"""Backup and archive files of metadata, where and as lvm2 keeps them (lib/format_text/archive.c, archiver.c).

`backup/VG` is the metadata as last committed, `archive/VG_NNNNN-RANDOM.vg` as it was before each change. Both are
written to a temporary file, flushed and renamed.
"""

from __future__ import annotations

import os
import re

from cryptlv.errors import CryptlvError, DeviceError, FormatError, NotFoundError
from cryptlv.host.lvmconf import RETAIN_DAYS, RETAIN_MIN
from cryptlv.host.system import make_private_directory
from cryptlv.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.environment import Environment

_MOST_TEXT_BYTES = 64 * MIB


def write_backup(directory: str, vg_name: str, text: bytes) -> str:
    """Replace the backup file of a volume group; gives its path. Raises DeviceError."""
    path = os.path.join(directory, vg_name)
    make_private_directory(directory)
    write_whole_file(path, text)
    return path


def remove_backup(directory: str, vg_name: str) -> None:
    """Drop the backup file of a volume group that has no such name any more; that it stays is no failure."""
    _remove_quietly(os.path.join(directory, vg_name))


def write_archive(
    directory: str,
    vg_name: str,
    text: bytes,
    env: Environment,
    *,
    retain_min: int = RETAIN_MIN,
    retain_days: int = RETAIN_DAYS,
) -> str:
    """Add an archive file under the next number, then prune; gives its path. Raises DeviceError.

    A file is dropped when it is older than `retain_days`, as long as more than `retain_min` are there.
    """
    make_private_directory(directory)
    numbered = _archived(directory, vg_name)
    number = numbered[-1][0] + 1 if numbered else 0
    mark = int.from_bytes(env.random_bytes(4), "big") & 0x7FFFFFFF
    path = os.path.join(directory, f"{vg_name}_{number:05d}-{mark}.vg")
    write_whole_file(path, text)
    keep_from = env.now - retain_days * 86400
    _prune([name for _, name in numbered], directory, len(numbered) + 1 - retain_min, keep_from)
    return path


def archive_paths(directory: str, vg_name: str) -> tuple[str, ...]:
    """The archive files of a volume group, oldest first; none when the directory is not there."""
    try:
        return tuple(os.path.join(directory, name) for _, name in _archived(directory, vg_name))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DeviceError(f"{directory}: cannot read: {error.strerror}", errno=error.errno or 0) from None


def read_metadata_file(path: str) -> bytes:
    """The bytes of a file with metadata; raises NotFoundError, DeviceError, FormatError when it is too large."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _MOST_TEXT_BYTES:
                raise FormatError(f"larger than any metadata text ({_MOST_TEXT_BYTES} bytes)", device=path)
            return file.read(_MOST_TEXT_BYTES)
    except FileNotFoundError:
        raise NotFoundError(f"{path}: no such file") from None
    except OSError as error:
        raise DeviceError(f"{path}: cannot be read: {error.strerror}", errno=error.errno or 0) from None


def read_archive(directory: str, vg_name: str) -> Iterator[tuple[str, bytes]]:
    """(path, text) of a volume group's archive files, the newest first; those that cannot be read are left out."""
    for path in reversed(archive_paths(directory, vg_name)):
        try:
            yield path, read_metadata_file(path)
        except CryptlvError:
            continue


def _archived(directory: str, vg_name: str) -> list[tuple[int, str]]:
    """(number, file name) of a volume group's archive files, oldest first."""
    pattern = re.compile(re.escape(vg_name) + r"_(\d{5,9})-\d+\.vg")
    found = ((pattern.fullmatch(name), name) for name in os.listdir(directory))
    return sorted((int(match[1]), name) for match, name in found if match)


def _prune(oldest_first: list[str], directory: str, most: int, keep_from: int) -> None:
    """Drop `most` files at most, of those that are older than `keep_from` (archive.c:_remove_expired)."""
    for name in oldest_first:
        if most <= 0:
            return
        path = os.path.join(directory, name)
        try:
            if int(os.stat(path).st_mtime) > keep_from:
                continue
            os.unlink(path)
            most -= 1
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
