"""The seed's `crypt` segment: linear, with an encrypted area.

    type = "crypt"
    crypto_store = "cryptostore1"
    areas = [ "pv2", 12 ]

The key comes from the keystore LV that `crypto_store` names. Of ours in addition: `area_ids` (the PV's id, so that a
renumbering of the PV words by another program is seen), `iv_base` (added to the tweak of every sector, 0 when
absent) and `area_offset` (sectors into the first extent at which the data begin).
"""

from __future__ import annotations

from cryptlv.errors import FormatError
from cryptlv.model.mapping import CryptTarget
from cryptlv.model.nodes import items_without
from cryptlv.model.vg import LvArea, PvArea, Segment
from cryptlv.names import printable
from cryptlv.segments.places import (
    area_id_items,
    parse_identified_areas,
    parse_number,
    parse_word,
    renamed_areas,
    render_areas,
    rescaled_areas,
    shift_area,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptlv.model.mapping import Target
    from cryptlv.model.nodes import Item, Section
    from cryptlv.model.vg import Area, Footprint, LogicalVolume, PlaceLookup, Surroundings

TYPE = "crypt"
_KEYS = frozenset(("crypto_store", "areas", "area_ids", "iv_base", "area_offset"))


class CryptSegment(Segment):
    """One encrypted area. A sector's tweak is `iv_base_sectors` plus its number from the start of the LV."""

    crypto_store: str
    areas: tuple[Area, ...]
    iv_base_sectors: int = 0
    area_offset_sectors: int = 0
    extra: tuple[Item, ...] = ()

    @property
    def type_name(self) -> str:
        return TYPE

    @property
    def keystores(self) -> tuple[str, ...]:
        return (self.crypto_store,)

    def mentioned(self) -> Iterator[str]:
        return (area.lv_name for area in self.areas if isinstance(area, LvArea))

    def parts(self) -> Iterable[tuple[str, str]]:
        return [("areas", area.lv_name) for area in self.areas if isinstance(area, LvArea)]

    def footprint(self) -> Iterator[Footprint]:
        tail = 1 if self.area_offset_sectors else 0
        for area in self.areas:
            if isinstance(area, PvArea):
                yield area.pv_id, area.start_pe, self.length_le + tail

    def part(self, skip_le: int, length_le: int) -> CryptSegment:
        areas = tuple(shift_area(area, skip_le) for area in self.areas)
        return self.replace(start_le=self.start_le + skip_le, length_le=length_le, areas=areas)

    def with_pv_ids(self, pv_ids: Mapping[str, str]) -> CryptSegment:
        return self.replace(areas=renamed_areas(self.areas, pv_ids))

    def rescaled(self, scale: Callable[[int], int]) -> CryptSegment:
        return self.replace(
            start_le=scale(self.start_le), length_le=scale(self.length_le), areas=rescaled_areas(self.areas, scale)
        )

    def targets(self, lookup: PlaceLookup) -> Iterator[Target]:
        (area,) = self.areas
        start = self.start_le * lookup.extent_size_sectors
        yield CryptTarget(
            start_sectors=start,
            length_sectors=self.length_le * lookup.extent_size_sectors,
            pv_id=area.pv_id if isinstance(area, PvArea) else area.lv_name,
            offset_sectors=lookup.sector(area) + self.area_offset_sectors,
            crypto_store=self.crypto_store,
            iv_offset_sectors=self.iv_base_sectors + start,
        )

    def check(self, lv: LogicalVolume, around: Surroundings) -> Iterator[tuple[str, str]]:
        if len(self.areas) != 1:
            yield "areas", f"a crypt segment has one area, this one has {len(self.areas)}"
        if any(key == "stripes" for key, _ in self.extra):
            yield "stripes", "a crypt segment has areas, this one has stripes"
        if not 0 <= self.area_offset_sectors < max(around.vg.extent_size_sectors, 1):
            yield "area_offset", f"area_offset {self.area_offset_sectors} is not within the first extent"
        if not 0 <= self.iv_base_sectors < 2**62:
            yield "iv_base", f"iv_base {self.iv_base_sectors} is negative, or too large"
        store = around.lvs.get(self.crypto_store)
        if store is None:
            yield "crypto_store", f"keystore {printable(self.crypto_store[:64])} does not exist"
        elif any(segment.type_name != "crypt-keystore" for segment in store.segments[:1]):
            yield "crypto_store", f"{printable(self.crypto_store)} is not a keystore"

    def render_items(self, pv_names: Mapping[str, str]) -> Iterable[Item]:
        yield "crypto_store", self.crypto_store
        if self.iv_base_sectors:
            yield "iv_base", self.iv_base_sectors
        if self.area_offset_sectors:
            yield "area_offset", self.area_offset_sectors
        yield "areas", render_areas(self.areas, pv_names)
        yield from area_id_items(self.areas)
        yield from self.extra


def parse(section: Section, head: dict[str, object], pv_ids: Mapping[str, str], where: str) -> CryptSegment:
    """A crypt segment from its section. Raises FormatError when the keystore is not named."""
    store = parse_word(section, "crypto_store", where)
    if not store:
        raise FormatError(f"{where} names no crypto_store", field="crypto_store")
    return CryptSegment(
        crypto_store=store,
        areas=parse_identified_areas(section, pv_ids, where),
        iv_base_sectors=parse_number(section, "iv_base", where),
        area_offset_sectors=parse_number(section, "area_offset", where),
        extra=items_without(section.items, _KEYS),
        **head,  # type: ignore[arg-type]
    )
