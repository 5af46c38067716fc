"""Every crash of a move, with every fate of the writes that were not flushed, leaves every volume with its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import RefusedError
from cryptlv.model.check import check
from cryptlv.ops.pvmove import Chunks, MoveRequest, move
from support.crash import crash_states
from support.disks import Disks
from support.filled import NAMES, contents, make_volumes
from support.record import record

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1024
CASES = {
    "pieces": MoveRequest(source="/d0", targets=("/d1",), lv_name="pieces"),
    "striped": MoveRequest(source="/d0", lv_name="striped"),
    "both stripes": MoveRequest(source="/d0:123-125:154-156", targets=("/d1",), lv_name="wide", policy="anywhere"),
    "imported": MoveRequest(source="/d0:111-112", lv_name="imported"),
    "below an encrypted volume": MoveRequest(source="/d0", lv_name="stacked"),
    "within the PV": MoveRequest(source="/d0:123-125:154-156", targets=("/d0:162-170",), policy="anywhere"),
    "atomic": MoveRequest(source="/d0:110-111:120-122", is_atomic=True),
}
CHUNKS = Chunks(most_bytes=128 * KIB, block_bytes=64 * KIB)


@pytest.mark.parametrize("name", CASES)
def test_every_volume_reads_the_same_after_every_crash(tmp_path: Path, name: str) -> None:
    disks = make_volumes(tmp_path, (1, 0, 1) if name == "imported" else (1, 0, 0))
    data = contents(disks)
    block = 512 * KIB if name == "atomic" else CHUNKS.block_bytes  # one write for each piece: few states
    request = CASES[name].replace(chunks=CHUNKS.replace(block_bytes=block))
    before, timeline, done = record(tmp_path, disks, lambda session: move(session, request))
    old, new = disks.group(), done.group()
    assert old is not None
    assert new is not None
    assert contents(done) == data
    moving = [name for name in NAMES if old.lv(name) != new.lv(name)]
    seqnos = set()
    seen: dict[object, list[Disks]] = {}
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        group = state.group()
        assert group is not None, f"crash point {point} of {len(timeline)}"
        assert not check(group)
        seqnos.add(group.seqno)
        for lv_name, found in contents(state, moving, group).items():
            assert found == data[lv_name], f"{lv_name} after crash point {point} of {len(timeline)}"
        seen.setdefault(group, [])[:] = [state]
    first, last = min(seqnos), max(seqnos)
    assert seqnos == set(range(first, last + 1)), "each chunk is in force alone for a while"
    assert last - first >= (1 if name == "atomic" else 2)
    for (state,) in seen.values():
        assert contents(state) == data
        _goes_on(state, request, data)


def _goes_on(state: Disks, request: MoveRequest, data: dict[str, bytes]) -> None:
    """The same command after a crash moves what is left."""
    with state.session() as session:
        try:
            assert move(session, request).is_complete
        except RefusedError as error:
            assert "No data to move" in str(error)
        group = session.world().group("vg0")
        assert {area.vg for area in group.areas} == {group.vg}, "every area is up to date"
    assert contents(state) == data


def test_a_keystore_opens_after_every_crash_and_its_old_place_is_empty_at_the_end(tmp_path: Path) -> None:
    disks = make_volumes(tmp_path, (1, 0, 0))
    group = disks.group()
    assert group is not None
    (place,) = group.lv("cryptostore1").segments[0].footprint()
    request = MoveRequest(source="/d0", lv_name="cryptostore1")
    before, timeline, done = record(tmp_path, disks, lambda session: move(session, request))
    opened: dict[object, bool] = {}
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = state.group()
        assert found is not None
        (now,) = found.lv("cryptostore1").segments[0].footprint()
        start = (found.pv(now[0]).pe_start_sectors + now[1] * found.extent_size_sectors) * 512
        image = devices[found.pv(now[0]).device].read(start, now[2] * found.extent_size_bytes)
        if (now, image) not in opened:
            opened[now, image] = state.opens("old")
        assert opened[now, image], f"crash point {point} of {len(timeline)}"
    assert len(opened) == 2, "the old place, and the new one"
    start = (group.pv(place[0]).pe_start_sectors + place[1] * group.extent_size_sectors) * 512
    assert not any(done.devices["/d0"].read(start, place[2] * group.extent_size_bytes))
