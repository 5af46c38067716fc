"""Alignment by what devices say of themselves; that it is stock's is in the tests with device-mapper."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from cryptlv.host.topology import Topology, data_alignment, observe_topology
from cryptlv.units import KIB, MIB
from support.machine import need_root

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = "250:9"


@pytest.fixture
def node(tmp_path: Path) -> str:
    """A node of a block device that need not exist."""
    need_root()
    path = str(tmp_path / "node")
    os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(*map(int, NUMBERS.split(":"))))
    return path


def describe(folder: Path, **files: str) -> None:
    """What sysfs says."""
    for name, text in files.items():
        place = folder / ("alignment_offset" if name == "alignment_offset" else f"queue/{name}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text + "\n")


@pytest.mark.parametrize(
    ("minimum", "optimal", "offset", "expected"),
    [
        ("512", "0", "0", (512, 0, 0)),
        ("65536", "1572864", "3584", (65536, 1572864, 3584)),
        ("512", "33553920", "0", (512, 4096, 0)),
        ("5120", "100", "-1", (4096, 512, 0)),
        ("words", "", "512", (0, 0, 512)),
    ],
)
def test_what_sysfs_says_is_read_as_stock_reads_it(
    tmp_path: Path, node: str, minimum: str, optimal: str, offset: str, expected: tuple[int, int, int]
) -> None:
    describe(tmp_path / NUMBERS, minimum_io_size=minimum, optimal_io_size=optimal, alignment_offset=offset)
    found = observe_topology(node, str(tmp_path))
    assert (found.minimum_io_bytes, found.optimal_io_bytes, found.offset_bytes) == expected


def test_a_partition_has_the_queue_of_its_disk(tmp_path: Path, node: str) -> None:
    disk = tmp_path / "devices" / "disk"
    describe(disk, minimum_io_size="4096", optimal_io_size="65536", alignment_offset="0")
    (disk / "part1").mkdir()
    (disk / "part1" / "alignment_offset").write_text("1024\n")
    (tmp_path / NUMBERS).symlink_to(disk / "part1")
    assert observe_topology(node, str(tmp_path)) == Topology(
        minimum_io_bytes=4096, optimal_io_bytes=65536, offset_bytes=1024
    )


def test_nothing_is_known_of_files_and_of_what_is_not_there(tmp_path: Path, node: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (str(tmp_path / "file"), str(tmp_path / "nothing"), node):
        assert observe_topology(path, str(tmp_path / "none")) == Topology()


@pytest.mark.parametrize(
    ("minimum", "optimal", "expected"),
    [
        (512, 0, MIB),
        (4096, 65536, MIB),
        (64 * KIB, 1536 * KIB, 1536 * KIB),
        (3 * 64 * KIB, 0, 192 * KIB),
        (192 * KIB, 384 * KIB, 384 * KIB),
        (192 * KIB, 64 * KIB, 192 * KIB),
        (0, 4 * MIB, 4 * MIB),
    ],
)
def test_the_default_holds_where_it_is_a_multiple(minimum: int, optimal: int, expected: int) -> None:
    topology = Topology(minimum_io_bytes=minimum, optimal_io_bytes=optimal)
    assert data_alignment(MIB, topology) == expected
