"""Whole sectors past the page cache; that devices keep their contract with it is in conformance/test_devices.py."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from cryptlv.host.direct import read_direct, set_direct, write_direct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 64 * 1024


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (SIZE // 256))
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_any_place_is_read_and_written_and_its_neighbours_stay(descriptor: int, sector_size: int) -> None:
    rng = random.Random(sector_size)
    expected = bytearray(os.pread(descriptor, SIZE, 0))
    for _ in range(300):
        offset = rng.randrange(SIZE)
        data = rng.randbytes(rng.randrange(10_000))[: SIZE - offset]
        write_direct(descriptor, sector_size, offset, memoryview(data))
        expected[offset : offset + len(data)] = data
        assert read_direct(descriptor, sector_size, offset, len(data)) == data
    assert os.pread(descriptor, SIZE, 0) == expected
    assert read_direct(descriptor, sector_size, SIZE - 10, 100) == expected[-10:], "the end is the end"


def test_what_cannot_be_direct_says_so() -> None:
    reader, writer = os.pipe()
    os.close(writer)
    assert set_direct(reader) in (True, False)
    os.close(reader)
    assert not set_direct(reader), "a closed descriptor"
