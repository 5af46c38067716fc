"""Sizes, tags, policies and other properties of volumes, from words."""

from __future__ import annotations

import pytest

from cryptlv.cli.options import Command, Option, parse
from cryptlv.cli.sizes import (
    ALLOCATION,
    minor_of,
    parse_extents,
    policy_of,
    read_ahead_of,
    size_of,
    stripe_size_of,
    tags_of,
)
from cryptlv.errors import UsageError
from cryptlv.model.sizes import LvSize

COMMAND = Command(
    name="lvx",
    summary="",
    usage=(),
    options=(
        Option(long="size", short="L", takes="X", help=""),
        Option(long="extents", short="l", takes="X", help=""),
        Option(long="addtag", takes="X", help=""),
        Option(long="readahead", short="r", takes="X", help=""),
        Option(long="persistent", short="M", takes="X", help=""),
        Option(long="major", takes="X", help=""),
        Option(long="minor", takes="X", help=""),
        *ALLOCATION,
    ),
    run=lambda _: 0,
)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("25", (25, "")), ("100%FREE", (100, "FREE")), ("50%VG", (50, "VG")), ("7%free", (7, "FREE")),
        ("9%pv", (9, "PVS")), ("300%L", (300, "LV")),
    ],
)  # fmt: skip
def test_extents_are_a_number_or_a_percentage(text: str, spec: tuple[int, str]) -> None:
    assert parse_extents(text) == LvSize(extents=spec[0], percent_of=spec[1])


@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "50%", "50%P", "%FREE", "101%VG", "1.5", "99999999999"])
def test_other_extents_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="extents"):
        parse_extents(text)


def given(line: str):  # type: ignore[no-untyped-def]
    return parse(COMMAND, line.split(), line)


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("-L 5", LvSize(size_bytes=5 << 20)),
        ("-L +1g", LvSize(size_bytes=1 << 30, sign="+")),
        ("-L -8s", LvSize(size_bytes=4096, sign="-")),
        ("-l 7", LvSize(extents=7)),
        ("-l +50%FREE", LvSize(extents=50, percent_of="FREE", sign="+")),
        ("-l-3", LvSize(extents=3, sign="-")),
    ],
)
def test_sizes_with_their_signs(line: str, size: LvSize) -> None:
    assert size_of(given(line), signs="+-") == size


@pytest.mark.parametrize("line", ["", "-L 0", "-l 0", "-L 1 -l 1", "-L +1", "-L -1", "-L x", "-l +", "-L ++1"])
def test_what_is_no_size_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        size_of(given(line), signs="")


def test_other_properties() -> None:
    assert stripe_size_of(given("-I 4")) == 8
    assert stripe_size_of(given("")) == 0
    assert [policy_of(given(line)) for line in ("", "--alloc cling", "--alloc cling_by_tags", "-Cy", "-Cn")] == [
        "", "cling", "cling", "contiguous", "inherit",
    ]  # fmt: skip
    assert tags_of(given("--addtag a --addtag @b --addtag a"), "addtag") == ("a", "b")
    assert [read_ahead_of(given(line)) for line in ("", "-r auto", "-r none", "-r 0", "-r 256", "-r 1k")] == [
        None, None, -1, -1, 256, 2,
    ]  # fmt: skip
    assert [minor_of(given(line)) for line in ("", "-Mn", "-My --minor 3", "-My --minor 3 --major 253")] == [
        None, None, 3, 3,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "-I 100b", "-I 0", "--alloc best", "--alloc cling -Cy", "--addtag a*b", "--addtag @", "-r x",
        "--minor 3", "-My", "-My --minor 1048576", "-My --minor x", "--addtag " + "a" * 1025,
    ],
)  # fmt: skip
def test_other_properties_that_are_wrong_are_refused(line: str) -> None:
    with pytest.raises(UsageError):
        everything(line)


def everything(line: str) -> None:
    arguments = given(line)
    stripe_size_of(arguments)
    policy_of(arguments)
    tags_of(arguments, "addtag")
    read_ahead_of(arguments)
    minor_of(arguments)
