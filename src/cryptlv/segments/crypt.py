"""The seed's `crypt` segment: linear, with an encrypted area.

    type = "crypt"
    crypto_store = "cryptostore1"
    areas = [ "pv2", 12 ]

The key comes from the keystore LV that `crypto_store` names. Of ours in addition: `area_ids` (the PV's id, so that a
renumbering of the PV words by another program is seen), `iv_base` (added to the tweak of every sector, 0 when
absent), `area_offset` (sectors into the first extent at which the data begin) and `crypt_flags` (words of dm-crypt's
for how the kernel is to work, such as `allow_discards`).
"""

from __future__ import annotations

from cryptlv.errors import FormatError, RefusedError
from cryptlv.model.mapping import CryptTarget
from cryptlv.model.nodes import items_without
from cryptlv.model.vg import PvArea, Segment
from cryptlv.names import printable
from cryptlv.segments.places import (
    area_id_items,
    areas_on_pvs,
    below,
    check_below,
    go_on,
    parse_identified_areas,
    parse_number,
    parse_word,
    parse_words,
    rename_areas,
    render_areas,
    renumbered_areas,
    rescaled_areas,
    shift_area,
    with_area,
)
from cryptlv.units import round_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptlv.model.mapping import Target
    from cryptlv.model.nodes import Item, Section
    from cryptlv.model.vg import Area, Footprint, LogicalVolume, PlaceLookup, Surroundings, VolumeGroup

TYPE = "crypt"
IV_ROOM_SECTORS = 2**40
"""What a volume may grow to, 512 TiB, before its tweaks meet those of the next volume of its keystore."""
_MAX_IV_BASE = 2**62
_KEYS = frozenset(("crypto_store", "areas", "area_ids", "iv_base", "area_offset", "crypt_flags"))


