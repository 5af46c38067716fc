"""Free extents, and the choice among them: where stock's own lvcreate put its volumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.errors import NoSpaceError
from cryptlv.model.allocate import Candidate, Wish, allocate, free_count, free_runs, used_extents
from cryptlv.model.vg import PhysicalVolume, VolumeGroup
from cryptlv.ondisk.vgtext import parse_vg

if TYPE_CHECKING:
    from collections.abc import Callable

    BuildPv = Callable[[int, int], PhysicalVolume]

GOLDEN = Path(__file__).parents[1] / "golden" / "lvm2"
WHOLE = sorted(
    path.parent.name
    for path in GOLDEN.glob("*/raw_text_pv0_mda0.txt")
    if path.parent.name not in {"exported", "missing_pv", "ignored_mda", "bad_label_crc"}
)


def stock_vg(case: str) -> VolumeGroup:
    return parse_vg((GOLDEN / case / "raw_text_pv0_mda0.txt").read_bytes())


def group(pvs: list[PhysicalVolume]) -> VolumeGroup:
    return VolumeGroup(name="vg", id="x", seqno=1, pvs=tuple(pvs))


@pytest.mark.parametrize("case", WHOLE)
def test_free_extents_are_those_that_stock_counts(case: str) -> None:
    expected: dict[str, Any] = json.loads((GOLDEN / case / "expected.json").read_text())
    (row,) = expected["vgs"]["report"][0]["vg"]
    vg = stock_vg(case)
    assert free_count(vg) == int(row["vg_free_count"])
    used = used_extents(vg)
    rows = {row["pv_uuid"]: row for row in expected["pvs"]["report"][0]["pv"]}
    for pv in vg.pvs:
        taken = int(rows[pv.id]["pv_pe_alloc_count"])
        assert sum(length for _, length in used[pv.id]) == taken
        assert sum(run.length_pe for run in free_runs(pv, used[pv.id])) == pv.pe_count - taken


@pytest.mark.parametrize("case", ["linear", "odd_names", "tags", "sector_4096", "two_mdas"])
def test_volumes_made_one_after_the_other_lie_where_stock_put_them(case: str) -> None:
    vg = stock_vg(case)
    made = vg.replace(lvs=())
    for lv in vg.lvs:
        runs = allocate(made, Wish(length_le=lv.length_le, what=lv.name))
        stock = [place for segment in lv.segments for place in segment.footprint()]
        assert [(run.areas[0].pv_id, run.areas[0].start_pe, run.length_pe) for run in runs] == stock
        made = made.replace(lvs=(*made.lvs, lv))


def test_large_volume_is_spread_over_the_pvs_as_stock_spread_it() -> None:
    # lvcreate -l40 on four PVs of 15 extents; pv2 was made not allocatable only afterwards
    vg = stock_vg("multi_pv")
    allocatable = tuple(pv.replace(status=("ALLOCATABLE",)) for pv in vg.pvs)
    runs = allocate(vg.replace(pvs=allocatable, lvs=()), Wish(length_le=40, what="big"))
    stock = [place for segment in vg.lv("big").segments for place in segment.footprint()]
    assert [(run.areas[0].pv_id, run.areas[0].start_pe, run.length_pe) for run in runs] == stock


def test_pv_that_is_not_allocatable_or_missing_is_not_used(pv: BuildPv) -> None:
    closed = pv(0, 50).replace(status=())
    gone = pv(1, 50).replace(flags=("MISSING",))
    vg = group([closed, gone, pv(2, 5)])
    assert [run.areas[0].pv_id for run in allocate(vg, Wish(length_le=5, what="x"))] == [pv(2, 5).id]
    with pytest.raises(NoSpaceError, match="5 extents free, 6 required"):
        allocate(vg, Wish(length_le=6, what="x"))


def test_only_the_given_pvs_are_used(pv: BuildPv) -> None:
    vg = group([pv(0, 10), pv(1, 10)])
    second = (Candidate(pv_id=pv(1, 1).id),)
    assert [run.areas[0].pv_id for run in allocate(vg, Wish(length_le=10, what="x", candidates=second))] == [
        pv(1, 1).id
    ]
    with pytest.raises(NoSpaceError):
        allocate(vg, Wish(length_le=11, what="x", candidates=second))
    with pytest.raises(NoSpaceError):
        allocate(vg, Wish(length_le=1, what="x", candidates=()))


def test_contiguous_is_one_run_or_an_error_that_says_so(pv: BuildPv) -> None:
    vg = group([pv(0, 10), pv(1, 12)])
    (run,) = allocate(vg, Wish(length_le=12, what="x", is_whole=True))
    assert (run.areas[0].pv_id, run.areas[0].start_pe, run.length_pe) == (pv(1, 1).id, 0, 12)
    with pytest.raises(NoSpaceError, match="22 extents free, 13 required in one piece"):
        allocate(vg, Wish(length_le=13, what="x", is_whole=True))


def test_error_names_group_and_purpose(pv: BuildPv) -> None:
    with pytest.raises(NoSpaceError, match=r"'vg'.*the keystore"):
        allocate(group([pv(0, 1)]), Wish(length_le=2, what="the keystore"))


def test_holes_between_volumes_are_found(sound_vg: VolumeGroup) -> None:
    # first PV: 0..5 used of 20; second: 2..10 used of 20
    runs = [
        (run.area.start_pe, run.length_pe)
        for pv in sound_vg.pvs
        for run in free_runs(pv, used_extents(sound_vg)[pv.id])
    ]
    assert runs == [(6, 14), (0, 2), (11, 9)]
    assert free_count(sound_vg) == 25


def test_space_for_a_keystore_and_its_volume_is_taken_like_a_linear_volumes(sound_vg: VolumeGroup) -> None:
    linear = sound_vg.lv("lin")
    crypt = sound_vg.lv("one")
    assert [length for _, _, length in linear.segments[0].footprint()] == [linear.length_le]
    assert [length for _, _, length in crypt.segments[0].footprint()] == [crypt.length_le]
