"""What a logical volume is, in lvm2's words: the letters of lv_attr, lv_layout and lv_role.

Mirrors lib/metadata/lv.c:lv_attr_dup and lib/metadata/lv_manip.c:lv_layout_and_role, whose order decides where a
volume is several things at once.
"""

from __future__ import annotations

from cryptlv.names import is_keystore_name, printable
from cryptlv.report import relations as parts
from cryptlv.report.field import POLICY_LETTERS
from cryptlv.report.history import PastVolume
from cryptlv.report.relations import body_of
from cryptlv.segments.striped import StripedSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.model.vg import LogicalVolume
    from cryptlv.report.rows import Row, SeenGroup

_ORDINARY_STATUS = ("READ", "WRITE", "VISIBLE")
_OURS = frozenset(("crypt", "crypt-keystore"))
_PLAIN = frozenset(("linear", "striped"))
_VIRTUAL = frozenset(("error", "zero", "vdo"))
_KNOWN = frozenset(
    ("mirror", "thin", "thin-pool", "cache", "cache-pool", "writecache", "integrity", "vdo-pool", "snapshot")
)
_SAID_EXACTLY = frozenset(("raid5_la", "raid5_ra", "raid5_ls", "raid5_rs", "raid6_zr", "raid6_nr", "raid6_nc"))
_SAID_BY_FAMILY = frozenset(("raid0_meta", "raid10_near"))
_METADATA = frozenset((parts.THIN_METADATA, parts.CACHE_METADATA, parts.RAID_METADATA, parts.INTEGRITY_METADATA))
_CACHE_PARTS = frozenset((parts.CACHE_DATA, parts.CACHE_METADATA))
_OF_RAID = frozenset((parts.RAID_IMAGE, parts.RAID_METADATA))
_OF_MIRROR = frozenset((parts.MIRROR_IMAGE, parts.MIRROR_LOG))
_ORIGINS = frozenset((parts.CACHE_ORIGIN, parts.WRITECACHE_ORIGIN))


class Shape:
    """What the letters and words ask of a volume, found once: `kinds` of its segments, `parts` that it is."""

    def __init__(self, lv: LogicalVolume, row: Row) -> None:
        relation = row.relation
        self.lv = lv
        self.relation = relation
        self.parts = relation.parts
        self.kinds = frozenset(segment.shown_type for segment in lv.segments)
        self.first = lv.segments[0].shown_type if lv.segments else ""
        self.is_raid = any(kind.startswith("raid") for kind in self.kinds)
        self.is_of_raid = self.is_raid or not _OF_RAID.isdisjoint(self.parts)
        self.is_pvmove = "PVMOVE" in lv.status
        self.is_of_mirror = "mirror" in self.kinds or not _OF_MIRROR.isdisjoint(self.parts)
        self.is_cache_store = "CACHE_VOL" in lv.flags
        self.is_spare = "_pmspare" in lv.name and not lv.is_visible
        self.is_keystore = is_keystore_name(lv.name) and not lv.is_visible
        is_snapshot = row.group is not None and lv.name in row.group.snapshots
        self.is_store = is_snapshot and "thin" not in self.kinds and not relation.snapshots
        self.is_unknown = any(_is_unknown(kind) for kind in self.kinds)

    @property
    def is_virtual(self) -> bool:
        """Whether no device is behind some of it."""
        return self.is_unknown or not _VIRTUAL.isdisjoint(self.kinds)

    @property
    def is_cached(self) -> bool:
        """Whether it has to do with a cache: as the whole, a pool, or a part of one."""
        return (
            not {"cache", "cache-pool"}.isdisjoint(self.kinds)
            or self.is_cache_store
            or not _CACHE_PARTS.isdisjoint(self.parts)
        )


def _is_unknown(kind: str) -> bool:
    """Whether neither lvm2 nor this program manages the type."""
    return not (kind in _PLAIN or kind in _OURS or kind in _KNOWN or kind in _VIRTUAL or kind.startswith("raid"))


def _is_ordinary(row: Row) -> bool:
    """Whether a volume is linear or striped, and nothing to others."""
    lv, group = row.lv, row.group
    if lv is None or group is None or lv.name in group.relations or lv.name in group.hidden:
        return False
    for segment in lv.segments:
        if type(segment) is not StripedSegment:
            return False
    return lv.name not in group.snapshots


