"""Segments as lvdisplay -m shows them, a function for each kind (the `display` functions of lvm2's lib/*/*.c).

Of encrypted segments it shows what the metadata say: where the key lies and what it is for, never a key.
"""

from __future__ import annotations

from cryptlv.model.nodes import PvWord, Section
from cryptlv.model.vg import PvArea
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.report.relations import body_of, names_in, word
from cryptlv.report.seg_fields import PARITY
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from cryptlv.model.nodes import Value
    from cryptlv.model.vg import Area, LogicalVolume, Segment
    from cryptlv.report.rows import SeenGroup

    Size: TypeAlias = Callable[[int], str]

_MIB = 1024 * 1024
_VIRTUAL = frozenset(("thin", "vdo", "error", "zero"))
_REAL = frozenset(
    ("linear", "striped", "mirror", "thin-pool", "cache-pool", "cache", "writecache", "vdo-pool", "integrity",
     "crypt", "crypt-keystore")
)  # fmt: skip
_MONITORED = frozenset(("mirror", "thin-pool", "vdo-pool"))
_COPIES = ("mirror", "raid1", "raid10")


class _Shown(Record):
    """A segment to be shown, and its group."""

    group: SeenGroup
    lv: LogicalVolume
    segment: Segment
    size: Size

    @property
    def body(self) -> dict[str, Value]:
        return body_of(self.segment)

    def number(self, key: str) -> int:
        """A number of the body, 0 when there is none."""
        value = self.body.get(key)
        return value if isinstance(value, int) else 0


def mirror_count(lv: LogicalVolume) -> int:
    """How many copies a mirrored volume has, 0 for one that is not mirrored."""
    if not lv.segments or not lv.segments[0].shown_type.startswith(_COPIES):
        return 0
    body = body_of(lv.segments[0])
    return len(names_in(body.get("mirrors"))) or len(names_in(body.get("raids"))) // 2


def lv_segments(group: SeenGroup, lv: LogicalVolume, size: Size) -> Iterator[str]:
    """The lines that lvdisplay -m adds."""
    kinds = {segment.shown_type for segment in lv.segments}
    virtual = any(kind in _VIRTUAL or not (kind in _REAL or kind.startswith("raid")) for kind in kinds)
    yield "--- Segments ---"
    for segment in lv.segments:
        kind = segment.shown_type
        yield f"{'Virtual' if virtual else 'Logical'} extents {segment.start_le} to {segment.end_le - 1}:"
        yield f"  Type\t\t{printable(kind)}"
        if kind in _MONITORED or kind.startswith("raid"):
            yield f"  Monitoring\t\t{'not monitored' if kind.startswith('raid0') else ''}"
        lines = _raid if kind.startswith("raid") else _KINDS.get(kind)
        if lines is not None:
            yield from lines(_Shown(group=group, lv=lv, segment=segment, size=size))
    yield " "


def _on_pv(shown: _Shown, indent: str, pv_id: str, start: int, length: int) -> Iterator[str]:
    yield f"{indent}Physical volume\t{printable(shown.group.path(pv_id))}"
    yield f"{indent}Physical extents\t{start} to {start + length - 1}"


def _on_lv(indent: str, name: str, start: int, length: int) -> Iterator[str]:
    yield f"{indent}Logical volume\t{printable(name)}"
    yield f"{indent}Logical extents\t{start} to {start + length - 1}"


def _area(shown: _Shown, indent: str, area: Area, length: int) -> Iterator[str]:
    if isinstance(area, PvArea):
        return _on_pv(shown, indent, area.pv_id, area.start_pe, length)
    return _on_lv(indent, area.lv_name, area.start_le, length)


def _striped(shown: _Shown) -> Iterator[str]:
    segment = shown.segment
    if isinstance(segment, StripedSegment):
        each = segment.length_le // max(len(segment.areas), 1)
        if len(segment.areas) == 1:
            yield from _area(shown, "  ", segment.areas[0], each)
        else:
            yield f"  Stripes\t\t{len(segment.areas)}"
            yield f"  Stripe size\t\t{shown.size(segment.stripe_size_sectors * SECTOR_SIZE)}"
            for number, area in enumerate(segment.areas):
                yield f"  Stripe {number}:"
                yield from _area(shown, "    ", area, each)
    yield " "


