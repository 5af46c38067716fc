"""How the logical volumes of a group hang together, as far as their segments say: pools, images, origins.

The words are lvm2's (lib/metadata/lv.c, lib/metadata/lv_manip.c:lv_layout_and_role).
"""

from __future__ import annotations

from cryptlv.record import Record
from cryptlv.segments.opaque import OpaqueSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptlv.model.nodes import Value
    from cryptlv.model.vg import LogicalVolume, Segment, VolumeGroup

RAID_DATA = "raid,image"
RAID_METADATA = "raid,metadata"
POOL_DATA = "data"
POOL_METADATA = "metadata"


class Relation(Record):
    """What one volume is to others: `parent` is the volume that it is a part of, `part` as what."""

    parent: str = ""
    part: str = ""
    origin: str = ""
    pool: str = ""
    data: str = ""
    metadata: str = ""
    mirror_log: str = ""
    children: tuple[str, ...] = ()


def body_of(segment: Segment) -> dict[str, Value]:
    """The items of a segment that is kept but not understood; none of others."""
    return dict(reversed(segment.body)) if isinstance(segment, OpaqueSegment) else {}


def word(value: Value | None) -> str:
    """A value that should be a name; "" for anything else."""
    return value if isinstance(value, str) else ""


def names_in(value: Value | None) -> list[str]:
    """The names in a list of names, or of names and extents."""
    return [str(item) for item in value if isinstance(item, str)] if isinstance(value, tuple) else []


def relate(vg: VolumeGroup) -> Mapping[str, Relation]:
    """The relation of every volume, by name."""
    found = {lv.name: Relation() for lv in vg.lvs}

    def note(name: str, **changes: object) -> None:
        if name in found:
            found[name] = found[name].replace(**changes)

    for lv in vg.lvs:
        for segment in lv.segments:
            body = body_of(segment)
            if not body:
                continue
            kind = segment.shown_type
            for place, name in enumerate(names_in(body.get("raids"))):
                note(name, parent=lv.name, part=RAID_DATA if place % 2 else RAID_METADATA)
            for name in names_in(body.get("raid0_lvs")):
                note(name, parent=lv.name, part=RAID_DATA)
            for name in names_in(body.get("mirrors")):
                note(name, parent=lv.name, part="mirror,image")
            _note_pool(lv, kind, body, note)
            _note_origin(lv, kind, body, note)
    children: dict[str, list[str]] = {}
    for name, relation in found.items():
        if relation.origin in found:
            children.setdefault(relation.origin, []).append(name)
    for name, names in children.items():
        note(name, children=tuple(names))
    return found


def _note_pool(lv: LogicalVolume, kind: str, body: Mapping[str, Value], note: Callable[..., None]) -> None:
    if kind not in ("thin-pool", "cache-pool", "vdo-pool"):
        return
    data = word(body.get("pool")) or word(body.get("data"))
    metadata = word(body.get("metadata"))
    stem = kind.removesuffix("-pool")
    note(lv.name, data=data, metadata=metadata)
    note(data, parent=lv.name, part=f"{stem},pool,{POOL_DATA}")
    note(metadata, parent=lv.name, part=f"{stem},pool,{POOL_METADATA}")


def _note_origin(lv: LogicalVolume, kind: str, body: Mapping[str, Value], note: Callable[..., None]) -> None:
    if kind == "thin":
        note(lv.name, pool=word(body.get("thin_pool")), origin=word(body.get("origin")))
    elif kind in ("cache", "writecache"):
        note(
            lv.name,
            pool=word(body.get("cache_pool")) or word(body.get("writecache")),
            origin=word(body.get("origin")),
        )
        note(word(body.get("origin")), parent=lv.name, part=f"{kind},origin")
    elif kind == "snapshot":
        store = word(body.get("cow_store")) or word(body.get("merging_store"))
        note(store, origin=word(body.get("origin")))
    elif kind == "mirror":
        log = word(body.get("mirror_log"))
        note(lv.name, mirror_log=log)
        note(log, parent=lv.name, part="mirror,log")
