"""Copying between devices, and how a long operation says how far it is and is asked to stop."""

from __future__ import annotations

import mmap

from cryptlv.record import Record
from cryptlv.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from cryptlv.device import Device

    class Watch(Protocol):
        """Who watches a long operation, from the thread in which it runs."""

        @property
        def is_stopping(self) -> bool:
            """Whether the operation is to end as soon as what it has done is whole."""

        def tell(self, done_bytes: int, total_bytes: int) -> None:
            """That so much is done; called after every block, at 0 first and at the total last."""


BLOCK_BYTES = 4 * MIB
"""What is read or written in one go."""


class Unwatched:
    """Nobody watches; the operation runs to its end."""

    is_stopping = False

    def tell(self, done_bytes: int, total_bytes: int) -> None:
        """Nobody is told."""


class CopyRun(Record):
    """Bytes in a row that are to be somewhere else, too."""

    source: Device
    source_bytes: int
    target: Device
    target_bytes: int
    length_bytes: int


def copy_runs(runs: Iterable[CopyRun], is_enough: Callable[[int], bool], block_bytes: int = BLOCK_BYTES) -> int:
    """Copy runs one after the other; gives how many bytes of them, counted from the first, are at their target.

    `is_enough(bytes copied)` is asked after every block and ends the copying where it is. Nothing is flushed. (A
    second thread that reads ahead made it slower, with files and with block devices.) Raises DeviceError.
    """
    done = 0
    with mmap.mmap(-1, block_bytes) as memory, memoryview(memory) as view:  # aligned, so that no device copies it
        for run in runs:
            for start in range(0, run.length_bytes, block_bytes):
                with view[: min(block_bytes, run.length_bytes - start)] as block:
                    run.source.read_into(run.source_bytes + start, block)
                    run.target.write(run.target_bytes + start, block)
                    run.target.start_writing(run.target_bytes + start, len(block))
                    done += len(block)
                if is_enough(done):
                    return done
    return done
