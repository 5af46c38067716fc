"""The fields of logical volumes, under lvm2's names (lib/report/columns.h, lib/metadata/lv.c), and the crypt ones."""

from __future__ import annotations

from cryptlv.model.nodes import PvWord
from cryptlv.names import dm_name, printable
from cryptlv.report.field import FLAG, LIST, NUMBER, SIZE, TEXT, TIME, Field, flag, listed
from cryptlv.report.history import PAST, PastVolume
from cryptlv.report.modules import modules_of
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
    from collections.abc import Callable, Iterable, Sequence

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
        "move_pv", "move_pv_uuid", "convert_lv",
    )
)  # fmt: skip


def _lv(value: Callable[[LogicalVolume], Value]) -> Callable[[Row], Value]:
    return lambda row: None if row.lv is None else value(row.lv)


def shown_name(group: SeenGroup, name: str) -> str:
    """A volume's name, in brackets when it is hidden."""
    return f"[{printable(name)}]" if name in group.hidden else printable(name)


def _once(lv: LogicalVolume) -> str:
    """The name, of a volume that is no more that which it had."""
    return lv.name.removeprefix(PAST)


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


def _ancestors(row: Row, before: Callable[[str], str]) -> str:
    """The origins of a volume, the nearest first; a loop is cut."""
    names: dict[str, None] = {}
    name = before(row.lv.name) if row.lv is not None else ""
    while name and name not in names:
        names[name] = None
        name = before(name)
    return _listed(row, names)


def _descendants(row: Row, after: Callable[[str], Sequence[str]]) -> str:
    """What was made from a volume, each before what was made from that; a loop is cut."""
    names: dict[str, None] = {}
    waiting = list(reversed(after(row.lv.name))) if row.lv is not None else []
    while waiting:
        name = waiting.pop()
        if name not in names:
            names[name] = None
            waiting += reversed(after(name))
    return _listed(row, names)


def _listed(row: Row, names: Iterable[str]) -> str:
    """Without the volumes that are no more, unless the report shows those."""
    shows_past = row.group is not None and row.group.shows_past
    return ",".join(printable(name) for name in names if shows_past or not name.startswith(PAST))


def _before(row: Row) -> Callable[[str], str]:
    group = row.group
    return lambda name: group.relations.get(name, UNRELATED).ancestor if group is not None else ""


def _after(row: Row) -> Callable[[str], Sequence[str]]:
    group = row.group
    return lambda name: group.relations.get(name, UNRELATED).descendants if group is not None else ()


def _full_ancestors(row: Row) -> Value:
    """With volumes that are no more between those that are there."""
    past = row.group.past if row.group is not None else ()
    origins = {child: lv.name for lv in past for child in lv.descendants} | {
        lv.name: lv.origin for lv in past if lv.origin
    }
    before = _before(row)
    return _ancestors(row, lambda name: before(name) or origins.get(name, ""))


def _full_descendants(row: Row) -> Value:
    after = _after(row)
    later: dict[str, list[str]] = {}
    for lv in row.group.past if row.group is not None else ():
        later.setdefault(lv.name, []).extend(lv.descendants)
        later.setdefault(lv.origin, []).append(lv.name)
    return _descendants(row, lambda name: (*after(name), *later.get(name, ())))


def _removal_time(row: Row) -> Value:
    return _time(row.lv.removal_time) if isinstance(row.lv, PastVolume) else ""


def _path(row: Row) -> Value:
    if row.lv is None or row.group is None or row.lv.name in row.group.hidden:
        return ""
    if any(segment.shown_type == "thin-pool" for segment in row.lv.segments):
        return ""
    return f"/dev/{printable(row.group.vg.name)}/{printable(_once(row.lv))}"


def _moved_pv(row: Row) -> str:
    """The id of the physical volume that a pvmove's hidden volume empties: that of the first image."""
    for segment in row.lv.segments if row.lv is not None else ():
        body = body_of(segment)
        places = body.get("mirrors")
        if row.group is None or "extents_moved" not in body or not isinstance(places, tuple) or not places:
            continue
        if isinstance(places[0], PvWord):
            return str(places[0])
        image = row.group.lvs.get(word(places[0]))
        return next((place[0] for part in image.segments for place in part.footprint()), "") if image else ""
    return ""


def _moved_from(row: Row) -> Value:
    pv_id = _moved_pv(row)
    return row.group.path(pv_id) if pv_id and row.group is not None else ""


def _time(seconds: int | None) -> str:
    """A moment in lvm2's default format and the time zone of this machine."""
    from datetime import UTC, datetime

    try:
        when = datetime.fromtimestamp(seconds or 0, UTC).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    return when.strftime("%Y-%m-%d %H:%M:%S %z") if seconds else ""


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


