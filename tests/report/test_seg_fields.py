"""Fields of segments: encrypted ones lie on their extents as linear ones do; keystores too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.model.vg import PvArea
from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import Row, lv_rows, seen_group, segment_rows
from cryptlv.segments.crypt import CryptSegment

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup

MIB = 1024 * 1024


def test_encrypted_segments_show_where_they_lie(seen: SeenGroup) -> None:
    rows = segment_rows(lv_rows([seen], hidden=True))
    shown = {
        name: [FIELDS[name].value(row) for row in rows]
        for name in ("lv_name", "segtype", "stripes", "seg_start", "seg_size", "seg_pe_ranges", "devices")
    }
    assert shown == {
        "lv_name": ["[cryptostore1]", "data", "secret", "secret"],
        "segtype": ["crypt-keystore", "linear", "crypt", "crypt"],
        "stripes": [1, 1, 1, 1],
        "seg_start": [0, 0, 0, 8 * MIB],
        "seg_size": [4 * MIB, 16 * MIB, 8 * MIB, 4 * MIB],
        "seg_pe_ranges": ["/dev/a:0-0", "/dev/b:1-4", "/dev/a:1-2", "/dev/b:0-0"],
        "devices": ["/dev/a(0)", "/dev/b(1)", "/dev/a(1)", "/dev/b(0)"],
    }


def test_an_imported_volume_uses_one_extent_more_and_shows_its_offset(seen: SeenGroup) -> None:
    area = PvArea(pv_id="pv0", start_pe=5)
    segment = CryptSegment(
        start_le=0, length_le=2, crypto_store="s", areas=(area,), area_offset_sectors=4096, iv_base_sectors=2**40
    )
    row = Row(group=seen, lv=seen.vg.lv("secret"), segment=segment)
    assert FIELDS["seg_pe_ranges"].value(row) == "/dev/a:5-7"
    assert FIELDS["crypt_area_offset"].value(row) == 4096
    assert FIELDS["crypt_iv_base"].value(row) == 2**40


def test_extents_of_a_missing_device_are_those_of_an_unknown_one(seen: SeenGroup) -> None:
    partial = seen_group(seen.vg, {"pv1": seen.pvs["pv1"]}, seen.active_ids)
    rows = segment_rows(lv_rows([partial], hidden=False))
    assert [FIELDS["devices"].value(row) for row in rows] == ["/dev/b(1)", "[unknown](1)", "/dev/b(0)"]
