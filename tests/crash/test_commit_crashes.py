"""Every crash of a change, with every fate of the writes that were not flushed, leaves the old or the new volume
group, whole and usable, and the keys that go with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.system import make_environment, observe_directories
from cryptlv.keys.registry import find_handler
from cryptlv.ops import lv as lvs
from cryptlv.ops import pv, vg
from cryptlv.ops.keystore import attributes_of, keystore_segment, read_image
from cryptlv.ops.session import Session
from cryptlv.secret import Passphrase
from support.crash import Event, OverlayDevice, RecordingDevice, crash_states

if TYPE_CHECKING:
    from pathlib import Path
    from collections.abc import Callable, Mapping

    from cryptlv.device import Device
    from cryptlv.model.vg import VolumeGroup

MIB = 1024 * 1024
PASSPHRASE = b"correct horse"
AREAS = [(1,), (1, 1), (2,), (1, 1, 1), (2, 1)]
"""Metadata areas on each PV: 1, 2 and 3 in all, two of them on one PV, too."""


class Known:
    """A credential that needs nobody."""

    may_retry = False

    def get(self, purpose: str, what: str, kind: str) -> Passphrase:
        return Passphrase(PASSPHRASE)


class Disks:
    """Devices in memory by path, and sessions on them."""

    def __init__(self, folder: Path, devices: Mapping[str, Device]) -> None:
        self.devices = dict(devices)
        self._folder = folder

    def session(self) -> Session:
        environ = {"CRYPTLV_SYSTEM_DIR": str(self._folder / "system"), "CRYPTLV_RUN_DIR": str(self._folder / "run")}
        return Session(
            observe_directories(environ, 1000),
            make_environment("test"),
            devices=tuple(self.devices),
            open_device=lambda path, _: self.devices[path],
        )

    def group(self) -> VolumeGroup | None:
        with self.session() as session:
            found = session.world().find_group("vg0")
        return None if found is None else found.vg

    def opens(self, volume: str) -> bool:
        """Whether the volume's keystore gives a key for the passphrase."""
        with self.session() as session:
            group = session.world().group("vg0")
            (name,) = {store for segment in group.vg.lv(volume).segments for store in segment.keystores}
            image = read_image(session, group.vg, name, group.pv_paths)
            attributes = attributes_of(keystore_segment(group.vg, name))
        try:
            find_handler(attributes.handler).unlock(attributes, image, Passphrase(PASSPHRASE)).close()
        except CryptlvError:
            return False
        return True


REQUEST = lvs.LvRequest(name="new", size_bytes=3 * MIB, segment_type="crypt", force_iterations=1000)


def make_disks(folder: Path, areas: tuple[int, ...], contents: Mapping[str, bytes] | None = None) -> Disks:
    """PVs of 16 MiB with so many metadata areas each, vg0 on them with two linear volumes and an encrypted one."""
    devices = {f"/d{number}": MemoryDevice(16 * MIB, path=f"/d{number}") for number in range(len(areas))}
    disks = Disks(folder, devices)
    with disks.session() as session:
        for path, copies in zip(devices, areas, strict=True):
            pv.create(session, (path,), pv.PvOptions(metadata_copies=copies))
        vg.create(session, "vg0", tuple(devices), 64 * 1024)
        lvs.create(session, "vg0", lvs.LvRequest(name="first", size_bytes=MIB))
        lvs.create(session, "vg0", REQUEST.replace(name="old"), Known())
    return disks


def record(
    folder: Path, disks: Disks, change: Callable[[Session], object]
) -> tuple[dict[str, bytes], list[Event], Disks]:
    """Run a change on recording devices: contents before, the timeline, and the disks after it."""
    before = {
        path: bytes(device.content) for path, device in disks.devices.items() if isinstance(device, MemoryDevice)
    }
    timeline: list[Event] = []
    after = Disks(folder, {path: RecordingDevice(path, content, timeline) for path, content in before.items()})
    with after.session() as session:
        change(session)
    return before, timeline, after


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
    before, timeline, done = record(tmp_path, disks, lambda session: lvs.remove(session, "vg0", "new"))
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
    disks = make_disks(tmp_path, areas)
    old = disks.group()
    before, timeline, _ = record(tmp_path, disks, lambda session: lvs.create(session, "vg0", REQUEST, Known()))
    for number, event in enumerate(timeline):
        if event.data is None:
            continue
        events: list[Event] = []
        devices = {path: RecordingDevice(path, content, events, number) for path, content in before.items()}
        state = Disks(tmp_path, devices)
        warnings: list[str] = []
        failed = False
        with state.session() as session:
            session._warn = warnings.append
            try:
                lvs.create(session, "vg0", REQUEST, Known())
            except CryptlvError:
                failed = True
        found = state.group()
        assert found is not None
        if failed:
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