def _keyslots(row: Row) -> list[str] | None:
    """The keyslots of a volume's keystores, None when no header of them was read."""
    known = row.group.keyslots if row.group is not None else {}
    read = [known[name] for name, _ in _stores(row) if name in known]
    return [slot for slots in read for slot in slots] if read else None


def _keyslots_listed(row: Row) -> Value:
    slots = _keyslots(row)
    return None if slots is None else ",".join(slots)


def _keyslot_count(row: Row) -> Value:
    slots = _keyslots(row)
    return None if slots is None else len(slots)


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
        of_keyslots=name.startswith("crypt_keyslot"),
    )


LV_FIELDS = (
    _field("lv_uuid", "LV UUID", TEXT, _lv(lambda lv: lv.id), "Unique identifier.", 38),
    _field(
        "lv_name", "LV", TEXT, _related(lambda row: row.lv.name if row.lv else ""), "Name; [hidden] in brackets.", 4
    ),
    _field(
        "lv_full_name", "LV", TEXT,
        lambda row: f"{printable(row.group.vg.name)}/{printable(_once(row.lv))}" if row.group and row.lv else None,
        "Name with that of the volume group.", 4,
    ),
    _field("lv_path", "Path", TEXT, _path, "Where it is when stock lvm2 activates it; nothing for hidden ones.", 4),
    _field(
        "lv_dm_path", "DMPath", TEXT,
        lambda row: f"/dev/mapper/{dm_name(row.group.vg.name, _once(row.lv))}" if row.group and row.lv else None,
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
    _field("lv_ancestors", "Ancestors", LIST, lambda row: _ancestors(row, _before(row)), "Its origins."),
    _field(
        "lv_descendants", "Descendants", LIST, lambda row: _descendants(row, _after(row)),
        "Volumes that it is the origin of.",
    ),
    _field("lv_full_ancestors", "FAncestors", LIST, _full_ancestors, "Its origins, with -H those removed too."),
    _field(
        "lv_full_descendants", "FDescendants", LIST, _full_descendants,
        "Volumes that it is the origin of, with -H those removed too.",
    ),
    _field("mirror_log", "Log", TEXT, _related(lambda row: row.relation.mirror_log), "Log of a mirror."),
    _field("pool_lv", "Pool", TEXT, _related(lambda row: row.relation.pool), "Pool of a thin or cached volume."),
    _field("data_lv", "Data", TEXT, _related(lambda row: row.relation.data), "Data of a pool."),
    _field("metadata_lv", "Meta", TEXT, _related(lambda row: row.relation.metadata), "Metadata of a pool."),
    _field("move_pv", "Move", TEXT, _moved_from, "Source of a pvmove."),
    _field("move_pv_uuid", "Move UUID", TEXT, _moved_pv, "Identifier of the source of a pvmove.", 38),
    _field("convert_lv", "Convert", TEXT, _related(lambda row: row.relation.converting), "What a volume becomes."),
    _field("lv_tags", "LV Tags", LIST, _lv(lambda lv: listed(map(printable, lv.tags))), "Tags."),
    _field("lv_profile", "LProfile", TEXT, _lv(lambda lv: printable(lv.profile)), "Configuration profile."),
    _field("lv_lockargs", "LLockArgs", TEXT, _lv(lambda lv: printable(lv.lock_args)), "Lock arguments."),
    _field("lv_time", "CTime", TIME, _lv(lambda lv: _time(lv.creation_time)), "When it was made.", 26),
    _field("lv_time_removed", "RTime", TIME, _removal_time, "When it was removed.", 26),
    _field("lv_modules", "Modules", LIST, modules_of, "Modules of the kernel that it needs."),
    _field(
        "lv_historical", "Historical", FLAG, lambda row: flag("historical", on=isinstance(row.lv, PastVolume)),
        "Whether it is no more.",
    ),
    _field("lv_host", "Host", TEXT, _lv(lambda lv: printable(lv.creation_host)), "Where it was made.", 10),
    _field("crypt_store", "CStore", TEXT, _crypt_store, "Keystore of an encrypted volume."),
    _field("crypt_handler", "CHandler", TEXT, _crypt(lambda part: part.handler), "Key handler."),
    _field("crypt_cipher", "CCipher", TEXT, _crypt(lambda part: part.cipher), "Cipher."),
    _field("crypt_keysize", "CKeySize", NUMBER, _crypt(lambda part: part.key_size_bits), "Volume key size in bits."),
    _field("crypt_hash", "CHash", TEXT, _crypt(lambda part: part.key_hash), "Hash of the key derivation."),
    _field(
        "crypt_keyslots", "CKeyslots", LIST, _keyslots_listed,
        "Keyslots in use: number, derivation, priority, tokens.",
    ),
    _field("crypt_keyslot_count", "#CKeyslots", NUMBER, _keyslot_count, "Number of keyslots in use."),
)  # fmt: skip
