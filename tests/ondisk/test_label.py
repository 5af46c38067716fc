"""Label sectors: stock's images are decoded and encoded to the same bytes, and laid out as stock lays them out."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import FormatError
from cryptlv.names import render_uuid
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.ondisk.label import (
    LABEL_SCAN_BYTES,
    PvLabel,
    check_layout,
    decode_label,
    describe_label,
    encode_label,
    find_label,
    is_label_sector,
)

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden" / "lvm2"
KIB, MIB = 1024, 1024 * 1024
PV_ID = "abcdef-ghij-klmn-opqr-stuv-wxyz-ABCDEF"


def images() -> list[tuple[str, str]]:
    """All (case, image) whose label stock could read."""
    found = []
    for path in sorted(GOLDEN.glob("*/expected.json")):
        parts: dict[str, dict[str, Any]] = json.loads(path.read_text())["images"]
        found += [(path.parent.name, name) for name, image in parts.items() if "pv_header" in image]
    return found


def pairs(areas: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((offset, size) for offset, size in areas)


def with_crc(sector: bytearray) -> bytes:
    """The sector with its checksum put right."""
    struct.pack_into("<I", sector, 16, lvm_crc(bytes(sector[20:])))
    return bytes(sector)


def a_label(**changes: Any) -> PvLabel:
    label = PvLabel(pv_id=PV_ID, device_size_bytes=64 * MIB, data_areas=((MIB, 0),), mdas=((4096, 1044480),))
    return label.replace(**changes)


@pytest.mark.parametrize(("case", "image"), images())
def test_stock_label_decodes_to_what_stock_reports_and_encodes_to_the_same_bytes(
    case: str,
    image: str,
    expected: Callable[[str], dict[str, Any]],
    disk_bytes: Callable[[str, str, int, int], bytes],
) -> None:
    head = disk_bytes(case, image, 0, LABEL_SCAN_BYTES)
    label, remarks = find_label(head)
    header = expected(case)["images"][image]["pv_header"]
    assert label is not None
    assert remarks == ()
    assert label.pv_id.replace("-", "") == header["uuid"]
    assert label.device_size_bytes == header["size"]
    assert label.data_areas == pairs(header["da"])
    assert label.mdas == pairs(header["mda"])
    assert label.extension_version == header["ext_version"]
    assert label.flags == header["ext_flags"]
    assert label.is_used == bool(header["ext_flags"])
    assert label.bootloader_areas == pairs(header["ba"])
    assert encode_label(label) == head[label.sector * 512 :][:512]


@pytest.mark.parametrize(("image", "sector"), [("pv0.img", 3), ("pv1.img", 0), ("pv2.img", 1)])
def test_label_is_found_in_the_sector_that_pvcreate_was_told(
    image: str, sector: int, disk_bytes: Callable[[str, str, int, int], bytes]
) -> None:
    label, _ = find_label(disk_bytes("layout_variants", image, 0, LABEL_SCAN_BYTES))
    assert label is not None
    assert label.sector == sector


def test_label_with_a_wrong_checksum_is_no_label_and_is_remarked(
    disk_bytes: Callable[[str, str, int, int], bytes],
) -> None:
    head = disk_bytes("bad_label_crc", "pv1.img", 0, LABEL_SCAN_BYTES)
    label, remarks = find_label(head)
    assert label is None
    assert len(remarks) == 1
    assert "sector 1" in remarks[0]
    with pytest.raises(FormatError, match="at byte 528: crc"):
        decode_label(head[512:1024], 1)


def test_label_for_another_sector_is_refused_and_both_sectors_are_named() -> None:
    sector = encode_label(a_label(sector=2))
    with pytest.raises(FormatError, match="label for sector 2 found at sector 1") as caught:
        decode_label(sector, 1)
    assert caught.value.offset_bytes == 512 + 8


def test_first_of_two_labels_wins_and_the_other_is_remarked() -> None:
    first, second = a_label(sector=1), a_label(sector=3, pv_id=PV_ID.replace("a", "z"))
    head = bytes(512) + encode_label(first) + bytes(512) + encode_label(second)
    label, remarks = find_label(head)
    assert label == first
    assert remarks == ("ignoring additional label in sector 3",)


def test_label_behind_the_fourth_sector_is_not_found() -> None:
    head = bytes(4 * 512) + encode_label(a_label(sector=4))
    assert find_label(head) == (None, ())


@pytest.mark.parametrize("length", [0, 1, 511, 512, 1023])
def test_short_heads_have_no_label(length: int) -> None:
    assert find_label((bytes(512) + encode_label(a_label()))[:length])[0] is None


def test_label_without_extension_has_no_flags_and_no_bootloader_areas() -> None:
    body = struct.pack("<32sQ", PV_ID.replace("-", "").encode(), 64 * MIB)
    body += struct.pack("<6Q", MIB, 0, 0, 0, 4096, 1044480) + bytes(16)
    sector = bytearray(struct.pack("<8sQII8s", b"LABELONE", 1, 0, 32, b"LVM2 001") + body)
    sector += bytes(512 - len(sector))
    label = decode_label(with_crc(sector), 1)
    assert (label.extension_version, label.flags, label.bootloader_areas) == (0, 0, ())
    assert label.mdas == ((4096, 1044480),)
    assert encode_label(label) == sector


def test_unknown_flags_and_a_newer_extension_survive() -> None:
    label = a_label(extension_version=7, flags=0x80000001)
    assert decode_label(encode_label(label), 1) == label


@pytest.mark.parametrize(
    ("place", "value", "field", "offset"),
    [
        (20, struct.pack("<I", 480), "offset", 512 + 20),
        (20, struct.pack("<I", 0xFFFFFFFF), "offset", 512 + 20),
        (32, b"abc-ef", "pv_uuid", 512 + 32),
        (32, bytes(32), "pv_uuid", 512 + 32),
        (32, b"\xff" * 32, "pv_uuid", 512 + 32),
        (104, b"\x01" * 408, "metadata areas", None),
        (72, struct.pack("<QQ", 2**64 - 1, 0), "data areas", 512 + 72),
        (72, struct.pack("<QQ", 2**62, 2**62), "data areas", 512 + 72),
    ],
)
def test_broken_pv_header_is_refused_with_the_field_and_its_place(
    place: int, value: bytes, field: str, offset: int | None
) -> None:
    sector = bytearray(encode_label(a_label()))
    sector[place : place + len(value)] = value
    with pytest.raises(FormatError) as caught:
        decode_label(with_crc(sector), 1)
    assert caught.value.field == field
    if offset is not None:
        assert caught.value.offset_bytes == offset


def test_a_list_of_areas_that_fills_the_sector_has_no_end() -> None:
    sector = bytearray(encode_label(a_label()))
    sector[72:512] = struct.pack("<QQ", MIB, 4096) * 27 + bytes(8)
    with pytest.raises(FormatError, match="no end"):
        decode_label(with_crc(sector), 1)


def test_the_id_before_is_kept_in_the_tail_and_no_other_program_sees_it() -> None:
    label = a_label(former_id=render_uuid("f" * 32))
    sector = encode_label(label)
    assert decode_label(sector, 1) == label
    assert sector[20:472] == encode_label(a_label())[20:472]
    full = a_label(data_areas=((MIB, MIB),) * 16, former_id=render_uuid("f" * 32))
    with pytest.raises(FormatError, match="do not fit"):
        encode_label(full.replace(mdas=((MIB, MIB),) * 8))


def test_only_a_sector_that_says_it_is_one_is_a_label_sector() -> None:
    sector = encode_label(a_label())
    assert is_label_sector(sector, 1)
    assert is_label_sector(sector[:16] + bytes(496), 1)
    assert not is_label_sector(sector, 2)
    assert not is_label_sector(bytes(512), 0)


def test_too_many_areas_are_refused_on_encoding() -> None:
    with pytest.raises(FormatError, match="do not fit"):
        encode_label(a_label(data_areas=((MIB, MIB),) * 30))


def test_data_range_ends_at_the_device_or_at_the_second_metadata_area(
    disk_bytes: Callable[[str, str, int, int], bytes], expected: Callable[[str], dict[str, Any]]
) -> None:
    for case in ("linear", "two_mdas"):
        label, _ = find_label(disk_bytes(case, "pv0.img", 0, LABEL_SCAN_BYTES))
        report = expected(case)["pvs"]["report"][0]["pv"][0]
        extent = int(expected(case)["vgs"]["report"][0]["vg"][0]["vg_extent_size"])
        assert label is not None
        start, end = label.data_range_sectors
        assert start == int(report["pe_start"])
        assert (end - start) // extent == int(report["pv_pe_count"])


# The table of what stock's pvcreate writes: options, first area, start of the data, bootloader area, second area.
@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("*/pvck_headers_*.txt")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_description_is_line_for_line_what_stock_pvck_prints(
    path: Path, disk_bytes: Callable[[str, str, int, int], bytes]
) -> None:
    image = path.stem.removeprefix("pvck_headers_") + ".img"
    label, _ = find_label(disk_bytes(path.parent.name, image, 0, LABEL_SCAN_BYTES))
    assert label is not None
    lines = [line.strip() for line in path.read_text().splitlines()]
    stock = [line for line in lines if line.startswith(("label_header", "pv_header"))]
    assert list(describe_label(label)) == stock


@pytest.mark.parametrize(
    ("mdas", "data", "fields"),
    [
        (((4096, MIB - 4096),), ((MIB, 0),), []),
        (((4096, MIB - 4096), (9 * MIB, MIB)), ((MIB, 0),), []),
        (((512, MIB),), ((2 * MIB, 0),), ["pv_header.mda[0]"]),
        (((4096, MIB), (9 * MIB, MIB + 1)), ((2 * MIB, 0),), ["pv_header.mda[1]"]),
        (((4096, MIB), (8192, 512)), ((2 * MIB, 0),), ["pv_header.mda[1]"]),
        (((4096, MIB),), ((MIB, 0),), ["pv_header.data_area[0]"]),
        ((), ((0, 0),), ["pv_header.data_area[0]"]),
        (((4096, MIB), (9 * MIB, MIB)), ((2 * MIB, 8 * MIB),), ["pv_header.data_area[0]"]),
    ],
)
def test_areas_that_lie_over_each_other_are_named(
    mdas: tuple[tuple[int, int], ...], data: tuple[tuple[int, int], ...], fields: list[str]
) -> None:
    label = PvLabel(pv_id=PV_ID, device_size_bytes=10 * MIB, data_areas=data, mdas=mdas)
    found = list(check_layout(label, 10 * MIB))
    assert [error.field for error in found] == fields
    sector = encode_label(label)
    for error in found:
        assert error.offset_bytes is not None
        (start,) = struct.unpack_from("<Q", sector, error.offset_bytes - 512)
        assert str(start) in error.message