def attributes(row: Row) -> str:
    """The ten letters of lv_attr; "" for a row without a volume."""
    lv, group = row.lv, row.group
    if lv is None or group is None:
        return ""
    if lv.status == _ORDINARY_STATUS and not lv.flags and _is_ordinary(row):  # most are, and there may be thousands
        policy = POLICY_LETTERS.get(lv.allocation_policy or "inherit", "-")
        partial = "p" if lv.name in group.partial else "-"
        return f"-{_permission(group, lv)}{policy}-{group.state_letters(lv)}--{partial}-"
    if isinstance(lv, PastVolume):
        return "----h-----"
    shape = Shape(lv, row)
    policy = POLICY_LETTERS.get(lv.allocation_policy or "inherit", "-")
    return "".join(
        (
            _type_letter(shape),
            "-" if shape.is_pvmove else _permission(group, lv),
            policy.upper() if "LOCKED" in lv.status else policy,
            "m" if "FIXED_MINOR" in lv.status else "-",
            group.state_letters(lv),
            _target_letter(shape),
            "z" if _zeroes(row) else "-",
            "p" if lv.name in group.partial else "X" if shape.is_of_raid else "-",
            "k" if "ACTIVATION_SKIP" in lv.flags else "-",
        )
    )


def _permission(group: SeenGroup, lv: LogicalVolume) -> str:
    if not lv.is_writable:
        return "r" if "READ" in lv.status else "-"
    state = group.kernel.get(lv.id)
    return "R" if state is not None and state.is_read_only else "w"


def _type_letter(shape: Shape) -> str:
    relation, kinds, unsynced = shape.relation, shape.kinds, "NOTSYNCED" in shape.lv.status
    choices = (
        (shape.is_keystore, "e"),
        (shape.is_pvmove, "p"),
        (bool(relation.converting), "c"),
        (bool(relation.snapshots or relation.thin_users), "O" if relation.takes_merge else "o"),
        (shape.is_spare or not _METADATA.isdisjoint(shape.parts), "e"),
        (shape.is_cached or "writecache" in kinds, "C"),
        ("integrity" in kinds, "g"),
        (shape.is_raid, "R" if unsynced else "r"),
        ("mirror" in kinds, "M" if unsynced else "m"),
        ("thin" in kinds, "O" if relation.takes_merge else "S" if relation.is_merging else "V"),
        ("vdo-pool" in kinds, "d"),
        (parts.VDO_DATA in shape.parts, "D"),
        (shape.is_virtual, "v"),
        ("thin-pool" in kinds, "t"),
        (parts.THIN_DATA in shape.parts, "T"),
        (not {parts.MIRROR_IMAGE, parts.RAID_IMAGE}.isdisjoint(shape.parts), "I"),
        (parts.MIRROR_LOG in shape.parts, "l"),
        (shape.is_store, "S" if relation.is_merging else "s"),
        (not _ORIGINS.isdisjoint(shape.parts), "o"),
    )
    return next((letter for holds, letter in choices if holds), "-")


def _target_letter(shape: Shape) -> str:
    kinds = shape.kinds
    choices = (
        (not {"thin", "thin-pool"}.isdisjoint(kinds), "t"),
        (
            not {"cache", "cache-pool", "writecache"}.isdisjoint(kinds)
            or shape.is_cache_store
            or not _ORIGINS.isdisjoint(shape.parts),
            "C",
        ),
        (shape.is_of_raid, "r"),
        (shape.is_of_mirror or shape.is_pvmove, "m"),
        (shape.is_store or bool(shape.relation.snapshots), "s"),
        (shape.is_unknown, "u"),
        (shape.is_virtual, "v"),
    )
    return next((letter for holds, letter in choices if holds), "-")


def _zeroes(row: Row) -> bool:
    """Whether a thin pool, the volume's own or its pool's, gives out zeroed blocks."""
    lv, group = row.lv, row.group
    if lv is None or group is None:
        return False
    pool = group.lvs.get(row.relation.pool) if row.relation.pool else lv
    if pool is None or not pool.segments or pool.segments[0].shown_type != "thin-pool":
        return False
    return body_of(pool.segments[0]).get("zero_new_blocks") == 1


