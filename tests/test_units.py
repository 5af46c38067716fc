"""Sizes on input (lvcreate(8)) and as stock lvm2 2.03.16 shows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptlv.errors import UsageError
from cryptlv.units import MAX_SIZE_BYTES, format_long_size, format_size, parse_size, round_up


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("10", 10 * 2**20), ("10g", 10 * 2**30), ("10G", 10 * 2**30), ("512k", 2**19), ("2048s", 2**20),
        ("4096b", 4096),
        ("1.5t", 3 * 2**39), ("0.5m", 2**19), ("1p", 2**50), ("1e", 2**60), ("0", 0), ("7E", 7 * 2**60),
    ],
)  # fmt: skip
def test_sizes_are_read_as_lvm2_reads_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "g",
        "-1g",
        "+5",
        "1.g",
        ".",
        "1,5g",
        "1 g",
        "0x10",
        "1gg",
        "9e",
        "9999999999999e",
        "\u0661g",
        "b",
        "1.1.1m",
    ],
)
def test_other_sizes_are_refused_with_the_text_and_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="size"):
        parse_size(text)


def test_a_bare_number_counts_the_unit_it_is_asked_for() -> None:
    assert parse_size("3", "k") == 3072


STOCK = {
    # size in bytes: what stock's --units r h H b s k K m M g G show, seen with vgs and lvs
    33554432: "32.00m 32.00m 33.55M 33554432B 65536S 32768.00k 33554.43K 32.00m 33.55M 0.03g 0.03G",
    20971520: "20.00m 20.00m 20.97M 20971520B 40960S 20480.00k 20971.52K 20.00m 20.97M 0.02g 0.02G",
    524288: "512.00k 512.00k 524.29K 524288B 1024S 512.00k 524.29K 0.50m 0.52M 0.00g 0.00G",
    11010048: "10.50m 10.50m 11.01M 11010048B 21504S 10752.00k 11010.05K 10.50m 11.01M 0.01g 0.01G",
}


@pytest.mark.parametrize("size_bytes", STOCK)
def test_sizes_are_shown_as_stock_shows_them(size_bytes: int) -> None:
    shown = [format_size(size_bytes, unit) for unit in ["r", "h", "H", "b", "s", "k", "K", "m", "M", "g", "G"]]
    assert " ".join(shown) == STOCK[size_bytes]


def test_zero_has_no_unit_but_a_letter_that_was_asked_for() -> None:
    assert [format_size(0, unit) for unit in "rhbskmG"] == ["0 ", "0 ", "0B", "0S", "0k", "0m", "0G"]
    assert format_size(0, "m", suffix=False) == "0"


def test_a_unit_that_was_chosen_by_the_size_is_shown_without_suffixes_too() -> None:
    assert [format_size(33554432, unit, suffix=False) for unit in "rhHsm"] == [
        "32.00m", "32.00m", "33.55M", "65536", "32.00",
    ]  # fmt: skip


LONG = {
    # size in bytes: what stock's lvdisplay --units r h R b s k K m M t T shows of a volume of that size
    1024: "1.00 KiB;1.00 KiB;1.02 kB;1024 B ;2 Se;1.00 KiB;1.02 kB;0.00 MiB;0.00 MB;0.00 TiB;0.00 TB",
    3145724854272: "2.86 TiB;2.86 TiB;<3.15 TB;3145724854272 B ;6143993856 Se;3071996928.00 KiB;3145724854.27 kB;"
    "2999997.00 MiB;3145724.85 MB;2.86 TiB;3.15 TB",
    0: "0   ;0   ;0   ;0 B ;0 Se;0 KiB;0 kB;0 MiB;0 MB;0 TiB;0 TB",
}


@pytest.mark.parametrize("size_bytes", LONG)
def test_display_commands_write_units_as_words(size_bytes: int) -> None:
    shown = [format_long_size(size_bytes, unit) for unit in "rhRbskKmMtT"]
    assert ";".join(shown) == LONG[size_bytes]


def test_words_are_left_out_where_they_were_asked_for() -> None:
    assert [format_long_size(4096, unit, suffix=False) for unit in "rbsm"] == ["4.00 KiB", "4096", "8", "0.00"]
    assert [format_long_size(0, unit, suffix=False) for unit in "rbsm"] == ["0", "0", "0", "0"]
    assert format_long_size(512, "r") == "512 B"
    assert format_long_size(512, "H") == "512 B "


def test_r_marks_what_was_rounded_up() -> None:
    assert format_size(524288, "R") == "<524.29K"
    assert format_size(2**40 - 4 * 2**20, "r") == "<1024.00g"
    assert format_size(2**40 - 4 * 2**20, "h") == "1024.00g"


@given(st.integers(1, MAX_SIZE_BYTES // 512))
def test_sectors_survive_the_way_out_and_in(sectors: int) -> None:
    assert parse_size(format_size(sectors * 512, "s")) == sectors * 512


@given(st.integers(0, 2**40), st.integers(1, 2**20))
def test_round_up_is_the_least_multiple_that_is_enough(value: int, multiple: int) -> None:
    result = round_up(value, multiple)
    assert result % multiple == 0
    assert value <= result < value + multiple
