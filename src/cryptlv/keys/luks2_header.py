"""LUKS2's binary header (LUKS2 On-Disk Format Specification 1.1.1, section 2; cryptsetup's lib/luks2/luks2.h).

Big endian, 4096 bytes: magic, version, size of the header with its JSON area, sequence number, label, checksum
algorithm, salt, UUID, subsystem, the header's own offset, and the checksum of binary header and JSON area with that
field zeroed. There are two copies, one behind the other, told apart by their magic; the one with the higher sequence
number counts, the first when they are equal. A copy that is damaged or old is written anew from the other one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from hmac import compare_digest

from cryptlv.ciphers.kdf import check_hash, digest_bytes, new_hash
from cryptlv.errors import CipherError, KeystoreError
from cryptlv.keys.luks2_json import Document, parse_document
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BINARY_BYTES = 4096
HEADER_SIZES = tuple(0x4000 << power for power in range(9))
"""What the specification allows for a copy: 16 KiB to 4 MiB; so the second one is at one of these offsets."""
_MAGICS = (b"LUKS\xba\xbe", b"SKUL\xba\xbe")
_NAMES = ("first", "second")
_HEAD = struct.Struct(">6sHQQ48s32s64s40s48sQ184s64s")
_CHECKSUM = slice(448, 512)


class Copy(Record):
    """One copy of the header, its checksum right and its text understood."""

    header_bytes: int
    sequence: int
    label: str
    checksum_alg: str
    salt: bytes
    uuid: str
    subsystem: str
    document: Document
    area: bytes


class Luks2Header(Record):
    """A header: the copy that counts, what is to be said of the other, and how it would be made right (bytes by their
    offset in the image)."""

    copy: Copy
    remarks: tuple[str, ...] = ()
    mends: tuple[tuple[int, bytes], ...] = ()

    @property
    def document(self) -> Document:
        """What its JSON text says."""
        return self.copy.document


def _text(raw: bytes) -> str:
    """A field's text up to its NUL, whatever it holds; `_bytes` is the way back."""
    return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode_copy(image: bytes, offset: int, which: int) -> Copy:
    """One copy; raises KeystoreError saying what is wrong with it."""
    name = _NAMES[which]
    if len(image) < offset + BINARY_BYTES:
        raise KeystoreError(f"LUKS2 header: {name} copy: {len(image)} bytes are too few")
    fields = _HEAD.unpack_from(image, offset)
    magic, version, size, sequence, label, checksum_alg, salt, uuid, subsystem, own_offset, _, checksum = fields
    if magic != _MAGICS[which]:
        raise KeystoreError(f"LUKS2 header: {name} copy: magic is wrong, there is no LUKS2 header at byte {offset}")
    if version != 2:
        raise KeystoreError(f"LUKS2 header: {name} copy: version is {version}, not 2")
    if size not in HEADER_SIZES or own_offset != offset or (which and size != offset):
        raise KeystoreError(f"LUKS2 header: {name} copy: size {size} or offset {own_offset} is wrong")
    if len(image) < offset + size:
        raise KeystoreError(f"LUKS2 header: {name} copy: {len(image)} bytes are too few")
    alg = _text(checksum_alg)
    whole = image[offset : offset + size]
    try:
        right = compare_digest(_checksum(whole, alg), checksum[: digest_bytes(alg)])
    except CipherError as error:
        raise KeystoreError(f"LUKS2 header: {name} copy: checksum: {error}") from None
    if not right:
        raise KeystoreError(f"LUKS2 header: {name} copy: checksum is wrong")
    try:
        document = parse_document(whole[BINARY_BYTES:], size, len(image))
    except KeystoreError as error:
        problem = str(error).removeprefix("LUKS2 header: ")
        raise KeystoreError(f"LUKS2 header: {name} copy: {problem}") from None
    return Copy(
        header_bytes=size,
        sequence=sequence,
        label=_text(label),
        checksum_alg=alg,
        salt=salt,
        uuid=_text(uuid),
        subsystem=_text(subsystem),
        document=document,
        area=whole[BINARY_BYTES:],
    )


def _checksum(whole: bytes, alg: str) -> bytes:
    state = new_hash(check_hash(alg), whole[: _CHECKSUM.start])
    state.update(bytes(_CHECKSUM.stop - _CHECKSUM.start))
    state.update(memoryview(whole)[_CHECKSUM.stop :])
    return state.digest()


