"""What a report's fields look at: one physical volume, volume group or logical volume with its surroundings."""

from __future__ import annotations

from cryptlv.model.allocate import used_extents
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptlv.model.vg import LogicalVolume, PhysicalVolume, VolumeGroup


class SeenGroup(Record):
    """A volume group, and what is known of it besides its metadata.

    `paths` has the device of each physical volume that was found, by its id; `active_ids` the ids of the volumes
    that are active; `used` the extents in use on each physical volume, counted once for all rows.
    """

    vg: VolumeGroup
    paths: Mapping[str, str]
    active_ids: frozenset[str]
    used: Mapping[str, int]


class SeenOrphan(Record):
    """A physical volume without a volume group."""

    pv_id: str
    path: str
    size_bytes: int
    used_by_unknown: bool


class Row(Record):
    """One line of a report: the things that its fields may look at, None where there is no such thing."""

    group: SeenGroup | None = None
    pv: PhysicalVolume | None = None
    orphan: SeenOrphan | None = None
    lv: LogicalVolume | None = None


def seen_group(vg: VolumeGroup, paths: Mapping[str, str], active_ids: frozenset[str]) -> SeenGroup:
    """A group with its extents counted."""
    used = {pv_id: sum(length for _, length in places) for pv_id, places in used_extents(vg).items()}
    return SeenGroup(vg=vg, paths=paths, active_ids=active_ids, used=used)


def pv_rows(groups: Sequence[SeenGroup], orphans: Sequence[SeenOrphan]) -> list[Row]:
    """A row for each physical volume, by its name."""
    rows = [Row(group=group, pv=pv) for group in groups for pv in group.vg.pvs]
    rows += [Row(orphan=orphan) for orphan in orphans]
    return sorted(rows, key=pv_name)


def pv_name(row: Row) -> str:
    """The device's path, lvm2's `[unknown]` when it is missing."""
    if row.orphan is not None:
        return row.orphan.path
    if row.group is None or row.pv is None:
        return ""
    return row.group.paths.get(row.pv.id, "[unknown]")


def vg_rows(groups: Sequence[SeenGroup]) -> list[Row]:
    """A row for each volume group, by its name."""
    return [Row(group=group) for group in sorted(groups, key=lambda group: group.vg.name)]


def lv_rows(groups: Sequence[SeenGroup], *, hidden: bool) -> list[Row]:
    """A row for each logical volume, by volume group and name; hidden ones when asked for."""
    rows = [Row(group=group, lv=lv) for group in groups for lv in group.vg.lvs if hidden or lv.is_visible]
    return sorted(rows, key=lambda row: (row.group.vg.name if row.group else "", row.lv.name if row.lv else ""))
