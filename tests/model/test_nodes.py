"""Sections: trees of values that keep order and duplicates."""

from __future__ import annotations

from cryptlv.model.nodes import PvWord, Section, items_without


def test_first_of_duplicates_is_found_and_all_are_kept() -> None:
    section = Section(items=(("a", 1), ("b", "x"), ("a", 2)))
    assert section.get("a") == 1
    assert section.get("c") is None
    assert len(section.items) == 3


def test_nested_sections_come_in_order() -> None:
    inner, other = Section(items=(("x", 1),)), Section()
    section = Section(items=(("b", inner), ("n", 5), ("a", other)))
    assert list(section.sections()) == [("b", inner), ("a", other)]


def test_items_without_some_keys_keep_their_order() -> None:
    items = (("a", 1), ("b", 2), ("a", 3), ("c", 4))
    assert items_without(items, frozenset("a")) == (("b", 2), ("c", 4))
    assert items_without(items, frozenset()) == items


def test_word_of_a_pv_is_a_string_of_its_own_kind() -> None:
    word = PvWord("id")
    assert word == "id"
    assert isinstance(word, str)
    assert hash(word) == hash("id")
