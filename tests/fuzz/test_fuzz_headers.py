"""Damaged labels and metadata area headers, their checksums put right: never another error than one of ours."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cryptlv.errors import CryptlvError
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.ondisk.label import decode_label, describe_label, encode_label, find_label
from cryptlv.ondisk.mda import (
    check_text,
    decode_mda_header,
    describe_header,
    encode_mda_header,
    next_text_offset,
    text_pieces,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "lvm2"
with lzma.open(GOLDEN / "two_mdas" / "pv0.img.xz") as _disk:
    HEAD = _disk.read(4096 + 512)
LABEL, HEADER = HEAD[512:1024], HEAD[4096:]
AREA = 1044480

EXTREMES = [0, 1, 31, 32, 511, 512, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
MUTATIONS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 511), st.binary(min_size=1, max_size=24)),
        st.tuples(st.integers(0, 504), st.sampled_from(EXTREMES).map(lambda number: struct.pack("<Q", number))),
        st.tuples(st.integers(0, 508), st.sampled_from(EXTREMES).map(lambda number: struct.pack("<Q", number)[:4])),
    ),
    max_size=6,
)


def mutated(sector: bytes, mutations: list[tuple[int, bytes]], crc_at: int, crc_from: int) -> bytes:
    data = bytearray(sector)
    for place, value in mutations:
        end = min(place + len(value), len(data))
        data[place:end] = value[: end - place]
    struct.pack_into("<I", data, crc_at, lvm_crc(bytes(data[crc_from:])))
    return bytes(data)


@settings(max_examples=1500)
@given(MUTATIONS)
def test_damaged_label_is_read_or_refused(mutations: list[tuple[int, bytes]]) -> None:
    sector = mutated(LABEL, mutations, 16, 20)
    found, remarks = find_label(bytes(512) + sector + bytes(1024))
    assert found is not None or remarks or not sector.startswith(b"LABELONE")
    try:
        label = decode_label(sector, 1)
    except CryptlvError as error:
        assert str(error)
        return
    assert decode_label(encode_label(label), 1) == label
    assert list(describe_label(label))
    start, end = label.data_range_sectors
    assert min(start, end) >= 0


@settings(max_examples=300)
@given(st.binary(max_size=2560), st.integers(0, 3))
def test_bytes_of_any_kind_are_no_label_or_one(data: bytes, number: int) -> None:
    find_label(data)
    place = number * 512
    find_label(data[:place] + b"LABELONE" + data[place + 8 :])


@settings(max_examples=1500)
@given(MUTATIONS)
def test_damaged_header_is_read_or_refused(mutations: list[tuple[int, bytes]]) -> None:
    data = mutated(HEADER, mutations, 0, 4)
    try:
        header = decode_mda_header(data, 4096, AREA)
    except CryptlvError as error:
        assert str(error)
        return
    assert decode_mda_header(encode_mda_header(header), 4096, AREA) == header
    assert list(describe_header(header, 1))
    assert 512 <= next_text_offset(AREA, header.committed) <= AREA - 512
    if header.committed is not None and not header.is_ignored:
        pieces = text_pieces(AREA, header.committed.offset_bytes, header.committed.size_bytes)
        assert sum(length for _, length in pieces) == header.committed.size_bytes
        assert all(offset >= 512 and offset + length <= AREA for offset, length in pieces)


@settings(max_examples=500)
@given(
    st.sampled_from([*EXTREMES, 1024, AREA, AREA - 1, 2**40, 2**40 + 1]),
    st.sampled_from([*EXTREMES, AREA]),
    st.sampled_from([*EXTREMES, AREA]),
    st.sampled_from([0, 1, 2, 2**32 - 1]),
)
@example(1024, 512, 512, 0)
def test_locations_of_any_size_are_read_or_refused(area: int, offset: int, size: int, flags: int) -> None:
    slot = struct.pack("<QQII", offset, size, 0, flags)
    body = struct.pack("<16sIQQ", b" LVM2 x[5A%r0N*>", 1, 4096, area) + slot + slot
    body += bytes(508 - len(body))
    data = struct.pack("<I", lvm_crc(body)) + body
    try:
        header = decode_mda_header(data, 4096, area)
    except CryptlvError:
        return
    assert next_text_offset(header.size_bytes, header.committed) >= 512


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_text_that_is_not_the_one_meant_is_refused(data: bytes) -> None:
    header = decode_mda_header(HEADER, 4096, AREA)
    assert header.committed is not None
    with pytest.raises(CryptlvError, match="checksum"):
        check_text(data, header.committed)
