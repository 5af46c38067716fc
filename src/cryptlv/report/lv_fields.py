"""The fields of logical volumes, under lvm2's names (lib/report/columns.h, lib/metadata/lv.c), and the crypt ones."""

from __future__ import annotations

from cryptlv.model.nodes import PvWord
from cryptlv.names import dm_name, printable
from cryptlv.report.field import FLAG, LIST, NUMBER, PERCENT, SIZE, TEXT, TIME, Field, flag, listed
from cryptlv.report.relations import (
    CACHE_ORIGIN,
    INTEGRITY_METADATA,
    INTEGRITY_ORIGIN,
    UNRELATED,
    VDO_DATA,
    WRITECACHE_ORIGIN,
    WRITECACHE_STORE,
    body_of,
    word,
)
from cryptlv.report.shape import attributes, layout_and_role
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import LogicalVolume
    from cryptlv.report.field import Value
    from cryptlv.report.relations import Relation
    from cryptlv.report.rows import Row, SeenGroup


_WITHOUT_PARENT = frozenset(
    (CACHE_ORIGIN, WRITECACHE_ORIGIN, WRITECACHE_STORE, INTEGRITY_ORIGIN, INTEGRITY_METADATA, VDO_DATA)
)
_OF_RELATIONS = frozenset(
    (
        "lv_parent", "origin", "lv_ancestors", "lv_descendants", "mirror_log", "pool_lv", "data_lv", "metadata_lv",
        "data_percent", "metadata_percent", "copy_percent", "move_pv", "convert_lv",
    )
)  # fmt: skip


def _lv(value: Callable[[LogicalVolume], Value]) -> Callable[[Row], Value]:
    return lambda row: None if row.lv is None else value(row.lv)


def shown_name(group: SeenGroup, name: str) -> str:
    """A volume's name, in brackets when it is hidden."""
    return f"[{printable(name)}]" if name in group.hidden else printable(name)


def _related(value: Callable[[Row], str]) -> Callable[[Row], Value]:
    def of_row(row: Row) -> Value:
        name = value(row)
        return shown_name(row.group, name) if name and row.group is not None else ""

    return of_row


def _size(row: Row) -> Value:
    return row.lv.length_le * row.group.vg.extent_size_bytes if row.lv and row.group else None


def _parent(row: Row) -> str:
    """The volume that a hidden one is part of, for the kinds of parts of which stock says it."""
    if row.lv is None or row.group is None or row.lv.name not in row.group.hidden:
        return ""
    return "" if _WITHOUT_PARENT.issuperset(row.relation.parts) else row.relation.parent


def _chain(row: Row) -> list[str]:
    """The origins of a volume, the nearest first; a loop is cut."""
    names: dict[str, None] = {}
    name = row.relation.ancestor
    while name and row.group is not None and name not in names:
        names[name] = None
        name = row.group.relations.get(name, UNRELATED).ancestor
    return list(names)


def _descendants(row: Row) -> list[str]:
    """The snapshots of a volume, each before its own; a loop is cut."""
    names: dict[str, None] = {}
    waiting = list(reversed(row.relation.descendants))
    while waiting and row.group is not None:
        name = waiting.pop()
        if name not in names:
            names[name] = None
            waiting += reversed(row.group.relations.get(name, UNRELATED).descendants)
    return list(names)


def _path(row: Row) -> Value:
    if row.lv is None or row.group is None or row.lv.name in row.group.hidden:
        return ""
    if any(segment.shown_type == "thin-pool" for segment in row.lv.segments):
        return ""
    return f"/dev/{printable(row.group.vg.name)}/{printable(row.lv.name)}"


def _moved_from(row: Row) -> Value:
    """The physical volume that a pvmove's hidden volume empties: that of the first image."""
    for segment in row.lv.segments if row.lv is not None else ():
        places = body_of(segment).get("mirrors")
        if (
            row.group is None
            or "extents_moved" not in body_of(segment)
            or not isinstance(places, tuple)
            or not places
        ):
            continue
        if isinstance(places[0], PvWord):
            return row.group.path(str(places[0]))
        image = row.group.lvs.get(word(places[0]))
        return (
            next((row.group.path(place[0]) for part in image.segments for place in part.footprint()), "")
            if image
            else ""
        )
    return ""


