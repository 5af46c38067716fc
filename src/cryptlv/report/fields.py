"""The fields of reports, under lvm2's names (lib/report/columns.h, lib/report/report.c) and with its headings.

A value is text, a size in bytes, or a number; None shows as nothing.
"""

from __future__ import annotations

from cryptlv.errors import UsageError
from cryptlv.names import is_keystore_name, printable
from cryptlv.record import Record
from cryptlv.report.rows import pv_name
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from cryptlv.model.vg import LogicalVolume
    from cryptlv.report.rows import Row, SeenGroup

    Value: TypeAlias = "str | int | None"

TEXT, SIZE, NUMBER = "text", "size", "number"
_POLICY_LETTERS = {
    "contiguous": "c",
    "cling": "l",
    "cling_by_tags": "t",
    "normal": "n",
    "anywhere": "a",
    "inherit": "i",
}


class Field(Record):
    """A column, `width` characters at least. `prefix` is what may be left out of its name (`lvs -o name`)."""

    prefix: str
    name: str
    heading: str
    kind: str
    value: Callable[[Row], Value]
    help: str
    width: int = 0


def _pv_size(row: Row) -> Value:
    if row.orphan is not None:
        return row.orphan.size_bytes
    return row.pv.pe_count * row.group.vg.extent_size_bytes if row.pv and row.group else None


def _pv_used_pe(row: Row) -> int:
    return row.group.used.get(row.pv.id, 0) if row.group and row.pv else 0


def _pv_free(row: Row) -> Value:
    if row.orphan is not None:
        return row.orphan.size_bytes
    if row.group is None or row.pv is None:
        return None
    return (row.pv.pe_count - _pv_used_pe(row)) * row.group.vg.extent_size_bytes


def _pv_attr(row: Row) -> Value:
    if row.orphan is not None:
        return "u--" if row.orphan.used_by_unknown else "---"
    if row.pv is None or row.group is None:
        return None
    missing = row.pv.is_missing or row.pv.id not in row.group.paths
    first = "a" if "ALLOCATABLE" in row.pv.status else "u"
    return first + ("x" if "EXPORTED" in row.pv.status else "-") + ("m" if missing else "-")


def _pv_uuid(row: Row) -> Value:
    return row.orphan.pv_id if row.orphan is not None else row.pv.id if row.pv else None


def _vg(row: Row, value: Callable[[SeenGroup], Value]) -> Value:
    return None if row.group is None else value(row.group)


def _vg_free(group: SeenGroup) -> int:
    return group.vg.extent_count - sum(group.used.values())


def _vg_attr(group: SeenGroup) -> str:
    vg = group.vg
    partial = vg.is_partial or any(pv.id not in group.paths for pv in vg.pvs)
    shared = "s" if vg.lock_type not in ("", "none") else "c" if "CLUSTERED" in vg.status else "-"
    return "".join(
        (
            "w" if vg.is_writable else "r",
            "z" if "RESIZEABLE" in vg.status else "-",
            "x" if "EXPORTED" in vg.status else "-",
            "p" if partial else "-",
            _POLICY_LETTERS.get(vg.allocation_policy or "normal", "-"),
            shared,
        )
    )


def _snapshot_count(group: SeenGroup) -> int:
    return sum(segment.type_name == "snapshot" for lv in group.vg.lvs for segment in lv.segments)


def _lv(row: Row, value: Callable[[LogicalVolume], Value]) -> Value:
    return None if row.lv is None else value(row.lv)


def _lv_name(lv: LogicalVolume) -> str:
    return printable(lv.name) if lv.is_visible else f"[{printable(lv.name)}]"


def _lv_size(row: Row) -> Value:
    return row.lv.length_le * row.group.vg.extent_size_bytes if row.lv and row.group else None


def _lv_attr(row: Row) -> Value:
    lv, group = row.lv, row.group
    if lv is None or group is None:
        return None
    policy = _POLICY_LETTERS.get(lv.allocation_policy or "inherit", "-")
    on = {pv_id for segment in lv.segments for pv_id, _, _ in segment.footprint()}
    partial = any(pv.id in on and (pv.is_missing or pv.id not in group.paths) for pv in group.vg.pvs)
    return "".join(
        (
            "e" if is_keystore_name(lv.name) and not lv.is_visible else "-",
            "w" if lv.is_writable and group.vg.is_writable else "r",
            policy.upper() if "LOCKED" in lv.status else policy,
            "m" if "FIXED_MINOR" in lv.status else "-",
            "a" if lv.id in group.active_ids else "-",
            "---",
            "p" if partial else "-",
            "k" if "ACTIVATION_SKIP" in lv.flags else "-",
        )
    )


