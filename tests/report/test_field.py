"""Values that every kind of field has: yes-or-no words, lists."""

from __future__ import annotations

from cryptlv.report.field import flag, listed
from cryptlv.report.fields import FIELDS


def test_binary_fields_show_their_word_or_nothing() -> None:
    assert flag("missing", on=True) == "missing"
    assert flag("missing", on=False) == ""


def test_lists_are_sorted() -> None:
    assert listed(["b", "a"]) == "a,b"
    assert listed([]) == ""


def test_names_headings_and_kinds_are_sound() -> None:
    assert len(FIELDS) > 90
    for name, field in FIELDS.items():
        assert field.name == name
        assert field.heading
        assert field.kind in ("text", "size", "number", "percent", "flag", "list", "time")
