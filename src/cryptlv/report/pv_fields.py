"""The fields of physical volumes, under lvm2's names (lib/report/columns.h, lib/report/report.c)."""

from __future__ import annotations

from cryptlv.names import printable
from cryptlv.report.field import FLAG, LIST, NUMBER, SIZE, TEXT, Field, flag, listed
from cryptlv.report.rows import pv_name
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import PhysicalVolume
    from cryptlv.report.field import Value
    from cryptlv.report.rows import Row, SeenArea


def _size(row: Row) -> Value:
    if row.pv is None or row.group is None:
        return row.seen.size_bytes if row.seen else None
    return row.pv.pe_count * row.group.vg.extent_size_bytes


def used_pe(row: Row) -> int:
    """Extents in use."""
    return row.group.used.get(row.pv.id, 0) if row.group and row.pv else 0


def _used(row: Row) -> Value:
    return used_pe(row) * row.group.vg.extent_size_bytes if row.group else 0


def _free(row: Row) -> Value:
    if row.pv is None or row.group is None:
        return row.seen.size_bytes if row.seen else None
    return (row.pv.pe_count - used_pe(row)) * row.group.vg.extent_size_bytes


def _is_missing(row: Row) -> bool:
    return row.pv is not None and (row.pv.is_missing or row.seen is None)


def _attr(row: Row) -> Value:
    if row.pv is None:
        return "u--" if row.seen and row.seen.used_by_unknown else "---"
    first = "a" if "ALLOCATABLE" in row.pv.status else "u"
    exported = row.group is not None and row.group.vg.is_exported
    return first + ("x" if exported else "-") + ("m" if _is_missing(row) else "-")


def _in_metadata(value: Callable[[PhysicalVolume], Value], default: Value = 0) -> Callable[[Row], Value]:
    return lambda row: value(row.pv) if row.pv is not None else default


def _device_number(place: int) -> Callable[[Row], Value]:
    return lambda row: str(row.seen.device_number[place] if row.seen is not None else 0)


def _areas(row: Row) -> tuple[SeenArea, ...]:
    return row.seen.areas if row.seen is not None else ()


def _bootloader_area(row: Row) -> tuple[int, int]:
    """Its offset and size in bytes, by the metadata where there are any."""
    if row.pv is not None:
        return row.pv.ba_start_sectors * SECTOR_SIZE, row.pv.ba_size_sectors * SECTOR_SIZE
    return row.seen.bootloader_area if row.seen is not None else (0, 0)


def _exported(row: Row) -> Value:
    return flag("exported", on=row.group is not None and row.group.vg.is_exported)


def _field(name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str, width: int = 0) -> Field:
    return Field(prefix="pv_", name=name, heading=heading, kind=kind, value=value, help=text, width=width)


PV_FIELDS = (
    _field("pv_fmt", "Fmt", TEXT, lambda _: "lvm2", "Type of metadata."),
    _field(
        "pv_uuid", "PV UUID", TEXT, lambda row: row.seen.pv_id if row.seen else row.pv.id if row.pv else None,
        "Unique identifier.", 38,
    ),
    _field(
        "pv_ext_vsn", "PExtVsn", NUMBER, lambda row: row.seen.label_version if row.seen else None,
        "Version of its label's extension.",
    ),
    _field("dev_size", "DevSize", SIZE, lambda row: row.seen.size_bytes if row.seen else 0, "Size of the device."),
    _field("pv_name", "PV", TEXT, pv_name, "Name.", 10),
    _field("pv_major", "Maj", TEXT, _device_number(0), "Major number of its device, -1 for a file."),
    _field("pv_minor", "Min", TEXT, _device_number(1), "Minor number of its device, -1 for a file."),
    _field(
        "pv_mda_free", "PMdaFree", SIZE,
        lambda row: min((0 if area.is_ignored else area.free_bytes for area in _areas(row)), default=0),
        "Free space in the metadata areas.", 9,
    ),
    _field(
        "pv_mda_size", "PMdaSize", SIZE, lambda row: min((area.size_bytes for area in _areas(row)), default=0),
        "Size of the smallest metadata area.", 9,
    ),
    _field(
        "pe_start", "1st PE", SIZE,
        lambda row: row.pv.pe_start_sectors * SECTOR_SIZE if row.pv else row.seen.pe_start_bytes if row.seen else 0,
        "Where the extents begin.", 7,
    ),
    _field("pv_size", "PSize", SIZE, _size, "Size of the physical volume."),
    _field("pv_free", "PFree", SIZE, _free, "Unallocated space."),
    _field("pv_used", "Used", SIZE, _used, "Allocated space."),
    _field("pv_attr", "Attr", TEXT, _attr, "Allocatable or used, exported, missing."),
    _field(
        "pv_allocatable", "Allocatable", FLAG,
        _in_metadata(lambda pv: flag("allocatable", on="ALLOCATABLE" in pv.status), ""), "Whether it may be used.",
    ),
    _field("pv_exported", "Exported", FLAG, _exported, "Whether its volume group is exported.", 10),
    _field("pv_missing", "Missing", FLAG, lambda row: flag("missing", on=_is_missing(row)), "If it is gone.", 10),
    _field("pv_pe_count", "PE", NUMBER, _in_metadata(lambda pv: pv.pe_count), "Number of extents.", 3),
    _field("pv_pe_alloc_count", "Alloc", NUMBER, used_pe, "Number of extents in use."),
    _field(
        "pv_tags", "PV Tags", LIST, _in_metadata(lambda pv: listed(map(printable, pv.tags)), ""), "Tags.",
    ),
    _field("pv_mda_count", "#PMda", NUMBER, lambda row: len(_areas(row)), "Number of metadata areas."),
    _field(
        "pv_mda_used_count", "#PMdaUse", NUMBER, lambda row: sum(not area.is_ignored for area in _areas(row)),
        "Number of metadata areas in use.",
    ),
    _field(
        "pv_ba_start", "BA Start", SIZE, lambda row: _bootloader_area(row)[0],
        "Where the bootloader area begins.",
    ),
    _field(
        "pv_ba_size", "BA Size", SIZE, lambda row: _bootloader_area(row)[1],
        "Size of the bootloader area.",
    ),
    _field(
        "pv_in_use", "PInUse", FLAG,
        lambda row: flag("used", on=row.pv is not None or (row.seen is not None and row.seen.used_by_unknown)),
        "Whether a volume group uses it.",
    ),
    _field("pv_duplicate", "Duplicate", FLAG, lambda _: "", "Whether another device has its identifier."),
    _field(
        "pv_device_id", "DeviceID", TEXT, _in_metadata(lambda pv: printable(pv.device_id), ""),
        "What its device is known by.",
    ),
    _field(
        "pv_device_id_type", "DeviceIDType", TEXT, _in_metadata(lambda pv: printable(pv.device_id_type), ""),
        "What kind of identifier that is.",
    ),
)  # fmt: skip
