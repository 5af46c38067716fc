"""Volumes that are no more; stock's `lvs -H` is compared in compat/test_reports_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.nodes import Section
from cryptlv.report.fields import FIELDS
from cryptlv.report.history import past_volumes
from cryptlv.report.rows import lv_rows, seen_group

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item, Value
    from cryptlv.report.rows import SeenGroup


def with_past(seen: SeenGroup, **volumes: tuple[Item, ...]) -> SeenGroup:
    items = tuple((name, Section(items=body)) for name, body in volumes.items())
    return seen_group(seen.vg.replace(historical=Section(items=items)), seen.pvs, seen.active_ids)


def test_they_stand_among_the_others_when_they_are_asked_for(seen: SeenGroup) -> None:
    group = with_past(
        seen,
        e=(("id", "id-e"), ("creation_time", 5), ("removal_time", 9), ("origin", "data"), ("descendants", ("-f",))),
        f=(("id", "id-f"), ("descendants", ("secret",))),
    )
    assert [row.lv.name for row in lv_rows([group], hidden=False) if row.lv] == ["data", "secret"]
    group = group.replace(shows_past=True)
    rows = {row.lv.name: row for row in lv_rows([group], hidden=False) if row.lv}
    assert list(rows) == ["data", "-e", "-f", "secret"]
    assert FIELDS["lv_full_ancestors"].value(rows["secret"]) == "-f,-e,data"
    assert FIELDS["lv_full_descendants"].value(rows["data"]) == "-e,-f,secret"
    assert FIELDS["lv_ancestors"].value(rows["secret"]) == ""
    assert FIELDS["lv_historical"].value(rows["-e"]) == "historical"
    assert FIELDS["lv_attr"].value(rows["-e"]) == "----h-----"
    assert FIELDS["lv_full_name"].value(rows["-e"]) == "vg0/e"


def test_without_them_the_chain_goes_on_past_them(seen: SeenGroup) -> None:
    group = with_past(seen, e=(("origin", "data"), ("descendants", ("secret",))))
    rows = {row.lv.name: row for row in lv_rows([group], hidden=False) if row.lv}
    assert FIELDS["lv_full_ancestors"].value(rows["secret"]) == "data"
    assert FIELDS["lv_full_descendants"].value(rows["data"]) == "secret"


@pytest.mark.parametrize("value", [7, 1.5, "x", ("a", 1), ()])
def test_odd_items_are_read_as_far_as_they_go(seen: SeenGroup, value: Value) -> None:
    keys = ("name", "id", "creation_time", "removal_time", "origin", "descendants")
    group = with_past(seen, e=tuple((key, value) for key in keys)).replace(shows_past=True)
    for row in lv_rows([group], hidden=True):
        for name in ("lv_full_ancestors", "lv_full_descendants", "lv_time_removed", "lv_name", "lv_path"):
            assert isinstance(FIELDS[name].value(row), str)
    assert past_volumes(seen.vg) == ()
