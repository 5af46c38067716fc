"""Fields of what the kernel's device-mapper says of a volume, under lvm2's names (lib/report/columns.h).

A volume that is served as a file or a socket is no device of the kernel's: but for whether it is active the fields
show of it what stock shows when the driver is not loaded.
"""

from __future__ import annotations

from cryptlv.report.field import FLAG, LIST, NUMBER, PERCENT, SIZE, TEXT, Field, flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.report.field import Value
    from cryptlv.report.rows import KernelState, Row

_UNKNOWN, _NO_NUMBER = "unknown", -1


def _is_active(row: Row) -> bool:
    return row.lv is not None and row.group is not None and row.group.is_active(row.lv)


def _active(word: str) -> Callable[[Row], Value]:
    return lambda row: flag(word, on=_is_active(row))


def _state(row: Row) -> KernelState | None:
    return row.group.kernel.get(row.lv.id) if row.lv is not None and row.group is not None else None


def _when_mapped(shown: Callable[[KernelState], Value], otherwise: Value) -> Callable[[Row], Value]:
    """What the kernel says, and what is shown where it has no such device."""

    def value(row: Row) -> Value:
        state = _state(row)
        return otherwise if state is None else shown(state)

    return value


def _binary(word: str, is_on: Callable[[KernelState], bool]) -> Callable[[Row], Value]:
    return _when_mapped(lambda state: flag(word, on=is_on(state)), _UNKNOWN)


def _health(row: Row) -> Value:
    """What of a volume's health the metadata say; that of RAID volumes only the kernel knows."""
    if row.lv is None or row.group is None:
        return ""
    if row.lv.name in row.group.partial:
        return "partial"
    of_raid = any(part.startswith("raid,") for part in row.relation.parts)
    return _UNKNOWN if of_raid or any(part.shown_type.startswith("raid") for part in row.lv.segments) else ""


def _nothing(_: Row) -> Value:
    return None


def _always(value: Value) -> Callable[[Row], Value]:
    return lambda _: value


def _field(
    name: str, heading: str, kind: str, text: str, width: int = 0, value: Callable[[Row], Value] = _nothing
) -> Field:
    return Field(prefix="lv_", name=name, heading=heading, kind=kind, value=value, help=text, width=width)


