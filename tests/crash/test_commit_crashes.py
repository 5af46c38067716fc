"""Every crash of a change, with every fate of the writes that were not flushed, leaves the old or the new volume
group, whole and usable, and the keys that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops import vg
from cryptlv.ops.keystore import keystore_segment
from cryptlv.ops.lv_remove import remove
from support.crash import OverlayDevice, crash_states
from support.disks import REQUEST, Disks, Known, make_disks
from support.record import failing_writes, record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session

MIB = 1024 * 1024
AREAS = [(1,), (1, 1), (2,), (1, 1, 1), (2, 1)]
"""Metadata areas on each PV: 1, 2 and 3 in all, two of them on one PV, too."""


@pytest.mark.parametrize("areas", AREAS, ids=str)
def test_lvcreate_leaves_the_old_or_the_new_volume_group(tmp_path: Path, areas: tuple[int, ...]) -> None:
    disks = make_disks(tmp_path, areas)
    old = disks.group()
    before, timeline, done = record(tmp_path, disks, lambda session: lvs.create(session, "vg0", REQUEST, Known()))
    new = done.group()
    assert old is not None
    assert new is not None
    assert new.seqno == old.seqno + 1
    assert sum(event.data is not None for event in timeline) >= 3 * sum(areas) + 2
    seen = set()
    opened: dict[bytes, bool] = {}
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = state.group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        seen.add(found)
        if found == new:
            opened[_image(devices, new)] = True
    assert seen == {old, new}
    assert len(opened) == 1, "wherever the new volume group is in force, its keystore is whole"
    assert done.opens("new")


def _image(devices: Mapping[str, OverlayDevice], group: VolumeGroup) -> bytes:
    (area,) = keystore_segment(group, "cryptostore2").footprint()
    pv_id, start_pe, length_pe = area
    place = group.pv(pv_id)
    start = (place.pe_start_sectors + start_pe * group.extent_size_sectors) * 512
    return devices[place.device].read(start, length_pe * group.extent_size_bytes)


@pytest.mark.parametrize("areas", AREAS, ids=str)
def test_lvremove_leaves_the_old_or_the_new_volume_group_and_no_old_one_without_its_key(
    tmp_path: Path, areas: tuple[int, ...]
) -> None:
    disks = make_disks(tmp_path, areas)
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST, Known())
    old = disks.group()
    before, timeline, done = record(tmp_path, disks, lambda session: remove(session, "vg0", ("new",)))
    new = done.group()
    assert old is not None
    assert new is not None
    assert old.find_lv("cryptostore2") is not None
    assert new.find_lv("cryptostore2") is None
    image = _image({path: OverlayDevice(path, content, []) for path, content in before.items()}, old)
    seen = set()
    for point, devices in crash_states(before, timeline):
        found = Disks(tmp_path, devices).group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        seen.add(found)
        if found == old:
            assert _image(devices, old) == image, "the old volume group needs its key"
    assert seen == {old, new}
    after = {path: OverlayDevice(path, bytes(device.content), []) for path, device in done.devices.items()}  # type: ignore[attr-defined]
    assert not any(_image(after, old)), "the removed key header is wiped"


@pytest.mark.parametrize("areas", [(1, 1), (2, 1)], ids=str)
def test_after_any_crash_the_next_change_succeeds_and_brings_every_area_up_to_date(
    tmp_path: Path, areas: tuple[int, ...]
) -> None:
    disks = make_disks(tmp_path, areas)
    linear = lvs.LvRequest(name="next", size_bytes=MIB)
    before, timeline, _ = record(
        tmp_path, disks, lambda session: lvs.create(session, "vg0", linear.replace(name="crashed"))
    )
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        with state.session() as session:
            lvs.create(session, "vg0", linear)
            group = session.world().group("vg0")
            assert {area.vg for area in group.areas} == {group.vg}, f"crash point {point}"
            assert group.vg.find_lv("next") is not None


@pytest.mark.parametrize("areas", [(1,), (1, 1, 1), (2, 1)], ids=str)
def test_a_write_that_fails_leaves_the_old_or_the_new_volume_group_and_says_which(
    tmp_path: Path, areas: tuple[int, ...]
) -> None:
    def create(session: Session) -> None:
        lvs.create(session, "vg0", REQUEST, Known())

    disks = make_disks(tmp_path, areas)
    old = disks.group()
    before, timeline, _ = record(tmp_path, disks, create)
    for number, _, state, error, warnings in failing_writes(tmp_path, before, timeline, create):
        found = state.group()
        assert found is not None
        if error is not None:
            assert found == old, f"write {number}: it failed, so nothing may have changed"
        else:
            assert found.find_lv("new") is not None
            assert state.opens("new")
            assert warnings, f"write {number}: what was missed is said"


@pytest.mark.parametrize("areas", [(1,), (1, 1)], ids=str)
def test_vgcreate_leaves_no_volume_group_or_a_whole_one(tmp_path: Path, areas: tuple[int, ...]) -> None:
    devices = {f"/d{number}": MemoryDevice(4 * MIB, path=f"/d{number}") for number in range(len(areas))}
    disks = Disks(tmp_path, devices)
    before, timeline, done = record(tmp_path, disks, lambda session: vg.create(session, "vg0", tuple(devices), MIB))
    new = done.group()
    assert new is not None
    seen = set()
    for point, state in crash_states(before, timeline):
        found = Disks(tmp_path, state).group()
        assert found in (None, new), f"crash point {point} of {len(timeline)}"
        seen.add(found)
    assert seen == {None, new}
