"""The JSON text of a LUKS2 header, read into records (LUKS2 On-Disk Format Specification 1.1.1, section 3).

Whatever in it could not be meant is a KeystoreError that names the place, as cryptsetup refuses it
(lib/luks2/luks2_json_metadata.c): types, bounds, places that overlap or lie outside, names of what is not there. What
is not known is left alone: tokens of any type, keyslots of other types, keys that other versions have added.
"""

from __future__ import annotations

import binascii
import json

from cryptlv.ciphers.kdf import PBKDF2, KdfParameters
from cryptlv.errors import KeystoreError
from cryptlv.keys.material import STRIPES, material_bytes
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

LUKS2 = "luks2"
SALT_BYTES = 32
MAX_KEYSLOTS = MAX_TOKENS = MAX_SEGMENTS = MAX_DIGESTS = 32
"""cryptsetup's bounds (lib/luks2/luks2.h)."""
IGNORE, NORMAL, PREFER = 0, 1, 2
"""Priorities of keyslots: used when named only, tried in turn, tried first."""
MAX_KEYSLOTS_BYTES = 128 * 1024 * 1024
_MAX_KEY_BYTES = 512
_MAX_DEPTH = 32
_UINT32, _UINT64 = 2**32 - 1, 2**64 - 1


class Keyslot(Record):
    """A keyslot; `area_*` is where and how its key material lies, offsets from the header's start.

    One of another type than "luks2" has a type, a key size and an area, and nothing else.
    """

    number: int
    kind: str
    key_bytes: int
    area_offset: int
    area_bytes: int
    priority: int = NORMAL
    af_hash: str = ""
    area_cipher: str = ""
    area_key_bytes: int = 0
    kdf: KdfParameters | None = None


class Token(Record):
    """A token: what kind, and the keyslots that it opens; the rest of it belongs to whoever made it."""

    number: int
    kind: str
    keyslots: tuple[int, ...]


class Segment(Record):
    """A data segment; `size_bytes` is None to the end of the device, `integrity` the tag's type or ""."""

    number: int
    kind: str
    offset_bytes: int
    size_bytes: int | None
    flags: tuple[str, ...] = ()
    cipher: str = ""
    sector_size: int = SECTOR_SIZE
    iv_tweak: int = 0
    integrity: str = ""

    @property
    def is_backup(self) -> bool:
        """Whether it only says what was, or will be, while a re-encryption goes on."""
        return any(flag.startswith("backup-") for flag in self.flags)


class Digest(Record):
    """The digest of a volume key, the keyslots that hold that key, and the segments that it opens."""

    number: int
    kind: str
    keyslots: tuple[int, ...]
    segments: tuple[int, ...]
    key_hash: str = ""
    iterations: int = 0
    salt: bytes = b""
    digest: bytes = b""


class Document(Record):
    """All that the text says; `tree` is the text itself as parsed, so that what is not known here is kept."""

    tree: dict[str, Any]
    keyslots: tuple[Keyslot, ...]
    tokens: tuple[Token, ...]
    segments: tuple[Segment, ...]
    digests: tuple[Digest, ...]
    json_bytes: int
    keyslots_bytes: int
    requirements: tuple[str, ...] = ()


class _Object:
    """A JSON object that is asked for its members by type; a wrong one raises KeystoreError with its path."""

    def __init__(self, raw: object, path: str) -> None:
        self.path = path
        if not isinstance(raw, dict):
            self.fail("", "is not an object")
        self.raw: dict[str, Any] = raw

    def fail(self, key: str, problem: str) -> NoReturn:
        place = ".".join(filter(None, (self.path, printable(key[:64]))))
        raise KeystoreError(f"LUKS2 header: {place or 'JSON'} {problem}")

    def inner(self, key: str) -> _Object:
        return _Object(self.raw.get(key), f"{self.path}.{key}".strip("."))

    def word(self, key: str) -> str:
        value = self.raw.get(key)
        if not isinstance(value, str) or not value or len(value) > 4096:
            self.fail(key, "is not a word")
        return str(value)

    def number(self, key: str, least: int = 0) -> int:
        value = self.raw.get(key)
        if type(value) is not int or not least <= value <= _UINT32:
            self.fail(key, "is not a number of its range")
        return int(value)

    def big(self, key: str) -> int:
        """A number of 64 bits, kept as a string of decimal digits."""
        value = self.raw.get(key)
        if not isinstance(value, str) or len(value) > 20 or not value.isascii() or not value.isdigit():
            self.fail(key, "is not a string of digits")
        if int(value) > _UINT64:
            self.fail(key, "is too large")
        return int(value)

    def words(self, key: str) -> tuple[str, ...]:
        value = self.raw.get(key)
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            self.fail(key, "is not a list of words")
        return tuple(value)

    def numbers(self, key: str, known: object) -> tuple[int, ...]:
        """References to the members of another object."""
        words = self.words(key)
        for word in words:
            if not isinstance(known, dict) or word not in known or not _is_number(word):
                self.fail(key, f"names {printable(word[:64])!r}, which is not there")
        return tuple(map(int, words))

    def bytes(self, key: str) -> bytes:
        try:
            return binascii.a2b_base64(self.word(key).encode("ascii"), strict_mode=True)
        except (binascii.Error, UnicodeEncodeError):
            self.fail(key, "is not base64")

    def members(self, key: str, most: int) -> Iterator[tuple[int, _Object]]:
        """The objects in an object whose keys are numbers, in the order of these."""
        inner = self.inner(key)
        for name in inner.raw:
            if not _is_number(name) or int(name) >= most:
                inner.fail(name, f"is not a number below {most}")
        for name in sorted(inner.raw, key=int):
            yield int(name), inner.inner(name)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and str(int(word[:8])) == word


