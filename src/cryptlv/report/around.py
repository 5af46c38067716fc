"""A volume group for the display commands: what they need to know of volumes besides their own segments."""

from __future__ import annotations

from cryptlv.record import Record
from cryptlv.report.relations import body_of, word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.report.rows import SeenGroup


class Snapshot(Record):
    """What a volume that holds the changes of another one is: a snapshot of `origin`, or one that is being merged."""

    origin: str
    chunk_size_sectors: int = 0
    is_merging: bool = False


class Around(Record):
    """A group, and of its volumes by name: what is hidden, the snapshots that are not thin by what holds them, the
    cached volume over an origin, and how many segments use a pool.
    """

    group: SeenGroup
    hidden: frozenset[str]
    snapshots: Mapping[str, Snapshot]
    cached: Mapping[str, str]
    users: Mapping[str, int]

    @property
    def vg(self) -> VolumeGroup:
        """The metadata."""
        return self.group.vg

    def is_active(self, lv: LogicalVolume) -> bool:
        """Whether a volume is served."""
        return lv.id in self.group.active_ids

    def holders(self, lv: LogicalVolume) -> list[str]:
        """The volumes that hold snapshots of a volume."""
        return [name for name, snapshot in self.snapshots.items() if snapshot.origin == lv.name]


def look_around(group: SeenGroup) -> Around:
    """Go through a group's volumes once."""
    snapshots: dict[str, Snapshot] = {}
    cached: dict[str, str] = {}
    users: dict[str, int] = {}
    for lv in group.vg.lvs:
        for segment in lv.segments:
            body = body_of(segment)
            origin = word(body.get("origin"))
            if segment.shown_type == "snapshot":
                size = body.get("chunk_size")
                snapshots[word(body.get("cow_store")) or word(body.get("merging_store"))] = Snapshot(
                    origin=origin,
                    chunk_size_sectors=size if isinstance(size, int) else 0,
                    is_merging="merging_store" in body,
                )
            elif segment.shown_type == "cache":
                cached[origin] = lv.name
            pool = word(body.get("thin_pool")) or word(body.get("cache_pool"))
            users[pool] = users.get(pool, 0) + 1
    hidden = frozenset(lv.name for lv in group.vg.lvs if not _is_shown(group.vg, lv, snapshots.get(lv.name)))
    return Around(group=group, hidden=hidden, snapshots=snapshots, cached=cached, users=users)


def _is_shown(vg: VolumeGroup, lv: LogicalVolume, snapshot: Snapshot | None) -> bool:
    """Whether users see the volume; a snapshot is seen when its origin is (lib/metadata/snapshot_manip.c)."""
    if snapshot is None:
        return lv.is_visible and not is_snapshot_record(lv)
    origin = vg.find_lv(snapshot.origin)
    return not snapshot.is_merging and origin is not None and origin.is_visible


def is_snapshot_record(lv: LogicalVolume) -> bool:
    """Whether it is no volume but says which volume holds a snapshot (lvm2's `snapshotN`); it is never shown."""
    return any(segment.shown_type == "snapshot" for segment in lv.segments)


def is_partial(group: SeenGroup, lv: LogicalVolume) -> bool:
    """Whether the volume, or one that it is made of, lies on a physical volume that is missing."""
    waiting, known = [lv], {lv.name}
    while waiting and group.missing:
        for segment in waiting.pop().segments:
            if any(pv_id in group.missing for pv_id, _, _ in segment.footprint()):
                return True
            for name in (*segment.mentioned(), *segment.keystores):
                part = group.vg.find_lv(name) if name not in known else None
                if part is not None:
                    known.add(name)
                    waiting.append(part)
    return False
