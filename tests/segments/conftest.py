"""Segments read from lines of metadata text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.nodes import items_without
from cryptlv.ondisk.config import parse_config
from cryptlv.segments import parse_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import Segment

PVS = {"pv0": "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa0", "pv1": "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa1"}


@pytest.fixture
def pvs() -> dict[str, str]:
    """The id behind each PV word."""
    return dict(PVS)


@pytest.fixture
def read_segment() -> Callable[[str], Segment]:
    """The segment of a text's body; it begins at extent 2 and has 6."""

    def read(text: str) -> Segment:
        section = parse_config(text)
        kind = section.get("type")
        assert isinstance(kind, str)
        body = section.replace(items=items_without(section.items, frozenset(("type",))))
        return parse_segment(kind, body, {"start_le": 2, "length_le": 6, "tags": ()}, PVS, "vg/lv segment1")

    return read
