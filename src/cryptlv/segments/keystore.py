"""The seed's `crypt-keystore` segment: how the key of encrypted volumes is obtained.

    type = "crypt-keystore"
    handler = "luks1"
    areas = [ "pv0", 3 ]

`handler` names the key handler; `cipher`, `key_size` (bits) and `key_hash` are kept for it, as is every key that this
program does not know, so that metadata work goes on without the handler. A handler that stores something (a LUKS
header) has it in the area, on a physical or on a hidden volume; one that stores nothing has no area, and one extent
that takes no space, since stock lvm2 cannot read a volume without extents. The seed's own zero-extent form is read,
and mended by `made_safe`.
"""

from __future__ import annotations

from cryptlv.errors import FormatError
from cryptlv.model.nodes import items_without
from cryptlv.model.vg import PvArea, Segment
from cryptlv.segments.places import (
    area_id_items,
    areas_on_pvs,
    below,
    check_below,
    parse_identified_areas,
    parse_number,
    parse_word,
    rename_areas,
    render_areas,
    renumbered_areas,
    rescaled_areas,
    with_area,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptlv.model.nodes import Item, Section
    from cryptlv.model.vg import Area, Footprint, LogicalVolume, Surroundings

TYPE = "crypt-keystore"
_MAX_KEY_BITS = 2**20
_KEYS = frozenset(("handler", "cipher", "key_size", "key_hash", "areas", "area_ids"))


class KeystoreSegment(Segment):
    """What the metadata says of a keystore; `key_size_bits` is 0 and the words "" where it says nothing."""

    handler: str
    cipher: str = ""
    key_size_bits: int = 0
    key_hash: str = ""
    areas: tuple[Area, ...] = ()
    extra: tuple[Item, ...] = ()

    @property
    def type_name(self) -> str:
        return TYPE

    def with_names(self, names: Mapping[str, str]) -> KeystoreSegment:
        return self.replace(areas=rename_areas(self.areas, names))

    def parts(self) -> Iterable[tuple[str, str]]:
        return below(self.areas)

    def footprint(self) -> Iterator[Footprint]:
        for area in self.areas:
            if isinstance(area, PvArea):
                yield area.pv_id, area.start_pe, self.length_le

    @property
    def is_indivisible(self) -> bool:
        return True

    def movable(self) -> Iterator[tuple[int, PvArea]]:
        return areas_on_pvs(self.areas)

    def moved(self, number: int, area: PvArea) -> KeystoreSegment:
        return self.replace(areas=with_area(self.areas, number, area))

    def made_safe(self) -> KeystoreSegment:
        """The form that stock lvm2 can read: one extent at least."""
        return self if self.length_le else self.replace(length_le=1)

    def with_pv_ids(self, pv_ids: Mapping[str, str]) -> KeystoreSegment:
        return self.replace(areas=renumbered_areas(self.areas, pv_ids))

    def rescaled(self, scale: Callable[[int], int]) -> KeystoreSegment:
        """One that stores nothing keeps its one extent, which takes no space."""
        if not self.areas:
            return self
        return self.replace(length_le=scale(self.length_le), areas=rescaled_areas(self.areas, scale))

    def check(self, lv: LogicalVolume, around: Surroundings) -> Iterator[tuple[str, str]]:
        if len(self.areas) > 1:
            yield "areas", f"a keystore segment has one area at most, this one has {len(self.areas)}"
        for area in self.areas:
            yield from check_below(area, self.length_le, around)
        if any(key == "stripes" for key, _ in self.extra):
            yield "stripes", "a keystore segment has areas, this one has stripes"
        if not 0 <= self.key_size_bits <= _MAX_KEY_BITS or self.key_size_bits % 8:
            yield "key_size", f"key_size {self.key_size_bits} is not a whole number of bytes, or too large"
        if lv.is_visible:
            yield "status", "a keystore must not be visible"
        if len(lv.segments) > 1:
            yield "segment_count", f"a keystore has one segment, this one has {len(lv.segments)}"

    def render_items(self, pv_names: Mapping[str, str]) -> Iterable[Item]:
        yield "handler", self.handler
        if self.cipher:
            yield "cipher", self.cipher
        if self.key_size_bits:
            yield "key_size", self.key_size_bits
        if self.key_hash:
            yield "key_hash", self.key_hash
        if self.areas:
            yield "areas", render_areas(self.areas, pv_names)
            yield from area_id_items(self.areas)
        yield from self.extra


def parse(section: Section, head: dict[str, object], pv_ids: Mapping[str, str], where: str) -> KeystoreSegment:
    """A keystore segment from its section. Raises FormatError when it names no handler."""
    handler = parse_word(section, "handler", where)
    if not handler:
        raise FormatError(f"{where} names no handler", field="handler")
    return KeystoreSegment(
        handler=handler,
        cipher=parse_word(section, "cipher", where),
        key_size_bits=parse_number(section, "key_size", where),
        key_hash=parse_word(section, "key_hash", where),
        areas=parse_identified_areas(section, pv_ids, where),
        extra=items_without(section.items, _KEYS),
        **head,  # type: ignore[arg-type]
    )