def parse_document(area: bytes, header_bytes: int, image_bytes: int) -> Document:
    """What the JSON area of a header of `header_bytes` says, in an image of so many bytes; raises KeystoreError."""
    text, _, rest = area.partition(b"\0")
    if rest.strip(b"\0"):
        raise KeystoreError("LUKS2 header: there is something behind the JSON text")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise KeystoreError("LUKS2 header: the JSON text cannot be read") from None
    if _is_too_deep(tree):
        raise KeystoreError(f"LUKS2 header: the JSON text is nested more than {_MAX_DEPTH} levels deep")
    top = _Object(tree, "")
    config = top.inner("config")
    json_bytes, keyslots_bytes = config.big("json_size"), config.big("keyslots_size")
    if json_bytes + 4096 != header_bytes:
        config.fail("json_size", f"is {json_bytes}, the area has {header_bytes - 4096} bytes")
    if keyslots_bytes % 4096 or keyslots_bytes > MAX_KEYSLOTS_BYTES:
        config.fail("keyslots_size", f"is {keyslots_bytes}, not whole blocks of 4096 bytes up to 128 MiB")
    document = Document(
        tree=tree,
        keyslots=tuple(_keyslot(number, entry) for number, entry in top.members("keyslots", MAX_KEYSLOTS)),
        tokens=tuple(
            Token(number=number, kind=entry.word("type"), keyslots=entry.numbers("keyslots", tree["keyslots"]))
            for number, entry in top.members("tokens", MAX_TOKENS)
        ),
        segments=tuple(_segment(number, entry) for number, entry in top.members("segments", MAX_SEGMENTS)),
        digests=tuple(_digest(number, entry, tree) for number, entry in top.members("digests", MAX_DIGESTS)),
        json_bytes=json_bytes,
        keyslots_bytes=keyslots_bytes,
        requirements=_requirements(config),
    )
    _check_places(document, header_bytes, image_bytes)
    _check_segments(document, header_bytes)
    return document


def _is_too_deep(tree: object) -> bool:
    level = [tree]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _requirements(config: _Object) -> tuple[str, ...]:
    if "requirements" not in config.raw:
        return ()
    inner = config.inner("requirements")
    return inner.words("mandatory") if "mandatory" in inner.raw else ()


def _keyslot(number: int, entry: _Object) -> Keyslot:
    area = entry.inner("area")
    slot = Keyslot(
        number=number,
        kind=entry.word("type"),
        key_bytes=entry.number("key_size"),
        area_offset=area.big("offset"),
        area_bytes=area.big("size"),
        priority=entry.number("priority") if "priority" in entry.raw else NORMAL,
    )
    area.word("type")
    if slot.kind != LUKS2:
        return slot
    if slot.priority > PREFER:
        entry.fail("priority", f"is {slot.priority}, not 0, 1 or 2")
    if not 0 < slot.key_bytes <= _MAX_KEY_BYTES:
        entry.fail("key_size", f"of {slot.key_bytes} bytes is out of range")
    if area.word("type") != "raw":
        area.fail("type", f"{printable(area.word('type'))!r} is not known")
    if slot.area_bytes < material_bytes(slot.key_bytes):
        area.fail("size", f"{slot.area_bytes} is too small for the key material")
    splitter = entry.inner("af")
    if splitter.word("type") != "luks1" or splitter.number("stripes") != STRIPES:
        splitter.fail("type", f"is not luks1 with {STRIPES} stripes")
    area_key_bytes = area.number("key_size", 1)
    if area_key_bytes > _MAX_KEY_BYTES:
        area.fail("key_size", f"of {area_key_bytes} bytes is out of range")
    return slot.replace(
        af_hash=splitter.word("hash"),
        area_cipher=area.word("encryption"),
        area_key_bytes=area_key_bytes,
        kdf=_kdf(entry.inner("kdf")),
    )


