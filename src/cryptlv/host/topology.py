"""What a block device says of how it likes to be used, and where a physical volume's extents begin by that.

Sources: the kernel's Documentation/ABI/stable/sysfs-block; lvm2's lib/metadata/metadata.c:set_pe_align,
set_pe_align_offset and lib/device/dev-type.c:_dev_topology_attribute_4k.
"""

from __future__ import annotations

import os
import stat

from cryptlv.record import Record
from cryptlv.units import KIB, SECTOR_SIZE

SYSFS = "/sys/dev/block"


class Topology(Record):
    """In bytes, 0 for what is not said: the smallest request that needs no reading first, the size of request that
    the device likes best, and how far its first aligned place is from its beginning."""

    minimum_io_bytes: int = 0
    optimal_io_bytes: int = 0
    offset_bytes: int = 0


def observe_topology(path: str, directory: str = SYSFS) -> Topology:
    """The topology of a block device, of which a partition has its disk's; nothing is known of regular files."""
    try:
        mode = os.stat(path)
    except OSError:
        return Topology()
    if not stat.S_ISBLK(mode.st_mode):
        return Topology()
    place = os.path.join(directory, f"{os.major(mode.st_rdev)}:{os.minor(mode.st_rdev)}")
    queue = os.path.join(place, "queue")
    if not os.path.isdir(queue):
        queue = os.path.join(os.path.realpath(place), "..", "queue")
    return Topology(
        minimum_io_bytes=_in_pages(_number(os.path.join(queue, "minimum_io_size"))),
        optimal_io_bytes=_in_pages(_number(os.path.join(queue, "optimal_io_size"))),
        offset_bytes=_whole_sectors(_number(os.path.join(place, "alignment_offset"))),
    )


def data_alignment(default_bytes: int, topology: Topology) -> int:
    """What the first extent is aligned to: the default where that is a multiple of what the device likes."""
    alignment = default_bytes
    for size in (topology.minimum_io_bytes, topology.optimal_io_bytes):
        if size and alignment % size:
            alignment = size
    return alignment


def _number(path: str) -> int:
    """A number in a file, 0 when there is none; what is negative means that the device is not aligned at all."""
    try:
        with open(path, encoding="ascii") as file:
            return max(int(file.read(64)), 0)
    except (OSError, ValueError):
        return 0


def _whole_sectors(size_bytes: int) -> int:
    """Rounded down, but what is there is at least a sector."""
    return max(size_bytes - size_bytes % SECTOR_SIZE, SECTOR_SIZE) if size_bytes else 0


def _in_pages(size_bytes: int) -> int:
    """A size that is no multiple of four sectors is not believed, but for one sector: it counts as 4 KiB then."""
    size = _whole_sectors(size_bytes)
    return 4 * KIB if size > SECTOR_SIZE and size % (4 * SECTOR_SIZE) else size
