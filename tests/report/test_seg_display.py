"""Segments line by line; each kind of stock's is compared in compat/test_display_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.nodes import PvWord, Section
from cryptlv.model.vg import LogicalVolume, LvArea
from cryptlv.report.rows import seen_group
from cryptlv.report.seg_display import lv_segments, mirror_count
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.units import format_long_size as size

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item
    from cryptlv.report.rows import SeenGroup


def segments(seen: SeenGroup, lv: LogicalVolume) -> list[str]:
    return list(lv_segments(seen, lv, size))


def test_an_encrypted_segment_shows_where_its_key_is_and_what_for(seen: SeenGroup) -> None:
    assert segments(seen, seen.vg.lv("secret")) == [
        "--- Segments ---",
        "Logical extents 0 to 1:", "  Type\t\tcrypt", "  Keystore\t\tcryptostore1", "  Key handler\t\tluks1",
        "  Cipher\t\taes-xts-plain64", "  Key size\t\t512 bits", "  IV base\t\t0", "  Physical volume\t/dev/a",
        "  Physical extents\t1 to 2", " ",
        "Logical extents 2 to 2:", "  Type\t\tcrypt", "  Keystore\t\tcryptostore1", "  Key handler\t\tluks1",
        "  Cipher\t\taes-xts-plain64", "  Key size\t\t512 bits", "  IV base\t\t0", "  Physical volume\t/dev/b",
        "  Physical extents\t0 to 0", " ",
        " ",
    ]  # fmt: skip


def test_an_area_within_its_first_extent_reaches_into_one_more(seen: SeenGroup) -> None:
    lv = seen.vg.lv("secret")
    shifted = lv.segments[0].replace(area_offset_sectors=4096, iv_base_sectors=77)
    lines = segments(seen, lv.replace(segments=(shifted,)))
    assert lines[-6:] == [
        "  IV base\t\t77", "  Physical volume\t/dev/a", "  Physical extents\t1 to 3", "  Area offset\t\t4096 sectors",
        " ", " ",
    ]  # fmt: skip


def test_a_keystore_shows_its_handler_and_cipher(seen: SeenGroup) -> None:
    assert segments(seen, seen.vg.lv("cryptostore1")) == [
        "--- Segments ---", "Logical extents 0 to 0:", "  Type\t\tcrypt-keystore", "  Key handler\t\tluks1",
        "  Cipher\t\taes-xts-plain64", "  Key size\t\t512 bits", "  Physical volume\t/dev/a",
        "  Physical extents\t0 to 0", " ", " ",
    ]  # fmt: skip


def test_a_keystore_that_is_gone_leaves_the_rest(seen: SeenGroup) -> None:
    lv = seen.vg.lv("secret")
    bare = seen_group(seen.vg.replace(lvs=(lv,)), seen.pvs, frozenset())
    lines = segments(bare, lv)
    assert "  Keystore\t\tcryptostore1" in lines
    assert not any("handler" in line for line in lines)


def test_a_volume_on_a_volume_and_a_place_that_is_missing(seen: SeenGroup) -> None:
    linear = seen.vg.lv("data").segments[0].replace(areas=(LvArea(lv_name="other", start_le=5),))
    lv = seen.vg.lv("data").replace(segments=(linear,))
    assert segments(seen, lv)[3:5] == ["  Logical volume\tother", "  Logical extents\t5 to 8"]
    partial = seen_group(seen.vg, {"pv0": seen.pvs["pv0"]}, frozenset())
    assert "  Physical volume\t[unknown]" in segments(partial, seen.vg.lv("data"))


def opaque(kind: str, *body: Item) -> LogicalVolume:
    segment = OpaqueSegment(start_le=0, length_le=4, type_word=kind, body=body)
    return LogicalVolume(name="odd", id="id-odd", segments=(segment,))


def test_a_mirror_on_disks(seen: SeenGroup) -> None:
    lines = segments(seen, opaque("mirror", ("mirrors", (PvWord("pv0"), 1, PvWord("pv1"), 2))))
    assert lines[-7:-2] == [
        "    Physical volume\t/dev/a", "    Physical extents\t1 to 4", "  Mirror destinations:",
        "    Physical volume\t/dev/b", "    Physical extents\t2 to 5",
    ]  # fmt: skip


def test_types_that_nobody_knows_are_named(seen: SeenGroup) -> None:
    assert segments(seen, opaque("no\x1bvel+FLAG")) == [
        "--- Segments ---",
        "Virtual extents 0 to 3:",
        "  Type\t\tno\\x1bvel",
        " ",
    ]


@pytest.mark.parametrize(
    ("kind", "body", "copies"),
    [
        ("mirror", ("mirrors", ("a", 0, "b", 0, "c", 0)), 3), ("raid1", ("raids", ("m", "i", "n", "j")), 2),
        ("raid10", ("raids", ("m", "i") * 4), 4), ("raid5_ls", ("raids", ("m", "i") * 3), 0),
        ("raid0", ("raid0_lvs", ("a", "b")), 0), ("mirror", ("mirrors", 7), 0),
    ],
)  # fmt: skip
def test_mirrors_are_counted(kind: str, body: Item, copies: int) -> None:
    assert mirror_count(opaque(kind, body)) == copies
    assert mirror_count(LogicalVolume(name="empty", id="id")) == 0


KINDS = ("mirror", "raid1", "raid6_zr", "raid0", "thin-pool", "thin", "cache", "cache-pool", "vdo", "vdo-pool")
ODD: tuple[tuple[Item, ...], ...] = (
    (),
    (("mirrors", (1, 2, 3)), ("raids", 7), ("chunk_size", "x"), ("region_size", 1.5), ("cache_pool", "odd")),
    (("mirrors", ("a", "b")), ("raids", ("a",)), ("policy", 3), ("virtual_extents", -5), ("cache_pool", "gone")),
    (("policy_settings", Section(items=(("x\x1b", ("a", 1)), ("y", 1.5), ("z", 'q"\x1b')))), ("discards", "\x1b")),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", ODD)
def test_odd_bodies_are_shown_as_far_as_they_go(seen: SeenGroup, kind: str, body: tuple[Item, ...]) -> None:
    lv = opaque(kind, *body)
    group = seen_group(seen.vg.replace(lvs=(lv,)), seen.pvs, frozenset())
    lines = segments(group, lv)
    assert lines[0] == "--- Segments ---"
    assert not any("\x1b" in line for line in lines)
