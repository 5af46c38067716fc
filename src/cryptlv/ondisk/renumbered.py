"""Areas whose PV another program has renumbered: a segment of ours names its PVs by word and by id.

lvm2 gives the words pv0, pv1, ... anew at every write, and leaves the areas of types that it does not know as they
are. Reading follows the ids (segments/places.py); this says where word and id differ.
"""

from __future__ import annotations

from cryptlv.model.nodes import Section
from cryptlv.names import printable
from cryptlv.ondisk.config import parse_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.model.nodes import Value


def renumbered(text: bytes) -> Iterator[str]:
    """A line for each area of a sound metadata text whose PV word and id differ."""
    if b"area_ids" not in text:
        return
    top = next((section for _, section in parse_config(text).sections()), Section())
    ids = {word: pv.get("id") for word, pv in _section(top, "physical_volumes").sections()}
    for lv_name, lv in _section(top, "logical_volumes").sections():
        for segment_name, segment in lv.sections():
            named = _listed(segment.get("areas"))[::2]
            for word, pv_id in zip(named, _listed(segment.get("area_ids")), strict=False):
                if ids.get(str(word)) != pv_id:
                    yield (
                        f"{printable(lv_name)} {segment_name}: its area names {printable(str(word))}, which is not "
                        f"physical volume {printable(str(pv_id))} any more; the id is followed"
                    )


def _section(outer: Section, key: str) -> Section:
    value = outer.get(key)
    return value if isinstance(value, Section) else Section()


def _listed(value: Value | None) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)