def _time(lv: LogicalVolume) -> str:
    """When it was made, in lvm2's default format and the time zone of this machine."""
    from datetime import UTC, datetime

    try:
        when = datetime.fromtimestamp(lv.creation_time or 0, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    return when.strftime("%Y-%m-%d %H:%M:%S %z") if lv.creation_time else ""


def _read_ahead(lv: LogicalVolume) -> Value:
    """In the text, nothing stands for auto and -1 for none (lib/format_text/export.c)."""
    return "auto" if lv.read_ahead is None else max(lv.read_ahead, 0) * SECTOR_SIZE


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
        lv = row.group.lvs.get(name)
        segments = lv.segments if lv is not None else ()
        stores.append((name, next((part for part in segments if isinstance(part, KeystoreSegment)), None)))
    return stores


def _crypt(value: Callable[[KeystoreSegment], Value]) -> Callable[[Row], Value]:
    def of_row(row: Row) -> Value:
        values = [value(segment) for _, segment in _stores(row) if segment is not None]
        if len(values) == 1 and isinstance(values[0], int):
            return values[0] or None
        return ",".join(dict.fromkeys(printable(str(item)) for item in values if item)) or None

    return of_row


def _crypt_store(row: Row) -> Value:
    if row.lv is None or any(isinstance(segment, KeystoreSegment) for segment in row.lv.segments):
        return None
    return ",".join(f"[{printable(name)}]" for name, _ in _stores(row)) or None


def _field(name: str, heading: str, kind: str, value: Callable[[Row], Value], text: str, width: int = 0) -> Field:
    last: tuple[LogicalVolume | None, Relation, Value] | None = None

    def of_row(row: Row) -> Value:
        nonlocal last
        if row.segment is None:
            return value(row)
        relation = row.relation
        if last is None or last[0] is not row.lv or last[1] is not relation:  # a volume may have many segments
            last = row.lv, relation, value(row)
        return last[2]

    return Field(
        prefix="crypt_" if name.startswith("crypt_") else "lv_",
        name=name,
        heading=heading,
        kind=kind,
        value=of_row,
        help=text,
        width=width,
        of_relations=name in _OF_RELATIONS,
    )


LV_FIELDS = (
    _field("lv_uuid", "LV UUID", TEXT, _lv(lambda lv: lv.id), "Unique identifier.", 38),
    _field(
        "lv_name", "LV", TEXT, _related(lambda row: row.lv.name if row.lv else ""), "Name; [hidden] in brackets.", 4
    ),
    _field(
        "lv_full_name", "LV", TEXT,
        lambda row: f"{printable(row.group.vg.name)}/{printable(row.lv.name)}" if row.group and row.lv else None,
        "Name with that of the volume group.", 4,
    ),
    _field("lv_path", "Path", TEXT, _path, "Where it is when stock lvm2 activates it; nothing for hidden ones.", 4),
    _field(
        "lv_dm_path", "DMPath", TEXT,
        lambda row: f"/dev/mapper/{dm_name(row.group.vg.name, row.lv.name)}" if row.group and row.lv else None,
        "Its device-mapper name.", 6,
    ),
    _field("lv_parent", "Parent", TEXT, _related(_parent), "The volume that it is part of."),
    _field("lv_layout", "Layout", LIST, lambda row: layout_and_role(row)[0], "How it is made.", 10),
    _field("lv_role", "Role", LIST, lambda row: layout_and_role(row)[1], "What it is for.", 10),
    _field(
        "lv_allocation_policy", "AllocPol", TEXT, _lv(lambda lv: printable(lv.allocation_policy or "inherit")),
        "Allocation policy.", 10,
    ),
    _field(
        "lv_skip_activation", "SkipAct", FLAG,
        _lv(lambda lv: flag("skip activation", on="ACTIVATION_SKIP" in lv.flags)), "Whether activation skips it.", 15,
    ),
    _field(
        "lv_autoactivation", "AutoAct", FLAG, _lv(lambda lv: flag("enabled", on="NOAUTOACTIVATE" not in lv.flags)),
        "Whether it may autoactivate.",
    ),
    _field(
        "lv_active", "Active", FLAG,
        lambda row: flag("active", on=row.lv is not None and row.group is not None
                         and row.group.is_active(row.lv)),
        "Whether it is active here.",
    ),
    _field("lv_major", "Maj", NUMBER, _lv(lambda lv: -1 if lv.major is None else lv.major), "Fixed major number."),
    _field("lv_minor", "Min", NUMBER, _lv(lambda lv: -1 if lv.minor is None else lv.minor), "Fixed minor number."),
    _field(
        "lv_read_ahead", "Rahead", SIZE, _lv(_read_ahead), "Read ahead; auto leaves it to the kernel.",
    ),
    _field("lv_size", "LSize", SIZE, _size, "Size."),
    _field(
        "lv_attr", "Attr", TEXT, attributes,
        "Type, permission, policy, minor, state, open, target, zero, health, skip.",
    ),
    _field("seg_count", "#Seg", NUMBER, _lv(lambda lv: len(lv.segments)), "Number of segments."),
    _field("origin", "Origin", TEXT, _related(lambda row: row.relation.origin), "Origin of a snapshot."),
    _field("lv_ancestors", "Ancestors", LIST, lambda row: ",".join(map(printable, _chain(row))), "Its origins."),
    _field(
        "lv_descendants", "Descendants", LIST, lambda row: ",".join(map(printable, _descendants(row))),
        "Volumes that it is the origin of.",
    ),
    _field("mirror_log", "Log", TEXT, _related(lambda row: row.relation.mirror_log), "Log of a mirror."),
    _field("pool_lv", "Pool", TEXT, _related(lambda row: row.relation.pool), "Pool of a thin or cached volume."),
    _field("data_lv", "Data", TEXT, _related(lambda row: row.relation.data), "Data of a pool."),
    _field("metadata_lv", "Meta", TEXT, _related(lambda row: row.relation.metadata), "Metadata of a pool."),
    _field("data_percent", "Data%", PERCENT, lambda _: None, "How full a snapshot or pool is.", 6),
    _field("metadata_percent", "Meta%", PERCENT, lambda _: None, "How full a pool's metadata is.", 6),
    _field("move_pv", "Move", TEXT, _moved_from, "Source of a pvmove."),
    _field("copy_percent", "Cpy%Sync", PERCENT, lambda _: None, "How far a copy has come."),
    _field("convert_lv", "Convert", TEXT, _related(lambda row: row.relation.converting), "What a volume becomes."),
    _field("lv_tags", "LV Tags", LIST, _lv(lambda lv: listed(map(printable, lv.tags))), "Tags."),
    _field("lv_profile", "LProfile", TEXT, _lv(lambda lv: printable(lv.profile)), "Configuration profile."),
    _field("lv_lockargs", "LLockArgs", TEXT, _lv(lambda lv: printable(lv.lock_args)), "Lock arguments."),
    _field("lv_time", "CTime", TIME, _lv(_time), "When it was made.", 26),
    _field("lv_host", "Host", TEXT, _lv(lambda lv: printable(lv.creation_host)), "Where it was made.", 10),
    _field("crypt_store", "CStore", TEXT, _crypt_store, "Keystore of an encrypted volume."),
    _field("crypt_handler", "CHandler", TEXT, _crypt(lambda part: part.handler), "Key handler."),
    _field("crypt_cipher", "CCipher", TEXT, _crypt(lambda part: part.cipher), "Cipher."),
    _field("crypt_keysize", "CKeySize", NUMBER, _crypt(lambda part: part.key_size_bits), "Volume key size in bits."),
    _field("crypt_hash", "CHash", TEXT, _crypt(lambda part: part.key_hash), "Hash of the key derivation."),
)  # fmt: skip
