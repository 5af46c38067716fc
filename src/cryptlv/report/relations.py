"""How the logical volumes of a group hang together, as far as their segments say: pools, images, origins.

The words are lvm2's (lib/metadata/lv.c, lib/metadata/lv_manip.c:lv_layout_and_role); what makes a volume a part of
another is in each type's text_import function there.
"""

from __future__ import annotations

from cryptlv.record import Record
from cryptlv.segments.opaque import OpaqueSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptlv.model.nodes import Value
    from cryptlv.model.vg import Segment, VolumeGroup

    Note = Callable[..., None]

MIRROR_IMAGE, MIRROR_LOG = "mirror,image", "mirror,log"
RAID_IMAGE, RAID_METADATA = "raid,image", "raid,metadata"
THIN_DATA, THIN_METADATA = "thin,pool,data", "thin,pool,metadata"
CACHE_DATA, CACHE_METADATA = "cache,pool,data", "cache,pool,metadata"
VDO_DATA = "vdo,pool,data"
CACHE_ORIGIN, WRITECACHE_ORIGIN = "cache,origin,cacheorigin", "writecache,origin,writecacheorigin"
INTEGRITY_ORIGIN, INTEGRITY_METADATA = "integrity,origin,integrityorigin", "integrity,metadata"
WRITECACHE_STORE = "writecache,cachevol"
_CONVERTING = "_mimagetmp_"
_DEPENDENCIES = (
    "external_origin", "mirror_log", "thin_pool", "cache_pool", "metadata", "writecache", "meta_dev", "pool", "data",
    "vdo_pool",
)  # fmt: skip
_WITH_ORIGIN = ("cache", "writecache", "integrity")


class Snapshot(Record):
    """What a volume that holds the changes of another one is: a snapshot of `origin`, or one that is being merged."""

    origin: str
    chunk_size_sectors: int = 0
    is_merging: bool = False


class Relation(Record):
    """What one volume is to others.

    `parts` says as what it is part of others (MIRROR_IMAGE and so on), `parent` of which one.
    `origin` is what it is made over or a snapshot of, `ancestor` the same for snapshots and thin volumes only.
    `snapshots` are old-style, `thin_snapshots` thin volumes whose origin it is, `thin_users` those for which it is
    the origin outside of their pool, `pool_users` the volumes of the segments that use it as their pool. A volume
    `is_merging` into its origin or `takes_merge` of a snapshot.
    """

    parent: str = ""
    parts: frozenset[str] = frozenset()
    origin: str = ""
    ancestor: str = ""
    pool: str = ""
    data: str = ""
    metadata: str = ""
    mirror_log: str = ""
    converting: str = ""
    snapshots: tuple[str, ...] = ()
    thin_snapshots: tuple[str, ...] = ()
    thin_users: tuple[str, ...] = ()
    pool_users: tuple[str, ...] = ()
    is_merging: bool = False
    takes_merge: bool = False

    @property
    def descendants(self) -> tuple[str, ...]:
        """The snapshots of it."""
        return self.snapshots or (*self.thin_snapshots, *self.thin_users)


UNRELATED = Relation()


def body_of(segment: Segment) -> dict[str, Value]:
    """The items of a segment that is kept but not understood; none of others."""
    return dict(reversed(segment.body)) if isinstance(segment, OpaqueSegment) else {}


def word(value: Value | None) -> str:
    """A value that should be a name; "" for anything else."""
    return value if isinstance(value, str) else ""


def names_in(value: Value | None) -> list[str]:
    """The names in a list of names, or of names and extents."""
    return [str(item) for item in value if isinstance(item, str)] if isinstance(value, tuple) else []


def raid_parts(body: Mapping[str, Value]) -> tuple[list[str], list[str]]:
    """The images and the metadata volumes of a raid segment (raid0 has no metadata)."""
    names = names_in(body.get("raids"))
    return names[1::2] or names_in(body.get("raid0_lvs")), names[::2]


