"""What only files have: ways not to open, and to fail; see conformance/test_devices.py for the common part."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError, NotFoundError
from cryptlv.host.devices import FileDevice, device_number

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        FileDevice(str(tmp_path / "none"))


def test_only_block_devices_have_a_number(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", "/dev/null"):
        assert device_number(str(path)) == (-1, -1)


def test_only_files_and_block_devices_are_opened_and_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", "/dev/null"):
        with pytest.raises(DeviceError, match=str(path)):
            FileDevice(str(path))


def test_a_device_opened_for_reading_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(4096))
    device = FileDevice(str(path))
    with pytest.raises(DeviceError, match="reading only"):
        device.write(0, b"x")
    device.flush()
    device.close()


def test_a_file_that_was_cut_off_meanwhile_is_said(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(4096))
    device = FileDevice(str(path))
    os.truncate(path, 1000)
    with pytest.raises(DeviceError, match="ends at byte 1000"):
        device.read(0, 4096)
    device.close()


def test_a_file_with_holes_gives_discarded_space_back(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(os.urandom(2**20))
    device = FileDevice(str(path), writable=True)
    device.flush()
    before = path.stat().st_blocks
    device.discard(0, 2**19)
    device.flush()
    assert path.stat().st_blocks < before
    assert path.stat().st_size == 2**20
    assert device.read(0, 2**19) == bytes(2**19)
    device.close()


def test_a_sparse_file_has_holes_where_nothing_was_written_or_what_was_written_is_discarded(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(1 << 20)
        file.seek(256 * 1024)
        file.write(b"x" * 131072)
    device = FileDevice(str(path), writable=True)
    assert device.extent_at(0, 1 << 20) == (256 * 1024, False)
    assert device.extent_at(4096, 8192) == (8192, False)
    assert device.extent_at(256 * 1024, 1 << 19) == (131072, True)
    assert device.extent_at(512 * 1024, 1 << 19) == (1 << 19, False)
    device.discard(256 * 1024, 65536)
    assert device.extent_at(0, 1 << 20) == (320 * 1024, False)
    device.close()
