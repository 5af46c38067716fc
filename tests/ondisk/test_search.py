"""Texts found without a header; that stock's pvck finds the same is in compat/test_checks_like_stock.py."""

from __future__ import annotations

import lzma
from pathlib import Path

from cryptlv.ondisk.search import search_texts

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "lvm2"


def text(name: str, seqno: int, padding: int = 300) -> bytes:
    return f'{name} {{\nid = "{"x" * 38}"\nseqno = {seqno}\n'.encode() + b"#" * padding + b"\n}\n\n"


def at(area: bytes, offset: int, data: bytes) -> bytes:
    """`area` with `data` at `offset`, round its end."""
    first = data[: len(area) - offset]
    area = area[:offset] + first + area[offset + len(first) :]
    rest = data[len(first) :]
    return area[:512] + rest + area[512 + len(rest) :]


def test_texts_begin_at_sectors_and_go_round_the_end() -> None:
    area = at(at(bytes(8192), 1024, text("vg", 2)), 7680, text("vg", 3, 500))
    found = list(search_texts(area))
    assert [(each.offset_bytes, each.seqno, each.is_whole) for each in found] == [(1024, 2, True), (7680, 3, True)]
    assert [each.text for each in found] == [text("vg", 2), text("vg", 3, 500)]
    assert found[0].vg_name == "vg"
    assert found[0].vg_id == "x" * 38


def test_what_is_no_text_is_passed_over() -> None:
    for data in (
        text("v g", 1), text("vg", 1)[:200] + b"\0", b"vg {\nseqno = 1\n" + b"#" * 400, b'vg {\nid = "x"\n' * 40,
        text("vg", 1).replace(b"seqno = 1", b"seqno = x"), text("x" * 129, 1),
    ):  # fmt: skip
        assert list(search_texts(at(bytes(4096), 512, data))) == []
    assert list(search_texts(b"")) == list(search_texts(bytes(512))) == []
    assert list(search_texts(bytes(512) + text("vg", 1) * 10)) == [], "a text without an end"


def test_a_text_that_was_overwritten_at_its_end_is_known_as_such() -> None:
    (found,) = search_texts(at(bytes(4096), 512, text("vg", 1)[:-2] + b"xx"))
    assert not found.is_whole


def test_older_texts_of_a_real_device_are_found() -> None:
    image = lzma.decompress((GOLDEN / "wrapped_text" / "pv0.img.xz").read_bytes())
    numbers = [found.seqno for found in search_texts(image[4096 : 2**20])]
    assert len(numbers) > 3
    assert len(set(numbers)) == len(numbers)
