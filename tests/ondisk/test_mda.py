"""Metadata areas: stock's headers round-trip, and the ring arithmetic predicts where stock wrote each text."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import FormatError
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.ondisk.mda import (
    MDA_HEADER_BYTES,
    MdaHeader,
    RawLocation,
    check_text,
    decode_mda_header,
    describe_header,
    encode_mda_header,
    max_text_bytes,
    next_text_offset,
    place_in_ring,
    raw_location,
    text_pieces,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    ReadDisk = Callable[[str, str, int, int], bytes]

GOLDEN = Path(__file__).parents[1] / "golden" / "lvm2"
AREA = 1044480


def areas() -> list[tuple[str, str, int]]:
    """All (case, image, number of the area)."""
    found: list[tuple[str, str, int]] = []
    for path in sorted(GOLDEN.glob("*/expected.json")):
        images: dict[str, dict[str, Any]] = json.loads(path.read_text())["images"]
        for name, image in images.items():
            found += [(path.parent.name, name, number) for number in range(len(image.get("mda", ())))]
    return found


def area_of(case: str, image: str, number: int) -> dict[str, Any]:
    data = json.loads((GOLDEN / case / "expected.json").read_text())
    area: dict[str, Any] = data["images"][image]["mda"][number]
    return area


SOUND = [place for place in areas() if area_of(*place)["crc_ok"]]


def slot(values: list[int]) -> RawLocation | None:
    offset, size, crc, flags = values
    return RawLocation(offset_bytes=offset, size_bytes=size, crc=crc, flags=flags) if any(values) else None


def at(offset: int, size: int) -> RawLocation:
    return RawLocation(offset_bytes=offset, size_bytes=size, crc=0)


def texts_in_ring(area: bytes) -> dict[int, tuple[int, int]]:
    """Where each whole text still lies in an area, by its seqno: (offset, size with the NUL)."""
    found: dict[int, tuple[int, int]] = {}
    for offset in range(MDA_HEADER_BYTES, len(area), 512):
        if not re.match(rb'[A-Za-z0-9._+-]+ \{\nid = "', area[offset : offset + 200]):
            continue
        ring = area[offset:] + area[MDA_HEADER_BYTES:offset]
        text = ring[: ring.find(b"\0") + 1]
        seqno = re.findall(rb"\nseqno = ([0-9]+)\n", text)
        if len(seqno) == 1 and text.count(b"\ncontents = ") == 1 and text.endswith(b"\n\n\0"):
            found[int(seqno[0])] = (offset, len(text))
    return found


@pytest.mark.parametrize(("case", "image", "number"), SOUND)
def test_stock_header_decodes_to_what_it_says_and_encodes_to_the_same_bytes(
    case: str, image: str, number: int, disk_bytes: ReadDisk
) -> None:
    area = area_of(case, image, number)
    data = disk_bytes(case, image, area["start"], MDA_HEADER_BYTES)
    header = decode_mda_header(data, area["start"], area["size"])
    assert header.start_bytes == area["start"]
    assert header.size_bytes == area["size"]
    assert header.committed == slot(area["rlocn"][0])
    assert header.precommitted == slot(area["rlocn"][1])
    assert encode_mda_header(header) == data


def test_header_with_a_wrong_checksum_is_refused_with_its_place(disk_bytes: ReadDisk) -> None:
    data = disk_bytes("bad_mda_header", "pv1.img", 4096, MDA_HEADER_BYTES)
    with pytest.raises(FormatError) as caught:
        decode_mda_header(data, 4096, AREA)
    assert caught.value.field == "mda_header.checksum"
    assert caught.value.offset_bytes == 4096


def test_ignored_area_is_known_by_its_flag_although_its_location_is_stale(disk_bytes: ReadDisk) -> None:
    for image, ignored in (("pv0.img", True), ("pv1.img", True), ("pv2.img", False)):
        header = decode_mda_header(disk_bytes("ignored_mda", image, 4096, MDA_HEADER_BYTES), 4096, AREA)
        assert header.is_ignored is ignored
        assert header.committed is not None


def test_ignored_area_may_point_anywhere() -> None:
    for location in (
        RawLocation(offset_bytes=0, size_bytes=0, crc=0, flags=1),
        RawLocation(offset_bytes=2**60, size_bytes=2**61, crc=9, flags=1),
    ):
        header = MdaHeader(start_bytes=4096, size_bytes=AREA, committed=location)
        assert decode_mda_header(encode_mda_header(header), 4096, AREA).is_ignored


def test_half_committed_headers_differ_in_slot_zero(disk_bytes: ReadDisk) -> None:
    new, old = (
        decode_mda_header(disk_bytes("crash_half_committed", image, 4096, MDA_HEADER_BYTES), 4096, AREA)
        for image in ("pv0.img", "pv1.img")
    )
    assert new.precommitted is None
    assert old.precommitted == new.committed
    assert old.committed != new.committed


@pytest.mark.parametrize(("case", "image", "number"), SOUND)
def test_committed_text_is_found_checked_and_the_same_as_stocks_dump(
    case: str, image: str, number: int, disk_bytes: ReadDisk
) -> None:
    area = area_of(case, image, number)
    header = decode_mda_header(disk_bytes(case, image, area["start"], MDA_HEADER_BYTES), area["start"], area["size"])
    location = header.committed
    if location is None or header.is_ignored:
        assert case in {"orphan", "ignored_mda"}
        return
    raw = b"".join(
        disk_bytes(case, image, area["start"] + offset, length)
        for offset, length in text_pieces(area["size"], location.offset_bytes, location.size_bytes)
    )
    if (case, image) == ("bad_text_crc", "pv1.img"):
        with pytest.raises(FormatError, match="checksum"):
            check_text(raw, location)
        return
    text = check_text(raw, location)
    assert text.endswith(b"\n\n")
    assert location == raw_location(location.offset_bytes, raw)
    dump = GOLDEN / case / f"raw_text_{image.removesuffix('.img')}_mda{number}.txt"
    if dump.exists():
        assert raw == dump.read_bytes()


@pytest.mark.parametrize(("case", "image", "number"), SOUND)
def test_ring_arithmetic_predicts_every_stock_write_that_is_still_visible(
    case: str, image: str, number: int, disk_bytes: ReadDisk
) -> None:
    area = area_of(case, image, number)
    found = texts_in_ring(disk_bytes(case, image, area["start"], area["size"]))
    for seqno, (offset, size) in found.items():
        if seqno + 1 in found:
            assert next_text_offset(area["size"], at(offset, size)) == found[seqno + 1][0]
    if 1 in found:
        assert found[1][0] == next_text_offset(area["size"], None) == 512


def test_the_samples_show_many_writes_and_one_that_goes_round_the_end(disk_bytes: ReadDisk) -> None:
    found = texts_in_ring(disk_bytes("wrapped_text", "pv0.img", 4096, 32768))
    assert sorted(found) == [23, 24, 25, 26, 27]
    offset, size = found[27]
    assert offset + size > 32768
    assert text_pieces(32768, offset, size) == ((26624, 6144), (512, 473))
    assert len(texts_in_ring(disk_bytes("odd_names", "pv0.img", 4096, AREA))) == 11


@pytest.mark.parametrize(
    ("area", "committed", "expected"),
    [
        (AREA, None, 512),
        (AREA, at(0, 0), 512),
        (AREA, at(512, 1), 1024),
        (AREA, at(512, 512), 1024),
        (AREA, at(512, 513), 1536),
        (32768, at(32256, 512), 512),  # ends with the area
        (32768, at(31744, 512), 32256),  # one sector is left
        (32768, at(31744, 513), 512),  # less than a sector is left
        (32768, at(26624, 6617), 1024),  # the text in the sample wrapped_text: 473 bytes from 512 on
        (32768, at(32256, 1024), 1024),
        (32768, at(32256, 1025), 1536),
    ],
)
def test_next_text_begins_at_the_sector_behind_the_committed_one(
    area: int, committed: RawLocation | None, expected: int
) -> None:
    assert next_text_offset(area, committed) == expected


def test_longest_text_is_the_one_that_stock_allows() -> None:
    # lvm2 2.03.16: "exceeds maximum metadata size (15616 bytes)" in a 32 KiB area; the default one holds 521472
    assert max_text_bytes(32768) == 15616
    assert max_text_bytes(AREA) == 521472


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 1), (511, 1), (32768, 1), (512, 0), (512, -1), (512, 32768 - 511), (2**63, 1), (-512, 4)]
)
def test_text_outside_its_area_is_refused(offset: int, size: int) -> None:
    with pytest.raises(FormatError, match="outside the area"):
        text_pieces(32768, offset, size)


def raw_header(**changes: int | bytes) -> bytes:
    """A header put together here, its checksum right."""
    fields: dict[str, Any] = {
        "magic": b" LVM2 x[5A%r0N*>",
        "version": 1,
        "start": 4096,
        "size": AREA,
        "slots": struct.pack("<QQII", 512, 700, 1, 0),
    }
    fields |= changes
    body = struct.pack("<16sIQQ", fields["magic"], fields["version"], fields["start"], fields["size"])
    body += bytes(fields["slots"])
    body += bytes(508 - len(body))
    return struct.pack("<I", lvm_crc(body)) + body


@pytest.mark.parametrize(
    ("changes", "field", "offset"),
    [
        ({"magic": b" LVM2 x[5A%r0N*?"}, "mda_header.magic", 4100),
        ({"version": 2}, "mda_header.version", 4116),
        ({"start": 8192}, "mda_header.start", 4120),
        ({"size": AREA + 512}, "mda_header.size", 4128),
        ({"slots": struct.pack("<QQII", 511, 700, 1, 0)}, "mda_header.raw_locn[0]", 4136),
        ({"slots": struct.pack("<QQII", AREA, 700, 1, 0)}, "mda_header.raw_locn[0]", 4136),
        ({"slots": struct.pack("<QQII", 512, 0, 1, 0)}, "mda_header.raw_locn[0]", 4136),
        ({"slots": struct.pack("<QQII", 512, AREA, 1, 0)}, "mda_header.raw_locn[0]", 4136),
        ({"slots": struct.pack("<QQII", 512, 2**64 - 1, 1, 0)}, "mda_header.raw_locn[0]", 4136),
    ],
)
def test_wrong_field_is_refused_with_its_name_and_place(changes: dict[str, Any], field: str, offset: int) -> None:
    decode_mda_header(raw_header(), 4096, AREA)
    with pytest.raises(FormatError) as caught:
        decode_mda_header(raw_header(**changes), 4096, AREA)
    assert (caught.value.field, caught.value.offset_bytes) == (field, offset)


def test_area_too_small_or_too_large_for_texts_is_refused() -> None:
    for size in (0, 512, 1023, 2**40 + 1, 2**64 - 1):
        with pytest.raises(FormatError, match="out of range"):
            decode_mda_header(raw_header(size=size), 4096, size)


def test_precommitted_location_outside_the_area_is_no_location() -> None:
    slots = struct.pack("<QQIIQQII", 512, 700, 1, 0, 2**50, 700, 1, 0)
    header = decode_mda_header(raw_header(slots=slots), 4096, AREA)
    assert header.committed == RawLocation(offset_bytes=512, size_bytes=700, crc=1)
    assert header.precommitted is None


@pytest.mark.parametrize("length", [0, 40, 511, 513])
def test_other_lengths_are_no_header(length: int) -> None:
    with pytest.raises(FormatError, match="no header"):
        decode_mda_header(bytes(length), 4096, AREA)


def test_slots_are_replaced_together() -> None:
    old, new = at(512, 700), at(1536, 800)
    header = MdaHeader(start_bytes=4096, size_bytes=AREA, committed=old)
    precommit = header.with_slots(old, new)
    assert (precommit.committed, precommit.precommitted) == (old, new)
    commit = precommit.with_slots(new, None)
    assert (commit.committed, commit.precommitted) == (new, None)


def test_an_area_that_is_not_in_use_keeps_its_place_and_an_emptied_one_none() -> None:
    header = MdaHeader(start_bytes=4096, size_bytes=AREA, committed=at(512, 700), precommitted=at(1536, 800))
    ignored = header.ignored()
    assert ignored.is_ignored
    assert ignored.committed == at(512, 700).replace(flags=1)
    assert ignored.precommitted is None
    assert decode_mda_header(encode_mda_header(ignored), 4096, AREA) == ignored
    empty = ignored.emptied()
    assert (empty.committed, empty.precommitted) == (None, None)
    again = empty.ignored()
    assert decode_mda_header(encode_mda_header(again), 4096, AREA) == again


def test_only_the_nul_that_ends_a_text_is_taken_off() -> None:
    raw = b"vg {\n}\n\n\0"
    assert check_text(raw, raw_location(512, raw)) == raw[:-1]
    assert check_text(raw[:-1], raw_location(512, raw[:-1])) == raw[:-1]


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.glob("*/pvck_headers_*.txt")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_description_is_line_for_line_what_stock_pvck_prints(path: Path, disk_bytes: ReadDisk) -> None:
    case, image = path.parent.name, path.stem.removeprefix("pvck_headers_") + ".img"
    lines = [line.strip() for line in path.read_text().splitlines()]
    found: list[str] = []
    for number, area in enumerate(
        json.loads((GOLDEN / case / "expected.json").read_text())["images"][image].get("mda", ())
    ):
        data = disk_bytes(case, image, area["start"], MDA_HEADER_BYTES)
        found += describe_header(decode_mda_header(data, area["start"], area["size"]), number + 1)
    assert found == [line for line in lines if line.startswith("mda_header_")]


def test_places_in_a_text_go_round_with_it() -> None:
    location = RawLocation(offset_bytes=3000, size_bytes=2000, crc=0)
    assert [place_in_ring(4096, location, offset) for offset in (0, 1095, 1096, 1999)] == [3000, 4095, 512, 1415]
