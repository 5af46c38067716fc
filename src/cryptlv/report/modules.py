"""The kernel's device-mapper modules that a volume needs (lib/activate/activate.c:list_segment_modules)."""

from __future__ import annotations

from cryptlv.report.relations import volume_areas

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.model.vg import LogicalVolume, Segment
    from cryptlv.report.rows import Row, SeenGroup

_MODULES = {
    "thin": ("thin", "thin-pool"), "thin-pool": ("thin-pool",), "cache": ("cache",), "cache-pool": ("cache",),
    "writecache": ("writecache",), "vdo": ("kvdo",), "vdo-pool": ("kvdo",), "mirror": ("mirror",),
    "error": ("error",), "zero": ("zero",), "integrity": ("integrity",), "crypt": ("crypt",),
}  # fmt: skip


def modules_of(row: Row) -> str:
    """The names of a volume's modules, in order; linear and striped ones need none.

    Those of the volumes that its segments lie on count too, and those of an origin's snapshots.
    """
    if row.lv is None or row.group is None:
        return ""
    return ",".join(sorted(_modules(row.group, row.lv)))


def _modules(group: SeenGroup, lv: LogicalVolume) -> set[str]:
    found: set[str] = set()
    waiting: list[tuple[LogicalVolume, Segment]] = [(lv, segment) for segment in lv.segments]
    seen = {(lv.name, segment.start_le) for segment in lv.segments}
    while waiting:
        owner, segment = waiting.pop()
        found.update(("raid",) if segment.shown_type.startswith("raid") else _MODULES.get(segment.shown_type, ()))
        if owner.name in group.snapshots:
            found.add("snapshot")
        for part, under in _below(group, owner, segment):
            if (part.name, under.start_le) not in seen:
                seen.add((part.name, under.start_le))
                waiting.append((part, under))
    return found


def _below(group: SeenGroup, lv: LogicalVolume, segment: Segment) -> Iterator[tuple[LogicalVolume, Segment]]:
    """The segments at which the areas of a segment begin, and all of an origin's snapshots."""
    for name in group.relation(lv).snapshots:
        store = group.lvs.get(name)
        yield from ((store, part) for part in store.segments) if store is not None else ()
    for name, start_le in volume_areas(segment):
        part = group.lvs.get(name)
        if part is not None:
            yield from ((part, under) for under in part.segments if under.start_le <= start_le < under.end_le)
