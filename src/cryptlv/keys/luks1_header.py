"""The LUKS1 header (LUKS1 On-Disk Format Specification 1.2.3, sections 2.3 and 6; cryptsetup's lib/luks1/luks.h).

Big endian, 592 bytes: magic, version, cipher name, cipher mode, hash, payload offset (sectors), key bytes, digest of
the volume key with its salt and iterations, UUID, and eight keyslots of 48 bytes each. A keyslot's key material lies
at its own offset (sectors), `stripes` times the key's length.

Headers that this program makes have marks of their key material (keys/material.py) in the gap that the format leaves
before it: eight bytes of magic and a mark for each keyslot. Other programs leave them alone.
"""

from __future__ import annotations

import struct

from cryptlv.ciphers.kdf import MAX_WORK
from cryptlv.errors import KeystoreError
from cryptlv.keys.material import MARK_BYTES, STRIPES, material_bytes
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE, round_up

HEADER_BYTES = 592
KEYSLOTS = 8
SALT_BYTES = 32
DIGEST_BYTES = 20
_MAGIC = b"LUKS\xba\xbe"
_MAGIC_IN_REENCRYPTION = b"LUKS\xde\xad"
"""What cryptsetup-reencrypt(8) writes there while it is at work (src/utils_reencrypt_luks1.c)."""
_MARKS_OFFSET, _MARKS_MAGIC = 1024, b"cryptlv\x01"
_ACTIVE, _DISABLED = 0x00AC71F3, 0x0000DEAD
_HEAD = struct.Struct(">6sH32s32s32sII20s32sI40s")
_SLOT = struct.Struct(">II32sII")
_ALIGN_BYTES = 4096
_MAX_KEY_BYTES = 512


class Keyslot(Record):
    """One of the eight slots; `offset_sectors` is its key material's place from the header's start."""

    active: bool
    iterations: int
    salt: bytes
    offset_sectors: int
    stripes: int = STRIPES


class Luks1Header(Record):
    """A header. `payload_offset_sectors` is 0 when the data lie elsewhere (a detached header)."""

    cipher_name: str
    cipher_mode: str
    hash_name: str
    payload_offset_sectors: int
    key_bytes: int
    digest: bytes
    digest_salt: bytes
    digest_iterations: int
    uuid: str
    keyslots: tuple[Keyslot, ...]

    @property
    def cipher(self) -> str:
        """The dm-crypt specification."""
        return f"{self.cipher_name}-{self.cipher_mode}"

    @property
    def image_bytes(self) -> int:
        """Bytes from the header's start to the end of the last keyslot's key material."""
        return max(slot.offset_sectors for slot in self.keyslots) * SECTOR_SIZE + slot_bytes(self.key_bytes)


def slot_bytes(key_bytes: int) -> int:
    """Bytes that a keyslot's key material takes, as cryptsetup aligns it."""
    return round_up(key_bytes * STRIPES, _ALIGN_BYTES)


def slot_offset_sectors(slot: int, key_bytes: int) -> int:
    """Where cryptsetup puts a keyslot's key material."""
    return (_ALIGN_BYTES + slot * slot_bytes(key_bytes)) // SECTOR_SIZE


def image_bytes(key_bytes: int) -> int:
    """Bytes of a whole new header with its eight keyslots."""
    return _ALIGN_BYTES + KEYSLOTS * slot_bytes(key_bytes)


def _text(raw: bytes, field: str) -> str:
    text, nul, _ = raw.partition(b"\0")
    if not nul or not text.isascii() or not text.decode("ascii").isprintable():
        raise KeystoreError(f"LUKS1 header: {field} is not a text")
    return text.decode("ascii")


def decode_header(image: bytes) -> Luks1Header:
    """The header at the start of an image; raises KeystoreError naming the field that is wrong."""
    if len(image) < HEADER_BYTES:
        raise KeystoreError(f"LUKS1 header: {len(image)} bytes are too few")
    fields = _HEAD.unpack_from(image)
    magic, version, name, mode, hash_name, payload, key_bytes, digest, salt, iterations, uuid = fields
    if magic == _MAGIC_IN_REENCRYPTION:
        raise KeystoreError("LUKS1 header: a re-encryption was begun and not ended; end it with cryptsetup reencrypt")
    if magic != _MAGIC:
        raise KeystoreError("LUKS1 header: magic is wrong, there is no LUKS header here")
    if version != 1:
        raise KeystoreError(f"LUKS1 header: version is {version}, not 1")
    if not 0 < key_bytes <= _MAX_KEY_BYTES:
        raise KeystoreError(f"LUKS1 header: key of {key_bytes} bytes is out of range")
    _check_iterations("digest", iterations)
    slots = tuple(
        _decode_slot(number, _SLOT.unpack_from(image, _HEAD.size + number * _SLOT.size)) for number in range(KEYSLOTS)
    )
    header = Luks1Header(
        cipher_name=_text(name, "cipher name"),
        cipher_mode=_text(mode, "cipher mode"),
        hash_name=_text(hash_name, "hash"),
        payload_offset_sectors=payload,
        key_bytes=key_bytes,
        digest=digest,
        digest_salt=salt,
        digest_iterations=iterations,
        uuid=_text(uuid, "uuid"),
        keyslots=slots,
    )
    _check_places(header, len(image))
    return header


