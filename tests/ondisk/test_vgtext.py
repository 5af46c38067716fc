"""Stock's metadata texts against what stock's reports say; wrong texts are refused, with the field that is wrong."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import FormatError
from cryptlv.ondisk.vgtext import parse_document, parse_vg

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptlv.model.vg import VolumeGroup

    Expected = Callable[[str], dict[str, Any]]

GOLDEN = Path(__file__).parents[1] / "golden"
LVM2 = GOLDEN / "lvm2"
CASES = sorted(path.parent.name for path in LVM2.glob("*/raw_text_pv0_mda0.txt"))
WHOLE = [case for case in CASES if case not in {"exported", "missing_pv"}]
VARIANTS = sorted(path.parent.name for path in GOLDEN.glob("lvm2-crypt/*/raw_text.txt"))

MINIMAL = """vg {
id = "vgvgvg-vgvg-vgvg-vgvg-vgvg-vgvg-vgvgvg"
seqno = 1
status = ["READ", "WRITE"]
extent_size = 8192
physical_volumes {
pv0 {
id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
status = ["ALLOCATABLE"]
pe_start = 2048
pe_count = 31
}
}
logical_volumes {
lv {
id = "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb"
status = ["READ", "VISIBLE"]
segment_count = 1
segment1 {
start_extent = 0
extent_count = 2
type = "striped"
stripe_count = 1
stripes = ["pv0", 0]
}
}
}
}
contents = "Text Format Volume Group"
version = 1
"""


def report(expected: Expected, case: str, kind: str, row: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = expected(case)[kind]["report"][0][row]
    return rows


def current_vg(case: str) -> VolumeGroup:
    """What stock reports on: the highest seqno of the committed texts."""
    texts = [path.read_bytes() for path in LVM2.glob(f"{case}/raw_text_*.txt") if not skip(path)]
    return max((parse_vg(text) for text in texts), key=lambda vg: vg.seqno)


def skip(path: Path) -> bool:
    return path.parent.name == "bad_text_crc" and "pv1" in path.name


@pytest.mark.parametrize("path", sorted(LVM2.glob("*/*_*.txt")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_stock_text_is_read(path: Path) -> None:
    if path.name.startswith("pvck") or skip(path):
        with pytest.raises(FormatError):
            parse_document(path.read_bytes())
        return
    document = parse_document(path.read_bytes())
    text = path.read_text()
    assert document.vg.name in text
    found = re.search(r"^creation_time = ([0-9]+)\t# [A-Z][a-z][a-z] ", text, re.MULTILINE)
    assert found is not None
    assert document.creation_time == int(found[1])
    assert document.creation_host == "vm"


@pytest.mark.parametrize("case", CASES)
def test_backup_and_text_on_disk_hold_the_same_volume_group(case: str) -> None:
    (backup,) = LVM2.glob(f"{case}/backup_*.txt")
    vg, saved = current_vg(case), parse_vg(backup.read_bytes())
    if case == "bad_label_crc":  # stock took the PV for missing when it made the backup
        assert [pv.is_missing for pv in saved.pvs] == [False, True]
        assert saved.replace(pvs=()) == vg.replace(pvs=())
    else:
        assert saved == vg


@pytest.mark.parametrize("case", WHOLE)
def test_volume_group_is_the_one_that_stock_vgs_shows(case: str, expected: Expected) -> None:
    vg = current_vg(case)
    (row,) = report(expected, case, "vgs", "vg")
    assert vg.name == row["vg_name"]
    assert vg.id == row["vg_uuid"]
    assert vg.seqno == int(row["vg_seqno"])
    assert vg.extent_size_sectors == int(row["vg_extent_size"])
    assert vg.extent_count == int(row["vg_extent_count"])
    assert len(vg.pvs) == int(row["pv_count"])
    assert sum(lv.is_visible for lv in vg.lvs) == int(row["lv_count"])
    assert (vg.max_lv, vg.max_pv) == (int(row["max_lv"]), int(row["max_pv"]))
    assert set(vg.tags) == set(filter(None, row["vg_tags"].split(",")))
    assert vg.is_writable == (row["vg_permissions"] == "writeable")


@pytest.mark.parametrize("case", WHOLE)
def test_physical_volumes_are_those_that_stock_pvs_shows(case: str, expected: Expected) -> None:
    pvs = {pv.id: pv for pv in current_vg(case).pvs}
    rows = [row for row in report(expected, case, "pvs", "pv") if row["vg_name"]]
    assert set(pvs) == {row["pv_uuid"] for row in rows}
    for row in rows:
        pv = pvs[row["pv_uuid"]]
        assert pv.pe_count == int(row["pv_pe_count"])
        assert pv.pe_start_sectors == int(row["pe_start"])
        assert pv.is_allocatable == (row["pv_allocatable"] == "allocatable")
        assert set(pv.tags) == set(filter(None, row["pv_tags"].split(",")))
        assert pv.ba_start_sectors == int(row["pv_ba_start"])
        assert pv.ba_size_sectors == int(row["pv_ba_size"])
        if row["dev_size"] != "0":  # the device is there
            assert pv.dev_size_sectors == int(row["dev_size"])


@pytest.mark.parametrize("case", WHOLE)
def test_logical_volumes_are_those_that_stock_lvs_shows(case: str, expected: Expected) -> None:
    vg = current_vg(case)
    rows = {row["lv_uuid"]: row for row in report(expected, case, "lvs", "lv")}
    assert {lv.id for lv in vg.lvs} == set(rows)
    for lv in vg.lvs:
        row = rows[lv.id]
        assert lv.name == row["lv_name"].strip("[]")
        assert lv.is_visible == (not row["lv_name"].startswith("["))
        assert lv.length_le * vg.extent_size_sectors == int(row["lv_size"])
        assert len(lv.segments) == int(row["seg_count"])
        assert set(lv.tags) == set(filter(None, row["lv_tags"].split(",")))
        assert (lv.allocation_policy or "inherit") == row["lv_allocation_policy"]


@pytest.mark.parametrize("case", WHOLE)
def test_segments_are_those_that_stock_lvs_shows(case: str, expected: Expected) -> None:
    vg = current_vg(case)
    rows = report(expected, case, "segs", "seg")
    ours = Counter((lv.name, s.shown_type, s.start_le, s.length_le) for lv in vg.lvs for s in lv.segments)
    stock = Counter(
        (row["lv_name"].strip("[]"), row["segtype"], int(row["seg_start_pe"]), int(row["seg_size_pe"]))
        for row in rows
    )
    if case not in {"raid1_raid5", "thin"}:
        assert ours == stock
    assert {name for name, *_ in ours} == {name for name, *_ in stock}


def test_description_with_quotes_and_backslashes_is_read(expected: Expected) -> None:
    text = (LVM2 / "odd_names" / "raw_text_pv0_mda0.txt").read_bytes()
    document = parse_document(text)
    assert document.description.startswith("Write from ")
    assert document.description in text.decode().replace('\\"', '"').replace("\\\\", "\\")


def test_physical_volumes_keep_their_order_in_the_text() -> None:
    text = (LVM2 / "multi_pv" / "raw_text_pv0_mda0.txt").read_text()
    ids = re.findall(r'pv[0-9] \{\nid = "([^"]+)"', text)
    assert [pv.id for pv in parse_vg(text).pvs] == ids


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_encrypted_metadata_is_read(variant: str) -> None:
    vg = parse_vg((GOLDEN / "lvm2-crypt" / variant / "raw_text.txt").read_bytes())
    text = (GOLDEN / "lvm2-crypt" / variant / "raw_text.txt").read_text()
    assert vg.name == "vg"
    assert sum(len(lv.segments) for lv in vg.lvs) == len(re.findall(r"^segment[0-9]+ \{", text, re.MULTILINE))


def test_variant_with_its_pv_sections_out_of_order_keeps_each_place_with_its_pv() -> None:
    vg = parse_vg((GOLDEN / "lvm2-crypt" / "V13_pv_order" / "raw_text.txt").read_bytes())
    places = {lv.name: list(lv.segments[0].footprint()) for lv in vg.lvs}
    assert places["lin"] == [("aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa1", 0, 2)]
    assert places["tst"] == [("aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa2", 12, 4)]


def test_minimal_text_is_enough() -> None:
    vg = parse_vg(MINIMAL)
    assert vg.format == "lvm2"
    assert vg.lv("lv").length_le == 2
    assert vg.lv("lv").creation_time is None


def test_scalar_stands_for_a_list_of_one_word() -> None:
    text = MINIMAL.replace('status = ["ALLOCATABLE"]', 'status="ALLOCATABLE"')
    text = text.replace('status = ["READ", "VISIBLE"]', 'status = "VISIBLE"\ntags="x"')
    vg = parse_vg(text)
    assert vg.pvs[0].is_allocatable
    assert vg.lv("lv").status == ("VISIBLE",)
    assert vg.lv("lv").tags == ("x",)


def test_first_of_duplicate_keys_wins() -> None:
    assert parse_vg(MINIMAL.replace("seqno = 1\n", "seqno = 5\nseqno = 6\n")).seqno == 5


def test_unknown_keys_and_sections_are_kept_where_they_stand() -> None:
    text = MINIMAL.replace("seqno = 1\n", 'seqno = 1\nfuture_vg = ["a", 1]\n')
    text = text.replace("pe_start", "future_pv { x = 1 }\npe_start").replace(
        "segment_count", "future_lv = 2.5\nsegment_count"
    )
    text = text.replace("stripe_count", "future_segment = 3\nstripe_count")
    vg = parse_vg(text)
    assert vg.extra == (("future_vg", ("a", 1)),)
    assert [key for key, _ in vg.pvs[0].extra] == ["future_pv"]
    assert vg.lv("lv").extra == (("future_lv", 2.5),)
    assert dict(vg.lv("lv").segments[0].render_items({}))["future_segment"] == 3


def test_segments_are_ordered_by_their_start() -> None:
    second = """segment2 {
start_extent = 2
extent_count = 1
type = "striped"
stripe_count = 1
stripes = ["pv0", 9]
}
"""
    text = MINIMAL.replace("segment_count = 1\n", f"segment_count = 2\n{second}")
    assert [segment.start_le for segment in parse_vg(text).lv("lv").segments] == [0, 2]


def test_segment_without_type_is_striped_as_in_stock() -> None:
    assert parse_vg(MINIMAL.replace('type = "striped"\n', "")) == parse_vg(MINIMAL)


def test_write_locked_counts_as_writable() -> None:
    text = MINIMAL.replace(
        'status = ["READ", "WRITE"]', 'status = ["READ"]\nflags = ["WRITE_LOCKED"]\nsystem_id = "h"'
    )
    vg = parse_vg(text)
    assert vg.is_writable
    assert vg.system_id == "h"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("version = 1\n", "", "contents"),
        ("version = 1\n", "version = 2\n", "contents"),
        ('contents = "Text Format Volume Group"\n', "", "contents"),
        ("vg {", '"v g" {', "name"),
        ("vg {", '"" {', "name"),
        ('id = "vgvgvg-vgvg-vgvg-vgvg-vgvg-vgvg-vgvgvg"\n', "", "id"),
        ("vgvgvg-vgvg", "vgvgvgvgvg-", "id"),
        ("vgvgvg-", "vgvg?g-", "id"),
        ("seqno = 1\n", "", "seqno"),
        ("seqno = 1\n", 'seqno = "1"\n', "seqno"),
        ("seqno = 1\n", "seqno = [1]\n", "seqno"),
        ('status = ["READ", "WRITE"]\n', "", "status"),
        ('status = ["READ", "WRITE"]', 'status = ["READ", 1]', "status"),
        ("extent_size = 8192", "extent_size = 0", "extent_size"),
        ("extent_size = 8192", "extent_size = -1", "extent_size"),
        ("extent_size = 8192", "extent_size = 4294967296", "extent_size"),
        ("physical_volumes {", "physical_volumes = 1 x {", "physical_volumes"),
        ("logical_volumes {", "logical_volumes = [] x {", "logical_volumes"),
        ("pe_start = 2048\n", "", "pe_start"),
        ("pe_count = 31\n", "", "pe_count"),
        ('status = ["ALLOCATABLE"]\n', "", "status"),
        ("aaaaaa-aaaa", "aaaaaaaaaa", "id"),
        ("segment_count = 1", "segment_count = 2", "segment_count"),
        ("segment_count = 1\n", "", "segment_count"),
        ("start_extent = 0\n", "", "start_extent"),
        ("extent_count = 2\n", "", "extent_count"),
        ("stripe_count = 1", "stripe_count = 2", "stripe_count"),
        ('stripes = ["pv0", 0]', 'stripes = ["pv0"]', "stripes"),
        ('stripes = ["pv0", 0]', 'stripes = [0, "pv0"]', "stripes"),
        ('type = "striped"', "type = 1", "type"),
    ],
)
def test_text_with_a_wrong_field_is_refused_and_the_field_is_named(old: str, new: str, field: str) -> None:
    assert old in MINIMAL
    with pytest.raises(FormatError) as caught:
        parse_vg(MINIMAL.replace(old, new, 1))
    assert caught.value.field == field


def test_error_in_a_volume_names_group_and_volume() -> None:
    with pytest.raises(FormatError, match="vg/lv segment1"):
        parse_vg(MINIMAL.replace("stripe_count = 1", "stripe_count = 2"))


def test_two_volume_groups_in_a_text_are_refused() -> None:
    with pytest.raises(FormatError, match="2 volume groups"):
        parse_vg(MINIMAL + "other { id = 1 }\n")


def test_damaged_stock_text_is_refused_with_a_byte() -> None:
    with pytest.raises(FormatError) as caught:
        parse_vg((LVM2 / "bad_text_crc" / "raw_text_pv1_mda0.txt").read_bytes())
    assert caught.value.offset_bytes is not None


def test_places_of_wrong_fields_are_named_by_their_byte() -> None:
    lv = 'logical_volumes { lv { id = "lvlvlv-lvlv-lvlv-lvlv-lvlv-lvlv-lvlvlv" status = []'
    segment = ' segment_count = 1 segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 7'
    segment += " stripes = [] } } }"
    text = MINIMAL.replace("seqno = 1", f"seqno = 1 {lv}{segment}", 1)
    for wrong, field in ((text, "stripe_count"), (text.replace("= 0 ext", "= -1 ext"), "start_extent")):
        with pytest.raises(FormatError) as caught:
            parse_vg(wrong)
        assert caught.value.field == field
        assert caught.value.offset_bytes == wrong.index(field)
    with pytest.raises(FormatError, match="no name of a logical volume") as caught:
        parse_vg(text.replace("{ lv {", '{ "../lv" {'))
    assert caught.value.offset_bytes == text.index("lv { id")
