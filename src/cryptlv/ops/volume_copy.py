"""Copies of volumes: to and from raw files, block devices, NBD exports, and pipes.

A volume is opened by this process, under the lock that says it is active, and its key is nowhere else. What was never
written is left out: holes of the source become holes of a new file. Under an encrypted volume a hole is a range
without any content, which reads as noise; it is left out, too, and reads as zeros in the copy.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from contextlib import contextmanager

from cryptlv.activate.nbd_client import SCHEMES, NbdClient
from cryptlv.activate.volume import HeldVolume
from cryptlv.errors import CryptlvError, DeviceError, InUseError, NotFoundError, RefusedError, UsageError
from cryptlv.host.devices import FileDevice, refuse_busy
from cryptlv.host.system import forbid_dumps, make_private_directory
from cryptlv.names import is_name, printable
from cryptlv.ops.activation import KeyRing, open_one
from cryptlv.record import Record
from cryptlv.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from cryptlv.activate.process import ServeRequest
    from cryptlv.activate.stream import VolumeStream
    from cryptlv.ops.copying import Watch
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session
    from cryptlv.secret import VolumeKey

    class End(Protocol):
        """What is copied from or to. Methods may be called from several threads at once; they raise DeviceError."""

        @property
        def name(self) -> str: ...
        @property
        def size_bytes(self) -> int: ...
        @property
        def starts_as_zeros(self) -> bool: ...
        def extents(self, offset_bytes: int, length_bytes: int, /) -> Iterator[tuple[int, bool, bool]]: ...
        def read_into(self, offset_bytes: int, buffer: memoryview, /) -> None: ...
        def write(self, offset_bytes: int, buffer: memoryview, /) -> None: ...
        def write_zeroes(self, offset_bytes: int, length_bytes: int, /) -> None: ...
        def flush(self) -> None: ...
        def close(self) -> None: ...


PIPE = "-"
_CHUNK_BYTES = MIB
_BLOCK_BYTES = 4096
_ZERO_BLOCK = bytes(_BLOCK_BYTES)
_THREADS = 2
_TELL_SECONDS = 0.1


class Copied(Record):
    """What came of a copy: `is_complete` unless it was stopped."""

    done_bytes: int
    total_bytes: int
    is_complete: bool


class FileEnd:
    """A regular file or block device. As a target a regular file is made anew, so that it begins as zeros."""

    def __init__(self, path: str, *, new_size_bytes: int | None = None) -> None:
        self.name = printable(path)
        self.starts_as_zeros = False
        writes = new_size_bytes is not None
        if writes and not _is_block(path):
            self._make(path, new_size_bytes or 0)
            self.starts_as_zeros = True
        elif writes:
            refuse_busy(path)
        self._device = FileDevice(path, writable=writes)
        self.size_bytes = self._device.size_bytes
        self.read_into, self.write = self._device.read_into, self._device.write
        self.flush, self.close = self._device.flush, self._device.close

    def _make(self, path: str, size_bytes: int) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, size_bytes)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DeviceError(f"{self.name}: cannot make it: {error.strerror}", errno=error.errno or 0) from None

    def extents(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, bool, bool]]:
        position, end = offset_bytes, offset_bytes + length_bytes
        while position < end:
            length, has_storage = self._device.extent_at(position, end - position)
            yield length, has_storage, not has_storage
            position += length

    def write_zeroes(self, offset_bytes: int, length_bytes: int) -> None:
        if not self.starts_as_zeros:
            _write_zeros(self, offset_bytes, length_bytes)


def _write_zeros(end: FileEnd, offset_bytes: int, length_bytes: int) -> None:
    zeros = memoryview(bytes(min(length_bytes, _CHUNK_BYTES)))
    for done in range(0, length_bytes, _CHUNK_BYTES):
        end.write(offset_bytes + done, zeros[: length_bytes - done])


def _is_block(path: str) -> bool:
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


class VolumeEnd:
    """A volume that is held by this process."""

    starts_as_zeros = False

    def __init__(self, held: HeldVolume, stream: VolumeStream) -> None:
        self.name = held.name
        self.size_bytes = stream.size_bytes
        self.extents, self.read_into = stream.extents, stream.read_into
        self.write, self.write_zeroes = stream.write_in_place, stream.write_zeroes
        self.flush, self.close = stream.flush, held.close


class _Export:
    """An NBD export, by as many connections as there are threads."""

    starts_as_zeros = False

    def __init__(self, uri: str) -> None:
        self.name = printable(uri)
        self._idle = [NbdClient(uri)]
        self.size_bytes = self._idle[0].size_bytes
        self._uri = uri

    @contextmanager
    def _client(self) -> Iterator[NbdClient]:
        """A connection for this thread; one that has failed is not used again."""
        try:
            client = self._idle.pop()
        except IndexError:
            client = NbdClient(self._uri)
        try:
            yield client
        except BaseException:
            client.close()
            raise
        self._idle.append(client)

    def extents(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, bool, bool]]:
        client = NbdClient(self._uri)
        try:
            yield from client.extents(offset_bytes, length_bytes)
        finally:
            client.close()

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        with self._client() as client:
            client.read_into(offset_bytes, buffer)

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        with self._client() as client:
            client.write(offset_bytes, buffer)

    def write_zeroes(self, offset_bytes: int, length_bytes: int) -> None:
        with self._client() as client:
            for done in range(0, length_bytes, 32 * MIB):  # what every server takes at once
                client.write_zeroes(offset_bytes + done, min(length_bytes - done, 32 * MIB))

    def flush(self) -> None:
        """On every connection: not every server has one flush for all."""
        for client in list(self._idle):
            client.flush()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class CopyRequest(Record):
    """A copy from one word to another: VG/LV, a path, an NBD URI, or - for standard input or output."""

    source: str
    target: str
    allow_discards: bool = False


def split_volume(word: str) -> tuple[str, str] | None:
    """The two names of VG/LV; None for a path, which has another form: begin it with ./ or / where in doubt."""
    vg_name, slash, lv_name = word.removeprefix("/dev/").partition("/")
    if not slash or not is_name(vg_name) or not is_name(lv_name):
        return None
    return None if word.startswith("/dev/") and os.path.exists(word) else (vg_name, lv_name)


def copy(
    session: Session, request: CopyRequest, credentials: Credentials, confirm: Callable[[str], None], watch: Watch
) -> Copied:
    """Copy everything, and flush the target. `confirm` is asked before anything is overwritten.

    Raises UsageError, RefusedError when the target is too small or the user does not want it, InUseError for an
    active volume, DeviceError, and what unlocking raises.
    """
    _check(session, request)
    if session.test:
        return _tested(session, request)
    forbid_dumps()
    opened: list[End] = []
    try:
        with KeyRing(credentials, session.warn) as keys:
            source = None if request.source == PIPE else _open_source(session, request.source, keys, opened)
            size = source.size_bytes if source is not None else None
            target = None
            if request.target != PIPE:
                target = _open_target(session, request, size, keys, confirm, opened)
        if source is not None and target is not None and target.size_bytes < source.size_bytes:
            raise RefusedError(
                f"{target.name} has {target.size_bytes} bytes, fewer than {source.name} with {source.size_bytes}"
            )
        try:
            if source is None or target is None:
                copied = _copy_pipe(source, target, watch)
            else:
                copied = copy_ends(source, target, watch)
            if target is not None:
                target.flush()
        except (DeviceError, RefusedError) as error:
            if target is None:
                raise
            raise DeviceError(f"{error}; {target.name} is incomplete") from None
        return copied
    finally:
        for end in opened:
            end.close()


def _check(session: Session, request: CopyRequest) -> None:
    if request.source == request.target:
        raise UsageError("copy: source and target are the same")
    target = request.target
    if target == PIPE or target.startswith(SCHEMES) or split_volume(target) is not None:
        return
    if request.source == PIPE:
        raise UsageError("copy: standard input goes into a volume or an NBD export; for a file use cat")
    for path in session.device_paths():
        if os.path.exists(target) and os.path.exists(path) and os.path.samefile(path, target):
            raise RefusedError(f"{printable(target)} is a physical volume: a copy would destroy it")


def _tested(session: Session, request: CopyRequest) -> Copied:
    """Whether the volumes are there."""
    for names in filter(None, map(split_volume, (request.source, request.target))):
        with session.locked(names[0], write=False):
            session.world().group(names[0]).vg.lv(names[1])
    return Copied(done_bytes=0, total_bytes=0, is_complete=True)


def _open_source(session: Session, word: str, keys: KeyRing, opened: list[End]) -> End:
    end: End
    names = split_volume(word)
    if word.startswith(SCHEMES):
        end = _Export(word)
    elif names is not None:
        end = _hold(session, names, keys, writable=False)
    else:
        end = FileEnd(word)
    opened.append(end)
    return end


def _open_target(
    session: Session,
    request: CopyRequest,
    size: int | None,
    keys: KeyRing,
    confirm: Callable[[str], None],
    opened: list[End],
) -> End:
    end: End
    word = request.target
    names = split_volume(word)
    if names is not None or word.startswith(SCHEMES) or os.path.exists(word):
        confirm(f"Everything on {printable(word)} is overwritten. Do you really want that?")
    if word.startswith(SCHEMES):
        end = _Export(word)
    elif names is not None:
        end = _hold(session, names, keys, writable=True, allow_discards=request.allow_discards)
    else:
        end = FileEnd(word, new_size_bytes=size)
    opened.append(end)
    return end


def _hold(
    session: Session, names: tuple[str, str], keys: KeyRing, *, writable: bool, allow_discards: bool = False
) -> VolumeEnd:
    found: list[VolumeEnd] = []

    def start(request: ServeRequest, keys: Mapping[str, VolumeKey]) -> tuple[str, str]:
        make_private_directory(request.run_dir)
        make_private_directory(os.path.join(request.run_dir, "@servers"))
        if writable and not request.mapping.writable:
            raise RefusedError(f"{names[0]}/{names[1]} is read-only")
        mapping = request.mapping.replace(writable=writable)
        held = HeldVolume(request.replace(mapping=mapping, allow_discards=allow_discards))
        try:
            found.append(VolumeEnd(held, held.open(keys)))
        except BaseException:
            held.close()
            raise
        return "", "nbd"

    try:
        active = open_one(session, *names, keys, start)
    except NotFoundError as error:
        word = "/".join(names)
        hint = f"; the file of that name is ./{word}" if os.path.exists(word) else ""
        raise NotFoundError(f"{error}{hint}") from None
    if active.already:
        where = f" at {active.path}, which can be copied instead" if active.path else ""
        raise InUseError(f"{names[0]}/{names[1]} is active{where}; or deactivate it first")
    return found[0]


def copy_ends(source: End, target: End, watch: Watch) -> Copied:
    """Copy all of the source to the target, by two threads, and say how far it is; nothing is flushed."""
    run = _Run(source, target)
    threads = [threading.Thread(target=run.work, name="copy", daemon=True) for _ in range(_THREADS)]
    total = source.size_bytes
    watch.tell(0, total)
    for thread in threads if not watch.is_stopping else ():
        thread.start()
    for thread in threads:
        while thread.is_alive():
            if watch.is_stopping:
                run.is_stopping = True
            thread.join(_TELL_SECONDS)
            watch.tell(run.done_bytes, total)
    if run.failures:
        raise run.failures[0]
    watch.tell(run.done_bytes, total)
    return Copied(done_bytes=run.done_bytes, total_bytes=total, is_complete=run.done_bytes == total)


class _Run:
    """A copy by several threads, each of which takes the next piece of what is left."""

    def __init__(self, source: End, target: End) -> None:
        self._source = source
        self._target = target
        self._pieces = _pieces(source)
        self._lock = threading.Lock()
        self.done_bytes = 0
        self.is_stopping = False
        self.failures: list[CryptlvError] = []

    def work(self) -> None:
        """Copy pieces until there are none; what goes wrong is kept, and ends the other threads, too."""
        buffer = bytearray(_CHUNK_BYTES)
        with memoryview(buffer) as view:
            try:
                while not self.is_stopping:
                    with self._lock:
                        piece = next(self._pieces, None)
                    if piece is None:
                        return
                    offset, length, has_data, is_zero = piece
                    if has_data:
                        self._copy(offset, buffer, view[:length])
                    elif is_zero:
                        self._target.write_zeroes(offset, length)
                    with self._lock:
                        self.done_bytes += length
            except CryptlvError as error:
                self.failures.append(error)
                self.is_stopping = True

    def _copy(self, offset: int, buffer: bytearray, view: memoryview) -> None:
        self._source.read_into(offset, view)
        if not self._target.starts_as_zeros:
            self._target.write(offset, view)
            return
        for start, end in data_runs(buffer, len(view)):
            self._target.write(offset + start, view[start:end])


def _pieces(source: End) -> Iterator[tuple[int, int, bool, bool]]:
    """(offset, bytes, whether they are to be copied, whether they are zeros) of all of a source, chunk by chunk."""
    position = 0
    for length, has_storage, is_zero in source.extents(0, source.size_bytes):
        end = position + length
        has_data = has_storage and not is_zero
        while position < end:
            step = min(_CHUNK_BYTES - position % _CHUNK_BYTES, end - position) if has_data else end - position
            yield position, step, has_data, is_zero
            position += step


def data_runs(buffer: bytearray, length: int) -> Iterator[tuple[int, int]]:
    """The runs of blocks of a buffer that are not all zeros: (start, end)."""
    start = -1
    for at in range(0, length, _BLOCK_BYTES):
        stop = min(at + _BLOCK_BYTES, length)
        if buffer.startswith(_ZERO_BLOCK[: stop - at], at, stop):
            if start >= 0:
                yield start, at
                start = -1
        elif start < 0:
            start = at
    if start >= 0:
        yield start, length


def _copy_pipe(source: End | None, target: End | None, watch: Watch) -> Copied:
    """From standard input, or to standard output, in order."""
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    if source is not None:
        total = source.size_bytes
        done = _to_pipe(source, buffer, watch)
        return Copied(done_bytes=done, total_bytes=total, is_complete=done == total)
    if target is None:
        raise UsageError("copy: one of source and target must be a volume or an NBD export")
    done = 0
    while True:
        watch.tell(done, target.size_bytes)
        length = _fill_from_pipe(buffer, watch)
        if watch.is_stopping:
            break
        if done + length > target.size_bytes:
            raise RefusedError(f"standard input has more than the {target.size_bytes} bytes of {target.name}")
        if not length:
            watch.tell(done, done)
            return Copied(done_bytes=done, total_bytes=done, is_complete=True)
        target.write(done, buffer[:length])
        done += length
    return Copied(done_bytes=done, total_bytes=target.size_bytes, is_complete=False)


def _to_pipe(source: End, buffer: memoryview, watch: Watch) -> int:
    for offset, length, has_data, _ in _pieces(source):
        for done in range(0, length, _CHUNK_BYTES):
            if watch.is_stopping:
                return offset + done
            part = buffer[: min(length - done, _CHUNK_BYTES)]
            if has_data:
                source.read_into(offset + done, part)
            else:
                part[:] = bytes(len(part))
            _write_pipe(part)
            watch.tell(offset + done + len(part), source.size_bytes)
    return source.size_bytes


def _fill_from_pipe(buffer: memoryview, watch: Watch) -> int:
    """As much of standard input as fits; less only at its end, or when the copy is to stop."""
    filled = 0
    while filled < len(buffer) and not watch.is_stopping:
        try:
            if not select.select([0], [], [], _TELL_SECONDS)[0]:
                continue
            count = os.readv(0, [buffer[filled:]])
        except OSError as error:
            raise DeviceError(f"standard input: cannot read: {error.strerror}", errno=error.errno or 0) from None
        if not count:
            break
        filled += count
    return filled


def _write_pipe(data: memoryview) -> None:
    while data:
        try:
            data = data[os.write(1, data) :]
        except OSError as error:
            raise DeviceError(f"standard output: cannot write: {error.strerror}", errno=error.errno or 0) from None
