"""The settings of VDO pools, under lvm2's names (lib/report/columns.h); of a VDO volume those of its pool."""

from __future__ import annotations

from cryptlv.names import printable
from cryptlv.report.field import FLAG, NUMBER, SIZE, TEXT, Field, flag
from cryptlv.report.relations import body_of
from cryptlv.units import MIB, SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptlv.model.nodes import Value as NodeValue
    from cryptlv.report.field import Value
    from cryptlv.report.rows import Row


def _settings(row: Row) -> Mapping[str, NodeValue] | None:
    if row.segment is None or row.group is None:
        return None
    if row.segment.shown_type == "vdo-pool":
        return body_of(row.segment)
    pool = row.group.lvs.get(row.relation.pool) if row.segment.shown_type == "vdo" else None
    return body_of(pool.segments[0]) if pool is not None and pool.segments else None


def _number(key: str, factor: int = 1) -> Callable[[Row], Value]:
    def of_row(row: Row) -> Value:
        settings = _settings(row)
        value = settings.get(key, 0) if settings is not None else None
        return value * factor if isinstance(value, int) else None

    return of_row


def _switch(key: str) -> Callable[[Row], Value]:
    return lambda row: flag("enabled", on=(_settings(row) or {}).get(key) == 1)


def _write_policy(row: Row) -> Value:
    settings = _settings(row)
    return printable(str(settings.get("write_policy", "auto"))) if settings is not None else ""


def _field(name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str) -> Field:
    return Field(prefix="seg_", name=name, heading=heading, kind=kind, value=value, help=text)


def _threads(name: str, heading: str, text: str) -> Field:
    return _field(f"vdo_{name}_threads", heading, NUMBER, _number(f"{name}_threads"), text)


VDO_FIELDS = (
    _field("vdo_compression", "VDOCompression", FLAG, _switch("use_compression"), "Whether a VDO pool compresses."),
    _field("vdo_deduplication", "VDODeduplication", FLAG, _switch("use_deduplication"),
           "Whether a VDO pool keeps what is equal once."),
    _field("vdo_use_metadata_hints", "VDOMetadataHints", FLAG, _switch("use_metadata_hints"),
           "Whether a VDO pool marks writes of metadata."),
    _field("vdo_minimum_io_size", "VDOMinimumIOSize", SIZE, _number("minimum_io_size"), "Smallest unit of writing."),
    _field("vdo_block_map_cache_size", "VDOBlockMapCacheSize", SIZE, _number("block_map_cache_size_mb", MIB),
           "Memory for the block map."),
    _field("vdo_block_map_era_length", "VDOBlockMapEraLength", NUMBER, _number("block_map_era_length"),
           "How soon the block map is written."),
    _field("vdo_use_sparse_index", "VDOSparseIndex", FLAG, _switch("use_sparse_index"),
           "Whether the index is sparse."),
    _field("vdo_index_memory_size", "VDOIndexMemorySize", SIZE, _number("index_memory_size_mb", MIB),
           "Memory for the index."),
    _field("vdo_slab_size", "VDOSlabSize", SIZE, _number("slab_size_mb", MIB), "Unit by which a VDO pool grows."),
    _threads("ack", "VDOAckThreads", "Threads that acknowledge."),
    _threads("bio", "VDOBioThreads", "Threads that submit."),
    _field("vdo_bio_rotation", "VDOBioRotation", NUMBER, _number("bio_rotation"), "Requests before the next thread."),
    _threads("cpu", "VDOCPUThreads", "Threads that compress and hash."),
    _threads("hash_zone", "VDOHashZoneThreads", "Threads of hash zones."),
    _threads("logical", "VDOLogicalThreads", "Threads of logical zones."),
    _threads("physical", "VDOPhysicalThreads", "Threads of physical zones."),
    _field("vdo_max_discard", "VDOMaxDiscard", NUMBER, _number("max_discard"), "Largest discard."),
    _field("vdo_write_policy", "VDOWritePolicy", TEXT, _write_policy, "How a VDO pool writes."),
    _field("vdo_header_size", "VDOHeaderSize", SIZE, _number("header_size", SECTOR_SIZE),
           "Space before the data of a VDO volume."),
)  # fmt: skip
