"""Fields of kinds of volumes that are kept but not managed here: pools, thin volumes, caches, snapshots, mirrors.

Under lvm2's names (lib/report/columns.h, lib/report/report.c); what they show is what the metadata say.
"""

from __future__ import annotations

from cryptlv.model.nodes import Section
from cryptlv.names import printable
from cryptlv.report.field import FLAG, LIST, NUMBER, SIZE, TEXT, Field, flag
from cryptlv.report.relations import body_of
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.nodes import Value as NodeValue
    from cryptlv.model.vg import LogicalVolume
    from cryptlv.report.field import Value
    from cryptlv.report.relations import Relation
    from cryptlv.report.rows import Row

_POOLS = ("thin-pool", "cache-pool")


def _id_of(name: Callable[[Relation], str]) -> Callable[[Row], Value]:
    """The id of the volume that a relation names."""

    def of_row(row: Row) -> Value:
        lv = row.group.lvs.get(name(row.relation)) if row.group is not None else None
        return lv.id if lv is not None else ""

    return of_row


def _first_kind(row: Row) -> str:
    return row.lv.segments[0].shown_type if row.lv is not None and row.lv.segments else ""


def _bytes_of(row: Row, lv: LogicalVolume | None) -> Value:
    return lv.length_le * row.group.vg.extent_size_bytes if lv is not None and row.group is not None else None


def _metadata_size(row: Row) -> Value:
    if row.group is None or row.lv is None or not row.lv.segments:
        return None
    if _first_kind(row) in _POOLS:
        return _bytes_of(row, row.group.lvs.get(row.relation.metadata))
    length = body_of(row.lv.segments[0]).get("metadata_len")
    return length * SECTOR_SIZE if _first_kind(row) == "cache" and isinstance(length, int) else None


def _origin_size(row: Row) -> Value:
    """That of the origin of a snapshot or of an external one, its own for an origin (lv.c:lv_origin_size)."""
    if row.group is None or row.lv is None:
        return None
    relation = row.relation
    if row.lv.name in row.group.snapshots or (_first_kind(row) == "thin" and _is_outside(row)):
        return _bytes_of(row, row.group.lvs.get(relation.origin))
    return _bytes_of(row, row.lv) if relation.snapshots else None


def _is_outside(row: Row) -> bool:
    return row.lv is not None and any("external_origin" in body_of(segment) for segment in row.lv.segments)


def _is_merging(row: Row) -> bool:
    relation = row.relation
    return relation.takes_merge if relation.snapshots or relation.thin_users else relation.is_merging


def _is_synced(row: Row) -> bool:
    if row.lv is None:
        return False
    copies = any(part.shown_type == "mirror" or part.shown_type.startswith("raid") for part in row.lv.segments)
    return copies and "NOTSYNCED" not in row.lv.status


def _when_full(row: Row) -> Value:
    if row.lv is None or _first_kind(row) != "thin-pool":
        return ""
    return "error" if "ERROR_WHEN_FULL" in row.lv.flags else "queue"


def _permissions(row: Row) -> Value:
    """What an active volume allows; of one that is not active stock says only that it must not be written."""
    lv, group = row.lv, row.group
    if lv is None or group is None or "PVMOVE" in lv.status:
        return ""
    if not lv.is_writable:
        return "read-only" if "READ" in lv.status else "unknown"
    state = group.kernel.get(lv.id)
    if state is not None and state.is_read_only:
        return "read-only-override"
    return "writeable" if group.is_active(lv) else "unknown"


def _in_status(word: str, shown: str) -> Callable[[Row], Value]:
    return lambda row: flag(shown, on=row.lv is not None and word in row.lv.status)


def _lv_field(name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str, width: int = 0) -> Field:
    return Field(prefix="lv_", name=name, heading=heading, kind=kind, value=value, help=text, width=width)


KIND_LV_FIELDS = (
    _lv_field("lv_initial_image_sync", "InitImgSyn", FLAG, lambda row: flag("initial image sync", on=_is_synced(row)),
              "Whether the images of a mirror or RAID volume were synchronised when it was made.", 10),
    _lv_field("lv_merging", "Merging", FLAG, lambda row: flag("merging", on=_is_merging(row)),
              "Whether it merges, or is merged into.", 10),
    _lv_field("lv_converting", "Converting", FLAG, lambda row: flag("converting", on=bool(row.relation.converting)),
              "Whether it is being converted."),
    _lv_field("lv_allocation_locked", "AllocLock", FLAG, _in_status("LOCKED", "allocation locked"),
              "Whether its place is locked.", 10),
    _lv_field("lv_fixed_minor", "FixMin", FLAG, _in_status("FIXED_MINOR", "fixed minor"),
              "Whether its minor number is fixed.", 10),
    _lv_field("lv_when_full", "WhenFull", TEXT, _when_full, "What a full thin pool does.", 15),
    _lv_field("lv_metadata_size", "MSize", SIZE, _metadata_size, "Size of a pool's or cache's metadata."),
    _lv_field("lv_permissions", "LPerms", TEXT, _permissions, "What an active volume allows.", 8),
    _lv_field("origin_size", "OSize", SIZE, _origin_size, "Size of the origin of a snapshot."),
    _lv_field("origin_uuid", "Origin UUID", TEXT, _id_of(lambda of: of.origin), "Identifier of the origin.", 38),
    _lv_field("mirror_log_uuid", "Log UUID", TEXT, _id_of(lambda of: of.mirror_log), "Identifier of the log.", 38),
    _lv_field("pool_lv_uuid", "Pool UUID", TEXT, _id_of(lambda of: of.pool), "Identifier of the pool.", 38),
    _lv_field("data_lv_uuid", "Data UUID", TEXT, _id_of(lambda of: of.data), "Identifier of a pool's data.", 38),
    _lv_field("metadata_lv_uuid", "Meta UUID", TEXT, _id_of(lambda of: of.metadata),
              "Identifier of a pool's metadata.", 38),
    _lv_field("convert_lv_uuid", "Convert UUID", TEXT, _id_of(lambda of: of.converting),
              "Identifier of what a volume becomes.", 38),
)  # fmt: skip


