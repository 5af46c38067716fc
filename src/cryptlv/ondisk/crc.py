"""LVM2's checksum (lib/misc/crc.c): CRC-32, reflected polynomial 0xEDB88320, start 0xf597a6cf, no final xor."""

from __future__ import annotations

from zlib import crc32

_INITIAL = 0xF597A6CF
_ALL_ONES = 0xFFFFFFFF


def lvm_crc(data: bytes | bytearray | memoryview) -> int:
    """The checksum of `data`; zlib's crc32 inverts before and after, which is undone here."""
    return crc32(data, _INITIAL ^ _ALL_ONES) ^ _ALL_ONES
