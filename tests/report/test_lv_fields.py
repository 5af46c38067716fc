"""Fields of logical volumes beyond what stock's samples have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import Row

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup


def value(seen: SeenGroup, name: str, lv_name: str = "data", **change: object) -> object:
    lv = seen.vg.lv(lv_name).replace(**change)
    return FIELDS[name].value(Row(group=seen.replace(vg=seen.vg.with_lv(lv)), lv=lv))


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({}, "-wi------k"),
        ({"flags": ()}, "-wi-------"),
        ({"status": ("READ", "VISIBLE"), "flags": ()}, "-ri-------"),
        ({"status": ("READ", "VISIBLE"), "flags": ("WRITE_LOCKED",)}, "-wi-------"),
        ({"allocation_policy": "contiguous", "flags": ()}, "-wc-------"),
        ({"allocation_policy": "cling", "status": ("READ", "WRITE", "VISIBLE", "LOCKED"), "flags": ()}, "-wL-------"),
        ({"status": ("READ", "WRITE", "VISIBLE", "FIXED_MINOR"), "flags": ()}, "-wim------"),
        ({"status": ("READ", "WRITE", "PVMOVE"), "flags": ()}, "p-i---m---"),
    ],
)
def test_attributes(seen: SeenGroup, change: dict[str, object], attr: str) -> None:
    """The letters of lvs(8)."""
    assert value(seen, "lv_attr", "data", **change) == attr


def test_a_keystore_is_private_and_has_no_path(seen: SeenGroup) -> None:
    assert value(seen, "lv_role", "cryptostore1") == "private,crypt,keystore"
    assert value(seen, "lv_path", "cryptostore1") == ""
    assert value(seen, "lv_path", "secret") == "/dev/vg0/secret"
    assert value(seen, "lv_dm_path", "secret") == "/dev/mapper/vg0-secret"


@pytest.mark.parametrize("seconds", [None, 2**62, -(2**62)])
def test_times_that_no_calendar_holds_are_nothing(seen: SeenGroup, seconds: int | None) -> None:
    assert value(seen, "lv_time", creation_time=seconds) == ""


def test_words_from_the_disk_are_escaped(seen: SeenGroup) -> None:
    assert value(seen, "lv_host", creation_host="h\x07") == "h\\x07"
    assert value(seen, "lv_tags", tags=("t\n",)) == "t\\n"


def test_numbers_that_are_not_set_show_as_stock_shows_them(seen: SeenGroup) -> None:
    assert value(seen, "lv_major") == -1
    assert value(seen, "lv_minor", minor=7) == 7
    assert [value(seen, "lv_read_ahead", read_ahead=ahead) for ahead in (None, -1, 256)] == ["auto", 0, 131072]
