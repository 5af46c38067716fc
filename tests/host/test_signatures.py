"""What a device holds is seen, by libblkid and without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.host.devices import FileDevice, MemoryDevice
from cryptlv.host.signatures import find_signature
from support.machine import Machine, need

if TYPE_CHECKING:
    from pathlib import Path


def look(path: Path) -> tuple[str, str]:
    """What libblkid says, and what our own list says of the same bytes."""
    device = FileDevice(str(path))
    try:
        return find_signature(device), find_signature(MemoryDevice(content=path.read_bytes(), path="memory"))
    finally:
        device.close()


@pytest.mark.compat
@pytest.mark.parametrize(
    ("command", "ours", "theirs"),
    [
        ("mke2fs -q -F {}", "ext2", "ext2"),
        ("mkswap {}", "swap", "swap"),
        (
            "cryptsetup luksFormat -q --type luks1 --key-file /etc/hostname -i 1 {}",
            "LUKS",
            "LUKS",
        ),
    ],
)
def test_what_stock_tools_made_is_seen(machine: Machine, command: str, ours: str, theirs: str) -> None:
    path = machine.image("x.img", 16)
    words = command.format(path).split()
    need(words[0])
    machine.tool(*words)
    by_library, by_list = look(path)
    assert theirs in by_library
    assert ours in by_list


def test_an_empty_device_holds_nothing(machine: Machine) -> None:
    assert look(machine.image("x.img", 1)) == ("", "")
