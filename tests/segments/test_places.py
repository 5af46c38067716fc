"""Lists of places: pairs of a name and an extent, and the ids that say which PV was meant."""

from __future__ import annotations

import pytest

from cryptlv.errors import FormatError
from cryptlv.model.nodes import Section
from cryptlv.model.vg import LvArea, PvArea
from cryptlv.segments.places import (
    area_id_items,
    parse_areas,
    parse_identified_areas,
    parse_number,
    parse_word,
    parse_words,
    rename_areas,
    render_areas,
    shift_area,
)

PVS = {"pv0": "id-a", "pv1": "id-b"}


def section(**items: int | str | tuple[int | str, ...]) -> Section:
    return Section(items=tuple(items.items()))


def test_places_are_on_pvs_by_word_and_else_on_volumes() -> None:
    found = parse_areas(("pv1", 12, "lv_x", 0), PVS, "here", "areas")
    assert found == (PvArea(pv_id="id-b", start_pe=12), LvArea(lv_name="lv_x", start_le=0))
    assert parse_areas(None, PVS, "here", "areas") == ()
    assert parse_areas((), PVS, "here", "areas") == ()


@pytest.mark.parametrize("value", ["pv0", 5, ("pv0",), (0, "pv0"), ("pv0", "0"), ("pv0", 1.5), Section()])
def test_what_is_not_pairs_is_refused(value: int | str | tuple[int | str, ...] | Section) -> None:
    with pytest.raises(FormatError, match="vg/lv segment1 has areas") as caught:
        parse_areas(value, PVS, "vg/lv segment1", "areas")
    assert caught.value.field == "areas"


def test_places_are_rendered_with_the_words_of_the_moment() -> None:
    areas = (PvArea(pv_id="id-b", start_pe=12), LvArea(lv_name="lv_x", start_le=3))
    assert render_areas(areas, {"id-b": "pv7"}) == ("pv7", 12, "lv_x", 3)
    assert render_areas((), {}) == ()


def test_ids_are_given_where_all_places_are_on_pvs() -> None:
    on_pv, on_lv = PvArea(pv_id="id-b", start_pe=12), LvArea(lv_name="x", start_le=0)
    assert list(area_id_items((on_pv,))) == [("area_ids", ("id-b",))]
    assert list(area_id_items((on_pv, on_lv))) == []
    assert list(area_id_items(())) == []


@pytest.mark.parametrize("ids", [("id-b",), "id-b"])
def test_id_wins_over_a_word_that_was_given_to_another_pv(ids: str | tuple[str, ...]) -> None:
    # stock renumbers the PVs but not the areas of types that it does not know, and writes a list of one as a scalar
    found = parse_identified_areas(section(areas=("pv0", 4), area_ids=ids), PVS, "here")
    assert found == (PvArea(pv_id="id-b", start_pe=4),)


def test_id_is_used_where_the_word_is_gone() -> None:
    found = parse_identified_areas(section(areas=("pv9", 4), area_ids=("id-b",)), PVS, "here")
    assert found == (PvArea(pv_id="id-b", start_pe=4),)


@pytest.mark.parametrize("ids", [(), ("id-a", "id-b"), (1,), 7])
def test_ids_that_do_not_fit_the_places_are_refused(ids: int | tuple[int | str, ...]) -> None:
    with pytest.raises(FormatError) as caught:
        parse_identified_areas(section(areas=("pv0", 4), area_ids=ids), PVS, "here")
    assert caught.value.field == "area_ids"


def test_place_is_shifted_by_extents() -> None:
    assert shift_area(PvArea(pv_id="a", start_pe=3), 4) == PvArea(pv_id="a", start_pe=7)
    assert shift_area(LvArea(lv_name="x", start_le=3), 4) == LvArea(lv_name="x", start_le=7)


def test_numbers_and_words_have_defaults_and_kinds() -> None:
    assert parse_number(section(n=5), "n", "here") == 5
    assert parse_number(section(), "n", "here") == 0
    assert parse_word(section(w="x"), "w", "here") == "x"
    assert parse_word(section(), "w", "here") == ""
    with pytest.raises(FormatError, match="here has a n that is not a number"):
        parse_number(section(n="5"), "n", "here")
    with pytest.raises(FormatError, match="here has a w that is not a string"):
        parse_word(section(w=5), "w", "here")


def test_lists_of_words_have_words_only() -> None:
    section = Section(items=(("many", ("a", "b")), ("one", "a"), ("bad", ("a", 1))))
    assert [parse_words(section, key, "x") for key in ("many", "one", "none")] == [("a", "b"), ("a",), ()]
    with pytest.raises(FormatError, match="bad"):
        parse_words(section, "bad", "x")


def test_volumes_are_renamed_and_pvs_are_not() -> None:
    areas = (PvArea(pv_id="id-a", start_pe=1), LvArea(lv_name="x", start_le=2))
    assert rename_areas(areas, {"x": "y", "id-a": "z"}) == (areas[0], LvArea(lv_name="y", start_le=2))
    assert rename_areas(areas, {"y": "x"}) is areas
