"""The fields of logical volumes, under lvm2's names (lib/report/columns.h, lib/metadata/lv.c), and the crypt ones."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptlv.names import dm_name, is_keystore_name, printable
from cryptlv.report.field import NUMBER, POLICY_LETTERS, SIZE, TEXT, Field, flag, listed
from cryptlv.report.relations import RAID_DATA, RAID_METADATA, body_of
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import LogicalVolume
    from cryptlv.report.field import Value
    from cryptlv.report.relations import Relation
    from cryptlv.report.rows import Row, SeenGroup

_SPARE = "_pmspare"
_PART_LETTERS = {
    RAID_DATA: "I", RAID_METADATA: "e", "thin,pool,data": "T", "thin,pool,metadata": "e", "cache,pool,data": "C",
    "cache,pool,metadata": "e", "mirror,image": "I", "mirror,log": "l", "cache,origin": "o", "vdo,pool,data": "D",
}  # fmt: skip
_TYPE_LETTERS = {
    "thin-pool": "t", "thin": "V", "cache-pool": "C", "cache": "C", "writecache": "C", "mirror": "m", "vdo-pool": "d",
    "vdo": "v",
}  # fmt: skip
_TARGET_LETTERS = {"thin-pool": "t", "thin": "t", "cache-pool": "C", "cache": "C", "writecache": "C", "mirror": "m"}


def _lv(value: Callable[[LogicalVolume], Value]) -> Callable[[Row], Value]:
    return lambda row: None if row.lv is None else value(row.lv)


def shown_name(group: SeenGroup, name: str) -> str:
    """A volume's name, in brackets when it is hidden."""
    return f"[{printable(name)}]" if name in group.hidden else printable(name)


def _related(value: Callable[[Row], str]) -> Callable[[Row], Value]:
    return lambda row: shown_name(row.group, value(row)) if row.group is not None else None


def _size(row: Row) -> Value:
    return row.lv.length_le * row.group.vg.extent_size_bytes if row.lv and row.group else None


def _kinds(lv: LogicalVolume) -> list[str]:
    return list(dict.fromkeys(segment.shown_type for segment in lv.segments))


def _is_raid(kind: str) -> bool:
    return kind.startswith("raid")


def _is_spare(lv: LogicalVolume) -> bool:
    return lv.name.endswith(_SPARE) and not lv.is_visible


def _type_letter(lv: LogicalVolume, kind: str, part: str) -> str:
    if is_keystore_name(lv.name) and not lv.is_visible:
        return "e"
    if "PVMOVE" in lv.status:
        return "p"
    if _is_spare(lv):
        return "e"
    if part in _PART_LETTERS:
        return _PART_LETTERS[part]
    if _is_raid(kind):
        return "R" if "NOTSYNCED" in lv.status else "r"
    return _TYPE_LETTERS.get(kind, "-")


def _attr(row: Row) -> Value:
    lv, group = row.lv, row.group
    if lv is None or group is None:
        return None
    kind = lv.segments[0].shown_type if lv.segments else ""
    part = row.relation.part
    policy = POLICY_LETTERS.get(lv.allocation_policy or "inherit", "-")
    of_raid = _is_raid(kind) or part in (RAID_DATA, RAID_METADATA)
    return "".join(
        (
            _type_letter(lv, kind, part),
            "w" if lv.is_writable and group.vg.is_writable else "r",
            policy.upper() if "LOCKED" in lv.status else policy,
            "m" if "FIXED_MINOR" in lv.status else "-",
            "a" if lv.id in group.active_ids else "-",
            "-",
            "r" if of_raid else _TARGET_LETTERS.get(kind, "-"),
            "z" if _zeroes(row) else "-",
            "p" if _is_partial(row) else "X" if of_raid else "-",
            "k" if "ACTIVATION_SKIP" in lv.flags else "-",
        )
    )


