"""Damaged metadata texts: parsing, checking, mapping and writing them end in a value or in an error of ours, soon."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.environment import Environment
from cryptlv.errors import CryptlvError
from cryptlv.model.allocate import Wish, allocate, free_count
from cryptlv.model.check import check, check_lv
from cryptlv.model.edit import canonical, next_keystore_name
from cryptlv.model.lv_edit import remove_lv, rename_lv
from cryptlv.model.mapping import map_volume
from cryptlv.ondisk.config import parse_config
from cryptlv.ondisk.vgrender import render_backup, render_disk
from cryptlv.ondisk.vgtext import parse_vg

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = [
    "lvm2/linear/raw_text_pv0_mda0",
    "lvm2/multisegment/raw_text_pv0_mda0",
    "lvm2/thin/raw_text_pv0_mda0",
    "lvm2/raid1_raid5/raw_text_pv0_mda0",
    "lvm2-crypt/V0_seed_exact/raw_text",
    "lvm2-crypt/V10_sublv/raw_text",
    "lvm2-crypt/V14_two_segments/raw_text",
]
TEXTS = [(GOLDEN / f"{name}.txt").read_bytes().rstrip(b"\0") for name in NAMES]
ENV = Environment(now=0, random_bytes=bytes, monotonic=float, hostname="h")
VALUES = [
    b"0", b"-1", b"1", b"9223372036854775807", b"-9223372036854775808", b"0777", b"1.5", b'""', b'"pv0"', b'"pv9"',
    b"[]", b'["pv0"]', b'["pv0", -1]', b'["pv0", 0, "pv0", 0]', b'["pv0", 9223372036854775807]', b'["x", 0]', b"word",
    b'["a", "b"]', b'"cryptostore1"', b'"lin"', b'"aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa0"', b"[1, 2, 3]", b"'raw'",
]  # fmt: skip
TOKENS = [b"{", b"}", b"[", b"]", b"=", b",", b'"', b"'", b"#", b"\\", b"\0", b"\n", b" ", b"\xff", b"a/b", b"..."]


def exercise(text: bytes) -> None:
    """What the program does with a text that it finds on a disk."""
    vg = parse_vg(text)
    violations = check(vg)
    assert all(violations)
    free_count(vg)
    next_keystore_name(vg)
    again = parse_vg(render_disk(vg, ENV))
    assert again == vg or violations  # a place on nothing may become a place on a PV of that word
    assert parse_vg(render_backup(again, ENV, "x")) == again
    canonical(vg)
    for lv in vg.lvs:
        check_lv(vg, lv)
        for action in (
            lambda lv=lv: map_volume(vg, lv),
            lambda lv=lv: remove_lv(vg, lv.name),
            lambda lv=lv: rename_lv(vg, lv.name, "renamed"),
        ):
            try:
                action()
            except CryptlvError as error:
                assert str(error)
    for wanted in (1, 5, 1000):
        try:
            allocate(vg, Wish(length_le=wanted, what="x"))
        except CryptlvError as error:
            assert "free" in str(error)


def survives(text: bytes) -> None:
    started = time.monotonic()
    try:
        exercise(text)
    except CryptlvError as error:
        assert str(error)
    assert time.monotonic() - started < 5


def with_changed_values(random_source: random.Random, text: bytes) -> bytes:
    """The text with a few of its values replaced by values of other kinds and sizes."""
    places = [match.span(1) for match in re.finditer(rb"= (\[[^\]]*\]|[^\n]*)", text)]
    chosen = sorted(random_source.sample(places, random_source.randint(1, 4)), reverse=True)
    for start, end in chosen:
        text = text[:start] + random_source.choice(VALUES) + text[end:]
    return text


def with_changed_lines(random_source: random.Random, text: bytes) -> bytes:
    """The text with lines left out, doubled or exchanged."""
    lines = text.split(b"\n")
    for _ in range(random_source.randint(1, 3)):
        first, second = random_source.randrange(len(lines)), random_source.randrange(len(lines))
        kind = random_source.randrange(3)
        if kind == 0:
            del lines[first]
        elif kind == 1:
            lines.insert(first, lines[second])
        else:
            lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


def with_changed_bytes(random_source: random.Random, text: bytes) -> bytes:
    """The text with bytes overwritten, tokens put in, or its end cut off."""
    data = bytearray(text)
    for _ in range(random_source.randint(1, 5)):
        place = random_source.randrange(len(data))
        kind = random_source.randrange(4)
        if kind == 0:
            data[place] = random_source.randrange(256)
        elif kind == 1:
            data[place:place] = random_source.choice(TOKENS)
        elif kind == 2:
            data[place] ^= 1 << random_source.randrange(8)
        elif random_source.random() < 0.2:
            del data[max(place, 1) :]
    return bytes(data)


@pytest.mark.parametrize("change", [with_changed_values, with_changed_lines, with_changed_bytes])
@pytest.mark.parametrize("number", range(len(TEXTS)), ids=[name.split("/")[1] for name in NAMES])
def test_damaged_text_is_read_or_refused(number: int, change: object) -> None:
    assert callable(change)
    random_source = random.Random(number)
    for _ in range(120):
        survives(change(random_source, TEXTS[number]))


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*TOKENS, *VALUES, b"key", b"s"]), max_size=30))
def test_tokens_in_any_order_are_read_or_refused(tokens: list[bytes]) -> None:
    for glue in (b"", b" "):
        try:
            section = parse_config(glue.join(tokens))
        except CryptlvError as error:
            assert "at byte" in str(error)
            continue
        assert isinstance(section.items, tuple)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_read_or_refused(data: bytes) -> None:
    survives(data)


@pytest.mark.parametrize(
    "text",
    [
        b"{" * 100_000,
        b"a{" * 100_000,
        b"a=[" * 100_000,
        b"a=[" + b"1," * 100_000,
        b"a=" + b"9" * 100_000,
        b'a="' + b"\\" * 100_001,
        b"a=" + b'"' * 100_001,
        b"}" * 100_000,
        b"[" * 100_000,
        b"a/" * 20_000 + b"=",
    ],
    ids=lambda text: text[:4].decode(),
)
def test_monstrous_text_is_refused_soon(text: bytes) -> None:
    started = time.monotonic()
    with pytest.raises(CryptlvError):
        parse_vg(text)
    assert time.monotonic() - started < 5


def test_long_sound_text_is_read_soon() -> None:
    # ten thousand volumes are what a volume group may well have
    lv = (
        'lv%d { id = "%06d-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa" status = ["READ", "VISIBLE"] segment_count = 1 '
        'segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 1 stripes = ["pv0", %d] } }\n'
    )
    text = (
        'vg { id = "vgvgvg-vgvg-vgvg-vgvg-vgvg-vgvg-vgvgvg" seqno = 1 status = ["READ"] extent_size = 8192\n'
        'physical_volumes { pv0 { id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa" status = ["ALLOCATABLE"] '
        "pe_start = 2048 pe_count = 10000 } }\nlogical_volumes {\n"
        + "".join(lv % (number, number, number) for number in range(10_000))
        + '} }\ncontents = "Text Format Volume Group"\nversion = 1\n'
    )
    started = time.monotonic()
    vg = parse_vg(text)
    assert len(vg.lvs) == 10_000
    assert check(vg) == ()
    assert free_count(vg) == 0
    assert parse_vg(render_disk(vg, ENV)) == vg
    assert parse_vg(text) == vg, "also when as many volumes are known that are written in another way"
    assert time.monotonic() - started < 30