STATE_FIELDS = (
    _field("lv_active", "Active", FLAG, "Whether it is active here.", value=_active("active")),
    _field("lv_active_locally", "ActLocal", FLAG, "Whether it is active on this host.", 10,
           _active("active locally")),
    _field("lv_active_remotely", "ActRemote", FLAG, "Whether it is active on another host.", 10, _always("")),
    _field("lv_active_exclusively", "ActExcl", FLAG, "Whether it is active on this host only.", 10,
           _active("active exclusively")),
    _field("lv_image_synced", "ImgSynced", FLAG, "Whether an image of a mirror or RAID volume is synchronised.", 10,
           _always("")),
    _field("raid_mismatch_count", "Mismatches", NUMBER, "Differences between the images of a RAID volume."),
    _field("raid_sync_action", "SyncAction", TEXT, "What a RAID volume does at the moment."),
    _field("integritymismatches", "IntegMismatches", NUMBER, "Sectors of which the checksum is wrong."),
    _field("lv_kernel_major", "KMaj", NUMBER, "Major number in the kernel, -1 without a device.",
           value=_when_mapped(lambda state: state.number[0], _NO_NUMBER)),
    _field("lv_kernel_minor", "KMin", NUMBER, "Minor number in the kernel, -1 without a device.",
           value=_when_mapped(lambda state: state.number[1], _NO_NUMBER)),
    _field("lv_kernel_read_ahead", "KRahead", SIZE, "Read ahead in the kernel, -1 without a device.",
           value=_when_mapped(lambda state: state.read_ahead_bytes, str(_NO_NUMBER))),
    _field("lv_suspended", "Suspended", FLAG, "Whether its device is suspended.", 10,
           _binary("suspended", lambda state: state.is_suspended)),
    _field("lv_live_table", "LiveTable", FLAG, "Whether its device has a table.", 20,
           _binary("live table present", lambda state: state.has_live)),
    _field("lv_inactive_table", "InactiveTable", FLAG, "Whether its device has a table that is not in force.", 20,
           _binary("inactive table present", lambda state: state.has_inactive)),
    _field("lv_device_open", "DevOpen", FLAG, "Whether its device is open.", 10,
           _binary("open", lambda state: state.open_count > 0)),
    _field("data_percent", "Data%", PERCENT, "How full a snapshot or pool is.", 6),
    _field("snap_percent", "Snap%", PERCENT, "How full a snapshot is.", 6),
    _field("metadata_percent", "Meta%", PERCENT, "How full a pool's metadata is.", 6),
    _field("copy_percent", "Cpy%Sync", PERCENT, "How far a copy has come."),
    _field("sync_percent", "Cpy%Sync", PERCENT, "The same as copy_percent."),
    _field("cache_total_blocks", "CacheTotalBlocks", NUMBER, "Blocks of a cache."),
    _field("cache_used_blocks", "CacheUsedBlocks", NUMBER, "Blocks of a cache that are in use.", 16),
    _field("cache_dirty_blocks", "CacheDirtyBlocks", NUMBER, "Blocks of a cache that are not written back."),
    _field("cache_read_hits", "CacheReadHits", NUMBER, "Reads that a cache answered.", 16),
    _field("cache_read_misses", "CacheReadMisses", NUMBER, "Reads that a cache did not answer.", 16),
    _field("cache_write_hits", "CacheWriteHits", NUMBER, "Writes that a cache took.", 16),
    _field("cache_write_misses", "CacheWriteMisses", NUMBER, "Writes that a cache did not take."),
    _field("kernel_cache_settings", "KCacheSettings", LIST, "Settings of a cache's policy in the kernel.", 18),
    _field("kernel_cache_policy", "KCachePolicy", TEXT, "Policy of a cache in the kernel.", 18),
    _field("kernel_metadata_format", "KMFmt", NUMBER, "Format of a cache's metadata in the kernel."),
    _field("lv_health_status", "Health", TEXT, "What is wrong with it.", 15, _health),
    _field("kernel_discards", "KDiscards", TEXT, "What a thin pool in the kernel does with discards."),
    _field("lv_check_needed", "CheckNeeded", FLAG, "Whether the metadata of a pool must be checked.", 15,
           _always(_UNKNOWN)),
    _field("lv_merge_failed", "MergeFailed", FLAG, "Whether the merging of a snapshot failed.", 15,
           _always(_UNKNOWN)),
    _field("lv_snapshot_invalid", "SnapInvalid", FLAG, "Whether a snapshot has overflown.", 15, _always(_UNKNOWN)),
    _field("vdo_operating_mode", "VDOOperatingMode", TEXT, "Mode of a VDO pool."),
    _field("vdo_compression_state", "VDOCompressionState", TEXT, "Whether a VDO pool compresses now."),
    _field("vdo_index_state", "VDOIndexState", TEXT, "State of a VDO pool's index."),
    _field("vdo_used_size", "VDOUsedSize", NUMBER, "Space of a VDO pool that is in use."),
    _field("vdo_saving_percent", "VDOSaving%", NUMBER, "Space that a VDO pool saves."),
    _field("writecache_total_blocks", "WCacheTotalBlocks", NUMBER, "Blocks of a write cache."),
    _field("writecache_free_blocks", "WCacheFreeBlocks", NUMBER, "Blocks of a write cache that are free."),
    _field("writecache_writeback_blocks", "WCacheWritebackBlocks", NUMBER, "Blocks that are being written back."),
    _field("writecache_error", "WCacheErrors", NUMBER, "Errors of a write cache."),
)  # fmt: skip
