"""What only a device-mapper in memory has: refusals that are asked for. What it shares with the kernel's is in
conformance/test_device_mapper.py."""

from __future__ import annotations

import errno

import pytest

from cryptlv.activate.dm_fake import FakeDeviceMapper
from cryptlv.errors import DeviceMapperError, KeyringError
from cryptlv.secret import VolumeKey


def test_it_refuses_what_it_is_told_to() -> None:
    kernel = FakeDeviceMapper()
    kernel.refuses = {"make": errno.ENOMEM, "key": errno.EDQUOT}
    with pytest.raises(DeviceMapperError, match="cannot make a: refused"):
        kernel.create("a", "u")
    with VolumeKey(b"k") as key, pytest.raises(KeyringError):
        kernel.put_key("d", key)
    assert kernel.names() == ()


def test_every_path_is_a_block_device_with_a_number_of_its_own() -> None:
    kernel = FakeDeviceMapper()
    assert [kernel.number_of(path) for path in ("/a", "/b", "/a")] == ["253:0", "253:1", "253:0"]
    assert kernel.path_of("a") == "/dev/mapper/a"