def _mirror(shown: _Shown) -> Iterator[str]:
    length = shown.segment.length_le
    listed = shown.body.get("mirrors")
    flat = listed if isinstance(listed, tuple) else ()
    places = [(name, start) for name, start in zip(flat[::2], flat[1::2], strict=False) if isinstance(start, int)]
    yield f"  Mirrors\t\t{len(places)}"
    yield f"  Mirror size\t\t{length}"
    log = word(shown.body.get("mirror_log"))
    if log:
        yield f"  Mirror log volume\t{printable(log)}"
    if shown.number("region_size"):
        yield f"  Mirror region size\t{shown.size(shown.number('region_size') * SECTOR_SIZE)}"
    yield "  Mirror original:"
    for number, (name, start) in enumerate(places):
        if number == 1:
            yield "  Mirror destinations:"
        if isinstance(name, PvWord):
            yield from _on_pv(shown, "    ", str(name), start, length)
        else:
            yield from _on_lv("    ", str(name), start, length)
    yield " "


def _raid(shown: _Shown) -> Iterator[str]:
    names = names_in(shown.body.get("raids"))
    metadata, data = names[::2], names[1::2] or names_in(shown.body.get("raid0_lvs"))
    kind = shown.segment.shown_type
    parity = PARITY.get(kind[:5], 0)
    each = shown.segment.length_le  # lvm2 gives each of several copies the whole length, those of raid10 too
    if parity or kind.startswith("raid0"):
        each = -(-each // max(len(data) - parity, 1))
    for number, name in enumerate(data):
        yield f"  Raid Data LV{number:2}"
        yield from _on_lv("    ", name, 0, each)
    for number, name in enumerate(metadata):
        yield f"  Raid Metadata LV{number:2}\t{printable(name)}"
    yield " "


def _thin_pool(shown: _Shown) -> Iterator[str]:
    yield f"  Chunk size\t\t{shown.size(shown.number('chunk_size') * SECTOR_SIZE)}"
    yield f"  Discards\t\t{printable(word(shown.body.get('discards')) or 'ignore')}"
    yield f"  Thin count\t\t{len(shown.group.relation(shown.lv).pool_users)}"
    yield f"  Transaction ID\t{shown.number('transaction_id')}"
    yield f"  Zero new blocks\t{'yes' if shown.number('zero_new_blocks') else 'no'}"
    yield " "


def _thin(shown: _Shown) -> Iterator[str]:
    yield f"  Device ID\t\t{shown.number('device_id')}"
    yield " "


def _cache(shown: _Shown) -> Iterator[str]:
    """The settings of a cache; those of a cached volume are its pool's, unless that is a volume of its own."""
    body: Mapping[str, Value] = shown.body
    in_use = True
    if shown.segment.shown_type == "cache-pool":
        in_use = bool(shown.group.relation(shown.lv).pool_users)
    else:
        pool = shown.group.lvs.get(word(body.get("cache_pool")))
        if pool is not None and pool.segments and pool.segments[0].shown_type == "cache-pool":
            body = body_of(pool.segments[0])
    chunk = body.get("chunk_size")
    yield f"  Chunk size\t\t{shown.size(chunk * SECTOR_SIZE if isinstance(chunk, int) else 0)}"
    version = body.get("metadata_format")
    if in_use or version is not None:
        yield f"  Metadata format\t{1 if version is None else version}"
    for key, label, default in (("cache_mode", "Mode", "writethrough"), ("policy", "Policy", "mq")):
        setting = word(body.get(key)) or (default if in_use else "")
        if setting:
            yield f"  {label}\t\t{printable(setting)}"
    policy = body.get("policy_settings")
    if isinstance(policy, Section):
        for key, value in policy.items:
            yield f"    Setting\t\t{printable(key)}={_quoted(value)}"
    yield " "


def _quoted(value: Value) -> str:
    """A value as lvm2 writes it in its texts (libdm/libdm-config.c)."""
    if isinstance(value, str):
        escaped = printable(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f"{value:f}" if isinstance(value, float) else str(value)


def _vdo(shown: _Shown) -> Iterator[str]:
    pool, start = word(shown.body.get("vdo_pool")), shown.number("vdo_offset")
    return _on_lv("    ", pool, start, shown.segment.length_le)


def _vdo_pool(shown: _Shown) -> Iterator[str]:
    size, number = shown.size, shown.number

    def flag(key: str) -> str:
        return "yes" if number(key) else "no"

    extents, header = number("virtual_extents"), number("header_size") * SECTOR_SIZE
    yield f"  Virtual size\t{size(extents * shown.group.vg.extent_size_bytes + 2 * header)}"
    yield f"  Header size\t\t{size(header)}"
    yield f"  Compression\t\t{flag('use_compression')}"
    yield f"  Deduplication\t{flag('use_deduplication')}"
    yield f"  Metadata hints\t{flag('use_metadata_hints')}"
    yield f"  Minimum IO size\t{size(number('minimum_io_size'))}"
    yield f"  Block map cache sz\t{size(number('block_map_cache_size_mb') * _MIB)}"
    yield f"  Block map era length\t{number('block_map_era_length')}"
    yield f"  Sparse index\t{flag('use_sparse_index')}"
    yield f"  Index memory size\t{size(number('index_memory_size_mb') * _MIB)}"
    yield f"  Slab size\t\t{size(number('slab_size_mb') * _MIB)}"
    for label, key in (
        ("# Ack threads", "ack_threads"), ("# Bio threads", "bio_threads"), ("Bio rotation", "bio_rotation"),
        ("# CPU threads", "cpu_threads"), ("# Hash zone threads", "hash_zone_threads"),
        ("# Logical threads", "logical_threads"), ("# Physical threads", "physical_threads"),
        ("Max discard", "max_discard"),
    ):  # fmt: skip
        yield f"  {label}\t{number(key)}"
    yield f"  Write policy\t{printable(word(shown.body.get('write_policy')) or 'auto')}"


def _crypt(shown: _Shown) -> Iterator[str]:
    segment = shown.segment
    if isinstance(segment, CryptSegment):
        yield f"  Keystore\t\t{printable(segment.crypto_store)}"
        store = shown.group.lvs.get(segment.crypto_store)
        for part in store.segments[:1] if store is not None else ():
            yield from _key(part)
        yield f"  IV base\t\t{segment.iv_base_sectors}"
        tail = 1 if segment.area_offset_sectors else 0
        for area in segment.areas:
            yield from _area(shown, "  ", area, segment.length_le + tail)
        if segment.area_offset_sectors:
            yield f"  Area offset\t\t{segment.area_offset_sectors} sectors"
    yield " "


def _keystore(shown: _Shown) -> Iterator[str]:
    segment = shown.segment
    yield from _key(segment)
    if isinstance(segment, KeystoreSegment):
        for area in segment.areas:
            yield from _area(shown, "  ", area, segment.length_le)
    yield " "


def _key(segment: Segment) -> Iterator[str]:
    """What is known of a key without opening its store."""
    if isinstance(segment, KeystoreSegment):
        yield f"  Key handler\t\t{printable(segment.handler)}"
        if segment.cipher:
            yield f"  Cipher\t\t{printable(segment.cipher)}"
        if segment.key_size_bits:
            yield f"  Key size\t\t{segment.key_size_bits} bits"


_KINDS: dict[str, Callable[[_Shown], Iterator[str]]] = {
    "linear": _striped,
    "striped": _striped,
    "mirror": _mirror,
    "thin-pool": _thin_pool,
    "thin": _thin,
    "cache": _cache,
    "cache-pool": _cache,
    "vdo": _vdo,
    "vdo-pool": _vdo_pool,
    "crypt": _crypt,
    "crypt-keystore": _keystore,
}
