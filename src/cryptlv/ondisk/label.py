"""The label sector: LVM2's label and physical volume header.

Mirrors lvm2's lib/label/label.c, lib/format_text/text_label.c and layout.h. All numbers are little endian:

    0  "LABELONE"            8  u64 number of this sector       16  u32 CRC of bytes 20..511
    20 u32 offset of contents (32)                              24  "LVM2 001"
    32 PV id, 32 characters  64 u64 device size in bytes        72  data areas, metadata areas: {u64 offset, u64 size}
                                                                    lists, each ended by 16 zero bytes
    then u32 extension version, u32 flags, bootloader areas (a list like the others)
    472 "CLVMWAS ", 480 the PV id before: ours, there only while the id of a PV in a volume group is being changed
"""

from __future__ import annotations

import struct

from cryptlv.errors import FormatError
from cryptlv.names import is_plain_uuid, parse_uuid, printable, render_uuid
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Area = tuple[int, int]

LABEL_SCAN_SECTORS = 4
LABEL_SCAN_BYTES = LABEL_SCAN_SECTORS * SECTOR_SIZE
DEFAULT_LABEL_SECTOR = 1
PV_USED = 1
"""The flag that says a volume group uses the PV (PV_EXT_USED)."""
EXTENSION_VERSION = 2

_MAGIC = b"LABELONE"
_TYPE = b"LVM2 001"
_HEAD = struct.Struct("<8sQII8s")
_PV_HEAD = struct.Struct("<32sQ")
_AREA = struct.Struct("<QQ")
_EXTENSION = struct.Struct("<II")
_CRC_START = 20
_MAX_AREAS = 16
_FORMER_MAGIC = b"CLVMWAS "
_FORMER_START = SECTOR_SIZE - len(_FORMER_MAGIC) - 32


class PvLabel(Record):
    """What a label sector says. Areas are (offset, size) in bytes; a size of 0 means to the end of the device.

    `former_id` is the PV's id in its volume group's metadata until these name `pv_id`; "" when it has no other.
    """

    pv_id: str
    device_size_bytes: int
    data_areas: tuple[Area, ...]
    mdas: tuple[Area, ...] = ()
    sector: int = DEFAULT_LABEL_SECTOR
    extension_version: int = EXTENSION_VERSION
    flags: int = 0
    bootloader_areas: tuple[Area, ...] = ()
    former_id: str = ""

    @property
    def is_used(self) -> bool:
        """Whether the label says that a volume group uses the PV."""
        return bool(self.flags & PV_USED)

    @property
    def data_range_sectors(self) -> tuple[int, int]:
        """The first sector for extents, and the first behind them: the second metadata area or the device's end."""
        start = self.data_areas[0][0] if self.data_areas else self.device_size_bytes
        behind = [offset for offset, _ in self.mdas if offset >= start]
        return start // SECTOR_SIZE, min([self.device_size_bytes, *behind]) // SECTOR_SIZE


def decode_label(sector: bytes, number: int) -> PvLabel:
    """The label in a 512-byte sector found as sector `number`; raises FormatError with the offset in the device."""
    base = number * SECTOR_SIZE
    magic, own_number, crc, contents, kind = _HEAD.unpack_from(sector)
    if magic != _MAGIC or kind != _TYPE:
        raise FormatError("not an LVM2 label", offset_bytes=base, field="label")
    if own_number != number:
        raise FormatError(
            f"label for sector {own_number} found at sector {number}", offset_bytes=base + 8, field="sector"
        )
    if lvm_crc(sector[_CRC_START:SECTOR_SIZE]) != crc:
        raise FormatError("checksum of the label is wrong", offset_bytes=base + 16, field="crc")
    if contents + _PV_HEAD.size > SECTOR_SIZE:
        raise FormatError(
            f"offset of contents {contents} is outside the sector", offset_bytes=base + 20, field="offset"
        )
    raw_id, size = _PV_HEAD.unpack_from(sector, contents)
    plain = raw_id.decode("ascii", "replace")
    if not is_plain_uuid(plain):
        raise FormatError(f"PV id {printable(plain)!r} is not a UUID", offset_bytes=base + contents, field="pv_uuid")
    reader = _AreaReader(sector, contents + _PV_HEAD.size, base)
    data_areas, mdas = reader.areas("data areas"), reader.areas("metadata areas")
    version, flags, bootloader = reader.extension()
    return PvLabel(
        pv_id=render_uuid(plain),
        device_size_bytes=size,
        data_areas=data_areas,
        mdas=mdas,
        sector=number,
        extension_version=version,
        flags=flags,
        bootloader_areas=bootloader,
        former_id=_former_id(sector, reader.offset),
    )


