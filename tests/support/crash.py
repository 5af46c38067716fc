"""Devices that record what is done to them, and the states that a crash could leave them in."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from cryptlv.errors import DeviceError
from cryptlv.host.devices import MemoryDevice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECTOR = 512


class Event(NamedTuple):
    """A write, or a flush when `data` is None, of the device at `path`."""

    path: str
    offset_bytes: int
    data: bytes | None


class RecordingDevice(MemoryDevice):
    """A memory device that enters every write and flush into a timeline shared with other devices.

    With `fail_at` the write of that number in the timeline fails, as on a full disk.
    """

    def __init__(self, path: str, content: bytes, timeline: list[Event], fail_at: int | None = None) -> None:
        super().__init__(path=path, content=content)
        self._timeline = timeline
        self._fail_at = fail_at

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        if len(self._timeline) == self._fail_at:
            self._timeline.append(Event(self.path, 0, b""))
            raise DeviceError(f"{self.path}: cannot write: No space left on device", errno=28)
        self._timeline.append(Event(self.path, offset_bytes, bytes(data)))
        super().write(offset_bytes, data)

    def flush(self) -> None:
        self._timeline.append(Event(self.path, 0, None))


class OverlayDevice(MemoryDevice):
    """Content that is shared with many others, with some writes over it; made without copying the content."""

    def __init__(self, path: str, base: bytes, writes: list[tuple[int, bytes]]) -> None:
        super().__init__(path=path)
        self._base = base
        self._writes = writes

    @property
    def size_bytes(self) -> int:
        return len(self._base)

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        end = offset_bytes + length_bytes
        buffer = bytearray(self._base[offset_bytes:end])
        for start, data in self._writes:
            first, last = max(start, offset_bytes), min(start + len(data), end)
            if first < last:
                buffer[first - offset_bytes : last - offset_bytes] = data[first - start : last - start]
        return bytes(buffer)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        buffer[:] = self.read(offset_bytes, len(buffer))

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        self._writes.append((offset_bytes, bytes(data)))


def fates(event: Event) -> list[list[tuple[int, bytes]]]:
    """What may have become of a write that was not flushed: nothing, all of it, or, when it has more sectors than
    one, its first half, its last half, or every other sector."""
    data = event.data or b""
    whole = [(event.offset_bytes, data)]
    if len(data) <= SECTOR:
        return [[], whole]
    middle = len(data) // 2 // SECTOR * SECTOR or SECTOR
    stripes = [
        (event.offset_bytes + start, data[start : start + SECTOR]) for start in range(0, len(data), 2 * SECTOR)
    ]
    halves = [[(event.offset_bytes, data[:middle])], [(event.offset_bytes + middle, data[middle:])]]
    return [[], whole, *halves, stripes]


def crash_states(
    before: Mapping[str, bytes], timeline: list[Event], most: int = 4
) -> Iterator[tuple[int, dict[str, OverlayDevice]]]:
    """Every state that a crash can leave: for each crash point, each combination of what became of the writes that
    were not flushed on their device; (crash point, devices by path).

    Asserts that no more than `most` writes are ever unflushed, as the combinations would explode unseen.
    """
    for point in range(len(timeline) + 1):
        durable: dict[str, list[tuple[int, bytes]]] = {path: [] for path in before}
        pending: list[Event] = []
        for event in timeline[:point]:
            if event.data is None:
                durable[event.path] += [(p.offset_bytes, p.data or b"") for p in pending if p.path == event.path]
                pending = [p for p in pending if p.path != event.path]
            else:
                pending.append(event)
        assert len(pending) <= most, f"{len(pending)} writes unflushed at point {point}"
        for chosen in itertools.product(*(fates(event) for event in pending)):
            writes = {path: list(done) for path, done in durable.items()}
            for event, fate in zip(pending, chosen, strict=True):
                writes[event.path] += fate
            yield point, {path: OverlayDevice(path, before[path], writes[path]) for path in before}
