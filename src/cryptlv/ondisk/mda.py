"""Metadata areas: the header, its two raw locations, and the ring that holds the texts.

Mirrors lvm2's lib/format_text/layout.h and format-text.c. The header is the area's first 512 bytes, little endian:

    0  u32 CRC of bytes 4..511    4  magic, 16 bytes    20 u32 version (1)
    24 u64 start of this area on the device             32 u64 size of the area with this header
    40 raw locations, 24 bytes each: u64 offset from the area's start, u64 size, u32 CRC of the text, u32 flags

Slot 0 points at the committed text, slot 1 at a precommitted one. A text is followed by one NUL, which size and CRC
count. Texts go round the area behind the header; a new one never overlaps the committed one.
"""

from __future__ import annotations

import struct

from cryptlv.errors import FormatError
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE, round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MDA_HEADER_BYTES = SECTOR_SIZE
_MAGIC = b" LVM2 x[5A%r0N*>"
_VERSION = 1
_HEAD = struct.Struct("<I16sIQQ")
_LOCATION = struct.Struct("<QQII")
IGNORED = 1
"""The flag that says an area is not in use (RAW_LOCN_IGNORED)."""
MAX_AREA_BYTES = 2**40


class RawLocation(Record):
    """Where a text lies: `offset_bytes` from the start of the metadata area, `size_bytes` with the NUL."""

    offset_bytes: int
    size_bytes: int
    crc: int
    flags: int = 0


class MdaHeader(Record):
    """A metadata area's header; a slot is None when it points nowhere."""

    start_bytes: int
    size_bytes: int
    committed: RawLocation | None = None
    precommitted: RawLocation | None = None

    @property
    def is_ignored(self) -> bool:
        """Whether the area is marked as not in use; what slot 0 points at is then stale."""
        return self.committed is not None and bool(self.committed.flags & IGNORED)

    def ignored(self) -> MdaHeader:
        """The header of the same area when it is not in use; slot 0 still points where it did, as in lvm2."""
        slot = self.committed or RawLocation(offset_bytes=0, size_bytes=0, crc=0)
        return self.with_slots(slot.replace(flags=slot.flags | IGNORED), None)

    def emptied(self) -> MdaHeader:
        """The header of the same area when it is in use and has no text."""
        return self.with_slots(None, None)

    def with_slots(self, committed: RawLocation | None, precommitted: RawLocation | None) -> MdaHeader:
        """The header with both slots replaced."""
        return self.replace(committed=committed, precommitted=precommitted)


def raw_location(offset_bytes: int, data: bytes) -> RawLocation:
    """The location of a text, NUL included, that lies at an offset."""
    return RawLocation(offset_bytes=offset_bytes, size_bytes=len(data), crc=lvm_crc(data))


def decode_mda_header(data: bytes, start_bytes: int, size_bytes: int) -> MdaHeader:
    """The header of an area that the PV header places at `start_bytes`, `size_bytes` long; raises FormatError."""
    if len(data) != MDA_HEADER_BYTES:
        raise FormatError(f"{len(data)} bytes are no header", offset_bytes=start_bytes, field="mda_header")
    crc, magic, version, start, size = _HEAD.unpack_from(data)
    if lvm_crc(data[4:]) != crc:
        raise FormatError("checksum is wrong", offset_bytes=start_bytes, field="mda_header.checksum")
    if magic != _MAGIC:
        raise FormatError("magic is wrong", offset_bytes=start_bytes + 4, field="mda_header.magic")
    if version != _VERSION:
        raise FormatError(
            f"version {version} is not known", offset_bytes=start_bytes + 20, field="mda_header.version"
        )
    if start != start_bytes:
        raise FormatError(f"says that it starts at {start}", offset_bytes=start_bytes + 24, field="mda_header.start")
    if size != size_bytes or not 2 * SECTOR_SIZE <= size <= MAX_AREA_BYTES:
        raise FormatError(
            f"size {size} differs from the PV header's {size_bytes} or is out of range",
            offset_bytes=start_bytes + 32,
            field="mda_header.size",
        )
    return MdaHeader(
        start_bytes=start,
        size_bytes=size,
        committed=_decode_location(data, 0, start_bytes, size),
        precommitted=_decode_location(data, 1, start_bytes, size),
    )


def mendable_header(data: bytes, start_bytes: int, size_bytes: int) -> MdaHeader:
    """A header that may be put in place of a damaged one: magic and place show that the area is really here.

    Raises FormatError when they do not (metadata.c:vg_write_commit_bad_mdas). Slot 0 is kept where it points into the
    area, so that the next text goes behind that one; it is nothing to be read.
    """
    _, magic, _, start, _ = _HEAD.unpack_from(data)
    if magic != _MAGIC or start != start_bytes:
        raise FormatError("magic or place is wrong", offset_bytes=start_bytes, field="mda_header")
    if not 2 * SECTOR_SIZE <= size_bytes <= MAX_AREA_BYTES:
        raise FormatError(f"size {size_bytes} is out of range", offset_bytes=start_bytes, field="mda_header.size")
    try:
        committed = _decode_location(data, 0, start_bytes, size_bytes)
    except FormatError:
        committed = None
    return MdaHeader(start_bytes=start_bytes, size_bytes=size_bytes, committed=committed)


