"""Reading and writing past the page cache (O_DIRECT), in whole sectors, from memory that is aligned.

Stock lvm2 writes metadata past the page cache. A page of it that somebody read meanwhile may then stay old: reading
it would give a mixture of old and new, and writing a sector of it would put the old ones around it back on the disk.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from contextlib import contextmanager

from cryptlv.units import round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def set_direct(descriptor: int) -> bool:
    """Have a descriptor's reads and writes go past the page cache; whether that is so now."""
    try:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    except OSError:
        return False
    return True


def read_direct(descriptor: int, sector_size: int, offset_bytes: int, length_bytes: int) -> bytes:
    """Bytes at any offset; fewer at the end of the device. Raises OSError."""
    with _sectors(sector_size, offset_bytes, length_bytes) as (start, view):
        got = _fill(descriptor, start, view)
        return bytes(view[offset_bytes - start : min(offset_bytes - start + length_bytes, got)])


def write_direct(descriptor: int, sector_size: int, offset_bytes: int, data: memoryview) -> None:
    """Write at any offset; of a sector that is written in part the rest is read first. Raises OSError."""
    with _sectors(sector_size, offset_bytes, len(data)) as (start, view):
        before, behind = offset_bytes - start, len(view) - (offset_bytes - start) - len(data)
        if before:
            _fill(descriptor, start, view[:sector_size])
        if behind:
            _fill(descriptor, start + len(view) - sector_size, view[len(view) - sector_size :])
        view[before : before + len(data)] = data
        done = 0
        while done < len(view):
            done += os.pwritev(descriptor, [view[done:]], start + done)


def _fill(descriptor: int, offset_bytes: int, view: memoryview) -> int:
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset_bytes + done)
        if not count:
            break
        done += count
    return done


@contextmanager
def _sectors(sector_size: int, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, memoryview]]:
    """The start of the whole sectors around a place, and page-aligned memory for them."""
    start = offset_bytes // sector_size * sector_size
    length = max(round_up(offset_bytes + length_bytes, sector_size) - start, sector_size)
    with mmap.mmap(-1, length) as memory, memoryview(memory) as view:
        yield start, view