class _Words:
    """The words of a volume as they are found."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.layout: list[str] = []
        self.role: list[str] = []
        self.is_public = True

    def is_part(self, *names: str) -> str:
        """The first of these parts that the volume is, whose words are its role then; "" for none."""
        name = next((name for name in names if name in self.shape.parts), "")
        if name:
            self.role += name.split(",")
            self.is_public = False
        return name


def layout_and_role(row: Row) -> tuple[str, str]:
    """The words of lv_layout and of lv_role; "" for a row without a volume."""
    if row.lv is None:
        return "", ""
    if isinstance(row.lv, PastVolume):
        return "none", "public,history"
    shape = Shape(row.lv, row)
    words = _Words(shape)
    _mirror(words, shape)
    if shape.is_of_raid:
        _raid(words, shape)
    _thin(words, shape)
    _cache(words, shape)
    if not words.is_part(parts.INTEGRITY_METADATA, parts.INTEGRITY_ORIGIN) and "integrity" in shape.kinds:
        words.layout.append("integrity")
    _vdo(words, shape)
    if shape.is_spare:
        words.role += ["pool", "spare"]
        words.is_public = False
    _old_snapshot(words, shape)
    if shape.lv.name == "lvmlock" and not shape.lv.is_visible:
        words.role += ["lockd", "sanlock"]
        words.is_public = False
    if shape.is_keystore:
        words.role += ["crypt", "keystore"]
        words.is_public = False
    if not words.layout:
        words.layout = _simple_layout(shape)
    role = ["public" if words.is_public else "private", *words.role]
    return ",".join(dict.fromkeys(words.layout)), ",".join(dict.fromkeys(role))


def _simple_layout(shape: Shape) -> list[str]:
    found: list[str] = [kind for kind in ("linear", "striped") if kind in shape.kinds]
    found += [kind for kind in dict.fromkeys(part.shown_type for part in shape.lv.segments) if kind in _OURS]
    return [printable(kind) for kind in found] or ["unknown"]


def _mirror(words: _Words, shape: Shape) -> None:
    if words.is_part(parts.MIRROR_IMAGE):
        return
    if words.is_part(parts.MIRROR_LOG):
        words.layout += ["mirror"] if "mirror" in shape.kinds else []
    elif shape.is_pvmove:
        words.role.append("pvmove")
        words.layout.append("mirror")
        words.is_public = False
    elif "mirror" in shape.kinds:
        words.layout.append("mirror")


def _raid(words: _Words, shape: Shape) -> None:
    if words.is_part(parts.RAID_IMAGE, parts.RAID_METADATA):
        return
    level = shape.first.partition("_")[0]
    words.layout.append("raid")
    if shape.first not in _SAID_BY_FAMILY:
        words.layout.append(level)
    if shape.first in _SAID_EXACTLY:
        words.layout.append(shape.first)


def _thin(words: _Words, shape: Shape) -> None:
    relation = shape.relation
    if words.is_part(parts.THIN_METADATA, parts.THIN_DATA):
        return
    if "thin" in shape.kinds:
        words.layout += ["thin", "sparse"]
        if relation.thin_snapshots:
            words.role += ["origin", "thinorigin"]
            words.role += ["multithinorigin"] if len(relation.thin_snapshots) > 1 else []
        if relation.ancestor:
            words.role += ["snapshot", "thinsnapshot"]
    elif "thin-pool" in shape.kinds:
        words.layout += ["thin", "pool"]
        words.is_public = False
    if relation.thin_users:
        words.role += ["origin", "extthinorigin"]
        words.role += ["multiextthinorigin"] if len(relation.thin_users) > 1 else []


def _cache(words: _Words, shape: Shape) -> None:
    kinds = shape.kinds
    part = words.is_part(parts.CACHE_METADATA, parts.CACHE_DATA, parts.CACHE_ORIGIN, parts.WRITECACHE_ORIGIN)
    if part:
        inner = "writecache" if part == parts.WRITECACHE_ORIGIN else "cache"
        words.layout += [inner] if inner in kinds and part != parts.CACHE_METADATA else []
    elif "cache" in kinds:
        words.layout.append("cache")
    elif "writecache" in kinds:
        words.layout.append("writecache")
    elif shape.is_cache_store:
        words.layout += ["writecache" if parts.WRITECACHE_STORE in shape.parts else "cache", "cachevol"]
        words.is_public = False
    elif "cache-pool" in kinds:
        words.layout += ["cache", "pool"]
        words.is_public = False


def _vdo(words: _Words, shape: Shape) -> None:
    if "vdo-pool" in shape.kinds:
        words.layout += ["vdo", "pool"]
        words.is_public = False
    elif not words.is_part(parts.VDO_DATA) and "vdo" in shape.kinds:
        words.layout += ["vdo", "sparse"]


def _old_snapshot(words: _Words, shape: Shape) -> None:
    count = len(shape.relation.snapshots)
    if count:
        words.role += ["origin", "thickorigin"]
        if shape.is_virtual:
            words.layout.append("virtual")
            words.is_public = False
        words.role += ["multithickorigin"] if count > 1 else []
    elif shape.is_store:
        words.role += ["snapshot", "thicksnapshot"]