def _stores(row: Row) -> list[tuple[str, KeystoreSegment | None]]:
    """The keystores of a volume by name, or itself when it is one; None for one that is not there."""
    if row.lv is None or row.group is None:
        return []
    own = [(row.lv.name, segment) for segment in row.lv.segments if isinstance(segment, KeystoreSegment)]
    if own:
        return [*own]
    names = dict.fromkeys(name for segment in row.lv.segments for name in segment.keystores)
    stores: list[tuple[str, KeystoreSegment | None]] = []
    for name in names:
        lv = row.group.vg.find_lv(name)
        segments = lv.segments if lv is not None else ()
        stores.append((name, next((part for part in segments if isinstance(part, KeystoreSegment)), None)))
    return stores


def _crypt(row: Row, value: Callable[[KeystoreSegment], Value]) -> Value:
    values = [value(segment) for _, segment in _stores(row) if segment is not None]
    return ",".join(dict.fromkeys(printable(str(item)) for item in values if item)) or None


def _crypt_store(row: Row) -> Value:
    if row.lv is None or any(isinstance(segment, KeystoreSegment) for segment in row.lv.segments):
        return None
    return ",".join(f"[{printable(name)}]" for name, _ in _stores(row)) or None


def _segment_types(lv: LogicalVolume) -> str:
    return ",".join(dict.fromkeys(printable(segment.shown_type) for segment in lv.segments))


def _nothing(_: Row) -> Value:
    return None


def _field(prefix: str, name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str) -> Field:
    return Field(prefix=prefix, name=name, heading=heading, kind=kind, value=value, help=text)


_ALL = (
    _field("pv_", "pv_name", "PV", TEXT, pv_name, "Name."),
    _field("pv_", "pv_fmt", "Fmt", TEXT, lambda _: "lvm2", "Type of metadata."),
    _field("pv_", "pv_attr", "Attr", TEXT, _pv_attr, "Allocatable or used, exported, missing."),
    _field("pv_", "pv_size", "PSize", SIZE, _pv_size, "Size of the physical volume."),
    _field("pv_", "pv_free", "PFree", SIZE, _pv_free, "Unallocated space."),
    _field(
        "pv_", "pv_used", "Used", SIZE,
        lambda row: _pv_used_pe(row) * row.group.vg.extent_size_bytes if row.group else 0, "Allocated space.",
    ),
    _field("pv_", "pv_uuid", "PV UUID", TEXT, _pv_uuid, "Unique identifier."),
    _field("pv_", "pv_pe_count", "PE", NUMBER, lambda row: row.pv.pe_count if row.pv else 0, "Number of extents."),
    _field("pv_", "pv_pe_alloc_count", "Alloc", NUMBER, _pv_used_pe, "Number of extents in use."),
    _field(
        "pv_", "pe_start", "1st PE", SIZE,
        lambda row: row.pv.pe_start_sectors * SECTOR_SIZE if row.pv else None, "Where the extents begin.",
    ),
    _field("vg_", "vg_name", "VG", TEXT, lambda row: _vg(row, lambda group: printable(group.vg.name)), "Name."),
    _field("vg_", "vg_fmt", "Fmt", TEXT, lambda row: _vg(row, lambda _: "lvm2"), "Type of metadata."),
    _field("vg_", "pv_count", "#PV", NUMBER, lambda row: _vg(row, lambda g: len(g.vg.pvs)), "Number of PVs."),
    _field(
        "vg_", "lv_count", "#LV", NUMBER,
        lambda row: _vg(row, lambda g: sum(lv.is_visible for lv in g.vg.lvs)), "Number of visible LVs.",
    ),
    _field("vg_", "snap_count", "#SN", NUMBER, lambda row: _vg(row, _snapshot_count), "Number of snapshots."),
    _field(
        "vg_", "vg_attr", "Attr", TEXT, lambda row: _vg(row, _vg_attr),
        "Permission, resizeable, exported, partial, allocation policy, shared.",
    ),
    _field(
        "vg_", "vg_size", "VSize", SIZE,
        lambda row: _vg(row, lambda g: g.vg.extent_count * g.vg.extent_size_bytes), "Total size.",
    ),
    _field(
        "vg_", "vg_free", "VFree", SIZE,
        lambda row: _vg(row, lambda g: _vg_free(g) * g.vg.extent_size_bytes), "Unallocated space.",
    ),
    _field("vg_", "vg_uuid", "VG UUID", TEXT, lambda row: _vg(row, lambda g: g.vg.id), "Unique identifier."),
    _field(
        "vg_", "vg_extent_size", "Ext", SIZE, lambda row: _vg(row, lambda g: g.vg.extent_size_bytes),
        "Size of an extent.",
    ),
    _field(
        "vg_", "vg_extent_count", "#Ext", NUMBER, lambda row: _vg(row, lambda g: g.vg.extent_count),
        "Number of extents.",
    ),
    _field("vg_", "vg_free_count", "Free", NUMBER, lambda row: _vg(row, _vg_free), "Number of free extents."),
    _field("vg_", "vg_seqno", "Seq", NUMBER, lambda row: _vg(row, lambda g: g.vg.seqno), "Number of the metadata."),
    _field("lv_", "lv_name", "LV", TEXT, lambda row: _lv(row, _lv_name), "Name; [hidden] in brackets."),
    _field("lv_", "lv_attr", "Attr", TEXT, _lv_attr, "Type, permission, policy, minor, active, partial, skip."),
    _field("lv_", "lv_size", "LSize", SIZE, _lv_size, "Size."),
    _field("lv_", "pool_lv", "Pool", TEXT, _nothing, "Pool of a thin volume."),
    _field("lv_", "origin", "Origin", TEXT, _nothing, "Origin of a snapshot."),
    _field("lv_", "data_percent", "Data%", NUMBER, _nothing, "How full a snapshot or pool is."),
    _field("lv_", "metadata_percent", "Meta%", NUMBER, _nothing, "How full a pool's metadata is."),
    _field("lv_", "move_pv", "Move", TEXT, _nothing, "Source of a pvmove."),
    _field("lv_", "mirror_log", "Log", TEXT, _nothing, "Log of a mirror."),
    _field("lv_", "copy_percent", "Cpy%Sync", NUMBER, _nothing, "How far a copy has come."),
    _field("lv_", "convert_lv", "Convert", TEXT, _nothing, "What a volume becomes."),
    _field("lv_", "lv_uuid", "LV UUID", TEXT, lambda row: _lv(row, lambda lv: lv.id), "Unique identifier."),
    _field("lv_", "lv_layout", "Layout", TEXT, lambda row: _lv(row, _segment_types), "How it is made."),
    _field("lv_", "segtype", "Type", TEXT, lambda row: _lv(row, _segment_types), "Types of its segments."),
    _field(
        "lv_", "lv_active", "Active", TEXT,
        lambda row: "active" if row.lv and row.group and row.lv.id in row.group.active_ids else None,
        "Whether it is active here.",
    ),
    _field("crypt_", "crypt_store", "CStore", TEXT, _crypt_store, "Keystore of an encrypted volume."),
    _field(
        "crypt_", "crypt_handler", "CHandler", TEXT, lambda row: _crypt(row, lambda part: part.handler),
        "Key handler.",
    ),
    _field("crypt_", "crypt_cipher", "CCipher", TEXT, lambda row: _crypt(row, lambda part: part.cipher), "Cipher."),
    _field(
        "crypt_", "crypt_keysize", "CKeySize", NUMBER,
        lambda row: _crypt(row, lambda part: part.key_size_bits), "Size of the volume key in bits.",
    ),
)  # fmt: skip

