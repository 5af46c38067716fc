"""Physical volumes line by line; stock's own lines are in test_display_samples.py and compat/."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.report.pv_display import PvScan, pv_colons, pv_full, pv_in_group, pv_map, pv_remarks, pv_short
from cryptlv.report.rows import Row, SeenPv
from cryptlv.report.selection import choose_pvs
from cryptlv.units import format_long_size as size

if TYPE_CHECKING:
    from cryptlv.report.rows import SeenGroup

ORPHAN = SeenPv(pv_id="id-x", path="/dev/aaaaaa", size_bytes=16 * 2**20)


def test_a_full_one_and_one_that_is_closed_to_new_extents(seen: SeenGroup) -> None:
    pv = seen.vg.pvs[0].replace(pe_count=3)
    assert "Allocatable           yes (but full)" in list(pv_full(Row(group=seen, pv=pv, seen=seen.pvs["pv0"]), size))
    closed = Row(group=seen, pv=pv.replace(status=()), seen=seen.pvs["pv0"])
    assert "Allocatable           NO" in list(pv_full(closed, size))
    assert "PV Status             NOT allocatable" in list(pv_in_group(closed))


def test_what_the_metadata_do_not_say_is_taken_from_the_device_and_the_larger_figure_counts(seen: SeenGroup) -> None:
    (row, _), _ = choose_pvs((seen,), (), ())
    assert "PV Size               42.00 MiB / not usable 2.00 MiB" in list(
        pv_full(row, size)
    )  # 10 of 4 MiB from 1 MiB
    assert row.pv is not None
    small = row.replace(pv=row.pv.replace(dev_size_sectors=40 * 2048))
    assert "PV Size               41.00 MiB / not usable 1.00 MiB" in list(pv_full(small, size))


def test_bits_of_the_status(seen: SeenGroup) -> None:
    pv = seen.vg.pvs[0]
    for status, there, bits in (
        (("ALLOCATABLE",), True, "8:8"),
        (("ALLOCATABLE", "EXPORTED"), True, "10:8"),
        ((), True, "0:0"),
        (("ALLOCATABLE",), False, "8388616:8"),
    ):
        row = Row(group=seen, pv=pv.replace(status=status), seen=seen.pvs["pv0"] if there else None)
        (line,) = pv_colons(row)
        assert f":-1:{bits}:-1:4096:10:7:3:pv0" in line


def test_the_map_names_every_volume_and_what_is_free_between_them(seen: SeenGroup) -> None:
    rows, _ = choose_pvs((seen,), (ORPHAN,), ())
    assert list(pv_map(rows[0])) == [
        "--- Physical Segments ---",
        "Physical extent 0 to 0:", "  Logical volume\t/dev/vg0/cryptostore1", "  Logical extents\t0 to 0",
        "Physical extent 1 to 2:", "  Logical volume\t/dev/vg0/secret", "  Logical extents\t0 to 1",
        "Physical extent 3 to 9:", "  FREE",
        " ",
    ]  # fmt: skip
    assert list(pv_map(rows[2])) == [" "]
    assert list(pv_remarks(rows[2], size)) == ['"/dev/aaaaaa" is a new physical volume of "16.00 MiB"']
    assert list(pv_short(rows[2], size)) == ['Device "/dev/aaaaaa" has a capacity of 16.00 MiB']


def test_the_columns_of_pvscan_are_as_wide_as_the_widest_of_all(seen: SeenGroup) -> None:
    rows, _ = choose_pvs((seen,), (ORPHAN,), ())
    scan = PvScan((seen,), (ORPHAN,), size)
    assert scan.line(rows[0]) == "PV /dev/a        VG vg0             lvm2 [40.00 MiB / 28.00 MiB free]"
    assert scan.line(rows[2]) == "PV /dev/aaaaaa                      lvm2 [16.00 MiB]"
    assert scan.line(rows[2], with_uuid=True).startswith("PV /dev/aaaaaa with UUID id-x ")
    assert scan.total(rows) == "Total: 3 [96.00 MiB] / in use: 2 [80.00 MiB] / in no VG: 1 [16.00 MiB]"
    assert PvScan((), (), size).total([]) == "No matching physical volumes found"


def test_names_from_disks_are_made_safe(seen: SeenGroup) -> None:
    group = seen.replace(vg=seen.vg.replace(name="v\x1b[2Jg"))
    (row, _), _ = choose_pvs((group,), (), ())
    lines = [*pv_full(row, size), *pv_colons(row), *pv_map(row), PvScan((group,), (), size).line(row)]
    assert not any("\x1b" in line for line in lines)