def _kdf(entry: _Object) -> KdfParameters:
    """Whether the cost is reasonable is for ciphers/kdf.py:check_cost to say, when the keyslot is used."""
    kind, salt = entry.word("type"), entry.bytes("salt")
    if len(salt) != SALT_BYTES:
        entry.fail("salt", f"has {len(salt)} bytes, not {SALT_BYTES}")
    if kind == PBKDF2:
        iterations = entry.number("iterations", 1)
        return KdfParameters(kind=kind, iterations=iterations, salt=salt, key_hash=entry.word("hash"))
    if kind not in ("argon2i", "argon2id"):
        entry.fail("type", f"{printable(kind[:64])!r} is not known")
    return KdfParameters(
        kind=kind,
        iterations=entry.number("time", 1),
        salt=salt,
        memory_kib=entry.number("memory", 1),
        lanes=entry.number("cpus", 1),
    )


def _segment(number: int, entry: _Object) -> Segment:
    size = None if entry.word("size") == "dynamic" else entry.big("size")
    segment = Segment(
        number=number,
        kind=entry.word("type"),
        offset_bytes=entry.big("offset"),
        size_bytes=size,
        flags=entry.words("flags") if "flags" in entry.raw else (),
    )
    if segment.offset_bytes % SECTOR_SIZE:
        entry.fail("offset", "is not at a sector")
    if size is not None and (not size or size % SECTOR_SIZE):
        entry.fail("size", "is not a number of sectors")
    if segment.kind != "crypt":
        return segment
    sector_size = entry.number("sector_size", 1)
    if sector_size % SECTOR_SIZE or (size or 0) % sector_size:
        entry.fail("sector_size", f"{sector_size} does not fit")
    return segment.replace(
        cipher=entry.word("encryption"),
        sector_size=sector_size,
        iv_tweak=entry.big("iv_tweak"),
        integrity=entry.inner("integrity").word("type") if "integrity" in entry.raw else "",
    )


def _digest(number: int, entry: _Object, tree: dict[str, Any]) -> Digest:
    digest = Digest(
        number=number,
        kind=entry.word("type"),
        keyslots=entry.numbers("keyslots", tree["keyslots"]),
        segments=entry.numbers("segments", tree["segments"]),
    )
    if digest.kind != PBKDF2:
        return digest
    found = digest.replace(
        key_hash=entry.word("hash"),
        iterations=entry.number("iterations", 1),
        salt=entry.bytes("salt"),
        digest=entry.bytes("digest"),
    )
    if len(found.salt) != SALT_BYTES or not 20 <= len(found.digest) <= 64:
        entry.fail("digest", "or its salt has a wrong length")
    return found


def _check_places(document: Document, header_bytes: int, image_bytes: int) -> None:
    """Areas of keyslots lie behind both copies of the header, in the area that is theirs, in the image, and apart."""
    behind, end_of_all = 2 * header_bytes, 2 * header_bytes + document.keyslots_bytes
    for slot in sorted(document.keyslots, key=lambda slot: slot.area_offset):
        place = f"LUKS2 header: keyslots.{slot.number}.area"
        end = slot.area_offset + slot.area_bytes
        if slot.area_offset < behind or not slot.area_bytes:
            raise KeystoreError(f"{place} at byte {slot.area_offset} overlaps what is before it")
        if end > end_of_all:
            raise KeystoreError(f"{place} ends at byte {end}, outside the keyslots' area")
        if slot.kind == LUKS2 and slot.area_offset + material_bytes(slot.key_bytes) > image_bytes:
            raise KeystoreError(f"{place} ends at byte {end}, but there are {image_bytes} bytes only")
        behind = end


def _check_segments(document: Document, header_bytes: int) -> None:
    """There is one, they are numbered without gaps, follow the header or are detached from it, and lie apart."""
    segments = document.segments
    if not segments or [segment.number for segment in segments] != list(range(len(segments))):
        raise KeystoreError("LUKS2 header: segments are missing")
    regular = [segment for segment in segments if not segment.is_backup]
    if not regular or any(segment.is_backup for segment in segments[: len(regular)]):
        raise KeystoreError("LUKS2 header: segments are not in their order")
    first = min(segment.offset_bytes for segment in regular)
    if first and first < 2 * header_bytes + document.keyslots_bytes:
        raise KeystoreError(f"LUKS2 header: data at byte {first} begin inside the header")
    behind = 0
    for segment in sorted(regular, key=lambda segment: segment.offset_bytes):
        if segment.offset_bytes < behind or (segment.size_bytes is None and segment is not regular[-1]):
            raise KeystoreError(f"LUKS2 header: segments.{segment.number} overlaps another one")
        behind = _UINT64 if segment.size_bytes is None else segment.offset_bytes + segment.size_bytes
    assigned = {number for digest in document.digests for number in digest.segments}
    for segment in regular:
        if segment.kind == "crypt" and segment.number not in assigned:
            raise KeystoreError(f"LUKS2 header: segments.{segment.number} has no digest of its key")
