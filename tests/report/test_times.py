"""Times in words, in a fixed zone; stock's reading of them is in compat/test_selection_like_stock.py."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import UsageError
from cryptlv.report.times import read_time

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = int(datetime(2026, 3, 31, 13, 5, 7, tzinfo=UTC).timestamp())
"""A Tuesday."""


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2024-02-29 10:30:15 +00:00", "2024-02-29T10:30:15", "2024-02-29T10:30:15"),
        ("2024-02-29 10:30 +00", "2024-02-29T10:30:00", "2024-02-29T10:30:59"),
        ("20240229 10+0000", "2024-02-29T10:00:00", "2024-02-29T10:59:59"),
        ("2024-02-29 +00:00", "2024-02-29T00:00:00", "2024-02-29T23:59:59"),
        ("2023-12 +00", "2023-12-01T00:00:00", "2023-12-31T23:59:59"),
        ("2023 -01:30", "2023-01-01T01:30:00", "2024-01-01T01:29:59"),
        ("@86400", "1970-01-02T00:00:00", "1970-01-02T00:00:00"),
        ("today", "2026-03-31T00:00:00", "2026-03-31T23:59:59"),
        (" Yesterday ", "2026-03-30T00:00:00", "2026-03-30T23:59:59"),
        ("Tue", "2026-03-31T00:00:00", "2026-03-31T23:59:59"),
        ("wednesdays", "2026-03-25T00:00:00", "2026-03-25T23:59:59"),
        ("midnight", "2026-03-31T00:00:00", "2026-03-31T00:00:00"),
        ("Monday noon", "2026-03-30T12:00:00", "2026-03-30T12:00:00"),
        ("9:05 yesterday", "2026-03-30T09:05:00", "2026-03-30T09:05:59"),
        ("10pm", "2026-03-31T22:00:00", "2026-03-31T22:59:59"),
        ("10:30:05 PM", "2026-03-31T22:30:05", "2026-03-31T22:30:05"),
        ("12 am", "2026-03-31T00:00:00", "2026-03-31T00:59:59"),
        ("12:30 pm", "2026-03-31T12:30:00", "2026-03-31T12:30:59"),
        ("2 weeks ago", "2026-03-17T00:00:00", "2026-03-17T23:59:59"),
        ("1month ago", "2026-03-03T00:00:00", "2026-03-03T23:59:59"),
        ("1 year 4 months ago", "2024-12-01T00:00:00", "2024-12-01T23:59:59"),
        ("2 days ago 10:30", "2026-03-29T10:30:00", "2026-03-29T10:30:59"),
        ("3 hrs 20 mins ago", "2026-03-31T09:44:06", "2026-03-31T09:45:07"),
        ("1 day 1 h ago", "2026-03-30T11:05:06", "2026-03-30T12:05:07"),
        ("30 s ago", "2026-03-31T13:04:37", "2026-03-31T13:04:37"),
        ("Feb", "2026-02-01T00:00:00", "2026-02-28T23:59:59"),
        ("2016 Feb", "2016-02-01T00:00:00", "2016-02-29T23:59:59"),
        ("24 february 2015", "2015-02-24T00:00:00", "2015-02-24T23:59:59"),
        ("Dec 1", "2026-12-01T00:00:00", "2026-12-01T23:59:59"),
    ],
)
def test_times_are_spans(text: str, begin: str, end: str) -> None:
    def seconds(words: str) -> int:
        return int(datetime.fromisoformat(words).replace(tzinfo=UTC).timestamp())

    assert read_time(text, NOW) == (seconds(begin), seconds(end))


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "2023-13", "2023-02-30", "2023 10:00", "@", "@x", "@-1", "9999", "12", "ago", "2 weeks", "weeks ago",
        "13 pm", "25:00", "3 hours ago noon", "noon noon", "Feb 30", "x 3", "1 2 Feb", "2 fortnights ago",
        "9999 years ago", "999999999 days ago", "1 2 days ago", "yesterday today", "10:61", "Feb Mar",
        "\u0661 days ago",
    ],
)  # fmt: skip
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="no time"):
        read_time(text, NOW)