def _former_id(sector: bytes, end: int) -> str:
    """The id before in the tail of a label sector whose lists end at `end`, "" when there is none."""
    tail = sector[_FORMER_START:SECTOR_SIZE]
    plain = tail.removeprefix(_FORMER_MAGIC).decode("ascii", "replace")
    return render_uuid(plain) if end <= _FORMER_START and is_plain_uuid(plain) else ""


class _AreaReader:
    """Reads the lists of a PV header one after the other."""

    def __init__(self, sector: bytes, offset: int, base: int) -> None:
        self.sector = sector
        self.offset = offset
        self.base = base

    def areas(self, field: str) -> tuple[Area, ...]:
        found: list[Area] = []
        while True:
            if self.offset + _AREA.size > SECTOR_SIZE or len(found) > _MAX_AREAS:
                raise FormatError("list of areas has no end", offset_bytes=self.base + self.offset, field=field)
            area = _AREA.unpack_from(self.sector, self.offset)
            self.offset += _AREA.size
            if area == (0, 0):
                return tuple(found)
            if area[0] + area[1] >= 2**63:
                raise FormatError("area is out of range", offset_bytes=self.base + self.offset - 16, field=field)
            found.append((area[0], area[1]))

    def extension(self) -> tuple[int, int, tuple[Area, ...]]:
        """Version, flags and bootloader areas; older PVs have no extension, which reads as zeros."""
        if self.offset + _EXTENSION.size > SECTOR_SIZE:
            return 0, 0, ()
        version, flags = _EXTENSION.unpack_from(self.sector, self.offset)
        self.offset += _EXTENSION.size
        if version == 0:
            return 0, 0, ()
        return version, flags, self.areas("bootloader areas")


def check_layout(label: PvLabel, device_size_bytes: int) -> Iterator[FormatError]:
    """What the areas of a label have wrong on a device of that size; nothing may be written by such a label.

    The errors of metadata areas have the field `pv_header.mda[N]`, N from 0 on, and stand for that area alone.
    """
    place = label.sector * SECTOR_SIZE + _HEAD.size + _PV_HEAD.size
    behind_label = (label.sector + 1) * SECTOR_SIZE
    places_of_mdas = place + (len(label.data_areas) + 1) * _AREA.size
    taken: list[Area] = []
    for number, (start, size) in enumerate(label.mdas):
        message = ""
        if start < behind_label:
            message = "lies over the label"
        elif start + size > device_size_bytes:
            message = f"ends beyond the device's {device_size_bytes} bytes"
        elif any(start < end and other < start + size for other, end in taken):
            message = "lies over another metadata area"
        if message:
            yield FormatError(
                f"metadata area of {size} bytes at {start} {message}",
                offset_bytes=places_of_mdas + number * _AREA.size,
                field=f"pv_header.mda[{number}]",
            )
        else:
            taken.append((start, start + size))
    for number, (start, size) in enumerate(label.data_areas):
        end = start + size if size else max(label.data_range_sectors[1] * SECTOR_SIZE, start + 1)
        if start < behind_label or any(start < stop and first < end for first, stop in taken):
            yield FormatError(
                f"data area at {start} lies over the label or a metadata area",
                offset_bytes=place + number * _AREA.size,
                field=f"pv_header.data_area[{number}]",
            )


def find_label(head: bytes) -> tuple[PvLabel | None, tuple[str, ...]]:
    """The label in a device's first four sectors, and remarks on what looks like one but is not.

    The first valid label wins, as in lvm2's label scan. Never raises.
    """
    found, remarks = find_labels(head)
    return (found[0] if found else None), remarks


