"""A volume as one regular file through FUSE, mounted over an empty file at its path.

mfusepy calls libfuse by ctypes. The root of the mount is the file itself. As with a block device, opening it with
O_TRUNC changes nothing, and its size is fixed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress

from cryptlv.errors import ActivationError, CryptlvError, DeviceError, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cryptlv.activate.stream import VolumeStream

_PUNCH_HOLE, _ZERO_RANGE, _KEEP_SIZE = 2, 16, 1
_MNT_FORCE, _MNT_DETACH = 1, 2
_OCTAL = re.compile(r"\\([0-7]{3})")
"""How /proc/self/mountinfo writes blanks, tabs, newlines and backslashes."""
_MOUNTING_FAILED = 4
_START_SECONDS = 10
_STOP_SECONDS = 10


def check_usable() -> None:
    """Raise ActivationError, with the remedy, when a FUSE file cannot be made here."""
    _find_libfuse()
    try:
        import mfusepy  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        raise ActivationError(
            "FUSE needs the Python package mfusepy: pip install 'cryptlv[fuse]' (or use NBD)"
        ) from None
    except (OSError, ImportError):
        raise ActivationError("FUSE needs libfuse: apt-get install fuse3 (or use NBD)") from None
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise ActivationError("FUSE needs /dev/fuse, which is not usable here (use NBD)")
    if os.geteuid() != 0 and not shutil.which("fusermount3"):
        raise ActivationError("FUSE needs the program fusermount3: apt-get install fuse3 (or use NBD)")


def _find_libfuse() -> None:
    """Tell mfusepy which libfuse to take, the one that it would find itself by starting compiler and linker."""
    import ctypes

    if "mfusepy" in sys.modules or os.environ.keys() & {"FUSE_LIBRARY_PATH", "FUSE_LIBRARY_NAME"}:
        return
    for name in ("libfuse.so.2", "libfuse3.so.3", "libfuse3.so.4"):
        with suppress(OSError):
            ctypes.CDLL(name)
            os.environ["FUSE_LIBRARY_PATH"] = name
            return


class _Operations:
    """libfuse's calls on the one file. Whatever fails becomes an OSError with its number."""

    use_ns = True

    def __init__(self, stream: VolumeStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._handles = 0
        self.ready = threading.Event()
        now = time.time_ns()
        self._attributes = {
            "st_mode": stat.S_IFREG | (0o600 if stream.writable else 0o400),
            "st_nlink": 1,
            "st_size": stream.size_bytes,
            "st_blocks": stream.size_bytes // 512,
            "st_blksize": 4096,
            "st_uid": os.geteuid(),
            "st_gid": os.getegid(),
            "st_atime": now,
            "st_mtime": now,
            "st_ctime": now,
        }

    @property
    def users(self) -> int:
        with self._lock:
            return self._handles

    def init(self, path: str) -> None:
        self.ready.set()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        if path != "/":
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._attributes

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_ACCMODE != os.O_RDONLY and not self._stream.writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        with self._lock:
            self._handles += 1
        return 0

    def release(self, path: str, fh: int) -> int:
        with self._lock:
            self._handles -= 1
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """What mfusepy looks for to offer reading; `read_into` is called in its place."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """As with reading."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        length = max(min(len(buffer), self._stream.size_bytes - offset), 0)
        try:
            self._stream.read_into(offset, buffer[:length])
        except CryptlvError as error:
            raise _os_error(error) from None
        return length

    def write_in_place(self, offset: int, buffer: memoryview) -> int:
        if offset + len(buffer) > self._stream.size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            self._stream.write_in_place(offset, buffer)
        except CryptlvError as error:
            raise _os_error(error) from None
        return len(buffer)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        if length not in (0, self._stream.size_bytes):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        try:
            self._stream.flush()
        except CryptlvError as error:
            raise _os_error(error) from None
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        if offset + size > self._stream.size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            if mode & _ZERO_RANGE:
                self._stream.write_zeroes(offset, size)
            elif mode & _PUNCH_HOLE:
                # A loop device punches holes to discard and to write zeros. What is discarded of an encrypted volume
                # reads as noise, so it must do without; writing zeros instead would take as long as it is large.
                if not self._stream.punch(offset, size):
                    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            elif mode & ~_KEEP_SIZE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        except CryptlvError as error:
            raise _os_error(error) from None
        return 0

    def chmod(self, path: str, mode: int) -> int:
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: object = None) -> int:
        return 0


def _os_error(error: CryptlvError) -> OSError:
    if isinstance(error, RefusedError):
        return OSError(errno.EROFS, str(error))
    number = error.errno if isinstance(error, DeviceError) and error.errno else errno.EIO
    return OSError(number, str(error))


