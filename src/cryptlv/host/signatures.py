"""What a device holds, by libblkid: file systems, LUKS headers, partition tables, RAID members.

libblkid is part of util-linux and on every Linux system that has lvm2; where it is not, a few signatures are looked
for by their magic bytes (those of the formats' own specifications).
"""

from __future__ import annotations

import ctypes
import os

from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.device import Device

_BLKID_SUBLKS_LABEL_TYPE_USAGE = (1 << 1) | (1 << 5) | (1 << 7) | (1 << 10)
_SEVERAL = "several signatures"
_MAGICS = (
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (0, b"LUKS\xba\xbe", "a LUKS volume"),
    (0, b"XFSB", "an XFS file system"),
    (0x10040, b"_BHRfS_M", "a Btrfs file system"),
    (4086, b"SWAPSPACE2", "swap space"),
    (510, b"\x55\xaa", "a partition table or boot sector"),
    (0x200, b"EFI PART", "a GPT partition table"),
)


def find_signature(device: Device) -> str:
    """What the device holds, in words for a message; "" when nothing is known in it. Raises DeviceError."""
    found = _probe(device.path)
    if found is None:
        return _look(device)
    return f"a signature of type {printable(found)}" if found not in ("", _SEVERAL) else found


def find_type(device: Device) -> str:
    """What the device holds, in libblkid's word (`ext4`, `xfs`); in words for a message where libblkid is not.

    "" when nothing is known in it. Raises DeviceError.
    """
    found = _probe(device.path)
    return _look(device) if found is None else printable(found)


def _look(device: Device) -> str:
    for offset_bytes, magic, words in _MAGICS:
        if offset_bytes + len(magic) <= device.size_bytes and device.read(offset_bytes, len(magic)) == magic:
            return words
    return ""


def _probe(path: str) -> str | None:
    """libblkid's answer: "" for nothing, None when it cannot be asked."""
    try:
        library = ctypes.CDLL("libblkid.so.1")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _ask(library, descriptor)
    finally:
        os.close(descriptor)


def _ask(library: ctypes.CDLL, descriptor: int) -> str | None:
    library.blkid_new_probe.restype = ctypes.c_void_p
    probe = ctypes.c_void_p(library.blkid_new_probe())
    if not probe:
        return None
    try:
        if library.blkid_probe_set_device(probe, descriptor, ctypes.c_int64(0), ctypes.c_int64(0)):
            return None
        library.blkid_probe_enable_superblocks(probe, 1)
        library.blkid_probe_set_superblocks_flags(probe, _BLKID_SUBLKS_LABEL_TYPE_USAGE)
        library.blkid_probe_enable_partitions(probe, 1)
        answer = library.blkid_do_safeprobe(probe)
        if answer == 1:
            return ""
        if answer != 0:
            return _SEVERAL if answer == -2 else None
        return _value(library, probe, b"TYPE") or _value(library, probe, b"PTTYPE")
    finally:
        library.blkid_free_probe(probe)


def _value(library: ctypes.CDLL, probe: ctypes.c_void_p, name: bytes) -> str:
    data = ctypes.c_char_p()
    if library.blkid_probe_lookup_value(probe, name, ctypes.byref(data), None) or not data.value:
        return ""
    return data.value.decode("utf-8", "replace")
