"""What a device holds, by libblkid: file systems, LUKS headers, partition tables, RAID members.

libblkid is part of util-linux and on every Linux system that has lvm2; where it is not, a few signatures are looked
for by their magic bytes (those of the formats' own specifications). What counts and how it is wiped is as in lvm2's
lib/device/dev-type.c:wipe_known_signatures.
"""

from __future__ import annotations

import ctypes
import os

from cryptlv.errors import RefusedError
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptlv.device import Device

_SUPERBLOCK_FLAGS = (1 << 1) | (1 << 3) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10)
"""Label, UUID, type, usage, version, magic, and those whose checksum is wrong."""
_PARTITION_MAGIC = 1 << 3
_OF_LVM = frozenset(("LVM1_member", "LVM2_member"))
_MOST = 64
_MAGICS = (
    (0x438, b"\x53\xef", "ext2"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (0, b"XFSB", "xfs"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (4086, b"SWAPSPACE2", "swap"),
    (0x200, b"EFI PART", "gpt"),
    (510, b"\x55\xaa", "dos"),
)


class Signature(Record):
    """Bytes that say what a device holds; `kind` is libblkid's word."""

    kind: str
    offset_bytes: int
    size_bytes: int


def find_signatures(device: Device) -> tuple[Signature, ...]:
    """What the device holds, but for LVM's own label; empty when nothing is known in it. Raises DeviceError."""
    found = _probe(device.path)
    return tuple(_look(device)) if found is None else found


def find_type(device: Device) -> str:
    """What the device holds, in libblkid's word (`ext4`, `xfs`); "" when nothing is known in it, words for a message
    when it is several things. Raises DeviceError."""
    kinds = tuple(dict.fromkeys(held.kind for held in find_signatures(device)))
    return printable(kinds[0]) if len(kinds) == 1 else "several signatures" if kinds else ""


def wipe_signatures(device: Device, say: Callable[[str], None]) -> None:
    """Overwrite each signature with zeros until none is found: behind one there may be another, or its copy.

    Raises DeviceError, and RefusedError when one is still there after it was wiped.
    """
    done: set[Signature] = set()
    while found := find_signatures(device):
        for signature in found:
            if signature in done or len(done) == _MOST:
                raise RefusedError(f"{device.path}: its {printable(signature.kind)} signature cannot be wiped")
            done.add(signature)
            say(f"Wiping {printable(signature.kind)} signature on {device.path}.")
            device.write(signature.offset_bytes, bytes(signature.size_bytes))
        device.flush()


def _look(device: Device) -> Iterator[Signature]:
    for offset_bytes, magic, kind in _MAGICS:
        if offset_bytes + len(magic) <= device.size_bytes and device.read(offset_bytes, len(magic)) == magic:
            yield Signature(kind=kind, offset_bytes=offset_bytes, size_bytes=len(magic))


def _probe(path: str) -> tuple[Signature, ...] | None:
    """libblkid's answer, None when it cannot be asked."""
    try:
        library = ctypes.CDLL("libblkid.so.1")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _ask(library, descriptor)
    finally:
        os.close(descriptor)


def _ask(library: ctypes.CDLL, descriptor: int) -> tuple[Signature, ...] | None:
    library.blkid_new_probe.restype = ctypes.c_void_p
    probe = ctypes.c_void_p(library.blkid_new_probe())
    if not probe:
        return None
    try:
        if library.blkid_probe_set_device(probe, descriptor, ctypes.c_int64(0), ctypes.c_int64(0)):
            return None
        library.blkid_probe_enable_partitions(probe, 1)
        library.blkid_probe_set_partitions_flags(probe, _PARTITION_MAGIC)
        library.blkid_probe_enable_superblocks(probe, 1)
        library.blkid_probe_set_superblocks_flags(probe, _SUPERBLOCK_FLAGS)
        found: dict[Signature, None] = {}
        while library.blkid_do_probe(probe) == 0 and len(found) < _MOST:
            found.update(dict.fromkeys(_found(library, probe)))
        return tuple(found)
    finally:
        library.blkid_free_probe(probe)


def _found(library: ctypes.CDLL, probe: ctypes.c_void_p) -> Iterator[Signature]:
    """The signature at which the probe stands."""
    for kind_name, prefix in ((b"TYPE", b"SB"), (b"PTTYPE", b"PT")):
        kind = _value(library, probe, kind_name).rstrip(b"\0").decode("utf-8", "replace")
        if not kind:
            continue
        offset, magic = (_value(library, probe, prefix + name) for name in (b"MAGIC_OFFSET", b"MAGIC"))
        if kind not in _OF_LVM and offset and magic:
            yield Signature(kind=kind, offset_bytes=int(offset.rstrip(b"\0")), size_bytes=len(magic))
        return


def _value(library: ctypes.CDLL, probe: ctypes.c_void_p, name: bytes) -> bytes:
    data, size = ctypes.c_void_p(), ctypes.c_size_t()
    if library.blkid_probe_lookup_value(probe, name, ctypes.byref(data), ctypes.byref(size)) or not data.value:
        return b""
    return ctypes.string_at(data.value, size.value)


def filesystem_bytes(head: bytes) -> int | None:
    """How large a file system is, by the first 2 KiB of it or more: ext2 to ext4 and XFS; None for others.

    ext: the kernel's Documentation/filesystems/ext4/super.rst (block counts at bytes 4 and 0x150 of the superblock,
    the latter with the 64bit feature, 0x80 at byte 0x60). XFS: XFS Algorithms & Data Structures, "Superblocks".
    """
    import struct

    if head[0x438:0x43A] == b"\x53\xef" and len(head) >= 2048:
        low, log_size, features, high = (struct.unpack_from("<I", head, 1024 + at)[0] for at in (4, 24, 0x60, 0x150))
        blocks: int = low + ((high << 32) if features & 0x80 else 0)
        return int(blocks << (10 + min(log_size, 6)))
    if head[:4] == b"XFSB" and len(head) >= 16:
        size, count = struct.unpack_from(">IQ", head, 4)
        return int(size) * int(count)
    return None