def _decode_location(data: bytes, slot: int, start_bytes: int, area_bytes: int) -> RawLocation | None:
    place = _HEAD.size + slot * _LOCATION.size
    offset, size, crc, flags = _LOCATION.unpack_from(data, place)
    if not offset and not flags & IGNORED:
        return None
    if not flags & IGNORED and not (
        MDA_HEADER_BYTES <= offset < area_bytes and 0 < size <= area_bytes - MDA_HEADER_BYTES
    ):
        if slot:
            return None  # a precommitted text is never read; a pointer to nowhere is as good as none
        raise FormatError(
            f"text of {size} bytes at {offset} is outside the area",
            offset_bytes=start_bytes + place,
            field=f"mda_header.raw_locn[{slot}]",
        )
    return RawLocation(offset_bytes=offset, size_bytes=size, crc=crc, flags=flags)


def encode_mda_header(header: MdaHeader) -> bytes:
    """The 512 bytes of a header."""
    body = struct.pack("<16sIQQ", _MAGIC, _VERSION, header.start_bytes, header.size_bytes)
    for location in (header.committed, header.precommitted):
        if location is None:
            body += bytes(_LOCATION.size)
        else:
            body += _LOCATION.pack(location.offset_bytes, location.size_bytes, location.crc, location.flags)
    body += bytes(MDA_HEADER_BYTES - 4 - len(body))
    return struct.pack("<I", lvm_crc(body)) + body


def max_text_bytes(area_bytes: int) -> int:
    """The longest text, NUL included, of which an area can hold two (format-text.c:_mda_max_text_size)."""
    return (area_bytes - MDA_HEADER_BYTES) // 2 - SECTOR_SIZE


def next_text_offset(area_bytes: int, committed: RawLocation | None) -> int:
    """Where in the ring the next text begins: the sector behind the committed one
    (format-text.c:_next_rlocn_offset)."""
    if committed is None or committed.offset_bytes == 0:
        return MDA_HEADER_BYTES
    last = committed.offset_bytes + committed.size_bytes - 1
    if last >= area_bytes:
        last += MDA_HEADER_BYTES - area_bytes
    if area_bytes - last < SECTOR_SIZE:
        return MDA_HEADER_BYTES
    offset = round_up(last + 1, SECTOR_SIZE)
    return MDA_HEADER_BYTES if offset > area_bytes - SECTOR_SIZE else offset


def text_pieces(area_bytes: int, offset_bytes: int, size_bytes: int) -> tuple[tuple[int, int], ...]:
    """The (offset, length) runs of a text in its area: one, or two when it goes round the end.

    Raises FormatError when it cannot lie there.
    """
    if not MDA_HEADER_BYTES <= offset_bytes < area_bytes or not 0 < size_bytes <= area_bytes - MDA_HEADER_BYTES:
        raise FormatError(f"text of {size_bytes} bytes at {offset_bytes} is outside the area", field="raw_locn")
    first = min(size_bytes, area_bytes - offset_bytes)
    if first == size_bytes:
        return ((offset_bytes, size_bytes),)
    return ((offset_bytes, first), (MDA_HEADER_BYTES, size_bytes - first))


def place_in_ring(area_bytes: int, location: RawLocation, text_offset_bytes: int) -> int:
    """Where in its area a byte of a text lies, which may go round the end."""
    place = location.offset_bytes + text_offset_bytes
    return place if place < area_bytes else place - area_bytes + MDA_HEADER_BYTES


def check_text(raw: bytes, location: RawLocation) -> bytes:
    """The text without its NUL; raises FormatError when its checksum is wrong."""
    if lvm_crc(raw) != location.crc:
        raise FormatError("checksum of the metadata text is wrong", field="text")
    return raw.removesuffix(b"\0")


def describe_header(header: MdaHeader, number: int) -> Iterator[str]:
    """Lines that show a header, field by field, in the words of `pvck --dump headers`."""
    name = f"mda_header_{number}"
    crc = struct.unpack_from("<I", encode_mda_header(header))[0]
    yield f"{name} at {header.start_bytes} # metadata area"
    yield f"{name}.checksum 0x{crc:x}"
    yield f"{name}.magic 0x{_MAGIC.hex()}"
    yield f"{name}.version {_VERSION}"
    yield f"{name}.start {header.start_bytes}"
    yield f"{name}.size {header.size_bytes}"
    for slot, meaning in enumerate(("commit", "precommit")):
        location = (header.committed, header.precommitted)[slot] or RawLocation(offset_bytes=0, size_bytes=0, crc=0)
        yield f"{name}.raw_locn[{slot}] at {header.start_bytes + _HEAD.size + slot * _LOCATION.size} # {meaning}"
        yield f"{name}.raw_locn[{slot}].offset {location.offset_bytes}"
        yield f"{name}.raw_locn[{slot}].size {location.size_bytes}"
        yield f"{name}.raw_locn[{slot}].checksum 0x{location.crc:x}"
        ignored = " # RAW_LOCN_IGNORED" if location.flags & IGNORED else ""
        yield f"{name}.raw_locn[{slot}].flags 0x{location.flags:x}{ignored}"
