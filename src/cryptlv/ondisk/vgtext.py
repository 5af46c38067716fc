"""LVM2 metadata text to a VolumeGroup (lvm2's lib/format_text/import_vsn1.c).

What stands in the text and is not known here is kept (`extra`, opaque segments), so that parse, render, parse is the
identity; what breaks a rule but can be held is left to `model.check`.
"""

from __future__ import annotations

from cryptlv.errors import FormatError, UsageError
from cryptlv.model.nodes import Section, items_without
from cryptlv.model.vg import LogicalVolume, PhysicalVolume, VolumeGroup
from cryptlv.names import check_vg_name, is_name, parse_uuid, printable
from cryptlv.ondisk.config import find_place, parse_config
from cryptlv.ondisk.ordinary import OrdinaryReader, OrdinaryRun
from cryptlv.record import Record
from cryptlv.segments import parse_segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.model.vg import Segment
    from cryptlv.ondisk.config import Allowance

_LIMIT_32 = 2**32
_LIMIT_SECTORS = 2**54
"""The end of what 64 bits can count in bytes."""
CONTENTS = "Text Format Volume Group"
_TRAILER_KEYS = frozenset(
    ("contents", "version", "description", "creation_host", "creation_host_system_id", "creation_time")
)
_VG_KEYS = frozenset(
    (
        "id", "seqno", "format", "status", "flags", "tags", "system_id", "lock_type", "lock_args", "extent_size",
        "max_lv", "max_pv", "allocation_policy", "profile", "metadata_copies", "physical_volumes", "logical_volumes",
        "historical_logical_volumes",
    )
)  # fmt: skip
_PV_KEYS = frozenset(
    (
        "id", "device", "status", "flags", "tags", "dev_size", "pe_start", "pe_count", "ba_start", "ba_size",
        "device_id_type", "device_id",
    )
)  # fmt: skip
_LV_KEYS = frozenset(
    (
        "id", "status", "flags", "tags", "creation_time", "creation_host", "lock_args", "allocation_policy",
        "profile", "read_ahead", "major", "minor", "segment_count",
    )
)  # fmt: skip
_SEGMENT_KEYS = frozenset(("start_extent", "extent_count", "type", "tags"))


class Document(Record):
    """A metadata text: the volume group, and what the lines around it say of its writing."""

    vg: VolumeGroup
    description: str = ""
    creation_host: str = ""
    creation_time: int = 0


def parse_vg(text: bytes | str, allowance: Allowance | None = None) -> VolumeGroup:
    """The volume group in a metadata text; raises FormatError with the field and the byte that are wrong.

    `allowance` is what may be taken of memory.
    """
    return parse_document(text, allowance).vg


def parse_document(text: bytes | str, allowance: Allowance | None = None) -> Document:
    """A metadata text as it lies in a metadata area, a backup or an archive; raises FormatError."""
    try:
        return _parse_document(text, allowance)
    except FormatError as error:
        if error.offset_bytes is not None or not error.keys:
            raise
        wrong = error.with_traceback(None)  # and with it the tree, before the text is read again
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    raise wrong.at("", find_place(data, wrong.keys))


def _parse_document(text: bytes | str, allowance: Allowance | None) -> Document:
    ordinary = OrdinaryReader()
    root = parse_config(text, {"logical_volumes": ordinary.read}, allowance)
    named = [(name, section) for name, section in root.sections() if name not in _TRAILER_KEYS]
    if len(named) != 1:
        raise FormatError(
            f"metadata describes {len(named)} volume groups, not one",
            field="text",
            keys=(named[1][0] if named else "contents",),
        )
    if root.get("contents") != CONTENTS or root.get("version") != 1:
        raise FormatError(
            'not LVM2 metadata: contents = "Text Format Volume Group", version = 1 missing',
            field="contents",
            keys=("contents",),
        )
    name, section = named[0]
    fields = _Fields(section, printable(name), (name,))
    trailer = _Fields(root, "metadata", ())
    return Document(
        vg=_parse_vg(name, fields, ordinary),
        description=trailer.text("description"),
        creation_host=trailer.text("creation_host"),
        creation_time=trailer.number("creation_time", 0, below=2**63),
    )


