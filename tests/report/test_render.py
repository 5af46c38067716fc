"""The look of reports; column for column equality with stock is in compat/."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import RefusedError
from cryptlv.report.fields import choose_fields
from cryptlv.report.render import ReportOptions, render_json, render_text
from cryptlv.report.rows import Row, lv_rows

if TYPE_CHECKING:
    from cryptlv.report.field import Field
    from cryptlv.report.rows import SeenGroup

FIELDS = choose_fields("lv", ("lv_name,lv_size,crypt_keysize",))


def rows(seen: SeenGroup) -> list[Row]:
    return lv_rows([seen], hidden=True)


def test_text_is_to_the_left_and_numbers_to_the_right(seen: SeenGroup) -> None:
    assert render_text(FIELDS, rows(seen), ReportOptions()).splitlines() == [
        "  LV             LSize  CKeySize",
        "  [cryptostore1]  4.00m      512",
        "  data           16.00m         ",
        "  secret         12.00m      512",
    ]


def test_options_change_the_look(seen: SeenGroup) -> None:
    options = ReportOptions(units="k", suffix=False, headings=False, separator="|")
    assert render_text(FIELDS, rows(seen)[:1], options) == "  [cryptostore1]|4096.00|512\n"
    assert render_text(FIELDS, [], ReportOptions()) == "", "no rows, no headings"


def test_json_is_json_with_every_value_a_string(seen: SeenGroup) -> None:
    odd = seen.replace(vg=seen.vg.replace(lvs=(seen.vg.lvs[1].replace(name='a"b\\c'),)))
    for group, names in ((seen, ["[cryptostore1]", "data", "secret"]), (odd, ['a"b\\c'])):
        parsed = json.loads(render_json("lv", FIELDS, rows(group), ReportOptions()))
        assert [row["lv_name"] for row in parsed["report"][0]["lv"]] == names
        assert all(isinstance(value, str) for row in parsed["report"][0]["lv"] for value in row.values())
    assert json.loads(render_json("lv", FIELDS, [], ReportOptions())) == {"report": [{"lv": []}]}


def test_standard_json_has_numbers_lists_and_null(seen: SeenGroup) -> None:
    """As libdm-report.c of lvm2 2.03.24 does it; the installed one may not know it yet."""
    fields = choose_fields(
        "lv", ("lv_name,lv_size,seg_count,lv_tags,lv_role,lv_skip_activation,data_percent,vg_mda_copies",)
    )
    tagged = seen.replace(vg=seen.vg.replace(lvs=(seen.vg.lvs[0].replace(tags=("b", "a")), *seen.vg.lvs[1:])))
    text = render_json("lv", fields, rows(tagged), ReportOptions(standard_json=True))
    secret, data = json.loads(text)["report"][0]["lv"][2], json.loads(text)["report"][0]["lv"][1]
    assert secret == {
        "lv_name": "secret",
        "lv_size": "12.00m",
        "seg_count": 2,
        "lv_tags": ["a", "b"],
        "lv_role": ["public"],
        "lv_skip_activation": 0,
        "data_percent": None,
        "vg_mda_copies": "unmanaged",
    }
    assert data["lv_skip_activation"] == 1
    assert data["lv_tags"] == []


def long_field(length: int) -> Field:
    return FIELDS[0].replace(value=lambda row: "x" * length if row.lv and row.lv.name == "data" else "y")


def test_one_long_cell_does_not_make_every_line_as_long(seen: SeenGroup) -> None:
    many = rows(seen) * 2000
    lines = render_text((long_field(20_000), FIELDS[1]), rows(seen) * 100, ReportOptions()).splitlines()
    assert len(lines[1]) > 20_000
    lines = render_text((long_field(9_000), FIELDS[1]), many, ReportOptions()).splitlines()
    assert len(lines[1]) < 100


def test_a_report_that_would_be_too_long_is_refused(seen: SeenGroup) -> None:
    found = rows(seen) * 1000
    with pytest.raises(RefusedError, match="too long"):
        render_text((long_field(60_000),), found, ReportOptions())
    with pytest.raises(RefusedError, match="too long"):
        render_json("lv", (long_field(60_000),), found, ReportOptions())
