"""Volume groups line by line; stock's own lines are in test_display_samples.py and compat/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.report.rows import seen_group
from cryptlv.report.vg_display import vg_colons, vg_full, vg_scan, vg_short
from cryptlv.units import format_long_size as size

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup


def test_keystores_take_extents_but_are_no_volumes_of_the_user(seen: SeenGroup) -> None:
    lines = list(vg_full(seen, size))
    assert "Cur LV                2" in lines
    assert "Alloc PE / Size       8 / 32.00 MiB" in lines
    assert "Metadata Areas        2" in lines
    assert list(vg_short(seen, size)) == ['"vg0" 80.00 MiB [32.00 MiB used / 48.00 MiB free]']
    assert list(vg_colons(seen)) == ["vg0:r/w:772:-1:0:2:0:-1:0:2:2:81920:4096:20:8:12:vgid"]


@pytest.mark.parametrize(
    ("status", "flags", "access", "bits"),
    [
        (("READ",), (), "r", 0x100), (("READ",), ("WRITE_LOCKED",), "r/w", 0x300), ((), (), "", 0),
        (("WRITE", "EXPORTED"), (), "w", 0x202), (("READ",), ("NOAUTOACTIVATE",), "r", 0x110),
    ],
)  # fmt: skip
def test_access_and_the_bits_of_the_status(
    seen: SeenGroup, status: tuple[str, ...], flags: tuple[str, ...], access: str, bits: int
) -> None:
    (line,) = vg_colons(seen.replace(vg=seen.vg.replace(status=status, flags=flags)))
    assert line.startswith(f"vg0:{access}:{bits}:")


def test_exported_clustered_and_foreign_groups_are_called_so(seen: SeenGroup) -> None:
    vg = seen.vg.replace(status=("EXPORTED", "CLUSTERED", "READ"), system_id="there\n")
    lines = list(vg_full(seen.replace(vg=vg), size))
    assert "VG Status             exported/NOT resizable" in lines
    assert lines[lines.index("Clustered             yes") + 1] == "Shared                no"
    assert "System ID             there\\n" in lines
    assert vg_scan(seen.replace(vg=vg)) == 'Found exported volume group "vg0" using metadata type lvm2'


def test_missing_disks_are_counted(seen: SeenGroup) -> None:
    partial = seen_group(seen.vg, {"pv1": seen.pvs["pv1"]}, frozenset())
    lines = list(vg_full(partial, size))
    assert ("Cur PV                2" in lines, "Act PV                1" in lines) == (True, True)
