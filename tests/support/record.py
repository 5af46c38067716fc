"""A change run on devices that record what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.host.devices import MemoryDevice
from support.crash import Event, RecordingDevice
from support.disks import Disks

if TYPE_CHECKING:
    from collections.abc import Callable
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
