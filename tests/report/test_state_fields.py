"""What only a kernel knows; that stock without its driver shows the same is in compat/test_complex_layouts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import KernelState, Row, lv_rows, seen_group
from cryptlv.report.state_fields import STATE_FIELDS

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup


@pytest.mark.parametrize(
    ("field", "secret", "data"),
    [
        ("lv_active", "active", ""), ("lv_active_locally", "active locally", ""), ("lv_active_remotely", "", ""),
        ("lv_active_exclusively", "active exclusively", ""), ("lv_kernel_major", -1, -1),
        ("lv_kernel_read_ahead", "-1", "-1"), ("lv_suspended", "unknown", "unknown"),
        ("lv_check_needed", "unknown", "unknown"), ("data_percent", None, None), ("lv_health_status", "", ""),
    ],
)  # fmt: skip
def test_active_volumes_are_known_and_the_rest_is_not(
    seen: SeenGroup, field: str, secret: object, data: object
) -> None:
    shown = {row.lv.name: FIELDS[field].value(row) for row in lv_rows([seen], hidden=False) if row.lv}
    assert shown == {"secret": secret, "data": data}


def test_a_volume_on_a_missing_disk_is_not_healthy(seen: SeenGroup) -> None:
    partial = seen_group(seen.vg, {"pv0": seen.pvs["pv0"]}, frozenset())
    assert [FIELDS["lv_health_status"].value(row) for row in lv_rows([partial], hidden=False)] == ["partial"] * 2


def test_what_the_kernel_says_is_shown(seen: SeenGroup) -> None:
    lv = seen.vg.lv("data")
    state = KernelState(number=(253, 7), read_ahead_bytes=131072, is_read_only=True, open_count=1)

    def shown(state: KernelState, *names: str) -> list[object]:
        group = seen_group(seen.vg, seen.pvs, frozenset((lv.id,)), {lv.id: state})
        (row,) = (row for row in lv_rows([group], hidden=False) if row.lv == lv)
        return [FIELDS[name].value(row) for name in names]

    assert shown(state, "lv_kernel_major", "lv_kernel_minor", "lv_kernel_read_ahead") == [253, 7, 131072]
    tables = ("lv_suspended", "lv_live_table", "lv_inactive_table", "lv_device_open")
    assert shown(state, *tables) == ["", "live table present", "", "open"]
    odd = state.replace(is_suspended=True, has_live=False, has_inactive=True, open_count=0)
    assert shown(odd, *tables) == ["suspended", "", "inactive table present", ""]
    assert shown(state, "lv_attr", "lv_permissions") == ["-Ri-ao---k", "read-only-override"]
    letters = [shown(state.replace(**change), "lv_attr")[0] for change in (
        {"is_suspended": True}, {"has_live": False}, {"has_live": False, "has_inactive": True}, {"open_count": 0},
    )]  # fmt: skip
    assert letters == ["-Ri-so---k", "-Ri-do---k", "-Ri-io---k", "-Ri-a----k"]


def test_a_row_without_a_volume_has_nothing_that_fails() -> None:
    for field in STATE_FIELDS:
        assert field.value(Row()) in ("", "unknown", -1, "-1", None)
