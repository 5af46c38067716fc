"""The fields of segments, under lvm2's names (lib/report/columns.h, lib/report/report.c:_do_get_pe_ranges)."""

from __future__ import annotations

from cryptlv.model.nodes import PvWord
from cryptlv.model.vg import PvArea
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.report.field import LIST, NUMBER, SIZE, TEXT, Field, listed
from cryptlv.report.lv_fields import shown_name
from cryptlv.report.relations import body_of, part_names, raid_parts
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.nodes import Value as NodeValue
    from cryptlv.model.vg import Area, Segment
    from cryptlv.report.field import Value
    from cryptlv.report.rows import Row

PARITY = {"raid4": 1, "raid5": 1, "raid6": 2}
"""How many images of a RAID level hold no data, by the first five letters of its type."""


class _Place(Record):
    """A run of extents of a PV or of a volume."""

    name: str
    start: int
    length: int
    is_pv: bool


def _data_stripes(segment: Segment, count: int) -> int:
    kind = segment.shown_type
    if kind.startswith("raid10"):
        return max(count // 2, 1)
    return max(count - PARITY.get(kind[:5], 0), 0)


def _each(segment: Segment, count: int) -> int:
    """The length of each area: the whole segment for copies, a share of it for stripes."""
    return segment.length_le // max(count, 1) if isinstance(segment, StripedSegment) else segment.length_le


def _volume_place(row: Row, name: str) -> _Place:
    """A volume as an area: stock lvm2 shows all of it, whatever part is meant."""
    lv = row.group.lvs.get(name) if row.group is not None else None
    return _Place(name=name, start=0, length=lv.length_le if lv is not None else 0, is_pv=False)


def _places(row: Row) -> list[_Place]:
    segment = row.segment
    if segment is None:
        return []
    if segment.is_opaque:
        return _opaque_places(row, segment)
    areas: tuple[Area, ...] = getattr(segment, "areas", ())
    each = _each(segment, len(areas))
    tail = 1 if isinstance(segment, CryptSegment) and segment.area_offset_sectors else 0
    return [
        _Place(name=area.pv_id, start=area.start_pe, length=each + tail, is_pv=True)
        if isinstance(area, PvArea)
        else _volume_place(row, area.lv_name)
        for area in areas
    ]


def _opaque_places(row: Row, segment: Segment) -> list[_Place]:
    mirrors: NodeValue | None = body_of(segment).get("mirrors")
    if not isinstance(mirrors, tuple):
        return [_volume_place(row, name) for name in part_names(segment)]
    return [
        _Place(name=str(name), start=start, length=segment.length_le, is_pv=True)
        if isinstance(name, PvWord)
        else _volume_place(row, str(name))
        for name, start in zip(mirrors[::2], mirrors[1::2], strict=False)
        if isinstance(start, int)
    ]


def _metadata_places(row: Row) -> list[_Place]:
    if row.segment is None or row.group is None:
        return []
    return [_volume_place(row, name) for name in raid_parts(body_of(row.segment))[1]]


def _name(row: Row, place: _Place, *, bracketed: bool) -> str:
    if row.group is None:
        return ""
    if place.is_pv:
        return row.group.path(place.name)
    return shown_name(row.group, place.name) if bracketed else printable(place.name)


def _ranges(row: Row, places: list[_Place], *, bracketed: bool) -> list[str]:
    return [
        f"{_name(row, place, bracketed=bracketed)}:{place.start}-{place.start + max(place.length, 1) - 1}"
        for place in places
    ]


def _devices(row: Row, places: list[_Place]) -> str:
    return ",".join(f"{_name(row, place, bracketed=False)}({place.start})" for place in places)


def _stripes(row: Row) -> int:
    return len(_places(row))


def _seg(value: Callable[[Segment], Value]) -> Callable[[Row], Value]:
    return lambda row: None if row.segment is None else value(row.segment)


def _body_sectors(key: str) -> Callable[[Row], Value]:
    def of_row(row: Row) -> Value:
        if row.segment is None:
            return None
        if key == "stripe_size" and isinstance(row.segment, StripedSegment):
            return row.segment.stripe_size_sectors * SECTOR_SIZE if len(row.segment.areas) > 1 else 0
        value = body_of(row.segment).get(key)
        return value * SECTOR_SIZE if isinstance(value, int) else 0

    return of_row


def _chunk(row: Row) -> Value:
    """That of a pool; of a cached volume its pool's, of a snapshot's store the snapshot's."""
    if row.segment is None or row.group is None or row.lv is None:
        return None
    if (snapshot := row.group.snapshots.get(row.lv.name)) is not None:
        return snapshot.chunk_size_sectors * SECTOR_SIZE
    pool = row.group.vg.find_lv(row.relation.pool) if row.segment.shown_type == "cache" else None
    segments = (row.segment, *(pool.segments[:1] if pool is not None else ()))
    chunks = (body_of(segment).get("chunk_size") for segment in segments)
    return next((chunk * SECTOR_SIZE for chunk in chunks if isinstance(chunk, int)), 0)


def _extent_bytes(row: Row) -> int:
    return row.group.vg.extent_size_bytes if row.group is not None else 0


def _field(name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str) -> Field:
    joiner = " " if name == "seg_pe_ranges" else ","
    return Field(prefix="seg_", name=name, heading=heading, kind=kind, value=value, help=text, joiner=joiner)


SEG_FIELDS = (
    _field("segtype", "Type", TEXT, _seg(lambda part: printable(part.shown_type)), "Type."),
    _field("stripes", "#Str", NUMBER, _stripes, "Number of stripes or copies."),
    _field(
        "data_stripes", "#DStr", NUMBER,
        lambda row: _data_stripes(row.segment, _stripes(row)) if row.segment else None, "Number of stripes of data.",
    ),
    _field("stripe_size", "Stripe", SIZE, _body_sectors("stripe_size"), "Bytes on one stripe before the next."),
    _field("region_size", "Region", SIZE, _body_sectors("region_size"), "Unit of synchronisation."),
    _field("chunk_size", "Chunk", SIZE, _chunk, "Unit of a pool or snapshot."),
    _field(
        "seg_start", "Start", SIZE,
        lambda row: row.segment.start_le * _extent_bytes(row) if row.segment else None, "Where it begins.",
    ),
    _field("seg_start_pe", "Start", NUMBER, _seg(lambda part: part.start_le), "Where it begins, in extents."),
    _field(
        "seg_size", "SSize", SIZE,
        lambda row: row.segment.length_le * _extent_bytes(row) if row.segment else None, "Size.",
    ),
    _field("seg_size_pe", "SSize", NUMBER, _seg(lambda part: part.length_le), "Size in extents."),
    _field("seg_tags", "Seg Tags", LIST, _seg(lambda part: listed(map(printable, part.tags))), "Tags."),
    _field(
        "seg_pe_ranges", "PE Ranges", LIST, lambda row: " ".join(_ranges(row, _places(row), bracketed=False)),
        "Extents that it lies on.",
    ),
    _field(
        "seg_le_ranges", "LE Ranges", LIST, lambda row: ",".join(_ranges(row, _places(row), bracketed=True)),
        "Extents that it lies on, hidden volumes in brackets.",
    ),
    _field(
        "seg_metadata_le_ranges", "Metadata LE Ranges", LIST,
        lambda row: ",".join(_ranges(row, _metadata_places(row), bracketed=True)), "Extents of its metadata.",
    ),
    _field("devices", "Devices", LIST, lambda row: _devices(row, _places(row)), "What it lies on, and from where."),
    _field(
        "metadata_devices", "Metadata Devs", LIST, lambda row: _devices(row, _metadata_places(row)),
        "Where its metadata lie.",
    ),
    _field(
        "crypt_iv_base", "CIVBase", NUMBER,
        _seg(lambda part: part.iv_base_sectors if isinstance(part, CryptSegment) else None),
        "First IV of an encrypted volume, in sectors.",
    ),
    _field(
        "crypt_flags", "CFlags", LIST,
        _seg(lambda part: listed(part.flags) if isinstance(part, CryptSegment) else None),
        "How the kernel's dm-crypt is to work.",
    ),
    _field(
        "crypt_area_offset", "CAreaOff", NUMBER,
        _seg(lambda part: part.area_offset_sectors if isinstance(part, CryptSegment) else None),
        "Sectors into the first extent at which the data begin.",
    ),
)  # fmt: skip
