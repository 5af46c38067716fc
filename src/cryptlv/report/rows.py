"""What a report's fields look at: a physical volume, volume group, logical volume or segment, and what is around."""

from __future__ import annotations

from operator import attrgetter

from cryptlv.record import Record
from cryptlv.report.history import PAST, past_volumes
from cryptlv.report.relations import UNRELATED, hidden_names, partial_names, relate, snapshots_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptlv.model.vg import LogicalVolume, PhysicalVolume, Segment, VolumeGroup
    from cryptlv.report.history import PastVolume
    from cryptlv.report.relations import Relation, Snapshot

UNKNOWN_DEVICE = "[unknown]"


class SeenArea(Record):
    """A sound metadata area: its size, what is free in it, and whether it is in use."""

    size_bytes: int
    free_bytes: int
    is_ignored: bool = False


class SeenPv(Record):
    """A physical volume that was found, by its label. `used_by_unknown`: its group was not found.

    `bootloader_area` has its offset and size in bytes, `device_number` major and minor number of a block device, -1
    for a file.
    """

    pv_id: str
    path: str
    size_bytes: int
    pe_start_bytes: int = 0
    bootloader_area: tuple[int, int] = (0, 0)
    areas: tuple[SeenArea, ...] = ()
    used_by_unknown: bool = False
    device_number: tuple[int, int] = (-1, -1)
    label_version: int | None = None


class KernelState(Record):
    """What the kernel says of an active volume's device."""

    number: tuple[int, int]
    read_ahead_bytes: int = 0
    is_suspended: bool = False
    has_live: bool = True
    has_inactive: bool = False
    is_read_only: bool = False
    open_count: int = 0

    @property
    def letter(self) -> str:
        """The state in lv_attr: active, suspended, or with no table in force (lib/metadata/lv.c:lv_attr_dup)."""
        if self.is_suspended:
            return "s"
        return "a" if self.has_live else "i" if self.has_inactive else "d"


class SeenGroup(Record):
    """A volume group, and what is known of it besides its metadata.

    `pvs` has the physical volumes that were found, by their ids; `active_ids` the ids of the volumes that are active;
    `used` the extents in use on each physical volume, `missing` the ids of those that are missing or were when the
    metadata was written, `hidden` and `partial` the names of volumes that users do not see and of those that miss a
    part, `lvs` all volumes by name, `relations` what volumes are to each other and `snapshots` those that are not
    thin, all found once for all rows. `past` are the volumes that are remembered; `shows_past`: reports name them.
    `keyslots` has what each key header says of its keyslots, by the names of keystores, where it was read. `kernel`
    has what the kernel says of those that it has active, by their ids.
    """

    vg: VolumeGroup
    pvs: Mapping[str, SeenPv]
    active_ids: frozenset[str]
    used: Mapping[str, int]
    missing: frozenset[str]
    hidden: frozenset[str]
    partial: frozenset[str]
    relations: Mapping[str, Relation]
    lvs: Mapping[str, LogicalVolume]
    snapshots: Mapping[str, Snapshot]
    keyslots: Mapping[str, tuple[str, ...]] = {}
    past: tuple[PastVolume, ...] = ()
    shows_past: bool = False
    kernel: Mapping[str, KernelState] = {}

    def path(self, pv_id: str) -> str:
        """The device's path, lvm2's `[unknown]` when it is missing."""
        seen = self.pvs.get(pv_id)
        return seen.path if seen is not None else UNKNOWN_DEVICE

    def relation(self, lv: LogicalVolume) -> Relation:
        """What a volume is to others."""
        return self.relations.get(lv.name, UNRELATED)

    def is_active(self, lv: LogicalVolume) -> bool:
        """Whether a volume is active, in the kernel or served."""
        return lv.id in self.active_ids

    def state_letters(self, lv: LogicalVolume) -> str:
        """The letters of lv_attr for whether it is active, and whether it is open."""
        state = self.kernel.get(lv.id)
        if state is None:
            return "a-" if lv.id in self.active_ids else "--"
        return state.letter + ("o" if state.open_count else "-")


class Row(Record):
    """One line of a report: the things that its fields may look at, None where there is no such thing.

    `run` is the first extent and the number of extents of a part of a physical volume.
    """

    group: SeenGroup | None = None
    pv: PhysicalVolume | None = None
    seen: SeenPv | None = None
    lv: LogicalVolume | None = None
    segment: Segment | None = None
    run: tuple[int, int] | None = None

    @property
    def relation(self) -> Relation:
        """What its volume is to others."""
        if self.group is None or self.lv is None:
            return UNRELATED
        return self.group.relation(self.lv)


