"""Linear and striped segments: type `striped` with one or several stripes (lvm2's lib/striped/striped.c)."""

from __future__ import annotations

from cryptlv.errors import FormatError, RefusedError
from cryptlv.model.mapping import LinearTarget, StripedTarget
from cryptlv.model.nodes import items_without
from cryptlv.model.vg import LvArea, PvArea, Segment
from cryptlv.segments.places import (
    areas_on_pvs,
    go_on,
    parse_areas,
    rename_areas,
    render_areas,
    renumbered_areas,
    rescaled_areas,
    shift_area,
    with_area,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptlv.model.mapping import Target
    from cryptlv.model.nodes import Item, Section
    from cryptlv.model.vg import Area, Footprint, LogicalVolume, PlaceLookup, Surroundings

TYPE = "striped"
_KEYS = frozenset(("stripe_count", "stripe_size", "stripes"))


class StripedSegment(Segment):
    """`areas` has one place for each stripe; `stripe_size_sectors` is 0 for a linear segment."""

    areas: tuple[Area, ...]
    stripe_size_sectors: int = 0
    extra: tuple[Item, ...] = ()

    @property
    def type_name(self) -> str:
        return TYPE

    @property
    def shown_type(self) -> str:
        return "linear" if len(self.areas) == 1 else TYPE

    def with_names(self, names: Mapping[str, str]) -> StripedSegment:
        return self.replace(areas=rename_areas(self.areas, names))

    def places(self) -> tuple[Area, ...]:
        return self.areas

    def mentioned(self) -> Iterator[str]:
        return (area.lv_name for area in self.areas if isinstance(area, LvArea))

    def plain_place(self) -> Footprint | None:
        if len(self.areas) != 1 or self.extra or not isinstance(area := self.areas[0], PvArea):
            return None
        return area.pv_id, area.start_pe, self.length_le

    def parts(self) -> Iterable[tuple[str, str]]:
        return [("stripes", area.lv_name) for area in self.areas if isinstance(area, LvArea)]

    def footprint(self) -> Iterator[Footprint]:
        each = self.length_le // max(len(self.areas), 1)
        for area in self.areas:
            if isinstance(area, PvArea):
                yield area.pv_id, area.start_pe, each

    def part(self, skip_le: int, length_le: int) -> StripedSegment:
        count = len(self.areas)
        if skip_le % count or length_le % count:
            raise RefusedError(f"a segment of {count} stripes is cut at multiples of {count} extents only")
        areas = tuple(shift_area(area, skip_le // count) for area in self.areas)
        return self.replace(start_le=self.start_le + skip_le, length_le=length_le, areas=areas)

    def with_pv_ids(self, pv_ids: Mapping[str, str]) -> StripedSegment:
        return self.replace(areas=renumbered_areas(self.areas, pv_ids))

    def rescaled(self, scale: Callable[[int], int]) -> StripedSegment:
        return self.replace(
            start_le=scale(self.start_le), length_le=scale(self.length_le), areas=rescaled_areas(self.areas, scale)
        )

    @property
    def le_per_pe(self) -> int:
        return max(len(self.areas), 1)

    def movable(self) -> Iterator[tuple[int, PvArea]]:
        return areas_on_pvs(self.areas)

    def moved(self, number: int, area: PvArea) -> StripedSegment:
        return self.replace(areas=with_area(self.areas, number, area))

    def joined(self, following: Segment) -> StripedSegment | None:
        """One segment where every stripe goes on (lib/striped/striped.c:_striped_segments_compatible)."""
        if not isinstance(following, StripedSegment) or self.end_le != following.start_le:
            return None
        if not all(isinstance(area, PvArea) for area in self.areas):
            return None
        length_le = self.length_le + following.length_le
        alike = following.replace(start_le=self.start_le, length_le=self.length_le, areas=self.areas)
        if alike != self or not go_on(self.areas, self.length_le // max(len(self.areas), 1), following.areas):
            return None
        return self.replace(length_le=length_le)

    def targets(self, lookup: PlaceLookup) -> Iterator[Target]:
        start = self.start_le * lookup.extent_size_sectors
        length = self.length_le * lookup.extent_size_sectors
        places = tuple((lookup.place_id(area), lookup.sector(area)) for area in self.areas)
        if len(places) == 1:
            (pv_id, offset), *_ = places
            yield LinearTarget(start_sectors=start, length_sectors=length, pv_id=pv_id, offset_sectors=offset)
        else:
            yield StripedTarget(
                start_sectors=start, length_sectors=length, chunk_sectors=self.stripe_size_sectors, stripes=places
            )

    def check(self, lv: LogicalVolume, around: Surroundings) -> Iterator[tuple[str, str]]:
        count = len(self.areas)
        if not count:
            yield "stripes", "has no stripes"
        elif self.length_le % count:
            yield "extent_count", f"{self.length_le} extents cannot be spread over {count} stripes"
        if count > 1 and not 0 < self.stripe_size_sectors < 2**32:
            yield "stripe_size", f"stripe_size {self.stripe_size_sectors} is not positive, or too large"

    def render_items(self, pv_names: Mapping[str, str]) -> Iterable[Item]:
        yield "stripe_count", len(self.areas)
        if len(self.areas) > 1:
            yield "stripe_size", self.stripe_size_sectors
        yield "stripes", render_areas(self.areas, pv_names)
        yield from self.extra


def parse(section: Section, head: dict[str, object], pv_ids: Mapping[str, str], where: str) -> StripedSegment:
    """A striped segment from its section; `head` holds the fields common to all types. Raises FormatError."""
    count = section.get("stripe_count")
    areas = parse_areas(section.get("stripes"), pv_ids, where, "stripes")
    size = section.get("stripe_size") or 0
    if not isinstance(count, int) or count != len(areas):
        raise FormatError(f"{where} says stripe_count {count!r} but lists {len(areas)}", field="stripe_count")
    if not isinstance(size, int):
        raise FormatError(f"{where} has a stripe_size that is not a number", field="stripe_size")
    return StripedSegment(areas=areas, stripe_size_sectors=size, extra=items_without(section.items, _KEYS), **head)  # type: ignore[arg-type]
