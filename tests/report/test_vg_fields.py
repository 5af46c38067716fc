"""Fields of volume groups beyond what stock's samples have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import vg_rows

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"metadata_copies": 0}, "vg_mda_copies", "unmanaged"),
        ({"metadata_copies": 2}, "vg_mda_copies", "2"),
        ({"metadata_copies": 0xFFFFFFFF}, "vg_mda_copies", "all"),
        ({"flags": ("NOAUTOACTIVATE",)}, "vg_autoactivation", ""),
        ({"status": ("READ",)}, "vg_permissions", "read-only"),
        ({"status": ("READ",), "flags": ("WRITE_LOCKED",)}, "vg_permissions", "writeable"),
        ({"allocation_policy": "cling"}, "vg_attr", "wz--l-"),
        ({"system_id": "host\n1"}, "vg_systemid", "host\\n1"),
        ({"tags": ("z", "a")}, "vg_tags", "a,z"),
    ],
)
def test_values(seen: SeenGroup, change: dict[str, object], name: str, value: str) -> None:
    (row,) = vg_rows([seen.replace(vg=seen.vg.replace(**change))])
    assert FIELDS[name].value(row) == value
