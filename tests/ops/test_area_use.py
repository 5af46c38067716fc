"""Which areas come into use and which go out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.host.scan import MetadataArea
from cryptlv.ondisk.mda import IGNORED, MdaHeader, RawLocation
from cryptlv.ops.area_use import ALL_COPIES, balance, ignore
from support.disks import make_disks

if TYPE_CHECKING:
    from pathlib import Path


def area(path: str, kind: str) -> MetadataArea:
    """`u` in use, `i` ignored, `b` broken."""
    text = RawLocation(offset_bytes=512, size_bytes=9, crc=1, flags=IGNORED if kind == "i" else 0)
    header = MdaHeader(start_bytes=4096, size_bytes=2**20, committed=text)
    return MetadataArea(
        path=path, pv_id=path, start_bytes=4096, size_bytes=2**20, header=None if kind == "b" else header
    )


@pytest.mark.parametrize(
    ("kinds", "copies", "after", "surplus"),
    [
        ("uu", 0, "uu", ""),
        ("ui", 0, "ui", ""),
        ("ii", 0, "ei", ""),
        ("bi", 0, "be", ""),
        ("uuu", 1, "uuu", "12"),
        ("uii", 2, "uei", ""),
        ("iuu", ALL_COPIES, "euu", ""),
        ("", 0, "", ""),
    ],
)
def test_as_many_are_in_use_as_wanted(kinds: str, copies: int, after: str, surplus: str) -> None:
    kept, extra = balance([area(str(number), kind) for number, kind in enumerate(kinds)], copies)
    shown = "".join(
        "b" if item.header is None else "e" if item.header.committed is None else "i" if item.is_ignored else "u"
        for item in kept
    )
    assert shown == after
    assert "".join(item.path for item in extra) == surplus


def test_an_ignored_area_counts_no_longer(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        areas = session.world().group("vg0").areas
        ignore(session, [*areas[:1], areas[0].replace(header=None)])
        assert [item.is_ignored for item in session.world().group("vg0").areas] == [True, False]
