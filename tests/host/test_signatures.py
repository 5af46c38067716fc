"""What a device holds is seen, by libblkid and without it, and wiped."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import RefusedError
from cryptlv.host.devices import FileDevice, MemoryDevice
from cryptlv.host.signatures import filesystem_bytes, find_signatures, wipe_signatures
from support.machine import Machine, need

if TYPE_CHECKING:
    from pathlib import Path


def look(path: Path) -> tuple[set[str], set[str]]:
    """The kinds that libblkid sees, and those of our own list in the same bytes."""
    device = FileDevice(str(path))
    listed = find_signatures(MemoryDevice(content=path.read_bytes(), path="memory"))
    try:
        return {found.kind for found in find_signatures(device)}, {found.kind for found in listed}
    finally:
        device.close()


@pytest.mark.compat
@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("mke2fs -q -F {}", "ext2"),
        ("mkswap {}", "swap"),
        ("cryptsetup luksFormat -q --type luks1 --key-file /etc/hostname -i 1 {}", "crypto_LUKS"),
    ],
)
def test_what_stock_tools_made_is_seen_and_wiped(machine: Machine, command: str, kind: str) -> None:
    path = machine.image("x.img", 16)
    words = command.format(path).split()
    need(words[0])
    machine.tool(*words)
    assert look(path) == ({kind}, {kind})
    device = FileDevice(str(path), writable=True)
    said: list[str] = []
    wipe_signatures(device, said.append)
    device.close()
    assert said == [f"Wiping {kind} signature on {path}."]
    assert look(path) == (set(), set())


def test_an_empty_device_holds_nothing(machine: Machine) -> None:
    assert look(machine.image("x.img", 1)) == (set(), set())


def gpt(sectors: int) -> bytes:
    """An empty GUID partition table on a disk of so many sectors: a boot sector, the header, and its copy at the end
    (UEFI specification 2.10, section 5.3.2)."""
    disk = bytearray(sectors * 512)
    disk[446:462] = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, sectors - 1)
    disk[510:512] = b"\x55\xaa"
    entries = zlib.crc32(bytes(128 * 128))
    for here, there, table in ((1, sectors - 1, 2), (sectors - 1, 1, sectors - 33)):
        rest = struct.pack("<IQQQQ16sQIII", 0, here, there, 34, sectors - 34, b"g" * 16, table, 128, 128, entries)
        crc = zlib.crc32(b"EFI PART" + struct.pack("<III", 0x10000, 92, 0) + rest)
        header = b"EFI PART" + struct.pack("<III", 0x10000, 92, crc) + rest
        disk[here * 512 : here * 512 + len(header)] = header
    return bytes(disk)


@pytest.mark.compat
def test_a_partition_table_goes_with_its_copy_and_its_boot_sector(machine: Machine) -> None:
    path = machine.image("x.img", 16)
    path.write_bytes(gpt(16 * 2048))
    assert "gpt" in look(path)[0]
    device = FileDevice(str(path), writable=True)
    said: list[str] = []
    wipe_signatures(device, said.append)
    device.close()
    assert len(said) >= 3
    assert find_signatures(FileDevice(str(path))) == ()
    assert b"EFI PART" not in path.read_bytes()


class Stubborn(MemoryDevice):
    """A device on which nothing changes."""

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        pass


def test_a_signature_that_stays_is_told() -> None:
    device = Stubborn(path="stubborn", content=b"LUKS\xba\xbe" + bytes(8192))
    with pytest.raises(RefusedError, match="crypto_LUKS signature cannot be wiped"):
        wipe_signatures(device, lambda _: None)


@pytest.mark.parametrize(("kind", "options"), [("ext2", ()), ("ext4", ("-O", "64bit")), ("ext4", ("-b", "4096"))])
def test_the_size_of_a_file_system_is_that_for_which_it_was_made(
    tmp_path: Path, kind: str, options: tuple[str, ...]
) -> None:
    need("mke2fs")
    image = tmp_path / "image"
    image.write_bytes(bytes(3 * 2**20))
    machine = Machine(tmp_path)
    machine.tool("mke2fs", "-q", "-F", "-t", kind, *options, image, "2560k")
    assert filesystem_bytes(image.read_bytes()[:65536]) == 2560 * 1024


def test_what_is_no_file_system_that_is_known_has_no_size() -> None:
    """XFS's superblock is made by hand: block size at byte 4, blocks at byte 8, big endian."""
    assert filesystem_bytes(b"") is filesystem_bytes(bytes(65536)) is None
    head = b"XFSB" + (4096).to_bytes(4, "big") + (81920).to_bytes(8, "big")
    assert filesystem_bytes(head) == 320 * 2**20