def _encode_copy(copy: Copy, which: int, salt: bytes) -> bytes:
    head = _HEAD.pack(
        _MAGICS[which],
        2,
        copy.header_bytes,
        copy.sequence,
        _bytes(copy.label),
        _bytes(copy.checksum_alg),
        salt,
        _bytes(copy.uuid),
        _bytes(copy.subsystem),
        which * copy.header_bytes,
        b"",
        b"",
    )
    whole = bytearray(head.ljust(BINARY_BYTES, b"\0") + copy.area)
    checksum = _checksum(bytes(whole), copy.checksum_alg)
    whole[_CHECKSUM.start : _CHECKSUM.start + len(checksum)] = checksum
    return bytes(whole)


def _second_offsets(image: bytes) -> tuple[int, ...]:
    """Where the second copy may be: where the first says, if it can be believed, else anywhere."""
    size = int.from_bytes(image[8:16], "big")
    if image[:6] == _MAGICS[0] and size in HEADER_SIZES:
        return (size, *(other for other in HEADER_SIZES if other != size))
    return HEADER_SIZES


def decode_header(image: bytes) -> Luks2Header:
    """The header at the start of an image; raises KeystoreError when neither copy is whole, with what is wrong."""
    found: list[Copy | None] = [None, None]
    problems: dict[int, str] = {}
    places = [(0, 0), *((1, offset) for offset in _second_offsets(image) if image[offset : offset + 6] == _MAGICS[1])]
    for which, offset in places:
        if found[which] is None:
            try:
                found[which] = _decode_copy(image, offset, which)
            except KeystoreError as error:
                problems.setdefault(which, str(error))
    problems.setdefault(1, "LUKS2 header: second copy: magic is wrong, there is none at its place")
    first, second = found
    if first is None and second is None:
        raise KeystoreError(_hopeless(image, problems))
    if first is None or (second is not None and second.sequence > first.sequence):
        good, bad, other = 1, 0, first
    else:
        good, bad, other = 0, 1, second
    copy = found[good]
    assert copy is not None  # noqa: S101 - one of them is
    if other is not None and other.sequence == copy.sequence:
        return Luks2Header(copy=copy)
    problem = problems[bad] if other is None else f"LUKS2 header: {_NAMES[bad]} copy: it is older than the other"
    mended = _encode_copy(copy, bad, hashlib.sha512(copy.salt).digest())
    return Luks2Header(
        copy=copy,
        remarks=(f"{problem}; the {_NAMES[good]} copy is whole and is used",),
        mends=((bad * copy.header_bytes, mended),),
    )


def _hopeless(image: bytes, problems: dict[int, str]) -> str:
    """Why nothing can be read."""
    if image[:6] == _MAGICS[0] and image[6:8] == b"\0\1":
        return "LUKS2 header: version is 1, not 2: this is a LUKS1 header"
    second_is_there = any(image[offset : offset + 6] == _MAGICS[1] for offset in HEADER_SIZES)
    if image[:6] != _MAGICS[0] and not second_is_there:
        return "LUKS2 header: magic is wrong, there is no LUKS header here" + (
            f" ({len(image)} bytes are too few)" if len(image) < BINARY_BYTES else ""
        )
    tail = problems[1].removeprefix("LUKS2 header: ")
    return f"{problems[0]}; {tail}: both copies are damaged"


def new_copy(uuid: str, header_bytes: int, salt: bytes, tree: dict[str, Any], image_bytes: int) -> Copy:
    """A header that is not on a disk yet; raises KeystoreError when its text is too long, or says what cannot be."""
    area = _render(tree, header_bytes)
    document = parse_document(area, header_bytes, image_bytes)
    return Copy(
        header_bytes=header_bytes,
        sequence=1,
        label="",
        checksum_alg="sha256",
        salt=salt,
        uuid=uuid,
        subsystem="",
        document=document,
        area=area,
    )


def changed_copy(copy: Copy, tree: dict[str, Any], image_bytes: int) -> Copy:
    """The header after a change of its text, with the next sequence number; raises KeystoreError as `new_copy`."""
    area = _render(tree, copy.header_bytes)
    document = parse_document(area, copy.header_bytes, image_bytes)
    return copy.replace(sequence=copy.sequence + 1, area=area, document=document)


def _render(tree: dict[str, Any], header_bytes: int) -> bytes:
    try:
        text = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError:
        raise KeystoreError("LUKS2 header: its JSON text holds numbers that cannot be written") from None
    room = header_bytes - BINARY_BYTES
    if len(text) >= room:
        raise KeystoreError(
            f"LUKS2 header: its JSON text of {len(text)} bytes does not fit into {room}; give --luks2-metadata-size"
        )
    return text.ljust(room, b"\0")


def encode_header(copy: Copy) -> bytes:
    """Both copies of a header, one behind the other, each with a salt of its own."""
    return _encode_copy(copy, 0, copy.salt) + _encode_copy(copy, 1, hashlib.sha512(copy.salt).digest())
