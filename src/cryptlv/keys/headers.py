"""LUKS headers and their data: what lies behind a header, and headers that say that the data lie elsewhere.

An ordinary LUKS volume is a header with the data behind it at a payload offset; a keystore is a header whose data are
a volume of their own. Where the data are stands in the header: LUKS1's payload offset (LUKS1 On-Disk Format
Specification 1.2.3, section 2.3; 0 for a detached header), LUKS2's data segment with its offset and IV tweak (LUKS2
On-Disk Format Specification 1.1.1, section 3.3).
"""

from __future__ import annotations

import struct

from cryptlv.errors import KeystoreError
from cryptlv.keys.luks1_header import decode_header as decode_luks1
from cryptlv.keys.luks2 import data_segment
from cryptlv.keys.luks2_header import HEADER_SIZES, changed_copy, encode_header
from cryptlv.keys.luks2_header import decode_header as decode_luks2
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE, round_up

LUKS1, LUKS2 = "luks1", "luks2"
_FIRST, _SECOND = b"LUKS", b"SKUL"
_PAYLOAD_OFFSET = 104
_UUID = slice(168, 208)
"""Where both formats have it."""
UUID_BYTES = 208
"""So much of a header's beginning has its UUID in it."""
_ALIGN_BYTES = 4096


class FoundHeader(Record):
    """A header, and where it says that its data are; `data_bytes` is None to the end of the device.

    `header_bytes` is how much of the image is header and key material.
    """

    handler: str
    uuid: str
    key_hash: str
    data_offset_bytes: int
    data_bytes: int | None
    iv_tweak: int
    header_bytes: int


def find_header(head: bytes) -> FoundHeader | None:
    """The LUKS header at the beginning of a device, of which `head` is all or more than a header takes; None when
    there is none. Raises KeystoreError for one that is damaged, in the middle of a re-encryption, or of a kind that
    is not served.
    """
    if head[: len(_FIRST)] == _FIRST:
        return _luks2(head) if head[6:8] == b"\0\2" else _luks1(head)
    if any(head[offset : offset + len(_SECOND)] == _SECOND for offset in HEADER_SIZES):
        return _luks2(head)
    return None


def _luks1(head: bytes) -> FoundHeader:
    header = decode_luks1(head)
    payload_bytes = header.payload_offset_sectors * SECTOR_SIZE
    used = round_up(header.image_bytes, _ALIGN_BYTES)
    return FoundHeader(
        handler=LUKS1,
        uuid=header.uuid,
        key_hash=header.hash_name,
        data_offset_bytes=payload_bytes,
        data_bytes=None,
        iv_tweak=0,
        header_bytes=min(used, payload_bytes or used),
    )


def _luks2(head: bytes) -> FoundHeader:
    copy = decode_luks2(head).copy
    segment = data_segment(copy.document)
    return FoundHeader(
        handler=LUKS2,
        uuid=copy.uuid,
        key_hash="",
        data_offset_bytes=segment.offset_bytes,
        data_bytes=segment.size_bytes,
        iv_tweak=segment.iv_tweak,
        header_bytes=2 * copy.header_bytes + copy.document.keyslots_bytes,
    )


def uuid_in(head: bytes) -> bytes:
    """The UUID in the first bytes of a header, whose rest is not looked at; b"" when there is none."""
    return head[_UUID].partition(b"\0")[0] if head[: len(_FIRST)] == _FIRST else b""


def with_data_at(handler: str, image: bytes, data_offset_bytes: int, iv_tweak: int) -> bytes:
    """The image of a keystore with a header that says where the data are, whole sectors from the start of their
    device, and what is added to their sectors' numbers; the same bytes when it says so already.

    Raises KeystoreError when such a header cannot say that, or is not to be had.
    """
    if handler not in (LUKS1, LUKS2):
        raise KeystoreError(f"key handler {handler!r} has no LUKS header")
    if handler == LUKS1:
        if iv_tweak:
            raise KeystoreError("a LUKS1 header cannot say that a volume shares its key (iv_base); LUKS2 can")
        changed = bytearray(image)
        decode_luks1(image)
        struct.pack_into(">I", changed, _PAYLOAD_OFFSET, data_offset_bytes // SECTOR_SIZE)
        decode_luks1(bytes(changed))
        return bytes(changed)
    copy = decode_luks2(image).copy
    segment = data_segment(copy.document)
    said = {"offset": str(data_offset_bytes), "iv_tweak": str(iv_tweak), "size": "dynamic"}
    segments = copy.document.tree["segments"]
    entry = segments[str(segment.number)]
    if entry | said == entry:
        return image
    tree = copy.document.tree | {"segments": segments | {str(segment.number): entry | said}}
    header = encode_header(changed_copy(copy, tree, len(image)))
    return header + image[len(header) :]