def _check_iterations(what: str, iterations: int) -> None:
    if not 0 < iterations <= MAX_WORK:
        raise KeystoreError(f"LUKS1 header: {what} has {iterations} iterations, out of range")


def _decode_slot(number: int, fields: tuple[int, int, bytes, int, int]) -> Keyslot:
    state, iterations, salt, offset, stripes = fields
    if state not in (_ACTIVE, _DISABLED):
        raise KeystoreError(f"LUKS1 header: keyslot {number} has the unknown state 0x{state:08x}")
    if stripes != STRIPES:
        raise KeystoreError(f"LUKS1 header: keyslot {number} has {stripes} stripes, not {STRIPES}")
    if state == _ACTIVE:
        _check_iterations(f"keyslot {number}", iterations)
    return Keyslot(active=state == _ACTIVE, iterations=iterations, salt=salt, offset_sectors=offset, stripes=stripes)


def _check_places(header: Luks1Header, available_bytes: int) -> None:
    """Key material lies behind the header, inside the image, before the payload, and apart (LUKS_check_keyslots)."""
    length = material_bytes(header.key_bytes)
    end_of_all = available_bytes
    if header.payload_offset_sectors:
        end_of_all = min(end_of_all, header.payload_offset_sectors * SECTOR_SIZE)
    places = sorted((slot.offset_sectors * SECTOR_SIZE, number) for number, slot in enumerate(header.keyslots))
    behind = round_up(HEADER_BYTES, SECTOR_SIZE)
    for offset, number in places:
        if offset < behind:
            raise KeystoreError(f"LUKS1 header: key material of keyslot {number} overlaps what is before it")
        if offset + length > end_of_all:
            raise KeystoreError(f"LUKS1 header: key material of keyslot {number} ends outside the header")
        behind = offset + length


def encode_header(header: Luks1Header) -> bytes:
    """The 592 bytes of a header; raises KeystoreError when a word does not fit into its field."""
    check_words(header)
    head = _HEAD.pack(
        _MAGIC,
        1,
        header.cipher_name.encode("ascii"),
        header.cipher_mode.encode("ascii"),
        header.hash_name.encode("ascii"),
        header.payload_offset_sectors,
        header.key_bytes,
        header.digest,
        header.digest_salt,
        header.digest_iterations,
        header.uuid.encode("ascii"),
    )
    for slot in header.keyslots:
        state = _ACTIVE if slot.active else _DISABLED
        head += _SLOT.pack(state, slot.iterations, slot.salt, slot.offset_sectors, slot.stripes)
    return head


def empty_slot(number: int, key_bytes: int) -> Keyslot:
    """A disabled keyslot at its usual place."""
    offset = slot_offset_sectors(number, key_bytes)
    return Keyslot(active=False, iterations=0, salt=bytes(SALT_BYTES), offset_sectors=offset)


def check_words(header: Luks1Header) -> None:
    """Raise KeystoreError when a word does not fit into its field of the header."""
    fields = ((header.cipher_name, 31), (header.cipher_mode, 31), (header.hash_name, 31), (header.uuid, 39))
    for word, limit in fields:
        if len(word) > limit or not word.isascii():
            raise KeystoreError(f"LUKS1 header: {printable(word)!r} does not fit into its field")


def decode_marks(image: bytes, header: Luks1Header) -> tuple[bytes, ...]:
    """The mark of each keyslot's material, b"" where there is none; never an error."""
    end = _MARKS_OFFSET + len(_MARKS_MAGIC) + KEYSLOTS * MARK_BYTES
    is_free = all(slot.offset_sectors * SECTOR_SIZE >= end for slot in header.keyslots)
    if not is_free or image[_MARKS_OFFSET : _MARKS_OFFSET + len(_MARKS_MAGIC)] != _MARKS_MAGIC:
        return (b"",) * KEYSLOTS
    first = _MARKS_OFFSET + len(_MARKS_MAGIC)
    return tuple(bytes(image[first + n * MARK_BYTES : first + (n + 1) * MARK_BYTES]) for n in range(KEYSLOTS))


def put_mark(image: bytearray, header: Luks1Header, number: int, mark: bytes) -> None:
    """Keep a keyslot's mark, where the key material leaves room for it."""
    marks = list(decode_marks(bytes(image[:_ALIGN_BYTES]), header))
    marks[number] = mark
    block = _MARKS_MAGIC + b"".join(kept.ljust(MARK_BYTES, b"\0") for kept in marks)
    if all(slot.offset_sectors * SECTOR_SIZE >= _MARKS_OFFSET + len(block) for slot in header.keyslots):
        image[_MARKS_OFFSET : _MARKS_OFFSET + len(block)] = block
