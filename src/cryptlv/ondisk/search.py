"""Metadata texts found by looking for them: older ones that no header points at, and those behind damaged headers.

Mirrors tools/pvck.c:_dump_all_text of lvm2: texts begin at multiples of 512 bytes, with the lines `NAME {`,
`id = "..."` and `seqno = N`, go round the end of the area, and end with two newlines and a NUL.
"""

from __future__ import annotations

import re

from cryptlv.ondisk.crc import lvm_crc
from cryptlv.ondisk.mda import MDA_HEADER_BYTES
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN = re.compile(rb'([A-Za-z0-9._+-]{1,128}) \{\nid = "([^\n]{1,38})"\nseqno = (\d{1,10})')
_SHORTEST = 256


class FoundText(Record):
    """A text at an offset of its area, without its NUL. `is_whole`: it ends as texts do."""

    offset_bytes: int
    text: bytes
    vg_name: str
    vg_id: str
    seqno: int
    is_whole: bool

    @property
    def summary(self) -> str:
        """What lvm2's pvck says of it, but for where the area lies."""
        crc = lvm_crc(self.text + b"\0")
        return f"length {len(self.text) + 1} crc {crc:08x} vg {self.vg_name} seqno {self.seqno} id {self.vg_id}"


def search_texts(area: bytes) -> Iterator[FoundText]:
    """Every text in a metadata area, header included; in the order of their places."""
    first = 0
    offset = MDA_HEADER_BYTES
    while offset < len(area):
        begin = _BEGIN.match(area, offset)
        text = _text_at(area, offset, first or offset) if begin else None
        if begin is None or text is None:
            offset += SECTOR_SIZE
            continue
        first = first or offset
        yield FoundText(
            offset_bytes=offset,
            text=text,
            vg_name=begin[1].decode("ascii"),
            vg_id=begin[2].decode("ascii", "replace"),
            seqno=int(begin[3]),
            is_whole=text.endswith(b"\n\n"),
        )
        offset += -(-(len(text) + 1) // SECTOR_SIZE) * SECTOR_SIZE


def _text_at(area: bytes, offset: int, stop: int) -> bytes | None:
    """The text up to its NUL, round the end of the area if need be; None when it has no end or is none."""
    end = area.find(b"\0", offset)
    if end >= 0:
        text = area[offset:end]
    else:
        end = area.find(b"\0", MDA_HEADER_BYTES, stop)
        if end < 0:
            return None
        text = area[offset:] + area[MDA_HEADER_BYTES:end]
    return text if len(text) >= _SHORTEST else None