def _mount_class() -> type:
    """mfusepy's mount, with reads and writes in libfuse's own buffers: its copies cost more than a cipher does."""
    import ctypes

    import mfusepy

    def view(address: Any, size: int) -> memoryview:
        array = (ctypes.c_ubyte * size).from_address(ctypes.addressof(address.contents))
        return memoryview(array).cast("B")

    class Mount(mfusepy.FUSE):  # type: ignore[misc, unused-ignore]
        def read(self, path: bytes | None, buf: Any, size: int, offset: int, fip: object) -> int:
            found: int = self.operations.read_into(offset, view(buf, size))
            return found

        def write(self, path: bytes | None, buf: Any, size: int, offset: int, fip: object) -> int:
            found: int = self.operations.write_in_place(offset, view(buf, size))
            return found

    return Mount


class FuseFile:
    """Serves one volume as the file at `path` until `stop`; `start` returns when it can be opened."""

    def __init__(self, stream: VolumeStream, path: str, on_end: Callable[[], object] = lambda: None) -> None:
        """`on_end` is called when the mount has gone, also when somebody else took it away."""
        self.path = path
        self._on_end = on_end
        self._operations = _Operations(stream)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="fuse", daemon=True)

    @property
    def users(self) -> int:
        """How many handles on the file are open."""
        return self._operations.users

    def start(self) -> None:
        """Mount; raises ActivationError."""
        check_usable()
        try:  # fusermount3 mounts on what its user may write, only
            place = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o200)
        except OSError as error:
            raise ActivationError(f"{self.path}: cannot create: {error.strerror}") from None
        try:
            self._thread.start()
            deadline = time.monotonic() + _START_SECONDS
            while not self._operations.ready.wait(0.02):
                if not self._thread.is_alive() or time.monotonic() > deadline:
                    _unlink_empty(self.path)
                    raise ActivationError(f"{self.path}: cannot mount by FUSE{_reason(self._failure)}")
            os.fchmod(place, 0)  # should the mount be taken away, nobody writes to what was under it
        finally:
            os.close(place)

    def _main(self) -> None:
        try:
            _mount_class()(
                self._operations,
                self.path,
                foreground=True,
                fsname="cryptlv",
                subtype="cryptlv",
                nosuid=True,
                nodev=True,
            )
        except BaseException as error:
            self._failure = error
        finally:
            _ignore_broken_pipes()
            self._on_end()

    def stop(self, *, force: bool = False) -> None:
        """Unmount and remove the file; raises ActivationError when it is in use (unless `force`)."""
        unmount(self.path, lazily=force)
        self._thread.join(timeout=_STOP_SECONDS)
        _unlink_empty(self.path)


def _ignore_broken_pipes() -> None:
    """Have a client that goes away be an error of its socket again, as Python sets it up at first.

    When its loop ends, libfuse gives SIGPIPE back its default (fuse_remove_signal_handlers), and the next write to a
    client that has gone would kill the process. Python's own call works in the main thread only.
    """
    import ctypes
    import signal

    ctypes.CDLL(None).signal(int(signal.SIGPIPE), ctypes.c_void_p(1))  # 1 is SIG_IGN


def _reason(failure: BaseException | None) -> str:
    if failure is None:
        return ""
    if isinstance(failure, RuntimeError) and failure.args and isinstance(failure.args[0], int):
        remedy = ": see whether fusermount3 may be run and mount here" if failure.args[0] == _MOUNTING_FAILED else ""
        return f" (libfuse error {failure.args[0]}){remedy}"
    return f": {type(failure).__name__}"


def _unlink_empty(path: str) -> None:
    """Remove the file under the mount, and nothing else."""
    try:
        found = os.lstat(path)
        if stat.S_ISREG(found.st_mode) and found.st_size == 0:
            os.unlink(path)
    except OSError:
        return


def is_mounted(path: str) -> bool:
    """Whether something is mounted at a path, alive or left behind by a killed server."""
    wanted = os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            points = [line.split(" ")[4] for line in file]
    except OSError:
        return os.path.ismount(path)
    return any(_OCTAL.sub(lambda match: chr(int(match[1], 8)), point) == wanted for point in points)


def _abort(path: str) -> None:
    """End a FUSE connection for all who have its file open; its owner may, where the kernel shows its controls."""
    with suppress(OSError):
        minor = os.minor(os.lstat(path).st_dev)
        with open(f"/sys/fs/fuse/connections/{minor}/abort", "w", encoding="ascii") as control:
            control.write("1")


def unmount(path: str, *, lazily: bool) -> None:
    """Unmount a FUSE file; raises ActivationError. `lazily` takes it from under those who use it, who get errors."""
    if not is_mounted(path):
        return
    if os.geteuid() == 0:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(path), _MNT_FORCE | _MNT_DETACH if lazily else 0) == 0:
            return
        message = os.strerror(ctypes.get_errno())
    else:
        if lazily:
            _abort(path)
        words = ["fusermount3", "-u", "-q", *(["-z"] if lazily else []), "--", path]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        message = done.stderr.strip() or "busy"
    raise ActivationError(f"{path}: cannot unmount: {message}")
