"""A change run on devices that record what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from support.crash import Event, RecordingDevice
from support.disks import Disks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cryptlv.ops.session import Session


def record(
    folder: Path, disks: Disks, change: Callable[[Session], object]
) -> tuple[dict[str, bytes], list[Event], Disks]:
    """Run a change on recording devices: contents before, the timeline, and the disks after it."""
    before = {
        path: bytes(device.content) for path, device in disks.devices.items() if isinstance(device, MemoryDevice)
    }
    timeline: list[Event] = []
    after = Disks(folder, {path: RecordingDevice(path, content, timeline) for path, content in before.items()})
    with after.session() as session:
        change(session)
    return before, timeline, after


class Failure(NamedTuple):
    """What came of a change of which the write `number` of the timeline, to the device at `path`, failed: the disks,
    the error or None, and the warnings."""

    number: int
    path: str
    state: Disks
    error: CryptlvError | None
    warnings: list[str]


def failing_writes(
    folder: Path, before: Mapping[str, bytes], timeline: list[Event], change: Callable[[Session], object]
) -> Iterator[Failure]:
    """The change run once for each write of its timeline, which fails."""
    for number, event in enumerate(timeline):
        if event.data is None:
            continue
        events: list[Event] = []
        state = Disks(
            folder, {path: RecordingDevice(path, content, events, number) for path, content in before.items()}
        )
        warnings: list[str] = []
        failed: CryptlvError | None = None
        with state.session(warnings.append) as session:
            try:
                change(session)
            except CryptlvError as error:
                failed = error
        yield Failure(number, event.path, state, failed, warnings)
