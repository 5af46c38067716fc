"""LVM2's checksum against a bit-by-bit CRC-32 written here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cryptlv.ondisk.crc import lvm_crc

GOLDEN = Path(__file__).parents[1] / "golden" / "lvm2"


def bitwise_crc(data: bytes, start: int) -> int:
    """CRC-32 with the reflected polynomial 0xEDB88320, no inversion at the end."""
    crc = start
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def test_the_bitwise_crc_here_gives_the_published_check_value_of_crc32() -> None:
    assert bitwise_crc(b"123456789", 0xFFFFFFFF) ^ 0xFFFFFFFF == 0xCBF43926


@pytest.mark.parametrize("data", [b"", b"\0", b"123456789", bytes(range(256)), bytes(508)])
def test_checksum_starts_at_lvm2s_initial_value_and_is_not_inverted(data: bytes) -> None:
    assert lvm_crc(data) == bitwise_crc(data, 0xF597A6CF)


def test_checksum_takes_any_buffer() -> None:
    data = b"vg0 {\nid"
    assert lvm_crc(bytearray(data)) == lvm_crc(memoryview(data)) == lvm_crc(data)


@pytest.mark.parametrize("case", ["empty_vg", "linear", "thin", "wrapped_text"])
def test_checksum_of_a_stock_text_is_the_one_in_stocks_raw_location(case: str) -> None:
    expected = json.loads((GOLDEN / case / "expected.json").read_text())
    _, size, crc, _ = expected["images"]["pv0.img"]["mda"][0]["rlocn"][0]
    text = (GOLDEN / case / "raw_text_pv0_mda0.txt").read_bytes()
    assert len(text) == size
    assert lvm_crc(text) == crc