def seen_group(
    vg: VolumeGroup,
    pvs: Mapping[str, SeenPv],
    active_ids: frozenset[str],
    kernel: Mapping[str, KernelState] | None = None,
) -> SeenGroup:
    """A group with its extents counted and its volumes related."""
    missing = frozenset(pv.id for pv in vg.pvs if pv.is_missing or pv.id not in pvs)
    lvs = {lv.name: lv for lv in reversed(vg.lvs)}  # the first of a name, as in the group
    snapshots = snapshots_of(vg)
    return SeenGroup(
        vg=vg,
        pvs=pvs,
        active_ids=active_ids,
        kernel=kernel or {},
        used=_used(vg),
        missing=missing,
        hidden=hidden_names(vg, snapshots),
        partial=partial_names(vg, missing, snapshots),
        lvs=lvs,
        relations=relate(vg, snapshots),
        snapshots=snapshots,
        past=past_volumes(vg),
    )


def _used(vg: VolumeGroup) -> dict[str, int]:
    """Extents in use on each physical volume."""
    used = dict.fromkeys([pv.id for pv in vg.pvs], 0)
    for lv in vg.lvs:
        for segment in lv.segments:
            place = segment.plain_place()
            for pv_id, _, length in segment.footprint() if place is None else (place,):
                used[pv_id] = used.get(pv_id, 0) + length
    return used


def is_snapshot_record(lv: LogicalVolume) -> bool:
    """Whether it is no volume but says which volume holds a snapshot (lvm2's `snapshotN`); it is never shown."""
    return any(segment.shown_type == "snapshot" for segment in lv.segments)


def pv_rows(groups: Sequence[SeenGroup], orphans: Sequence[SeenPv]) -> list[Row]:
    """A row for each physical volume, by its name."""
    return sorted(pv_rows_as_found(groups, orphans), key=pv_name)


def pv_rows_as_found(groups: Sequence[SeenGroup], orphans: Sequence[SeenPv] = ()) -> list[Row]:
    """A row for each physical volume, group by group as the metadata have them, those in no group last."""
    rows = [Row(group=group, pv=pv, seen=group.pvs.get(pv.id)) for group in groups for pv in group.vg.pvs]
    return [*rows, *(Row(seen=orphan) for orphan in orphans)]


def pv_name(row: Row) -> str:
    """The device's path, lvm2's `[unknown]` when it is missing."""
    return row.seen.path if row.seen is not None else UNKNOWN_DEVICE


def vg_rows(groups: Sequence[SeenGroup]) -> list[Row]:
    """A row for each volume group, by its name; of equal names the one found last comes first, as with stock."""
    return sorted((Row(group=group) for group in reversed(groups)), key=attrgetter("group.vg.name"))


def lv_rows(groups: Sequence[SeenGroup], *, hidden: bool) -> list[Row]:
    """A row for each logical volume, by volume group and name; hidden ones when asked for.

    Those that are no more come with groups that show them, among the others by their names.
    """
    rows = [
        Row(group=group, lv=lv)
        for group in reversed(groups)
        for lv in group.vg.lvs
        if (hidden or lv.name not in group.hidden) and not (group.snapshots and is_snapshot_record(lv))
    ]
    past = [Row(group=group, lv=lv) for group in reversed(groups) if group.shows_past for lv in group.past]
    if past:
        rows = sorted([*rows, *past], key=_plain_name)
    else:
        rows.sort(key=attrgetter("lv.name"))
    rows.sort(key=attrgetter("group.vg.name"))
    return rows


def _plain_name(row: Row) -> str:
    return row.lv.name.removeprefix(PAST) if row.lv is not None else ""


def segment_rows(rows: Sequence[Row]) -> list[Row]:
    """A row for each segment of the logical volumes of `rows`."""
    return [row.replace(segment=segment) for row in rows if row.lv for segment in row.lv.segments]


def in_metadata_order(rows: Sequence[Row]) -> list[Row]:
    """Rows of volumes and segments by volume group, and in it as its metadata have them; others as they are."""
    groups = {row.group.vg.name: row.group.vg for row in rows if row.group is not None}
    places = {(name, lv.id): place for name, vg in groups.items() for place, lv in enumerate(vg.lvs)}

    def key(row: Row) -> tuple[str, int]:
        name = row.group.vg.name if row.group is not None else ""
        return name, places.get((name, row.lv.id), -1) if row.lv is not None else -1

    return sorted(rows, key=key) if any(row.lv is not None and row.run is None for row in rows) else list(rows)