_WIDTHS = {
    "pv_name": 10, "pv_uuid": 38, "pv_pe_count": 3, "pe_start": 7, "vg_attr": 5, "vg_uuid": 38, "lv_name": 4,
    "lv_uuid": 38, "lv_layout": 10, "data_percent": 6, "metadata_percent": 6,
}  # fmt: skip

FIELDS: dict[str, Field] = {field.name: field.replace(width=_WIDTHS.get(field.name, 0)) for field in _ALL}

DEFAULT_FIELDS = {
    "pv": "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free",
    "vg": "vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_free",
    "lv": "lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,move_pv,mirror_log,"
    "copy_percent,convert_lv",
}  # fmt: skip
_PREFIXES = {"pv": ("pv_", "vg_"), "vg": ("vg_", "pv_"), "lv": ("lv_", "crypt_", "vg_")}
_USABLE = {"pv": ("pv_", "vg_"), "vg": ("vg_",), "lv": ("lv_", "crypt_", "vg_")}


def usable_fields(kind: str) -> tuple[Field, ...]:
    """The fields that a report (`pv`, `vg`, `lv`) can show."""
    return tuple(field for field in FIELDS.values() if field.prefix in _USABLE[kind])


def _find(kind: str, word: str) -> tuple[Field, ...]:
    """Fields by a word of -o: a name with or without its prefix, underscores or not; `all`; `pv_all` and so on."""
    usable = usable_fields(kind)
    if word == "all":
        return usable
    wanted = word.replace("_", "")
    for prefix in ("", *_PREFIXES[kind]):
        for field in usable:
            if field.name.replace("_", "") == (prefix + wanted).replace("_", ""):
                return (field,)
    if word.endswith("_all") and (named := tuple(field for field in usable if field.prefix == word[:-3])):
        return named
    raise UsageError(f"unrecognised field {word!r}; see: cryptlv {kind}s -o help")


def choose_fields(kind: str, options: Iterable[str]) -> tuple[Field, ...]:
    """The columns of a report: the default ones, changed by each -o in turn (`+` adds, `-` takes away).

    Raises UsageError for an unknown field, and when no field is left.
    """
    chosen = {field.name: field for word in DEFAULT_FIELDS[kind].split(",") for field in _find(kind, word)}
    for option in options:
        sign = option[:1] if option[:1] in ("+", "-") else ""
        found = [field for word in option[len(sign) :].split(",") if word for field in _find(kind, word)]
        if sign == "":
            chosen = {}
        for field in found:
            if sign == "-":
                chosen.pop(field.name, None)
            else:
                chosen.setdefault(field.name, field)
    if not chosen:
        raise UsageError("no field is left to show")
    return tuple(chosen.values())
