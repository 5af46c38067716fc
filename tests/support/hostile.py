"""Physical volumes made by hand: any label, any metadata area, any text, each with the right checksum."""

from __future__ import annotations

import itertools
import os
import struct
from typing import TYPE_CHECKING

from cryptlv.ondisk.crc import lvm_crc

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20
IMAGE_BYTES = 16 * MIB
AREA_START = 4096
AREA_BYTES = MIB - AREA_START
MAGIC = b" LVM2 x[5A%r0N*>"
PV_ID = "evilpvevilpvevilpvevilpvevilpv00"


def hyphened(plain: str) -> str:
    """A UUID as texts have it."""
    places = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(plain[start:end] for start, end in itertools.pairwise(places))


def areas(*pairs: tuple[int, int]) -> bytes:
    """A list of areas as a label has it, with its end."""
    return b"".join(struct.pack("<QQ", *pair) for pair in pairs) + bytes(16)


def label(
    *,
    pv_id: str = PV_ID,
    device_bytes: int = IMAGE_BYTES,
    data: tuple[tuple[int, int], ...] = ((MIB, 0),),
    mdas: tuple[tuple[int, int], ...] = ((AREA_START, AREA_BYTES),),
    extension: bytes = struct.pack("<II", 2, 1) + bytes(16),
    contents: int = 32,
    number: int = 1,
) -> bytes:
    """The 512 bytes of a label sector."""
    body = struct.pack("<I8s", contents, b"LVM2 001") + pv_id.encode() + struct.pack("<Q", device_bytes)
    body = (body + areas(*data) + areas(*mdas) + extension).ljust(492, b"\0")[:492]
    return struct.pack("<8sQI", b"LABELONE", number, lvm_crc(body)) + body


def slot(offset: int, size: int, crc: int, flags: int = 0) -> bytes:
    """A raw location."""
    return struct.pack("<QQII", offset, size, crc, flags)


def header(slots: bytes, *, start: int = AREA_START, size: int = AREA_BYTES, version: int = 1) -> bytes:
    """The 512 bytes of a metadata area's header."""
    body = (struct.pack("<16sIQQ", MAGIC, version, start, size) + slots).ljust(508, b"\0")
    return struct.pack("<I", lvm_crc(body)) + body


def write_image(path: Path, pieces: dict[int, bytes], size: int = IMAGE_BYTES) -> Path:
    """An image file with bytes at places, holes between them."""
    with path.open("wb") as file:
        file.truncate(max(size, *(place + len(data) for place, data in pieces.items())))
        for place, data in pieces.items():
            os.pwrite(file.fileno(), data, place)
    return path


def with_text(text: bytes, *, at: int = 512, area_bytes: int = AREA_BYTES, **of_label: object) -> dict[int, bytes]:
    """The pieces of an image whose metadata area holds a text, which goes round the area's end where it must."""
    data = text + b"\0"
    first = min(len(data), area_bytes - at)
    given = {"mdas": ((AREA_START, area_bytes),), "data": ((AREA_START + area_bytes, 0),), **of_label}
    pieces = {
        512: label(**given),  # type: ignore[arg-type]
        AREA_START: header(slot(at, len(data), lvm_crc(data)), size=area_bytes),
        AREA_START + at: data[:first],
    }
    if first < len(data):
        pieces[AREA_START + 512] = data[first:]
    return pieces


PV_TEXT = f'pv0 {{ id = "{hyphened(PV_ID)}" device = "/dev/evil" status = ["ALLOCATABLE"] flags = [] dev_size = 32768 pe_start = 2048 pe_count = 15 }}'  # noqa: E501 - one line of text
VG_ID = hyphened("evilvgevilvgevilvgevilvgevilvg00")


def lv_id(number: int) -> str:
    """An id for a volume."""
    return hyphened(f"evillvevillvevillvevillv{number:08}")


def segment(
    number: int = 1, *, start: object = 0, count: object = 1, kind: str = "striped", body: str | None = None
) -> str:
    """A segment; linear on pv0's first extent when nothing else is said."""
    if body is None:
        body = 'stripe_count = 1 stripes = ["pv0", 0]'
    return f'segment{number} {{ start_extent = {start} extent_count = {count} type = "{kind}" {body} }}'


def volume(
    name: str = "lv", *segments: str, number: int = 0, count: object = None, status: str = '"READ", "VISIBLE"'
) -> str:
    """A logical volume of segments; with one linear one when none are given."""
    parts = segments or (segment(),)
    return (
        f'{name} {{ id = "{lv_id(number)}" status = [{status}] flags = [] '
        f"segment_count = {len(parts) if count is None else count} {' '.join(parts)} }}"
    )


def group(
    *lvs: str, pvs: str = PV_TEXT, fields: str = "", extent_size: object = 2048, seqno: object = 1, name: str = "evil"
) -> bytes:
    """A metadata text."""
    body = f"logical_volumes {{ {' '.join(lvs)} }}" if lvs else ""
    return (
        f'{name} {{ id = "{VG_ID}" seqno = {seqno} format = "lvm2" status = ["READ", "WRITE", "RESIZEABLE"] '
        f"flags = [] extent_size = {extent_size} max_lv = 0 max_pv = 0 metadata_copies = 0 {fields}\n"
        f"physical_volumes {{ {pvs} }}\n{body} }}\n"
        'contents = "Text Format Volume Group"\nversion = 1\ndescription = ""\ncreation_host = "h"\n'
        "creation_time = 1\n"
    ).encode()
