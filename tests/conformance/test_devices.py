"""Devices: a file, a block device, and the one in memory that stands in for them, keep one contract."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError
from cryptlv.host.devices import FileDevice, MemoryDevice
from support.machine import need, need_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptlv.device import Device

SIZE = 256 * 1024


class DeviceConformance:
    """What every device does; subclasses say how one is made, of SIZE bytes of zeros."""

    @pytest.fixture
    @abstractmethod
    def device(self, tmp_path: Path) -> Iterator[Device]:
        """An open, writable, empty device."""

    def test_it_has_its_size_and_reads_zeros_at_first(self, device: Device) -> None:
        assert device.size_bytes == SIZE
        assert device.sector_size == 512
        assert device.read(0, SIZE) == bytes(SIZE)

    def test_it_keeps_what_is_written_at_any_offset(self, device: Device) -> None:
        rng = random.Random(5)
        expected = bytearray(SIZE)
        for _ in range(200):
            offset = rng.randrange(SIZE)
            part = rng.randbytes(rng.randrange(3000))[: SIZE - offset]
            device.write(offset, part)
            expected[offset : offset + len(part)] = part
            assert device.read(offset, len(part)) == part
        device.start_writing(0, SIZE // 2)
        device.flush()
        assert device.read(0, SIZE) == expected
        buffer = bytearray(1000)
        device.read_into(777, memoryview(buffer))
        assert buffer == expected[777:1777]

    @pytest.mark.parametrize(("offset", "length"), [(SIZE, 1), (SIZE - 1, 2), (-1, 1), (0, SIZE + 1)])
    def test_nothing_beyond_its_end_is_read_written_or_discarded(
        self, device: Device, offset: int, length: int
    ) -> None:
        for act in (
            lambda: device.read(offset, length),
            lambda: device.write(offset, bytes(length)),
            lambda: device.discard(offset, length),
        ):
            with pytest.raises(DeviceError, match=device.path):
                act()
        assert device.size_bytes == SIZE

    def test_discarded_sectors_can_be_read_and_their_neighbours_stay(self, device: Device) -> None:
        device.write(0, b"\xaa" * SIZE)
        device.discard(8192, 16384)
        device.discard(0, 0)
        assert device.read(0, 8192) == b"\xaa" * 8192
        assert device.read(24576, 100) == b"\xaa" * 100
        assert len(device.read(8192, 16384)) == 16384

    def test_what_is_punched_reads_as_zeros_or_is_as_before(self, device: Device) -> None:
        device.write(0, b"\xaa" * SIZE)
        is_punched = device.punch(4096, 8192 + 100)
        found = device.read(0, SIZE)
        assert found[:4096] == b"\xaa" * 4096
        assert found[4096 : 12288 + 100] == (b"\0" if is_punched else b"\xaa") * (8192 + 100)
        assert found[12288 + 100 :] == b"\xaa" * (SIZE - 12288 - 100)
        assert device.punch(0, 0)
        with pytest.raises(DeviceError, match=device.path):
            device.punch(SIZE - 1, 2)

    def test_every_byte_belongs_to_an_extent_and_holes_read_as_zeros(self, device: Device) -> None:
        device.write(65536, b"\xaa" * 8192)
        device.start_reading(65536, 8192)
        device.flush()
        for start, end in ((0, SIZE), (65536 + 100, 65536 + 101), (70000, SIZE - 3)):
            position = start
            while position < end:
                length, has_storage = device.extent_at(position, end - position)
                assert 0 < length <= end - position
                if not has_storage:
                    assert not any(device.read(position, length))
                assert has_storage or position + length <= 65536 or position >= 65536 + 8192
                position += length
        with pytest.raises(DeviceError, match=device.path):
            device.extent_at(SIZE - 1, 2)

    def test_threads_write_side_by_side(self, device: Device) -> None:
        def write(number: int) -> None:
            for place in range(number, 64, 4):
                device.write(place * 512, bytes([number + 1]) * 512)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert device.read(0, 64 * 512) == b"".join(bytes([place % 4 + 1]) * 512 for place in range(64))

    def test_closing_twice_does_no_harm(self, device: Device) -> None:
        device.close()
        device.close()


class TestMemoryDevice(DeviceConformance):
    """In memory."""

    @pytest.fixture
    def device(self) -> Device:
        return MemoryDevice(SIZE, path="memory")


class TestRegularFile(DeviceConformance):
    """An image file."""

    @pytest.fixture
    def device(self, tmp_path: Path) -> Iterator[Device]:
        path = tmp_path / "image"
        path.write_bytes(bytes(SIZE))
        device = FileDevice(str(path), writable=True)
        yield device
        device.close()


@pytest.mark.root
class TestBlockDevice(DeviceConformance):
    """A loop device, through the page cache and past it."""

    @pytest.fixture(params=[False, True], ids=["cached", "direct"])
    def device(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Device]:
        need("losetup")
        need_root()
        path = tmp_path / "image"
        path.write_bytes(bytes(SIZE))
        words = ["losetup", "--show", "-f", str(path)]
        loop = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        device = FileDevice(loop, writable=True, direct=request.param)
        yield device
        device.close()
        subprocess.run(["losetup", "-d", loop], check=True)
        assert os.path.getsize(path) == SIZE
