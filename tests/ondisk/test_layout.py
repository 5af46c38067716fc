"""New physical volumes are laid out as stock lays them out; see also compat/test_layouts_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.ondisk.label import LABEL_SCAN_BYTES, encode_label, find_label
from cryptlv.ondisk.layout import FixedPlaces, area_at_end, plan_layout

if TYPE_CHECKING:
    from collections.abc import Callable

KIB, MIB = 1024, 1024 * 1024

STOCK_LAYOUTS: list[tuple[dict[str, Any], tuple[int, int], int, tuple[tuple[int, int], ...]]] = [
    ({}, (4096, 1044480), MIB, ()),
    ({"metadata_size_bytes": 64 * KIB}, (4096, 1044480), MIB, ()),
    ({"metadata_size_bytes": 100 * KIB}, (4096, 1044480), MIB, ()),
    ({"metadata_size_bytes": 1020 * KIB}, (4096, 1044480), MIB, ()),
    ({"metadata_size_bytes": MIB}, (4096, 2093056), 2 * MIB, ()),
    ({"metadata_size_bytes": 64 * MIB}, (4096, 68153344), 65 * MIB, ()),
    ({"data_alignment_bytes": 4 * MIB}, (4096, 4190208), 4 * MIB, ()),
    ({"data_alignment_bytes": MIB, "data_alignment_offset_bytes": 7 * 512}, (4096, 1048064), 2055 * 512, ()),
    ({"bootloader_area_bytes": 3 * MIB}, (4096, 1044480), 4 * MIB, ((MIB, 3 * MIB),)),
    ({"data_alignment_bytes": 4 * KIB, "metadata_size_bytes": 32 * KIB}, (4096, 32768), 36864, ()),
]


@pytest.mark.parametrize(("options", "area", "pe_start", "bootloader"), STOCK_LAYOUTS)
def test_layout_is_the_one_that_stock_pvcreate_makes(
    options: dict[str, Any], area: tuple[int, int], pe_start: int, bootloader: tuple[tuple[int, int], ...]
) -> None:
    layout = plan_layout(256 * MIB, **options)
    assert layout.mdas == (area,)
    assert layout.pe_start_bytes == pe_start
    assert layout.bootloader_areas == bootloader


def test_second_metadata_area_ends_the_device_as_in_stock() -> None:
    layout = plan_layout(64 * MIB, metadata_copies=2)
    assert layout.mdas == ((4096, 1044480), (66060288, 1048576))
    assert layout.pe_start_bytes == MIB


@pytest.mark.parametrize(
    ("case", "image", "options"),
    [
        ("orphan", "pv0.img", {}),
        ("sector_4096", "pv0.img", {}),
        ("two_mdas", "pv0.img", {"metadata_copies": 2}),
        ("ignored_mda", "pv3.img", {"metadata_copies": 0}),
        ("layout_variants", "pv2.img", {"bootloader_area_bytes": 2 * MIB}),
        (
            "layout_variants",
            "pv3.img",
            {"data_alignment_bytes": 4 * MIB, "data_alignment_offset_bytes": 7 * 512},
        ),
        ("wrapped_text", "pv0.img", {"data_alignment_bytes": 4 * KIB, "metadata_size_bytes": 32 * KIB}),
    ],
)
def test_planned_label_is_byte_equal_to_the_one_that_pvcreate_wrote(
    case: str, image: str, options: dict[str, Any], disk_bytes: Callable[[str, str, int, int], bytes]
) -> None:
    head = disk_bytes(case, image, 0, LABEL_SCAN_BYTES)
    stock, _ = find_label(head)
    assert stock is not None
    layout = plan_layout(stock.device_size_bytes, **options)
    planned = layout.label(stock.pv_id).replace(flags=stock.flags)
    assert encode_label(planned) == head[512:1024]


def test_device_below_two_mebibytes_is_refused_as_by_stock() -> None:
    with pytest.raises(RefusedError, match="too small"):
        plan_layout(2 * MIB - 1, path="disk")
    assert plan_layout(2 * MIB).pe_start_bytes == MIB


@pytest.mark.parametrize(
    ("size", "options", "words"),
    [
        (4 * MIB, {"bootloader_area_bytes": 8 * MIB}, "Bootloader area"),
        (4 * MIB, {"data_alignment_bytes": 8 * MIB}, "Data alignment"),
        (4 * MIB, {"data_alignment_bytes": 4096, "data_alignment_offset_bytes": 8192}, "offset"),
        (4 * MIB, {"data_alignment_bytes": 4096, "metadata_size_bytes": 4096}, "index 0"),
        (2 * MIB, {"metadata_size_bytes": 4 * MIB, "metadata_copies": 2}, "index 1"),
    ],
)
def test_layout_without_room_is_refused(size: int, options: dict[str, Any], words: str) -> None:
    with pytest.raises((RefusedError, NoSpaceError), match=words):
        plan_layout(size, **options)


def test_a_layout_is_made_around_fixed_places() -> None:
    fixed = FixedPlaces(pe_start_bytes=3 * MIB, pe_end_bytes=15 * MIB, bootloader_area=(2 * MIB, MIB))
    layout = plan_layout(16 * MIB, metadata_size_bytes=3 * MIB, metadata_copies=2, fixed=fixed)
    assert layout.pe_start_bytes == 3 * MIB
    assert layout.mdas == ((4096, 2 * MIB - 4096), (15 * MIB, MIB))
    assert layout.bootloader_areas == ((2 * MIB, MIB),)
    with pytest.raises(RefusedError, match="beyond end"):
        plan_layout(14 * MIB, fixed=fixed)
    with pytest.raises(RefusedError, match="overlap"):
        plan_layout(16 * MIB, fixed=fixed.replace(bootloader_area=(5 * MIB // 2, MIB)))


def test_an_area_at_the_end_keeps_its_size_where_there_is_room() -> None:
    assert area_at_end(16 * MIB, MIB, 2 * MIB) == (15 * MIB, MIB)
    assert area_at_end(16 * MIB + 512, MIB, 2 * MIB, MIB) == (15 * MIB, MIB + 512)
    assert area_at_end(16 * MIB, 20 * MIB, 2 * MIB) == (2 * MIB, 14 * MIB)
    assert area_at_end(MIB, 512, MIB)[1] == 0