def _zeroes(row: Row) -> bool:
    """Whether a thin pool, the volume's own or its pool's, gives out zeroed blocks."""
    lv, group = row.lv, row.group
    if lv is None or group is None:
        return False
    pool = group.lvs.get(row.relation.pool) if row.relation.pool else lv
    if pool is None or not pool.segments or pool.segments[0].shown_type != "thin-pool":
        return False
    return body_of(pool.segments[0]).get("zero_new_blocks") == 1


def _is_partial(row: Row) -> bool:
    if row.lv is None or row.group is None or not row.group.missing:
        return False
    missing = row.group.missing
    return any(pv_id in missing for segment in row.lv.segments for pv_id, _, _ in segment.footprint())


def _layout(lv: LogicalVolume) -> str:
    words: list[str] = []
    for kind in _kinds(lv):
        if _is_raid(kind):
            level, _, _ = kind.partition("_")
            words += ["raid", level, kind]
        else:
            words += {"thin-pool": ["thin", "pool"], "thin": ["thin", "sparse"], "cache-pool": ["cache", "pool"]}.get(
                kind, [printable(kind)]
            )
    return ",".join(dict.fromkeys(words))


def _role(row: Row) -> Value:
    lv, relation = row.lv, row.relation
    if lv is None:
        return None
    if is_keystore_name(lv.name) and not lv.is_visible:
        return "private,crypt,keystore"
    if _is_spare(lv):
        return "private,pool,spare"
    if relation.part:
        return f"private,{relation.part}"
    if any(kind.endswith("-pool") for kind in _kinds(lv)):
        return "private"
    thin = "thin" in _kinds(lv)
    words = ["public"]
    if relation.children:
        words += ["origin", "thinorigin"] if thin else ["origin"]
    if relation.origin and not {"cache", "writecache"}.intersection(_kinds(lv)):
        words += ["snapshot", "thinsnapshot"] if thin else ["snapshot"]
    return ",".join(words)


def _chain(row: Row) -> list[str]:
    """The origins of a volume, the nearest first; a loop is cut."""
    names: dict[str, None] = {}
    name = row.relation.origin
    while name and row.group is not None and name not in names:
        names[name] = None
        relation = row.group.relations.get(name)
        name = relation.origin if relation is not None else ""
    return list(names)


def _descendants(row: Row) -> list[str]:
    names: dict[str, None] = {}
    waiting = list(row.relation.children)
    for name in waiting:  # which grows
        if name not in names and row.group is not None:
            names[name] = None
            relation = row.group.relations.get(name)
            waiting += relation.children if relation is not None else ()
    return list(names)


def _path(row: Row) -> Value:
    if row.lv is None or row.group is None or not row.lv.is_visible or _layout(row.lv).endswith("pool"):
        return ""
    return f"/dev/{printable(row.group.vg.name)}/{printable(row.lv.name)}"


