"""Copying between two ends in memory; the command is in cli/test_copy.py."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.errors import DeviceError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops.copying import Unwatched
from cryptlv.ops.volume_copy import copy_ends, data_runs, split_volume

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20


class MemoryEnd(MemoryDevice):
    """An end of a copy in memory, which keeps where it was written."""

    name = "memory"

    def __init__(self, content: bytes, *, starts_as_zeros: bool = False) -> None:
        super().__init__(content=content)
        self.starts_as_zeros = starts_as_zeros
        self.states: list[tuple[int, bool, bool]] = [(len(content), True, False)]
        self.written: list[tuple[int, int]] = []
        self.fails_at = -1

    def extents(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, bool, bool]]:
        """What `states` says."""
        yield from self.states

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        if offset_bytes <= self.fails_at < offset_bytes + len(buffer):
            raise DeviceError("memory: cannot read", errno=5)
        super().read_into(offset_bytes, buffer)

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        self.written.append((offset_bytes, len(data)))
        super().write(offset_bytes, data)

    def write_zeroes(self, offset_bytes: int, length_bytes: int) -> None:
        """Zeros."""
        self.content[offset_bytes : offset_bytes + length_bytes] = bytes(length_bytes)


class Watched(Unwatched):
    """Keeps what it was told, and has the copy stopped at once or not."""

    def __init__(self, *, is_stopping: bool = False) -> None:
        self.is_stopping = is_stopping
        self.told: list[tuple[int, int]] = []

    def tell(self, done_bytes: int, total_bytes: int) -> None:
        self.told.append((done_bytes, total_bytes))


@pytest.mark.parametrize("starts_as_zeros", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4096, MIB, 3 * MIB + 513])
def test_every_byte_arrives_and_zeros_are_not_written_where_they_are_already(
    size: int, starts_as_zeros: bool
) -> None:
    content = random.Random(1).randbytes(size // 2) + bytes(size - size // 2)
    source = MemoryEnd(content)
    target = MemoryEnd(bytes(size) if starts_as_zeros else b"\xff" * size, starts_as_zeros=starts_as_zeros)
    watch = Watched()
    copied = copy_ends(source, target, watch)
    assert (copied.done_bytes, copied.total_bytes, copied.is_complete) == (size, size, True)
    assert target.content == content
    assert watch.told[-1] == (size, size)
    if starts_as_zeros:
        assert sum(length for _, length in target.written) <= size // 2 + 4096


def test_holes_are_left_out_and_zeros_become_zeros() -> None:
    source = MemoryEnd(b"n" * (3 * MIB))
    source.states = [(MIB, False, False), (MIB, False, True), (MIB - 100, True, False), (100, True, True)]
    target = MemoryEnd(b"\xff" * (3 * MIB))
    assert copy_ends(source, target, Watched()).is_complete
    assert target.content == b"\xff" * MIB + bytes(MIB) + b"n" * (MIB - 100) + bytes(100)


def test_a_failure_of_one_end_ends_the_copy() -> None:
    source = MemoryEnd(bytes(40 * MIB))
    source.fails_at = 20 * MIB + 5
    with pytest.raises(DeviceError, match="memory: cannot read"):
        copy_ends(source, MemoryEnd(bytes(40 * MIB)), Watched())


def test_a_copy_that_is_stopped_is_incomplete() -> None:
    source, target = MemoryEnd(b"x" * (4 * MIB)), MemoryEnd(bytes(4 * MIB))
    copied = copy_ends(source, target, Watched(is_stopping=True))
    assert not copied.is_complete
    assert copied.done_bytes < copied.total_bytes


@settings(max_examples=200, deadline=None)
@given(st.lists(st.booleans(), max_size=20), st.integers(0, 4095))
def test_runs_of_data_are_all_blocks_that_are_not_zeros(blocks: list[bool], rest: int) -> None:
    content = bytearray(b"".join(b"\0" * 4095 + (b"x" if one else b"\0") for one in blocks) + b"y" * rest)
    runs = list(data_runs(bytearray(content) + b"beyond", len(content)))
    seen = bytearray(len(content))
    for start, end in runs:
        seen[start:end] = content[start:end]
        assert any(content[start : start + 4096])
    assert seen == content
    assert all(one[1] < two[0] for one, two in pairwise(runs))


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("vg0/lv", ("vg0", "lv")), ("/dev/vg0/lv", ("vg0", "lv")), ("./vg0/lv", None), ("/vg0/lv", None),
        ("lv", None), ("a/b/c", None), ("-", None), ("vg0/", None), ("../lv", None), ("/dev/null", None),
        ("a b/c", None),
    ],
)  # fmt: skip
def test_volumes_are_told_from_paths_by_their_form(word: str, names: tuple[str, str] | None) -> None:
    assert split_volume(word) == names
