"""A volume's mapping over its open devices, as a byte-addressed device of its own.

Requests of any offset and length are cut at target borders. Where a request begins or ends inside a cipher sector the
rest of that sector is read, decrypted and written again, under a lock on the range, so that writers of neighbouring
bytes never undo each other.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager

from cryptlv.errors import CryptlvError, DeviceError, RefusedError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget
from cryptlv.names import printable
from cryptlv.units import MIB, SECTOR_SIZE, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptlv.ciphers.engine import SectorCipher
    from cryptlv.device import Device
    from cryptlv.model.mapping import Target, VolumeMapping

_SLICE_BYTES = MIB
"""A write is encrypted in private buffers of this size at most."""


class RangeLock:
    """Exclusive locks on ranges of bytes: a holder keeps out every overlapping range, and no other."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._held: list[tuple[int, int]] = []

    @contextmanager
    def held(self, start: int, end: int) -> Iterator[None]:
        """Wait until no held range overlaps [start, end), and hold it."""
        mine = (start, end)
        with self._condition:
            while any(start < other_end and other_start < end for other_start, other_end in self._held):
                self._condition.wait()
            self._held.append(mine)
        try:
            yield
        finally:
            with self._condition:
                self._held.remove(mine)
                self._condition.notify_all()


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
        self._check_range(offset_bytes, len(buffer))
        if offset_bytes % self._unit or len(buffer) % self._unit:
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

    def write_zeroes(self, offset_bytes: int, length_bytes: int) -> None:
        """Make a range read as zeros; raises DeviceError or RefusedError."""
        self._check_write(offset_bytes, length_bytes)
        zeros = memoryview(bytes(min(length_bytes, _SLICE_BYTES)))
        for start in range(0, length_bytes, _SLICE_BYTES):
            self.write(offset_bytes + start, zeros[: min(_SLICE_BYTES, length_bytes - start)])

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
                self._devices[pv_id].write(offset, part[skip : skip + length])
                with self._dirty_lock:
                    self._dirty.add(pv_id)
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