def _time(lv: LogicalVolume) -> str:
    """When it was made, in lvm2's default format and the time zone of this machine."""
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

    prefix = "crypt_" if name.startswith("crypt_") else "lv_"
    return Field(prefix=prefix, name=name, heading=heading, kind=kind, value=of_row, help=text, width=width)


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
    _field("lv_parent", "Parent", TEXT, lambda row: printable(row.relation.parent), "The volume that it is part of."),
    _field("lv_layout", "Layout", TEXT, _lv(_layout), "How it is made.", 10),
    _field("lv_role", "Role", TEXT, _role, "What it is for.", 10),
    _field(
        "lv_allocation_policy", "AllocPol", TEXT, _lv(lambda lv: printable(lv.allocation_policy or "inherit")),
        "Allocation policy.", 10,
    ),
    _field(
        "lv_skip_activation", "SkipAct", TEXT,
        _lv(lambda lv: flag("skip activation", on="ACTIVATION_SKIP" in lv.flags)), "Whether activation skips it.", 15,
    ),
    _field(
        "lv_autoactivation", "AutoAct", TEXT, _lv(lambda lv: flag("enabled", on="NOAUTOACTIVATE" not in lv.flags)),
        "Whether it may autoactivate.",
    ),
    _field(
        "lv_active", "Active", TEXT,
        lambda row: flag("active", on=row.lv is not None and row.group is not None
                         and row.lv.id in row.group.active_ids),
        "Whether it is active here.",
    ),
    _field("lv_major", "Maj", NUMBER, _lv(lambda lv: -1 if lv.major is None else lv.major), "Fixed major number."),
    _field("lv_minor", "Min", NUMBER, _lv(lambda lv: -1 if lv.minor is None else lv.minor), "Fixed minor number."),
    _field(
        "lv_read_ahead", "Rahead", SIZE, _lv(_read_ahead), "Read ahead; auto leaves it to the kernel.",
    ),
    _field("lv_size", "LSize", SIZE, _size, "Size."),
    _field("lv_attr", "Attr", TEXT, _attr, "Type, permission, policy, minor, state, open, target, zero, health."),
    _field("seg_count", "#Seg", NUMBER, _lv(lambda lv: len(lv.segments)), "Number of segments."),
    _field("origin", "Origin", TEXT, _related(lambda row: row.relation.origin), "Origin of a snapshot."),
    _field("lv_ancestors", "Ancestors", TEXT, lambda row: ",".join(map(printable, _chain(row))), "Its origins."),
    _field(
        "lv_descendants", "Descendants", TEXT, lambda row: ",".join(map(printable, _descendants(row))),
        "Volumes that it is the origin of.",
    ),
    _field("mirror_log", "Log", TEXT, _related(lambda row: row.relation.mirror_log), "Log of a mirror."),
    _field("pool_lv", "Pool", TEXT, _related(lambda row: row.relation.pool), "Pool of a thin or cached volume."),
    _field("data_lv", "Data", TEXT, _related(lambda row: row.relation.data), "Data of a pool."),
    _field("metadata_lv", "Meta", TEXT, _related(lambda row: row.relation.metadata), "Metadata of a pool."),
    _field("data_percent", "Data%", NUMBER, lambda _: None, "How full a snapshot or pool is.", 6),
    _field("metadata_percent", "Meta%", NUMBER, lambda _: None, "How full a pool's metadata is.", 6),
    _field("move_pv", "Move", TEXT, lambda _: None, "Source of a pvmove."),
    _field("copy_percent", "Cpy%Sync", NUMBER, lambda _: None, "How far a copy has come."),
    _field("convert_lv", "Convert", TEXT, lambda _: None, "What a volume becomes."),
    _field("lv_tags", "LV Tags", TEXT, _lv(lambda lv: listed(map(printable, lv.tags))), "Tags."),
    _field("lv_profile", "LProfile", TEXT, _lv(lambda lv: printable(lv.profile)), "Configuration profile."),
    _field("lv_lockargs", "Lock Args", TEXT, _lv(lambda lv: printable(lv.lock_args)), "Lock arguments."),
    _field("lv_time", "CTime", TEXT, _lv(_time), "When it was made.", 26),
    _field("lv_host", "Host", TEXT, _lv(lambda lv: printable(lv.creation_host)), "Where it was made.", 10),
    _field("crypt_store", "CStore", TEXT, _crypt_store, "Keystore of an encrypted volume."),
    _field("crypt_handler", "CHandler", TEXT, _crypt(lambda part: part.handler), "Key handler."),
    _field("crypt_cipher", "CCipher", TEXT, _crypt(lambda part: part.cipher), "Cipher."),
    _field("crypt_keysize", "CKeySize", NUMBER, _crypt(lambda part: part.key_size_bits), "Volume key size in bits."),
    _field("crypt_hash", "CHash", TEXT, _crypt(lambda part: part.key_hash), "Hash of the key derivation."),
)  # fmt: skip
