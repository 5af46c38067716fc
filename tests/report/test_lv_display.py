"""Logical volumes line by line; stock's own lines are in test_display_samples.py and compat/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.vg import LogicalVolume
from cryptlv.report.lv_display import lv_colons, lv_full, lv_path, lv_scan
from cryptlv.report.rows import KernelState, seen_group
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.units import format_long_size as size

if TYPE_CHECKING:
    from cryptlv.model.nodes import Item
    from cryptlv.report.rows import SeenGroup


def test_an_encrypted_volume_that_is_active(seen: SeenGroup) -> None:
    lv = seen.vg.lv("secret")
    lines = list(lv_full(seen, lv, size))
    assert lines[1:3] == ["LV Path                /dev/vg0/secret", "LV Name                secret"]
    assert "LV Status              available" in lines
    assert "LV Size                12.00 MiB" in lines
    assert "Segments               2" in lines
    assert list(lv_colons(seen, lv)) == ["/dev/vg0/secret:vg0:3:1:-1:0:24576:3:-1:0:-1:-1:-1"]
    assert lv_scan(seen, lv, size) == "ACTIVE            '/dev/vg0/secret' [12.00 MiB] inherit"


def test_what_the_kernel_has_active_is_shown_with_its_device(seen: SeenGroup) -> None:
    lv = seen.vg.lv("data")
    state = KernelState(number=(253, 7), read_ahead_bytes=131072, open_count=2)
    group = seen_group(seen.vg, seen.pvs, frozenset((lv.id,)), {lv.id: state})
    lines = list(lv_full(group, lv, size))
    for line in (
        "LV Status              available", "# open                 2", "- currently set to     256",
        "Block device           253:7",
    ):  # fmt: skip
        assert line in lines
    assert next(lv_colons(group, lv)).endswith(":253:7")
    suspended = seen_group(seen.vg, seen.pvs, frozenset((lv.id,)), {lv.id: state.replace(is_suspended=True)})
    assert "LV Status              suspended" in list(lv_full(suspended, lv, size))


def test_a_keystore_is_internal_and_has_no_path(seen: SeenGroup) -> None:
    lines = list(lv_full(seen, seen.vg.lv("cryptostore1"), size))
    assert lines[1] == "Internal LV Name       cryptostore1"
    assert "LV Write Access        read only" in lines
    assert "Allocation             normal" in lines
    assert "LV Status              NOT available" in lines


def test_read_ahead_fixed_numbers_and_policy(seen: SeenGroup) -> None:
    lv = seen.vg.lv("data").replace(
        read_ahead=-1, status=("READ", "FIXED_MINOR"), major=253, minor=7, allocation_policy="contiguous"
    )
    lines = list(lv_full(seen, lv, size))
    assert "Read ahead sectors     0" in lines
    assert lines[-3:-1] == ["Persistent major       253", "Persistent minor       7"]
    (line,) = lv_colons(seen, lv)
    assert line == "/dev/vg0/data:vg0:1:0:-1:0:32768:4:-1:2:0:-1:-1"
    (line,) = lv_colons(seen, lv.replace(read_ahead=256))
    assert line.endswith(":256:-1:-1")


def test_a_volume_on_a_missing_disk_is_partial(seen: SeenGroup) -> None:
    partial = seen_group(seen.vg, {"pv1": seen.pvs["pv1"]}, seen.active_ids)
    assert "LV Status              available (partial)" in list(lv_full(partial, partial.vg.lv("secret"), size))
    assert "LV Status              NOT available" in list(lv_full(partial, partial.vg.lv("data"), size))


@pytest.mark.parametrize(
    "kind", ["thin", "thin-pool", "cache", "cache-pool", "snapshot", "vdo", "vdo-pool", "mirror"]
)
@pytest.mark.parametrize(
    "body",
    [
        (), (("origin", 7), ("thin_pool", ("x", 1)), ("data", 1.5)),
        (("merging_store", "odd"), ("origin", "odd"), ("chunk_size", "x")), (("mirrors", ("a", "b", 1)),),
    ],
)  # fmt: skip
def test_odd_bodies_are_shown_as_far_as_they_go(seen: SeenGroup, kind: str, body: tuple[Item, ...]) -> None:
    segment = OpaqueSegment(start_le=0, length_le=1, type_word=kind, body=body)
    lv = LogicalVolume(name="odd", id="id-odd", segments=(segment,))
    group = seen_group(seen.vg.replace(lvs=(lv,)), seen.pvs, frozenset())
    lines = [*lv_full(group, lv, size), *lv_colons(group, lv), lv_scan(group, lv, size)]
    assert "VG Name                vg0" in lines


def test_names_and_words_from_disks_are_made_safe(seen: SeenGroup) -> None:
    lv = seen.vg.lv("data").replace(name="\x1b", creation_host="\x1b", allocation_policy="\x1b")
    lines = [*lv_full(seen, lv, size), *lv_colons(seen, lv), lv_scan(seen, lv, size), lv_path(seen, lv)]
    assert not any("\x1b" in line for line in lines)
