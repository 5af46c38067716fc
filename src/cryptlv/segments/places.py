"""Lists of places, `["pv0", 12, "pv1", 0]`, as several segment types have them."""

from __future__ import annotations

from cryptlv.errors import FormatError
from cryptlv.model.vg import LvArea, PvArea
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cryptlv.model.nodes import Item, Scalar, Section, Value
    from cryptlv.model.vg import Area, Surroundings


def shift_area(area: Area, extents: int) -> Area:
    """The place `extents` further on."""
    if isinstance(area, PvArea):
        return area.replace(start_pe=area.start_pe + extents)
    return area.replace(start_le=area.start_le + extents)


def renumbered_areas(areas: tuple[Area, ...], pv_ids: Mapping[str, str]) -> tuple[Area, ...]:
    """The places with new ids for PVs, by their old ones."""
    return tuple(
        area.replace(pv_id=pv_ids.get(area.pv_id, area.pv_id)) if isinstance(area, PvArea) else area for area in areas
    )


def rescaled_areas(areas: tuple[Area, ...], scale: Callable[[int], int]) -> tuple[Area, ...]:
    """The places in extents of another size."""
    return tuple(
        area.replace(start_pe=scale(area.start_pe))
        if isinstance(area, PvArea)
        else area.replace(start_le=scale(area.start_le))
        for area in areas
    )


def go_on(areas: tuple[Area, ...], extents: int, following: tuple[Area, ...]) -> bool:
    """Whether places go on in others, each `extents` after its start."""
    return tuple(shift_area(area, extents) for area in areas) == following


def areas_on_pvs(areas: tuple[Area, ...]) -> Iterator[tuple[int, PvArea]]:
    """The places on physical volumes, each with its number among the areas."""
    return ((number, area) for number, area in enumerate(areas) if isinstance(area, PvArea))


def below(areas: tuple[Area, ...]) -> list[tuple[str, str]]:
    """The hidden volumes that places are on, as a segment's parts: (field, name)."""
    return [("areas", area.lv_name) for area in areas if isinstance(area, LvArea)]


def check_below(area: Area, length_le: int, around: Surroundings) -> Iterator[tuple[str, str]]:
    """What is wrong with a place on a volume: it lies within that, which is hidden."""
    lower = around.lvs.get(area.lv_name) if isinstance(area, LvArea) else None
    if lower is None or not isinstance(area, LvArea):
        return  # one that is not there is told by the check of parts
    if lower.is_visible:
        yield "areas", f"{printable(lower.name)} is visible, and must be hidden below an encrypted volume"
    if area.start_le < 0 or area.start_le + length_le > lower.length_le:
        yield "areas", f"reaches beyond the {lower.length_le} extents of {printable(lower.name)}"


def with_area(areas: tuple[Area, ...], number: int, area: Area) -> tuple[Area, ...]:
    """The places with another one as number `number`."""
    return (*areas[:number], area, *areas[number + 1 :])


def rename_areas(areas: tuple[Area, ...], names: Mapping[str, str]) -> tuple[Area, ...]:
    """The places under the new names of logical volumes, given by their old ones."""
    if not any(isinstance(area, LvArea) and area.lv_name in names for area in areas):
        return areas
    return tuple(
        area.replace(lv_name=names.get(area.lv_name, area.lv_name)) if isinstance(area, LvArea) else area
        for area in areas
    )


def parse_areas(value: Value | None, pv_ids: Mapping[str, str], where: str, field: str) -> tuple[Area, ...]:
    """Places from a list of names and extents. A name that is no PV section's is a logical volume's.

    Raises FormatError when the list is not made of pairs.
    """
    if value is None:
        return ()
    if not isinstance(value, tuple) or len(value) % 2:
        raise FormatError(f"{where} has {field} that are not pairs of a name and an extent", field=field)
    areas: list[Area] = []
    for name, start in zip(value[::2], value[1::2], strict=True):
        if not isinstance(name, str) or not isinstance(start, int):
            raise FormatError(f"{where} has {field} that are not pairs of a name and an extent", field=field)
        if name in pv_ids:
            areas.append(PvArea(pv_id=pv_ids[name], start_pe=start))
        else:
            areas.append(LvArea(lv_name=name, start_le=start))
    return tuple(areas)


def render_areas(areas: tuple[Area, ...], pv_names: Mapping[str, str]) -> tuple[Scalar, ...]:
    """The list for the text, PVs under the names of the moment."""
    flat: list[Scalar] = []
    for area in areas:
        if isinstance(area, PvArea):
            flat += [pv_names.get(area.pv_id, area.pv_id), area.start_pe]
        else:
            flat += [area.lv_name, area.start_le]
    return tuple(flat)


def area_id_items(areas: tuple[Area, ...]) -> Iterator[Item]:
    """`area_ids`, the ids of the PVs in `areas`, where all of them are on PVs."""
    ids = tuple(area.pv_id for area in areas if isinstance(area, PvArea))
    if ids and len(ids) == len(areas):
        yield "area_ids", ids


def parse_identified_areas(section: Section, pv_ids: Mapping[str, str], where: str) -> tuple[Area, ...]:
    """The `areas` of a segment of ours, with each PV taken from `area_ids` where that is given.

    lvm2 renumbers pv0, pv1, ... without touching the areas of types it does not know; the ids say what was meant.
    Raises FormatError when the two lists cannot belong together.
    """
    areas = parse_areas(section.get("areas"), pv_ids, where, "areas")
    ids = section.get("area_ids")
    if ids is None:
        return areas
    wanted = ids if isinstance(ids, tuple) else (ids,)  # lvm2 rewrites a list of one as a scalar
    if len(wanted) != len(areas) or not all(isinstance(pv_id, str) for pv_id in wanted):
        raise FormatError(f"{where} has area_ids that do not fit its areas", field="area_ids")
    return tuple(_identify(area, str(pv_id)) for area, pv_id in zip(areas, wanted, strict=True))


def _identify(area: Area, pv_id: str) -> Area:
    return PvArea(pv_id=pv_id, start_pe=area.start_pe if isinstance(area, PvArea) else area.start_le)


def parse_number(section: Section, key: str, where: str) -> int:
    """The number under `key`, 0 when it is absent; raises FormatError."""
    value = section.get(key)
    if value is None:
        return 0
    if not isinstance(value, int):
        raise FormatError(f"{where} has a {key} that is not a number", field=key)
    return value


def parse_words(section: Section, key: str, where: str) -> tuple[str, ...]:
    """The strings in the list under `key`, which may be one string; none when it is absent. Raises FormatError."""
    value = section.get(key)
    words = value if isinstance(value, tuple) else () if value is None else (value,)
    found = tuple(word for word in words if isinstance(word, str))
    if len(found) != len(words):
        raise FormatError(f"{where} has a {key} that is not a list of strings", field=key)
    return found


def parse_word(section: Section, key: str, where: str) -> str:
    """The string under `key`, "" when it is absent; raises FormatError."""
    value = section.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FormatError(f"{where} has a {key} that is not a string", field=key)
    return value