def relate(vg: VolumeGroup, snapshots: Mapping[str, Snapshot]) -> Mapping[str, Relation]:
    """The relation of every volume that has one, by name; `snapshots` are those of `snapshots_of`."""
    names = {lv.name for lv in vg.lvs}
    found: dict[str, Relation] = {}

    def note(name: str, part: str = "", **changes: object) -> None:
        if name not in names:
            return
        old = found.get(name, UNRELATED)
        if part:
            changes["parts"] = old.parts | {part}
        found[name] = old.replace(**changes)

    parts = _opaque_parts(vg)
    for name, segment in parts:
        _note_segment(name, segment, note)
    for store, snapshot in snapshots.items():
        note(store, origin=snapshot.origin, ancestor=snapshot.origin, is_merging=snapshot.is_merging)
        if snapshot.is_merging:
            note(snapshot.origin, takes_merge=True)
    for kind, stores in _users(parts, snapshots).items():
        for origin, users in stores.items():
            note(origin, "", **{kind: tuple(users)})
    return found


def _opaque_parts(vg: VolumeGroup) -> list[tuple[str, OpaqueSegment]]:
    """The segments that can relate volumes, each with the name of its volume. Ten thousand others pass quickly."""
    return [(lv.name, segment) for lv in vg.lvs for segment in lv.segments if isinstance(segment, OpaqueSegment)]


def _users(
    parts: Iterable[tuple[str, OpaqueSegment]], snapshots: Mapping[str, Snapshot]
) -> Mapping[str, Mapping[str, list[str]]]:
    """What uses each origin and pool, by the field of a Relation that has them."""
    fields = ("snapshots", "thin_snapshots", "thin_users", "pool_users")
    found: dict[str, dict[str, list[str]]] = {field: {} for field in fields}
    for store, snapshot in snapshots.items():
        found["snapshots"].setdefault(snapshot.origin, []).append(store)
    for name, segment in parts:
        body = body_of(segment)
        if segment.shown_type == "thin":
            found["thin_snapshots"].setdefault(word(body.get("origin")), []).append(name)
            found["thin_users"].setdefault(word(body.get("external_origin")), []).append(name)
        pool = word(body.get("thin_pool")) or word(body.get("cache_pool"))
        found["pool_users"].setdefault(pool, []).append(name)
    return found


def snapshots_of(vg: VolumeGroup) -> Mapping[str, Snapshot]:
    """Every snapshot that is not thin, by the name of the volume that holds it (lib/snapshot/snapshot.c)."""
    found: dict[str, Snapshot] = {}
    for _, segment in _opaque_parts(vg):
        if segment.shown_type == "snapshot":
            body = body_of(segment)
            size = body.get("chunk_size")
            found[word(body.get("cow_store")) or word(body.get("merging_store"))] = Snapshot(
                origin=word(body.get("origin")),
                chunk_size_sectors=size if isinstance(size, int) else 0,
                is_merging="merging_store" in body,
            )
    return found


def _note_segment(name: str, segment: Segment, note: Note) -> None:
    body, kind = body_of(segment), segment.shown_type
    images, metadata = raid_parts(body)
    for image in images:
        note(image, RAID_IMAGE, parent=name)
    for part in metadata:
        note(part, RAID_METADATA, parent=name)
    if kind == "mirror":
        _note_mirror(name, body, note)
    elif kind in _WITH_ORIGIN:
        _note_origin(name, kind, body, note)
    elif kind.endswith("-pool"):
        _note_pool(name, kind, body, note)
    elif kind == "thin":
        _note_thin(name, body, note)
    elif kind == "vdo":
        note(name, pool=word(body.get("vdo_pool")))


def _note_mirror(name: str, body: Mapping[str, Value], note: Note) -> None:
    mirrors, log = body.get("mirrors"), word(body.get("mirror_log"))
    first = word(mirrors[0]) if isinstance(mirrors, tuple) and mirrors else ""
    for image in names_in(mirrors):
        note(image, MIRROR_IMAGE, parent=name)
    note(name, mirror_log=log, converting=first if _CONVERTING in first else "")
    note(log, MIRROR_LOG, parent=name)


