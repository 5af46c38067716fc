"""Devices: a regular file or block device, and one in memory that stands in for them."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import suppress

from cryptlv.errors import DeviceError, InUseError, NotFoundError
from cryptlv.names import printable
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BLKSSZGET = 0x1268
_BLKDISCARD = 0x1277
_FALLOC_KEEP_SIZE = 1
_FALLOC_PUNCH_HOLE = 2
_ENOTSUP = 95
_EINVAL = 22
_BLOCK_BYTES = 4096


def device_number(path: str) -> tuple[int, int]:
    """Major and minor number of a block device; -1 and -1 for anything else."""
    try:
        found = os.stat(path)
    except OSError:
        return -1, -1
    return (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISBLK(found.st_mode) else (-1, -1)


class FileDevice:
    """A regular file or block device, opened for reading or for both; see `cryptlv.device.Device`.

    With `direct` a block device is read and written past the page cache, as stock lvm2 does it (host/direct.py).
    Raises NotFoundError when there is nothing at `path`, DeviceError when it cannot be opened or is something else.
    """

    def __init__(self, path: str, *, writable: bool = False, direct: bool = False) -> None:
        self._path = path
        self._writable = writable
        mode = os.O_RDWR if writable else os.O_RDONLY
        try:
            self._descriptor = os.open(path, mode | os.O_CLOEXEC | os.O_NONBLOCK)  # a fifo must not block us
        except FileNotFoundError:
            raise NotFoundError(f"{printable(path)}: no such file or device") from None
        except OSError as error:
            self._fail("open", error)
        try:
            self._size, self._sector_size, self._is_block = self._observe()
            self._is_direct = direct and self._is_block and self._set_direct()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _observe(self) -> tuple[int, int, bool]:
        try:
            mode = os.fstat(self._descriptor).st_mode
            size = os.lseek(self._descriptor, 0, os.SEEK_END) if stat.S_ISREG(mode) or stat.S_ISBLK(mode) else 0
            if stat.S_ISREG(mode):
                return size, SECTOR_SIZE, False
            if stat.S_ISBLK(mode):
                raw = fcntl.ioctl(self._descriptor, _BLKSSZGET, struct.pack("i", 0))
                return size, struct.unpack("i", raw)[0], True
        except OSError as error:
            self._fail("look at", error)
        raise DeviceError(f"{printable(self._path)}: neither a regular file nor a block device")

    def _set_direct(self) -> bool:
        from cryptlv.host.direct import set_direct

        return set_direct(self._descriptor)

    def _fail(self, what: str, error: OSError) -> NoReturn:
        raise DeviceError(
            f"{printable(self._path)}: cannot {what}: {error.strerror}", errno=error.errno or 0
        ) from None

    @property
    def path(self) -> str:
        return self._path

    @property
    def size_bytes(self) -> int:
        return self._size

    @property
    def sector_size(self) -> int:
        return self._sector_size

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        self._check_range("read", offset_bytes, length_bytes)
        try:
            if self._is_direct:
                from cryptlv.host.direct import read_direct

                data = read_direct(self._descriptor, self._sector_size, offset_bytes, length_bytes)
            else:
                data = os.pread(self._descriptor, length_bytes, offset_bytes)
        except OSError as error:
            self._fail(f"read {length_bytes} bytes at {offset_bytes}", error)
        if len(data) == length_bytes:
            return data
        if self._is_direct:
            raise DeviceError(
                f"{printable(self._path)}: ends at byte {offset_bytes + len(data)}, it has been cut off"
            )
        buffer = bytearray(length_bytes)  # the system gives two gigabytes at most in one go
        self.read_into(offset_bytes, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        length = len(buffer)
        if offset_bytes < 0 or offset_bytes + length > self._size:
            self._check_range("read", offset_bytes, length)
        if not self._is_direct:  # what is read most, in as few steps as there can be
            try:
                if os.preadv(self._descriptor, (buffer,), offset_bytes) == length:
                    return
            except OSError as error:
                self._fail(f"read {length} bytes at {offset_bytes}", error)
        elif not self._is_whole(offset_bytes, len(buffer)):
            buffer[:] = self.read(offset_bytes, len(buffer))
            return
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._descriptor, [buffer[done:]], offset_bytes + done)
            except OSError as error:
                if self._is_direct and error.errno == _EINVAL:  # the memory is not where the device wants it
                    buffer[done:] = self.read(offset_bytes + done, len(buffer) - done)
                    return
                self._fail(f"read {len(buffer)} bytes at {offset_bytes}", error)
            if count == 0:
                raise DeviceError(f"{printable(self._path)}: ends at byte {offset_bytes + done}, it has been cut off")
            done += count

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        length = len(data)
        if offset_bytes < 0 or offset_bytes + length > self._size:
            self._check_range("write", offset_bytes, length)
        if not self._writable:
            raise DeviceError(f"{printable(self._path)}: opened for reading only")
        if self._is_direct and not self._is_whole(offset_bytes, length):
            self._write_direct(offset_bytes, memoryview(data))
            return
        done = 0
        while done < length:
            try:
                done += os.pwrite(self._descriptor, memoryview(data)[done:] if done else data, offset_bytes + done)
            except OSError as error:
                if self._is_direct and error.errno == _EINVAL:  # as above
                    self._write_direct(offset_bytes + done, memoryview(data)[done:])
                    return
                self._fail(f"write {length} bytes at {offset_bytes}", error)

    def _write_direct(self, offset_bytes: int, view: memoryview) -> None:
        from cryptlv.host.direct import write_direct

        try:
            write_direct(self._descriptor, self._sector_size, offset_bytes, view)
        except OSError as error:
            self._fail(f"write {len(view)} bytes at {offset_bytes}", error)

    def _is_whole(self, offset_bytes: int, length_bytes: int) -> bool:
        """Whether these are whole sectors, which need not be put together in memory of our own."""
        return offset_bytes % self._sector_size == 0 and length_bytes % self._sector_size == 0

    def _check_range(self, what: str, offset_bytes: int, length_bytes: int) -> None:
        if offset_bytes < 0 or offset_bytes + length_bytes > self._size:
            raise DeviceError(
                f"{printable(self._path)}: cannot {what} {length_bytes} bytes at {offset_bytes}: "
                f"it has {self._size} bytes"
            )

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        self._check_range("discard", offset_bytes, length_bytes)
        if not length_bytes:
            return
        try:
            if self._is_block:
                fcntl.ioctl(self._descriptor, _BLKDISCARD, struct.pack("QQ", offset_bytes, length_bytes))
            else:
                _punch_hole(self._descriptor, offset_bytes, length_bytes)
        except OSError as error:
            if error.errno not in (_ENOTSUP, _EINVAL):  # a device that cannot discard keeps its data: allowed
                self._fail(f"discard {length_bytes} bytes at {offset_bytes}", error)

    def punch(self, offset_bytes: int, length_bytes: int) -> bool:
        """As fallocate(2) does it to a file; what a block device reads as after a discard is its own affair."""
        self._check_range("punch", offset_bytes, length_bytes)
        if self._is_block or not length_bytes:
            return not length_bytes
        try:
            _punch_hole(self._descriptor, offset_bytes, length_bytes)
        except OSError as error:
            if error.errno not in (_ENOTSUP, _EINVAL):
                self._fail(f"punch {length_bytes} bytes at {offset_bytes}", error)
            return False
        return True

    def extent_at(self, offset_bytes: int, length_bytes: int) -> tuple[int, bool]:
        """What lseek(2) says of the file; a block device has storage everywhere."""
        self._check_range("look at", offset_bytes, length_bytes)
        if self._is_block:
            return length_bytes, True
        end = offset_bytes + length_bytes
        try:
            data = os.lseek(self._descriptor, offset_bytes, os.SEEK_DATA)
            if data > offset_bytes:
                return min(data, end) - offset_bytes, False
            return min(os.lseek(self._descriptor, offset_bytes, os.SEEK_HOLE), end) - offset_bytes, True
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data from here on
                return length_bytes, False
            return length_bytes, True

    def start_reading(self, offset_bytes: int, length_bytes: int) -> None:
        """By the page cache's hint, upon which Linux reads ahead (posix_fadvise(2))."""
        if not self._is_direct:
            with suppress(OSError):  # a hint
                os.posix_fadvise(self._descriptor, offset_bytes, length_bytes, os.POSIX_FADV_WILLNEED)

    def start_writing(self, offset_bytes: int, length_bytes: int) -> None:
        """By the page cache's hint, upon which Linux writes what is dirty (posix_fadvise(2))."""
        if not self._is_direct:
            with suppress(OSError):  # a hint
                os.posix_fadvise(self._descriptor, offset_bytes, length_bytes, os.POSIX_FADV_DONTNEED)

    def flush(self) -> None:
        if not self._writable:
            return
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._fail("flush", error)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _punch_hole(descriptor: int, offset_bytes: int, length_bytes: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    mode = _FALLOC_KEEP_SIZE | _FALLOC_PUNCH_HOLE
    if libc.fallocate(descriptor, mode, ctypes.c_int64(offset_bytes), ctypes.c_int64(length_bytes)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def refuse_busy(path: str) -> None:
    """Raise InUseError when a block device is mounted, or a part of something else that is in use."""
    try:
        if stat.S_ISBLK(os.stat(path).st_mode):
            os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise InUseError(f"Can't open {printable(path)} exclusively. Mounted filesystem?") from None


class MemoryDevice:
    """A device in memory, zeros at first or a copy of `content`; see `cryptlv.device.Device`."""

    def __init__(self, size_bytes: int = 0, path: str = "memory", content: bytes | None = None) -> None:
        self._path = path
        self.content = bytearray(size_bytes) if content is None else bytearray(content)
        import threading

        self._lock = threading.Lock()

    @property
    def path(self) -> str:
        return self._path

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    @property
    def sector_size(self) -> int:
        return SECTOR_SIZE

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        self._check_range("read", offset_bytes, length_bytes)
        with self._lock:
            return bytes(self.content[offset_bytes : offset_bytes + length_bytes])

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        buffer[:] = self.read(offset_bytes, len(buffer))

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        self._check_range("write", offset_bytes, len(data))
        with self._lock:
            self.content[offset_bytes : offset_bytes + len(data)] = data

    def _check_range(self, what: str, offset_bytes: int, length_bytes: int) -> None:
        if offset_bytes < 0 or offset_bytes + length_bytes > len(self.content):
            raise DeviceError(
                f"{self._path}: cannot {what} {length_bytes} bytes at {offset_bytes}: "
                f"it has {len(self.content)} bytes"
            )

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        self._check_range("discard", offset_bytes, length_bytes)
        with self._lock:
            self.content[offset_bytes : offset_bytes + length_bytes] = bytes(length_bytes)

    def punch(self, offset_bytes: int, length_bytes: int) -> bool:
        """Zeros."""
        self.discard(offset_bytes, length_bytes)
        return True

    def extent_at(self, offset_bytes: int, length_bytes: int) -> tuple[int, bool]:
        """Blocks of 4096 bytes that hold nothing but zeros are holes."""
        self._check_range("look at", offset_bytes, length_bytes)
        end, found = offset_bytes, None
        while end < offset_bytes + length_bytes:
            block = end - end % _BLOCK_BYTES
            stop = min(block + _BLOCK_BYTES, offset_bytes + length_bytes)
            with self._lock:
                is_data = any(self.content[block : block + _BLOCK_BYTES])
            if found is not None and is_data != found:
                break
            end, found = stop, is_data
        return end - offset_bytes, found is not False

    def start_reading(self, offset_bytes: int, length_bytes: int) -> None:
        """Memory is read already."""

    def start_writing(self, offset_bytes: int, length_bytes: int) -> None:
        """Memory is written at once."""

    def flush(self) -> None:
        """Memory is as durable as it gets."""

    def close(self) -> None:
        """Nothing to give back."""
