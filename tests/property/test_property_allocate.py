"""What holds for every allocation, on volume groups made at random; free space is counted here extent by extent."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryptlv.errors import NoSpaceError
from cryptlv.model.allocate import Candidate, Wish, allocate, free_count, free_runs, used_extents
from cryptlv.model.check import check
from cryptlv.model.vg import LogicalVolume, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.segments.striped import StripedSegment


def pv_id(number: int) -> str:
    return f"aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa{number}"


@st.composite
def groups(draw: st.DrawFn) -> tuple[VolumeGroup, dict[str, set[int]]]:
    """A volume group with holes, and the free extents of each of its PVs that may be used."""
    pvs: list[PhysicalVolume] = []
    segments: list[StripedSegment] = []
    free: dict[str, set[int]] = {}
    for number in range(draw(st.integers(1, 4))):
        taken = draw(st.lists(st.booleans(), max_size=24))
        kind = draw(st.sampled_from(["open", "open", "open", "closed", "missing"]))
        pvs.append(
            PhysicalVolume(
                id=pv_id(number),
                device="/dev/x",
                status=() if kind == "closed" else ("ALLOCATABLE",),
                flags=("MISSING",) if kind == "missing" else (),
                pe_start_sectors=2048,
                pe_count=len(taken),
            )
        )
        for extent, used in enumerate(taken):
            if used:
                area = PvArea(pv_id=pv_id(number), start_pe=extent)
                segments.append(StripedSegment(start_le=len(segments), length_le=1, areas=(area,)))
        if kind == "open":
            free[pv_id(number)] = {extent for extent, used in enumerate(taken) if not used}
    lvs = (LogicalVolume(name="used", id="x", segments=tuple(segments)),) if segments else ()
    return VolumeGroup(name="vg", id="x", seqno=1, pvs=tuple(pvs), lvs=lvs), free


def longest_run(extents: set[int]) -> int:
    best = here = 0
    for extent in range(max(extents, default=-1) + 1):
        here = here + 1 if extent in extents else 0
        best = max(best, here)
    return best


@settings(max_examples=400)
@given(groups(), st.integers(1, 40), st.booleans(), st.one_of(st.none(), st.frozensets(st.integers(0, 4).map(pv_id))))
def test_runs_are_free_and_disjoint_and_together_what_was_wanted(
    made: tuple[VolumeGroup, dict[str, set[int]]], wanted: int, contiguous: bool, only: frozenset[str] | None
) -> None:
    vg, free = made
    usable = {pv: extents for pv, extents in free.items() if only is None or pv in only}
    candidates = None if only is None else tuple(Candidate(pv_id=pv.id) for pv in vg.pvs if pv.id in only)
    wish = Wish(length_le=wanted, what="x", is_whole=contiguous, candidates=candidates)
    if contiguous:
        possible = max(map(longest_run, usable.values()), default=0) >= wanted
    else:
        possible = sum(map(len, usable.values())) >= wanted
    if not possible:
        with pytest.raises(NoSpaceError):
            allocate(vg, wish)
        return
    runs = allocate(vg, wish)
    assert sum(run.length_pe for run in runs) == wanted
    if contiguous:
        assert len(runs) == 1
    seen: set[tuple[str, int]] = set()
    for run in runs:
        assert run.length_pe > 0
        extents = {(run.areas[0].pv_id, run.areas[0].start_pe + step) for step in range(run.length_pe)}
        assert not extents & seen
        assert {extent for _, extent in extents} <= usable[run.areas[0].pv_id]
        seen |= extents
    # a volume made of the runs is sound, and takes just what it says
    start, segments = 0, []
    for run in runs:
        segments.append(StripedSegment(start_le=start, length_le=run.length_pe, areas=run.areas))
        start += run.length_pe
    after = vg.replace(lvs=(*vg.lvs, LogicalVolume(name="new", id="y", segments=tuple(segments))))
    assert check(after) == ()
    assert free_count(after) == free_count(vg) - wanted


@settings(max_examples=200)
@given(groups(), st.integers(1, 40))
def test_one_run_is_used_where_one_is_long_enough(made: tuple[VolumeGroup, dict[str, set[int]]], wanted: int) -> None:
    vg, free = made
    if max(map(longest_run, free.values()), default=0) >= wanted:
        assert len(allocate(vg, Wish(length_le=wanted, what="x"))) == 1


@settings(max_examples=200)
@given(groups(), st.integers(1, 40))
def test_the_same_question_has_the_same_answer(made: tuple[VolumeGroup, dict[str, set[int]]], wanted: int) -> None:
    vg, free = made
    if sum(map(len, free.values())) >= wanted:
        assert allocate(vg, Wish(length_le=wanted, what="x")) == allocate(vg, Wish(length_le=wanted, what="y"))


@settings(max_examples=200)
@given(groups())
def test_free_runs_are_the_free_extents_in_order_and_apart(made: tuple[VolumeGroup, dict[str, set[int]]]) -> None:
    vg, free = made
    used = used_extents(vg)
    for pv in vg.pvs:
        runs = free_runs(pv, used[pv.id])
        extents = [run.area.start_pe + step for run in runs for step in range(run.length_pe)]
        assert extents == sorted(set(extents))
        if pv.id in free:
            assert set(extents) == free[pv.id]
        for before, after in pairwise(runs):
            assert before.area.start_pe + before.length_pe < after.area.start_pe