def _note_origin(name: str, kind: str, body: Mapping[str, Value], note: Note) -> None:
    origin, store = word(body.get("origin")), word(body.get("writecache"))
    note(name, origin=origin, pool=word(body.get("cache_pool")) or store)
    as_origin = {"cache": CACHE_ORIGIN, "writecache": WRITECACHE_ORIGIN}.get(kind, INTEGRITY_ORIGIN)
    note(origin, as_origin, parent=name)
    note(store, WRITECACHE_STORE, parent=name)
    note(word(body.get("meta_dev")), INTEGRITY_METADATA, parent=name)


def _note_pool(name: str, kind: str, body: Mapping[str, Value], note: Note) -> None:
    data, metadata = word(body.get("pool")) or word(body.get("data")), word(body.get("metadata"))
    note(name, data=data, metadata=metadata)
    as_data, as_metadata = {
        "thin-pool": (THIN_DATA, THIN_METADATA),
        "cache-pool": (CACHE_DATA, CACHE_METADATA),
    }.get(kind, (VDO_DATA, ""))
    note(data, as_data, parent=name)
    if as_metadata:
        note(metadata, as_metadata, parent=name)


def _note_thin(name: str, body: Mapping[str, Value], note: Note) -> None:
    inner, outer, merged = word(body.get("origin")), word(body.get("external_origin")), word(body.get("merge"))
    origin = inner or outer
    note(name, pool=word(body.get("thin_pool")), origin=origin, ancestor=origin, is_merging=bool(merged))
    note(merged, takes_merge=True)


def hidden_names(vg: VolumeGroup, snapshots: Mapping[str, Snapshot]) -> frozenset[str]:
    """The volumes that are not visible: by their own status, but the store of a snapshot by that of its origin.

    Mirrors lib/metadata/snapshot_manip.c:lv_is_visible. An origin that is hidden is a virtual one, which makes its
    snapshot visible.
    """
    hidden = {lv.name for lv in vg.lvs if not lv.is_visible}
    there = {lv.name for lv in vg.lvs} if snapshots else ()
    for name, snapshot in snapshots.items():
        if snapshot.is_merging and snapshot.origin not in hidden:
            hidden.add(name)
        elif snapshot.origin in there:
            hidden.discard(name)
    return frozenset(hidden)


def partial_names(vg: VolumeGroup, missing: frozenset[str], snapshots: Mapping[str, Snapshot]) -> frozenset[str]:
    """The volumes that lie on missing physical volumes, or need one that does.

    Mirrors lib/metadata/metadata.c:vg_mark_partial_lvs: each volume is looked at after those that it needs. A
    snapshot and its origin need each other, so that the one that comes first in the metadata is looked at last.
    """
    if not missing:
        return frozenset()
    needs = {lv.name: [name for segment in lv.segments for name in _needed(segment)] for lv in vg.lvs}
    for store, snapshot in snapshots.items():
        needs.setdefault(store, []).insert(0, snapshot.origin)
        needs.setdefault(snapshot.origin, []).append(store)
    partial = {
        lv.name
        for lv in vg.lvs
        if any(pv_id in missing for segment in lv.segments for pv_id, _, _ in segment.footprint())
    }
    found: set[str] = set()
    for name in _needed_first(needs):
        if name in partial or not found.isdisjoint(needs[name]):
            found.add(name)
    return frozenset(found)


def _needed_first(needs: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """The names of `needs`, each behind those that it needs; a ring is cut where it was entered."""
    seen: set[str] = set()
    for start in needs:
        stack = [(start, iter(needs[start]))] if start not in seen else []
        seen.add(start)
        while stack:
            name, others = stack[-1]
            other = next((other for other in others if other in needs and other not in seen), None)
            if other is None:
                stack.pop()
                yield name
            else:
                seen.add(other)
                stack.append((other, iter(needs[other])))


def _needed(segment: Segment) -> Iterator[str]:
    """The volumes without which a segment is not whole."""
    yield from segment.keystores
    if not isinstance(segment, OpaqueSegment):
        yield from segment.mentioned()
        return
    body = body_of(segment)
    yield from raid_parts(body)[0]
    yield from names_in(body.get("mirrors"))
    yield from filter(None, (word(body.get(key)) for key in _needed_keys(segment)))


def _needed_keys(segment: Segment) -> Iterable[str]:
    return (*_DEPENDENCIES, "origin") if segment.shown_type in _WITH_ORIGIN else _DEPENDENCIES
