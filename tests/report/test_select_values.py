"""What the values of selections mean."""

from __future__ import annotations

import pytest

from cryptlv.errors import UsageError
from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import Row, SeenGroup
from cryptlv.report.select_values import (
    UNDEFINED,
    compile_pattern,
    read_number,
    read_size,
    seen_value,
)


def test_values_of_fields_can_be_compared(seen: SeenGroup) -> None:
    secret = Row(group=seen, lv=seen.vg.lvs[0].replace(tags=("b", "a"), creation_time=86400))
    expected = {
        "lv_size": 3 * 8192,
        "lv_tags": ("a", "b"),
        "lv_minor": UNDEFINED,
        "data_percent": UNDEFINED,
        "lv_time": 86400,
        "lv_skip_activation": 0,
        "origin": "",
        "seg_count": 2,
    }
    assert {name: seen_value(FIELDS[name], secret) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("^a.c$", "abc", "abcd"),
        ("a{2}", "xa{2}", "aa"),
        (r"\d", "d", "5"),
        (r"a\tb", "a\tb", "atb"),
        ("a|b", "b", "c"),
    ],
)
def test_patterns_are_of_libdms_dialect(text: str, matching: str, other: str) -> None:
    assert compile_pattern(text).search(matching)
    assert not compile_pattern(text).search(other)


def test_numbers() -> None:
    assert read_number("17", percent=False) == (17, 17)
    assert read_number("1.9", percent=False) == (1, 1)
    assert read_number("50.5%", percent=True) == (50.5, 50.5)
    for text in ("", ".", "-1", "5%", "0x10", "٣", str(2**64)):
        with pytest.raises(UsageError, match="selection"):
            read_number(text, percent=False)
    with pytest.raises(UsageError, match="too large"):
        read_number("101", percent=True)


@pytest.mark.parametrize(
    ("text", "sectors"),
    [("1", 2048), ("1k", 2), ("8s", 8), ("512b", 1), (".5m", 1024), ("1K", 1000 / 512), ("1E", 10**18 / 512)],
)
def test_sizes_are_in_sectors(text: str, sectors: float) -> None:
    least, most = read_size(text)
    assert isinstance(least, float)
    assert isinstance(most, float)
    assert least <= sectors <= most
    assert most - least < 0.001 or sectors > 2**40


@pytest.mark.parametrize("text", ["", "m", "1q", "1mm", "-1m", "1" * 60, "1e3", "٣m"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="no size"):
        read_size(text)
