"""Fields of RAID, integrity and write caching, under lvm2's names (lib/report/columns.h, lib/report/report.c)."""

from __future__ import annotations

from cryptlv.report.field import NUMBER, SIZE, TEXT, Field
from cryptlv.report.relations import RAID_IMAGE, body_of, raid_parts
from cryptlv.report.seg_fields import PARITY
from cryptlv.segments.striped import StripedSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptlv.model.nodes import Value as NodeValue
    from cryptlv.model.vg import Segment
    from cryptlv.report.field import Value
    from cryptlv.report.rows import Row

_RESHAPABLE = ("raid4", "raid5", "raid6", "raid10")
_MODES = {"B": "bitmap", "J": "journal"}
_NONE = -1
"""What stock shows for some numbers that there are none of."""


def _is_raid(segment: Segment) -> bool:
    return segment.shown_type.startswith("raid")


def _first(row: Row) -> Segment | None:
    return row.lv.segments[0] if row.lv is not None and row.lv.segments else None


def _rate(key: str) -> Callable[[Row], Value]:
    """A setting of a RAID volume; nothing when it is 0."""

    def of_row(row: Row) -> Value:
        segment = _first(row)
        value = body_of(segment).get(key) if segment is not None and _is_raid(segment) else None
        return value if isinstance(value, int) and value else None

    return of_row


def _integrity(row: Row) -> Mapping[str, NodeValue] | None:
    """The settings of a volume with integrity, or of a RAID volume whose images have it."""
    segment = _first(row)
    if segment is None or row.group is None:
        return None
    if segment.shown_type == "integrity":
        return body_of(segment)
    for name in raid_parts(body_of(segment))[0] if _is_raid(segment) else ():
        image = row.group.lvs.get(name)
        if image is not None and image.segments and image.segments[0].shown_type == "integrity":
            return body_of(image.segments[0])
    return None


def _integrity_mode(row: Row) -> Value:
    settings = _integrity(row)
    return _MODES.get(str(settings.get("mode"))[:1], "") if settings is not None else ""


def _integrity_block(row: Row) -> Value:
    settings = _integrity(row)
    value = settings.get("block_size", 0) if settings is not None else _NONE
    return value if isinstance(value, int) else _NONE


def _writecache_block(row: Row) -> Value:
    segment = _first(row)
    value = body_of(segment).get("writecache_block_size") if segment is not None else None
    is_one = segment is not None and segment.shown_type == "writecache"
    return value if is_one and isinstance(value, int) and value else _NONE


def _data_copies(row: Row) -> Value:
    """How often each piece of data is there, parity counted as a copy."""
    if row.segment is None or row.segment.shown_type in ("free", "historical"):
        return None
    kind, body = row.segment.shown_type, body_of(row.segment)
    if kind == "raid1":
        return len(raid_parts(body)[0]) or 1
    if kind.startswith("raid10"):
        copies = body.get("data_copies", 2)
        return copies if isinstance(copies, int) else 2
    return 1 + PARITY.get(kind[:5], 0)


def _parity_chunks(row: Row) -> Value:
    copies = _data_copies(row)
    return copies - 1 if isinstance(copies, int) and copies > 1 else None


def _reshape_le(row: Row) -> int | None:
    """Extents kept free for reshaping: of a RAID volume of a level that can be reshaped, and of its images.

    Stock finds the volume of an image by what stands before the first `_` of the image's name.
    """
    segment = row.segment
    if segment is None or row.group is None or row.lv is None:
        return None
    if segment.shown_type.startswith(_RESHAPABLE):
        count, each = len(raid_parts(body_of(segment))[0]), body_of(segment).get("reshape_count", 0)
    elif RAID_IMAGE in row.relation.parts and not segment.start_le:
        whole = row.group.lvs.get(row.lv.name.partition("_")[0])
        if whole is None or not whole.segments or not whole.segments[0].shown_type.startswith(_RESHAPABLE):
            return None
        count, each = 1, dict(segment.extra).get("reshape_count", 0) if isinstance(segment, StripedSegment) else 0
    else:
        return None
    return count * each if isinstance(each, int) else 0


def _reshape_bytes(row: Row) -> Value:
    extents = _reshape_le(row)
    return extents * row.group.vg.extent_size_bytes if extents is not None and row.group is not None else None


def _field(prefix: str, name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str) -> Field:
    return Field(prefix=prefix, name=name, heading=heading, kind=kind, value=value, help=text)


RAID_LV_FIELDS = (
    _field("lv_", "raid_write_behind", "WBehind", NUMBER, _rate("writebehind"), "Writes that may be outstanding."),
    _field("lv_", "raid_min_recovery_rate", "MinSync", NUMBER, _rate("min_recovery_rate"),
           "Least speed of recovery in KiB a second and disk."),
    _field("lv_", "raid_max_recovery_rate", "MaxSync", NUMBER, _rate("max_recovery_rate"),
           "Greatest speed of recovery in KiB a second and disk."),
    _field("lv_", "raidintegritymode", "IntegMode", TEXT, _integrity_mode, "How checksums are written."),
    _field("lv_", "raidintegrityblocksize", "IntegBlkSize", NUMBER, _integrity_block,
           "Bytes that have one checksum, -1 without integrity."),
    _field("lv_", "writecache_block_size", "WCacheBlkSize", NUMBER, _writecache_block,
           "Bytes in a block of a write cache, -1 without one."),
)  # fmt: skip
RAID_SEG_FIELDS = (
    _field("seg_", "reshape_len", "RSize", SIZE, _reshape_bytes, "Space kept for reshaping."),
    _field("seg_", "reshape_len_le", "RSize", NUMBER, _reshape_le, "Space kept for reshaping, in extents."),
    _field("seg_", "data_copies", "#Cpy", NUMBER, _data_copies, "Number of copies of the data."),
    _field("seg_", "data_offset", "DOff", NUMBER, lambda _: None, "Where the data begin in an active image."),
    _field("seg_", "new_data_offset", "NOff", NUMBER, lambda _: None, "The same after reshaping."),
    _field("seg_", "parity_chunks", "#Par", NUMBER, _parity_chunks, "Number of parity chunks."),
)  # fmt: skip
