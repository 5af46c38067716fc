"""A volume's mapping over its open devices, as a byte-addressed device of its own.

Requests of any offset and length are cut at target borders. Where a request begins or ends inside a cipher sector the
rest of that sector is read, decrypted and written again, under a lock on the range, so that writers of neighbouring
bytes never undo each other.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from contextlib import contextmanager

from cryptlv.errors import CryptlvError, DeviceError, RefusedError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget
from cryptlv.names import printable
from cryptlv.units import MIB, SECTOR_SIZE, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cryptlv.ciphers.engine import SectorCipher
    from cryptlv.device import Device
    from cryptlv.model.mapping import Target, VolumeMapping

_SLICE_BYTES = MIB
"""A write is encrypted in private buffers of this size at most."""


class RangeLock:
    """Exclusive locks on ranges of bytes: a holder keeps out every overlapping range, and no other."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._given = threading.Condition(self._mutex)
        self._waiting = 0
        self._held: list[tuple[int, int]] = []

    def take(self, start: int, end: int) -> None:
        """Wait until no held range overlaps [start, end), and hold it until the same is given back."""
        with self._mutex:
            while self._held and any(start < held[1] and held[0] < end for held in self._held):
                self._waiting += 1
                self._given.wait()
                self._waiting -= 1
            self._held.append((start, end))

    def give(self, start: int, end: int) -> None:
        """Let go of a range."""
        with self._mutex:
            self._held.remove((start, end))
            if self._waiting:
                self._given.notify_all()

    @contextmanager
    def held(self, start: int, end: int) -> Iterator[None]:
        """Hold a range."""
        self.take(start, end)
        try:
            yield
        finally:
            self.give(start, end)


class _Span:
    """A target whose sectors lie in one piece on one device, ready for use: byte `start` of the volume is byte
    `start + shift` of the device, and sector n is encrypted with the IV of n + `iv`."""

    __slots__ = ("cipher", "device", "end", "iv", "pv_id", "shift", "start", "write")

    def __init__(
        self, target: LinearTarget | CryptTarget, device: Device | VolumeStream, cipher: SectorCipher | None
    ) -> None:
        self.start = target.start_sectors * SECTOR_SIZE
        self.end = target.end_sectors * SECTOR_SIZE
        self.shift = target.offset_sectors * SECTOR_SIZE - self.start
        self.pv_id = target.pv_id
        self.device = device
        self.write = _writer(device)
        self.cipher = cipher
        self.iv = target.iv_offset_sectors - target.start_sectors if isinstance(target, CryptTarget) else 0


def _writer(device: Device | VolumeStream) -> Callable[[int, memoryview], None]:
    """What writes a buffer that nobody needs any more."""
    return device.write_in_place if isinstance(device, VolumeStream) else device.write


