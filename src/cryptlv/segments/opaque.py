"""Every segment type that this program does not manage: kept value for value, shown, never changed.

Physical volumes are named by words (pv0, pv1, ...) that are given anew at every write, so a list of places in the
body has each such word replaced by the PV's id (`PvWord`) while it is held here.
"""

from __future__ import annotations

from itertools import pairwise

from cryptlv.model.nodes import PvWord, Section
from cryptlv.model.vg import Segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cryptlv.model.nodes import Item, Scalar, Value
    from cryptlv.model.vg import Footprint

_PART_KEYS = frozenset(
    (
        "areas", "cache_pool", "cow_store", "data", "external_origin", "merging_store", "metadata", "meta_dev",
        "mirror_log", "mirrors", "origin", "pool", "raid0_lvs", "raids", "stripes", "thin_pool", "vdo_pool",
        "writecache",
    )
)  # fmt: skip
"""Keys of stock lvm2's types under which other volumes are named, alone or in a list."""

_STOCK_TYPES = frozenset(
    (
        "cache", "cache-pool", "error", "integrity", "mirror", "snapshot", "thin", "thin-pool", "vdo", "vdo-pool",
        "writecache", "zero",
    )
)  # fmt: skip
"""Types that lvm2 manages, but for the many that begin with `raid`."""


class OpaqueSegment(Segment):
    """A segment of another type; `body` has its own items in order."""

    type_word: str
    body: tuple[Item, ...] = ()

    @property
    def type_name(self) -> str:
        return self.type_word

    @property
    def shown_type(self) -> str:
        return self.type_word.partition("+")[0]

    @property
    def is_opaque(self) -> bool:
        return True

    @property
    def is_unknown(self) -> bool:
        return self.shown_type not in _STOCK_TYPES and not self.shown_type.startswith("raid")

    def mentioned(self) -> Iterator[str]:
        yield from _words(value for _, value in self.body)

    def parts(self) -> Iterable[tuple[str, str]]:
        for key, value in self.body:
            if key in _PART_KEYS:
                for word in value if isinstance(value, tuple) else (value,):
                    if isinstance(word, str) and not isinstance(word, PvWord):
                        yield key, word

    def makes_visible(self) -> Iterator[str]:
        """The store of a snapshot (lib/metadata/snapshot_manip.c:lv_is_visible)."""
        if self.shown_type == "snapshot":
            yield from (str(value) for key, value in self.body if key == "cow_store")

    def footprint(self) -> Iterator[Footprint]:
        """The extents behind each place in the body.

        A type of several areas divides its length among them; types whose areas are all as long as the segment
        (mirrors) are told by their key.
        """
        for key, value in self.body:
            if not isinstance(value, tuple):
                continue
            places = [(word, start) for word, start in pairwise(value) if isinstance(word, PvWord)]
            each = self.length_le if key != "stripes" else self.length_le // max(len(value) // 2, 1)
            for word, start in places:
                if isinstance(start, int):
                    yield str(word), start, each

    def with_pv_ids(self, pv_ids: Mapping[str, str]) -> OpaqueSegment:
        return self.replace(body=tuple((key, _with_ids(value, pv_ids)) for key, value in self.body))

    def render_items(self, pv_names: Mapping[str, str]) -> Iterable[Item]:
        for key, value in self.body:
            yield key, _named(value, pv_names)


def _words(values: Iterable[object]) -> Iterator[str]:
    """Every string in values, lists and sections, but for the names of PVs."""
    for value in values:
        if isinstance(value, Section):
            yield from _words(inner for _, inner in value.items)
        elif isinstance(value, tuple):
            yield from _words(value)
        elif isinstance(value, str) and not isinstance(value, PvWord):
            yield value


def _named(value: Value, pv_names: Mapping[str, str]) -> Value:
    if isinstance(value, tuple):
        return tuple(pv_names.get(str(item), str(item)) if isinstance(item, PvWord) else item for item in value)
    return value


def _with_ids(value: Value, pv_ids: Mapping[str, str]) -> Value:
    if isinstance(value, tuple):
        return tuple(PvWord(pv_ids.get(str(item), str(item))) if isinstance(item, PvWord) else item for item in value)
    return value


def _identified(value: Value, pv_ids: Mapping[str, str]) -> Value:
    if not isinstance(value, tuple):
        return value
    items: list[Scalar] = list(value)
    for place, (word, start) in enumerate(pairwise(value)):
        if isinstance(word, str) and isinstance(start, int) and word in pv_ids:
            items[place] = PvWord(pv_ids[word])
    return tuple(items)


def parse(section: Section, head: dict[str, object], pv_ids: Mapping[str, str], type_word: str) -> OpaqueSegment:
    """Any segment; `section` has all its items but the common ones."""
    body = tuple((key, _identified(value, pv_ids)) for key, value in section.items)
    return OpaqueSegment(type_word=type_word, body=body, **head)  # type: ignore[arg-type]