class _Fields:
    """Typed access to a section's items; `where` begins each error, `keys` leads to the section in the text."""

    def __init__(self, section: Section, where: str, keys: tuple[str, ...]) -> None:
        self.section = section
        self.where = where
        self.keys = keys
        self._values = dict(reversed(section.items))  # the first of duplicates wins

    def error(self, field: str, message: str) -> FormatError:
        return FormatError(f"{self.where}: {message}", field=field, keys=(*self.keys, field))

    def text(self, key: str, default: str | None = "") -> str:
        value = self._values.get(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"{key} is missing or not a string")
        return value

    def number(self, key: str, default: int | None = None, *, below: int = _LIMIT_32, least: int = 0) -> int:
        value = self._values.get(key, default)
        if not isinstance(value, int):
            raise self.error(key, f"{key} is missing or not a number")
        if not least <= value < below:
            raise self.error(key, f"{key} {value} is out of range")
        return value

    def optional_number(self, key: str, *, below: int = _LIMIT_32, least: int = 0) -> int | None:
        return self.number(key, below=below, least=least) if key in self._values else None

    def words(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        value = self._values.get(key, None if required else ())
        if isinstance(value, str):
            value = (value,)
        if not isinstance(value, tuple) or not all(isinstance(word, str) for word in value):
            raise self.error(key, f"{key} is missing or not a list of words")
        return tuple(str(word) for word in value)

    def uuid(self) -> str:
        value = self.text("id", None)
        try:
            parse_uuid(value)
        except ValueError as error:
            raise self.error("id", str(error)) from None
        return value

    def subsection(self, key: str) -> Section | None:
        value = self._values.get(key)
        if value is not None and not isinstance(value, Section):
            raise self.error(key, f"{key} is not a section")
        return value


def _parse_vg(name: str, fields: _Fields, ordinary: OrdinaryReader) -> VolumeGroup:
    try:
        check_vg_name(name)
    except UsageError as error:
        raise FormatError(str(error), field="name", keys=fields.keys) from None
    pvs_section = fields.subsection("physical_volumes") or Section()
    pvs: list[PhysicalVolume] = []
    pv_ids: dict[str, str] = {}
    for word, section in pvs_section.sections():
        pv = _parse_pv(_Fields(section, f"{fields.where} {printable(word)}", (name, "physical_volumes", word)))
        pvs.append(pv)
        pv_ids.setdefault(word, pv.id)
    lvs: list[LogicalVolume] = []
    for word, section in (fields.subsection("logical_volumes") or Section()).sections():
        if isinstance(section, OrdinaryRun):
            lvs += ordinary.volumes(section, pv_ids)
        else:
            lvs.append(_parse_lv(name, word, section, pv_ids))
    ordinary.remember(pv_ids)
    return VolumeGroup(
        name=name,
        id=fields.uuid(),
        seqno=fields.number("seqno"),
        format=fields.text("format", "lvm2"),
        status=fields.words("status", required=True),
        flags=fields.words("flags"),
        tags=fields.words("tags"),
        system_id=fields.text("system_id") if fields.section.get("system_id") is not None else None,
        lock_type=fields.text("lock_type"),
        lock_args=fields.text("lock_args"),
        extent_size_sectors=fields.number("extent_size", least=1),
        max_lv=fields.number("max_lv", 0),
        max_pv=fields.number("max_pv", 0),
        allocation_policy=fields.text("allocation_policy"),
        profile=fields.text("profile"),
        metadata_copies=fields.number("metadata_copies", 0),
        pvs=tuple(pvs),
        lvs=tuple(lvs),
        historical=fields.subsection("historical_logical_volumes"),
        extra=items_without(fields.section.items, _VG_KEYS),
    )


def _parse_pv(fields: _Fields) -> PhysicalVolume:
    ba_start = fields.number("ba_start", 0, below=_LIMIT_SECTORS)
    ba_size = fields.number("ba_size", 0, below=_LIMIT_SECTORS)
    if bool(ba_start) != bool(ba_size):
        raise fields.error("ba_start", f"bootloader area of {ba_size} sectors at {ba_start} is incomplete")
    return PhysicalVolume(
        id=fields.uuid(),
        device=fields.text("device"),
        status=fields.words("status", required=True),
        flags=fields.words("flags"),
        tags=fields.words("tags"),
        dev_size_sectors=fields.number("dev_size", 0, below=_LIMIT_SECTORS),
        pe_start_sectors=fields.number("pe_start", below=_LIMIT_SECTORS),
        pe_count=fields.number("pe_count"),
        ba_start_sectors=ba_start,
        ba_size_sectors=ba_size,
        device_id_type=fields.text("device_id_type"),
        device_id=fields.text("device_id"),
        extra=items_without(fields.section.items, _PV_KEYS),
    )


def _parse_lv(vg_name: str, name: str, section: Section, pv_ids: Mapping[str, str]) -> LogicalVolume:
    fields = _Fields(section, f"{vg_name}/{printable(name)}", (vg_name, "logical_volumes", name))
    if not is_name(name):  # it becomes part of paths
        raise FormatError(f"{fields.where} is no name of a logical volume", field="name", keys=fields.keys)
    numbered = [(word, part) for word, part in section.sections() if _segment_number(word) is not None]
    count = fields.number("segment_count")
    if count != len(numbered):
        raise fields.error("segment_count", f"segment_count is {count}, but there are {len(numbered)} segments")
    segments = [
        _parse_segment(_Fields(part, f"{fields.where} {word}", (*fields.keys, word)), pv_ids)
        for word, part in numbered
    ]
    segments.sort(key=lambda segment: segment.start_le)
    taken = _LV_KEYS | {word for word, _ in numbered}
    return LogicalVolume(
        name=name,
        id=fields.uuid(),
        status=fields.words("status", required=True),
        flags=fields.words("flags"),
        tags=fields.words("tags"),
        creation_time=fields.optional_number("creation_time", below=2**63),
        creation_host=fields.text("creation_host"),
        lock_args=fields.text("lock_args"),
        allocation_policy=fields.text("allocation_policy"),
        profile=fields.text("profile"),
        read_ahead=fields.optional_number("read_ahead", least=-1),
        major=fields.optional_number("major", least=-1),
        minor=fields.optional_number("minor", least=-1),
        segments=tuple(segments),
        extra=items_without(section.items, frozenset(taken)),
    )


def _segment_number(word: str) -> int | None:
    tail = word.removeprefix("segment")
    return int(tail) if tail != word and tail.isascii() and tail.isdigit() and len(tail) < 10 else None


def _parse_segment(fields: _Fields, pv_ids: Mapping[str, str]) -> Segment:
    head: dict[str, object] = {
        "start_le": fields.number("start_extent"),
        "length_le": fields.number("extent_count"),
        "tags": fields.words("tags"),
    }
    body = Section(items=items_without(fields.section.items, _SEGMENT_KEYS))
    try:
        return parse_segment(fields.text("type", "striped"), body, head, pv_ids, fields.where)
    except FormatError as error:
        error.keys = error.keys or (*fields.keys, error.field)
        raise