class CryptSegment(Segment):
    """One encrypted area. A sector's tweak is `iv_base_sectors` plus its number from the start of the LV."""

    crypto_store: str
    areas: tuple[Area, ...]
    iv_base_sectors: int = 0
    area_offset_sectors: int = 0
    flags: tuple[str, ...] = ()
    extra: tuple[Item, ...] = ()

    @property
    def type_name(self) -> str:
        return TYPE

    @property
    def keystores(self) -> tuple[str, ...]:
        return (self.crypto_store,)

    def with_names(self, names: Mapping[str, str]) -> CryptSegment:
        store = names.get(self.crypto_store, self.crypto_store)
        return self.replace(crypto_store=store, areas=rename_areas(self.areas, names))

    def places(self) -> tuple[Area, ...]:
        return self.areas

    def mentioned(self) -> Iterator[str]:
        return (name for _, name in self.parts())

    def parts(self) -> Iterable[tuple[str, str]]:
        return below(self.areas)

    def footprint(self) -> Iterator[Footprint]:
        tail = 1 if self.area_offset_sectors else 0
        for area in self.areas:
            if isinstance(area, PvArea):
                yield area.pv_id, area.start_pe, self.length_le + tail

    def part(self, skip_le: int, length_le: int) -> CryptSegment:
        areas = tuple(shift_area(area, skip_le) for area in self.areas)
        return self.replace(start_le=self.start_le + skip_le, length_le=length_le, areas=areas)

    def with_pv_ids(self, pv_ids: Mapping[str, str]) -> CryptSegment:
        return self.replace(areas=renumbered_areas(self.areas, pv_ids))

    def rescaled(self, scale: Callable[[int], int]) -> CryptSegment:
        return self.replace(
            start_le=scale(self.start_le), length_le=scale(self.length_le), areas=rescaled_areas(self.areas, scale)
        )

    @property
    def data_offset_sectors(self) -> int:
        return self.area_offset_sectors

    def movable(self) -> Iterator[tuple[int, PvArea]]:
        return areas_on_pvs(self.areas)

    def moved(self, number: int, area: PvArea) -> CryptSegment:
        """The IV is counted from the start of the volume: where a sector lies means nothing to its ciphertext."""
        return self.replace(areas=with_area(self.areas, number, area), area_offset_sectors=0)

    def joined(self, following: Segment) -> CryptSegment | None:
        if not isinstance(following, CryptSegment) or self.end_le != following.start_le:
            return None
        alike = following.replace(start_le=self.start_le, length_le=self.length_le, areas=self.areas)
        if alike != self or not go_on(self.areas, self.length_le, following.areas):
            return None
        return self.replace(length_le=self.length_le + following.length_le)

    def targets(self, lookup: PlaceLookup) -> Iterator[Target]:
        (area,) = self.areas
        start = self.start_le * lookup.extent_size_sectors
        yield CryptTarget(
            start_sectors=start,
            length_sectors=self.length_le * lookup.extent_size_sectors,
            pv_id=lookup.place_id(area),
            offset_sectors=lookup.sector(area) + self.area_offset_sectors,
            crypto_store=self.crypto_store,
            iv_offset_sectors=self.iv_base_sectors + start,
            flags=self.flags,
        )

    def with_crypt_flags(self, flags: tuple[str, ...]) -> CryptSegment:
        return self.replace(flags=flags)

    def check(self, lv: LogicalVolume, around: Surroundings) -> Iterator[tuple[str, str]]:
        if len(self.areas) != 1:
            yield "areas", f"a crypt segment has one area, this one has {len(self.areas)}"
        if any(key == "stripes" for key, _ in self.extra):
            yield "stripes", "a crypt segment has areas, this one has stripes"
        if not 0 <= self.area_offset_sectors < max(around.vg.extent_size_sectors, 1):
            yield "area_offset", f"area_offset {self.area_offset_sectors} is not within the first extent"
        if not 0 <= self.iv_base_sectors < _MAX_IV_BASE:
            yield "iv_base", f"iv_base {self.iv_base_sectors} is negative, or too large"
        for area in self.areas:
            yield from check_below(area, self.length_le + (1 if self.area_offset_sectors else 0), around)
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
        if self.flags:
            yield "crypt_flags", self.flags
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
        flags=parse_words(section, "crypt_flags", where),
        extra=items_without(section.items, _KEYS),
        **head,  # type: ignore[arg-type]
    )


def next_iv_base(vg: VolumeGroup, store_name: str) -> int:
    """The `iv_base_sectors` of a further volume of a keystore, 0 for its first: volumes with one key must never use a
    tweak twice, so that each begins 2^40 sectors, or as many more as are in use, after the others.

    Raises RefusedError when no room is left.
    """
    behind = [
        segment.iv_base_sectors + lv.length_le * vg.extent_size_sectors
        for lv in vg.lvs
        for segment in lv.segments
        if isinstance(segment, CryptSegment) and segment.crypto_store == store_name
    ]
    base = round_up(max(behind, default=0), IV_ROOM_SECTORS)
    if base >= _MAX_IV_BASE:
        raise RefusedError(f"keystore {printable(store_name)} has no room for tweaks of a further volume")
    return base


def reused_tweaks(vg: VolumeGroup) -> Iterator[tuple[str, str, str]]:
    """Where two sectors are encrypted with the same key and tweak: (keystore, volume, other volume)."""
    last: tuple[str, int, str] = ("", 0, "")
    for store, start, end, name in sorted(_tweaks(vg)):
        if store == last[0] and start < last[1]:
            yield store, last[2], name
        if store != last[0] or end > last[1]:
            last = (store, end, name)


def _tweaks(vg: VolumeGroup) -> Iterator[tuple[str, int, int, str]]:
    """The tweaks of each segment: (keystore, first, the one behind the last, volume)."""
    for lv in vg.lvs:
        for segment in lv.segments:
            if isinstance(segment, CryptSegment):
                first = segment.iv_base_sectors + segment.start_le * vg.extent_size_sectors
                yield segment.crypto_store, first, first + segment.length_le * vg.extent_size_sectors, lv.name