def find_labels(head: bytes) -> tuple[tuple[PvLabel, ...], tuple[str, ...]]:
    """Every valid label in a device's first four sectors, and remarks. Never raises."""
    found: list[PvLabel] = []
    remarks: list[str] = []
    for number in range(min(len(head) // SECTOR_SIZE, LABEL_SCAN_SECTORS)):
        sector = head[number * SECTOR_SIZE : (number + 1) * SECTOR_SIZE]
        if not sector.startswith(_MAGIC):
            continue
        try:
            label = decode_label(sector, number)
        except FormatError as error:
            remarks.append(f"ignoring label in sector {number}: {error}")
            continue
        if found:
            remarks.append(f"ignoring additional label in sector {number}")
        found.append(label)
    return tuple(found), tuple(remarks)


def is_label_sector(sector: bytes | bytearray, number: int) -> bool:
    """Whether a sector is a label of LVM's, sound or not, that says it is sector `number` (label.c:label_remove)."""
    return sector.startswith(_MAGIC) and struct.unpack_from("<Q", sector, len(_MAGIC))[0] == number


def encode_label(label: PvLabel) -> bytes:
    """The 512 bytes of a label sector; raises FormatError when the areas do not fit."""
    body = bytearray(_PV_HEAD.pack(parse_uuid(label.pv_id).encode("ascii"), label.device_size_bytes))
    for areas in (label.data_areas, label.mdas):
        body += _encode_areas(areas)
    if label.extension_version:
        body += _EXTENSION.pack(label.extension_version, label.flags) + _encode_areas(label.bootloader_areas)
    former = _FORMER_MAGIC + parse_uuid(label.former_id).encode("ascii") if label.former_id else b""
    room = SECTOR_SIZE - _HEAD.size - len(body) - len(former)
    if room < 0:
        raise FormatError("the areas do not fit into the label sector", field="areas")
    tail = struct.pack("<I8s", _HEAD.size, _TYPE) + body + bytes(room) + former
    return struct.pack("<8sQI", _MAGIC, label.sector, lvm_crc(tail)) + tail


def _encode_areas(areas: tuple[Area, ...]) -> bytes:
    return b"".join(_AREA.pack(*area) for area in areas) + bytes(_AREA.size)


def describe_label(label: PvLabel) -> Iterator[str]:
    """Lines that show a label and PV header, field by field, in the words of `pvck --dump headers`."""
    base = label.sector * SECTOR_SIZE
    crc = struct.unpack_from("<I", encode_label(label), 16)[0]
    yield f"label_header at {base}"
    yield "label_header.id LABELONE"
    yield f"label_header.sector {label.sector}"
    yield f"label_header.crc 0x{crc:x}"
    yield "label_header.offset 32"
    yield "label_header.type LVM2 001"
    yield f"pv_header at {base + 32}"
    yield f"pv_header.pv_uuid {parse_uuid(label.pv_id)}"
    yield f"pv_header.device_size {label.device_size_bytes}"
    place = base + 32 + _PV_HEAD.size
    for kind, areas in (("pv_header.disk_locn", (*label.data_areas, (0, 0), *label.mdas, (0, 0))),):
        for number, (offset, size) in enumerate(areas):
            yield f"{kind}[{number}] at {place} # {_meaning(label, number)}"
            yield f"{kind}[{number}].offset {offset}"
            yield f"{kind}[{number}].size {size}"
            place += _AREA.size
    if label.extension_version:
        yield f"pv_header_extension at {place}"
        yield f"pv_header_extension.version {label.extension_version}"
        yield f"pv_header_extension.flags {label.flags}"
        place += _EXTENSION.size
        for number, (offset, size) in enumerate((*label.bootloader_areas, (0, 0))):
            meaning = "bootloader area" if number < len(label.bootloader_areas) else "location list end"
            yield f"pv_header_extension.disk_locn[{number}] at {place} # {meaning}"
            yield f"pv_header_extension.disk_locn[{number}].offset {offset}"
            yield f"pv_header_extension.disk_locn[{number}].size {size}"
            place += _AREA.size


def _meaning(label: PvLabel, number: int) -> str:
    count = len(label.data_areas)
    if number < count:
        return "location of data area"
    if number == count or number == count + 1 + len(label.mdas):
        return "location list end"
    return "location of metadata area"