def _body(row: Row) -> dict[str, NodeValue]:
    return body_of(row.segment) if row.segment is not None else {}


def _kind(row: Row) -> str:
    return row.segment.shown_type if row.segment is not None else ""


def _pool_body(row: Row) -> dict[str, NodeValue] | None:
    """The items of a thin pool, or of the pool of a thin volume; None for other kinds."""
    if _kind(row) == "thin-pool":
        return _body(row)
    if _kind(row) != "thin" or row.group is None:
        return None
    pool = row.group.lvs.get(row.relation.pool)
    return body_of(pool.segments[0]) if pool is not None and pool.segments else None


def _number(key: str, *kinds: str) -> Callable[[Row], Value]:
    """A number of segments of some kinds, 0 where the text has none; nothing for other kinds."""

    def of_row(row: Row) -> Value:
        value = _body(row).get(key, 0)
        return value if _kind(row) in kinds and isinstance(value, int) else None

    return of_row


def _discards(row: Row) -> Value:
    body = _pool_body(row)
    return "" if body is None else printable(str(body.get("discards", "ignore")))


def _zero(row: Row) -> Value:
    body = _pool_body(row)
    return "unknown" if body is None else flag("zero", on=body.get("zero_new_blocks") == 1)


def _thin_count(row: Row) -> Value:
    return len(row.relation.pool_users) if _kind(row) == "thin-pool" else None


def _cache_body(row: Row) -> dict[str, NodeValue]:
    """The settings of a cache pool, of a cache with its data in one volume, or of a cache's pool; else none."""
    if _kind(row) == "cache-pool" or (_kind(row) == "cache" and "metadata_len" in _body(row)):
        return _body(row)
    pool = row.group.lvs.get(row.relation.pool) if _kind(row) == "cache" and row.group is not None else None
    return body_of(pool.segments[0]) if pool is not None and pool.segments else {}


def _cache_word(key: str) -> Callable[[Row], Value]:
    def of_row(row: Row) -> Value:
        value = _cache_body(row).get(key)
        return printable(value) if isinstance(value, str) else ""

    return of_row


def _cache_format(row: Row) -> Value:
    value = _cache_body(row).get("metadata_format")
    return value if isinstance(value, int) else None


def _cache_settings(row: Row) -> Value:
    settings = _cache_body(row).get("policy_settings")
    pairs = settings.items if isinstance(settings, Section) else ()
    return ",".join(f"{printable(key)}={printable(str(value))}" for key, value in pairs)


def _monitor(row: Row) -> Value:
    """dmeventd's watch; nothing of what it could watch is active here."""
    is_moved = row.lv is not None and "PVMOVE" in row.lv.status and _kind(row) == "mirror"
    return "not monitored" if is_moved or _kind(row).startswith("raid0") else ""


def _seg_field(name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str) -> Field:
    return Field(prefix="seg_", name=name, heading=heading, kind=kind, value=value, help=text)


KIND_SEG_FIELDS = (
    _seg_field("thin_count", "#Thins", NUMBER, _thin_count, "Number of thin volumes of a pool."),
    _seg_field("discards", "Discards", TEXT, _discards, "What a thin pool does with discards."),
    _seg_field("zero", "Zero", FLAG, _zero, "Whether a thin pool gives out zeroed blocks."),
    _seg_field("cache_mode", "CacheMode", TEXT, _cache_word("cache_mode"), "How a cache writes."),
    _seg_field("cache_policy", "CachePolicy", TEXT, _cache_word("policy"), "How a cache chooses what it keeps."),
    _seg_field("cache_settings", "CacheSettings", LIST, _cache_settings, "Settings of the policy."),
    _seg_field("cache_metadata_format", "CMFmt", NUMBER, _cache_format, "Format of a cache's metadata."),
    _seg_field("seg_monitor", "Monitor", TEXT, _monitor, "Whether dmeventd watches it."),
    _seg_field("transaction_id", "TransId", NUMBER, _number("transaction_id", "thin-pool", "thin"),
               "Number of the last change of a thin pool, or of the one that made a thin volume."),
    _seg_field("thin_id", "ThId", NUMBER, _number("device_id", "thin"), "Number of a thin volume in its pool."),
)  # fmt: skip