class VolumeStream:
    """A volume as bytes. Every method may be called from several threads at once.

    `devices` has an open device for each PV id of the mapping, `ciphers` a sector cipher for each keystore; both
    belong to the caller. The hidden volumes of a stacked mapping are streams of their own, used like devices.
    `allow_discards` lets discards reach the devices, which shows which sectors are free.
    """

    def __init__(
        self,
        mapping: VolumeMapping,
        devices: Mapping[str, Device],
        ciphers: Mapping[str, SectorCipher],
        *,
        allow_discards: bool = False,
    ) -> None:
        self.mapping = mapping
        self._devices: dict[str, Device | VolumeStream] = dict(devices)
        for layer in mapping.layers:
            self._devices[layer.lv_id] = VolumeStream(layer, devices, ciphers, allow_discards=allow_discards)
        self._ciphers = ciphers
        self._allow_discards = allow_discards
        self._locks = RangeLock()
        self._dirty: set[str] = set()
        self._dirty_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._lost = ""
        self._unit = max([SECTOR_SIZE, *(cipher.sector_size for cipher in ciphers.values())])
        self._mask = self._unit - 1
        self._writable = mapping.writable
        self._starts = [target.start_sectors * SECTOR_SIZE for target in mapping.targets]
        self._spans = [self._span(target) for target in mapping.targets]
        self._only = self._spans[0] if len(self._spans) == 1 else None

    def _span(self, target: Target) -> _Span | None:
        if isinstance(target, CryptTarget):
            return _Span(target, self._devices[target.pv_id], self._ciphers[target.crypto_store])
        return _Span(target, self._devices[target.pv_id], None) if isinstance(target, LinearTarget) else None

    def _span_of(self, offset_bytes: int, end_bytes: int) -> _Span | None:
        """The span that a range of whole sectors lies in as a whole; None for any other range."""
        if (offset_bytes | end_bytes) & self._mask:
            return None
        span = self._only or self._spans[bisect_right(self._starts, offset_bytes) - 1]
        return span if span is not None and span.start <= offset_bytes and end_bytes <= span.end else None

    @property
    def size_bytes(self) -> int:
        """The volume's size."""
        return self.mapping.length_sectors * SECTOR_SIZE

    @property
    def writable(self) -> bool:
        """Whether writes are taken."""
        return self.mapping.writable

    def read(self, offset_bytes: int, length_bytes: int) -> bytearray:
        """Bytes of the volume; raises DeviceError, also for a range beyond its end."""
        buffer = bytearray(length_bytes)
        self.read_into(offset_bytes, memoryview(buffer))
        return buffer

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill a writable buffer; raises DeviceError."""
        span = self._span_of(offset_bytes, offset_bytes + len(buffer))
        if span is not None:
            span.device.read_into(offset_bytes + span.shift, buffer)
            if span.cipher is not None:
                span.cipher.decrypt(buffer, offset_bytes // SECTOR_SIZE + span.iv)
            return
        self._check_range(offset_bytes, len(buffer))
        if (offset_bytes | len(buffer)) & self._mask:
            start = offset_bytes - offset_bytes % self._unit
            whole = bytearray(round_up(offset_bytes + len(buffer), self._unit) - start)
            self._read_sectors(start, memoryview(whole))
            skip = offset_bytes - start
            buffer[:] = memoryview(whole)[skip : skip + len(buffer)]
        else:
            self._read_sectors(offset_bytes, buffer)

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        """Write to the volume; raises DeviceError, RefusedError when it is read-only."""
        view = memoryview(data)
        self._check_write(offset_bytes, len(view))
        position, end = offset_bytes, offset_bytes + len(view)
        while position < end:
            stop = min(end, position - position % _SLICE_BYTES + _SLICE_BYTES)
            self._write_slice(position, view[position - offset_bytes : stop - offset_bytes])
            position = stop

    def write_in_place(self, offset_bytes: int, buffer: memoryview) -> None:
        """Write the caller's buffer, which may hold anything afterwards: it is encrypted where it is. Raises
        DeviceError, RefusedError when the volume is read-only."""
        end = offset_bytes + len(buffer)
        span = self._span_of(offset_bytes, end) if self._writable else None
        if span is None:
            self._check_write(offset_bytes, len(buffer))
            if (offset_bytes | end) & self._mask:
                self.write(offset_bytes, buffer)
            else:
                with self._locks.held(offset_bytes, end):
                    self._write_sectors(offset_bytes, buffer)
            return
        if span.cipher is not None:
            span.cipher.encrypt(buffer, offset_bytes // SECTOR_SIZE + span.iv)
        self._locks.take(offset_bytes, end)
        try:
            span.write(offset_bytes + span.shift, buffer)
        finally:
            self._locks.give(offset_bytes, end)
        if span.pv_id not in self._dirty:  # a flush that takes the set after this look comes after the write, too
            self._mark_dirty(span.pv_id)

    def _mark_dirty(self, pv_id: str) -> None:
        with self._dirty_lock:
            self._dirty.add(pv_id)

    def write_zeroes(self, offset_bytes: int, length_bytes: int) -> None:
        """Make a range read as zeros; raises DeviceError or RefusedError."""
        self._check_write(offset_bytes, length_bytes)
        zeros = bytes(min(length_bytes, _SLICE_BYTES))
        buffer = memoryview(bytearray(len(zeros)))
        position, end = offset_bytes, offset_bytes + length_bytes
        while position < end:
            stop = min(end, position - position % _SLICE_BYTES + _SLICE_BYTES)
            part = buffer[: stop - position]
            part[:] = zeros[: stop - position]
            self.write_in_place(position, part)
            position = stop

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        """Say that a range is not needed. Its data stay unless discards are allowed; then whole sectors go."""
        self._check_write(offset_bytes, length_bytes)
        if not self._allow_discards:
            return
        start = round_up(offset_bytes, self._unit)
        end = (offset_bytes + length_bytes) // self._unit * self._unit
        if start >= end:
            return
        with self._locks.held(start, end):
            for target, from_sector, count in self._targets(start, end - start):
                for pv_id, offset, length, _ in _runs(target, from_sector, count):
                    self._devices[pv_id].discard(offset, length)
                    self._mark_dirty(pv_id)

    def punch(self, offset_bytes: int, length_bytes: int) -> bool:
        """Have a range read as zeros by giving up its storage; raises DeviceError, RefusedError.

        False where that cannot be: discards are not allowed, something of the volume is encrypted (what has no
        content reads as noise then), or a device cannot do it. A part of the range may be zeros already then.
        """
        self._check_write(offset_bytes, length_bytes)
        if not self._allow_discards or self._ciphers:
            return False
        start = offset_bytes - offset_bytes % SECTOR_SIZE
        end = round_up(offset_bytes + length_bytes, SECTOR_SIZE)
        if (start, end) != (offset_bytes, offset_bytes + length_bytes):
            return False
        with self._locks.held(start, end):
            for target, from_sector, count in self._targets(start, end - start):
                for pv_id, offset, length, _ in _runs(target, from_sector, count):
                    if not self._devices[pv_id].punch(offset, length):
                        return False
                    self._mark_dirty(pv_id)
        return True

    def start_reading(self, offset_bytes: int, length_bytes: int) -> None:
        """Say that a range is read soon; raises DeviceError for one beyond the end."""
        span = self._span_of(offset_bytes, offset_bytes + length_bytes)
        if span is not None:
            span.device.start_reading(offset_bytes + span.shift, length_bytes)
            return
        self._check_range(offset_bytes, length_bytes)
        start, end = offset_bytes // SECTOR_SIZE * SECTOR_SIZE, round_up(offset_bytes + length_bytes, SECTOR_SIZE)
        for target, from_sector, count in self._targets(start, end - start):
            for pv_id, offset, length, _ in _runs(target, from_sector, count):
                self._devices[pv_id].start_reading(offset, length)

    def extents(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, bool, bool]]:
        """A range as (bytes, whether they have storage, whether they are known to read as zeros), in order.

        What has no storage under an encrypted target was never written, or was discarded: it reads as noise, not as
        zeros. Raises DeviceError for a range beyond the end.
        """
        self._check_range(offset_bytes, length_bytes)
        start, end = offset_bytes // SECTOR_SIZE * SECTOR_SIZE, round_up(offset_bytes + length_bytes, SECTOR_SIZE)
        position, left = start, length_bytes
        found: tuple[int, bool, bool] | None = None
        for length, has_storage, is_zero in self._sector_extents(start, end):
            shown = min(position + length - max(position, offset_bytes), left)
            position += length
            left -= shown
            if found is not None and found[1:] == (has_storage, is_zero):
                found = found[0] + shown, has_storage, is_zero
                continue
            if found is not None:
                yield found
            found = shown, has_storage, is_zero
        if found is not None and found[0]:
            yield found

    def _sector_extents(self, start: int, end: int) -> Iterator[tuple[int, bool, bool]]:
        for target, from_sector, count in self._targets(start, end - start):
            is_crypt = isinstance(target, CryptTarget)
            for pv_id, offset, length, _ in _runs(target, from_sector, count):
                done = 0
                while done < length:
                    found, has_storage = self._devices[pv_id].extent_at(offset + done, length - done)
                    yield found, has_storage, not has_storage and not is_crypt
                    done += found

    def extent_at(self, offset_bytes: int, length_bytes: int) -> tuple[int, bool]:
        """As a device's, for the volume above: how many bytes, and whether they have storage."""
        found, has_storage, _ = next(self.extents(offset_bytes, length_bytes))
        return found, has_storage

    def flush(self) -> None:
        """Return when every write that was finished before is on stable storage; raises DeviceError.

        After a failure every later flush fails, too: the system reports lost writes once, and may have forgotten them
        by then (fsync(2), "EIO").
        """
        with self._flush_lock:  # who comes second waits for the writes that the first is still flushing
            if self._lost:
                raise DeviceError(f"{self._name}: earlier writes may be lost: {self._lost}", errno=5)
            with self._dirty_lock:
                dirty, self._dirty = self._dirty, set()
            try:
                for pv_id in sorted(dirty):
                    self._devices[pv_id].flush()
            except CryptlvError as error:
                self._lost = str(error)
                raise

    def _check_range(self, offset_bytes: int, length_bytes: int) -> None:
        if offset_bytes < 0 or length_bytes < 0 or offset_bytes + length_bytes > self.size_bytes:
            raise DeviceError(f"{self._name}: {length_bytes} bytes at {offset_bytes} are beyond its end", errno=22)

    def _check_write(self, offset_bytes: int, length_bytes: int) -> None:
        if not self.writable:
            raise RefusedError(f"{self._name} is read-only")
        self._check_range(offset_bytes, length_bytes)

    @property
    def _name(self) -> str:
        return f"{printable(self.mapping.vg_name)}/{printable(self.mapping.lv_name)}"

    def _targets(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[Target, int, int]]:
        """The targets under a range of whole sectors: (target, its first sector wanted, sectors), in order."""
        start = offset_bytes // SECTOR_SIZE
        end = start + length_bytes // SECTOR_SIZE
        for target in self.mapping.targets:
            first, last = max(start, target.start_sectors), min(end, target.end_sectors)
            if first < last:
                yield target, first - target.start_sectors, last - first

    def _read_sectors(self, offset_bytes: int, buffer: memoryview) -> None:
        done = 0
        for target, from_sector, count in self._targets(offset_bytes, len(buffer)):
            part = buffer[done : done + count * SECTOR_SIZE]
            for pv_id, offset, length, skip in _runs(target, from_sector, count):
                self._devices[pv_id].read_into(offset, part[skip : skip + length])
            if isinstance(target, CryptTarget):
                cipher = self._ciphers[target.crypto_store]
                cipher.decrypt(part, target.iv_offset_sectors + from_sector)
            done += len(part)

    def _write_slice(self, offset_bytes: int, data: memoryview) -> None:
        """Write part of one slice, as whole sectors in a private buffer."""
        unit = self._unit
        start = offset_bytes - offset_bytes % unit
        end = round_up(offset_bytes + len(data), unit)
        with self._locks.held(start, end):
            buffer = bytearray(end - start)
            view = memoryview(buffer)
            skip = offset_bytes - start
            if skip:
                self._read_sectors(start, view[:unit])
            if skip + len(data) < len(buffer) and (not skip or len(buffer) > unit):
                self._read_sectors(end - unit, view[-unit:])
            view[skip : skip + len(data)] = data
            self._write_sectors(start, view)

    def _write_sectors(self, offset_bytes: int, buffer: memoryview) -> None:
        """Encrypt in place and write; `buffer` is private to the caller."""
        done = 0
        for target, from_sector, count in self._targets(offset_bytes, len(buffer)):
            part = buffer[done : done + count * SECTOR_SIZE]
            if isinstance(target, CryptTarget):
                self._ciphers[target.crypto_store].encrypt(part, target.iv_offset_sectors + from_sector)
            for pv_id, offset, length, skip in _runs(target, from_sector, count):
                _writer(self._devices[pv_id])(offset, part[skip : skip + length])
                self._mark_dirty(pv_id)
            done += len(part)


def _runs(target: Target, from_sector: int, count: int) -> Iterator[tuple[str, int, int, int]]:
    """The contiguous places behind part of a target: (pv id, offset in bytes, bytes, bytes into the part)."""
    if isinstance(target, LinearTarget | CryptTarget):
        yield target.pv_id, (target.offset_sectors + from_sector) * SECTOR_SIZE, count * SECTOR_SIZE, 0
        return
    if not isinstance(target, StripedTarget):
        raise RefusedError(f"a target of type {type(target).__name__} cannot be served")
    done = 0
    while done < count:
        chunk, inside = divmod(from_sector + done, target.chunk_sectors)
        row, column = divmod(chunk, len(target.stripes))
        length = min(target.chunk_sectors - inside, count - done)
        pv_id, base = target.stripes[column]
        offset = base + row * target.chunk_sectors + inside
        yield pv_id, offset * SECTOR_SIZE, length * SECTOR_SIZE, done * SECTOR_SIZE
        done += length
