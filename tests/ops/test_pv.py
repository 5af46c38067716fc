"""pvcreate: what is written, in an order that a crash cannot hurt, and what is refused or asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ExistsError, InUseError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.vg_edit import VgChange
from cryptlv.ondisk.label import encode_label, find_label, find_labels
from cryptlv.ops import pv, vg_change
from support.crash import Event, RecordingDevice
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def test_metadata_areas_are_durable_before_the_label_points_at_them(tmp_path: Path) -> None:
    events: list[Event] = []
    disks = Disks(tmp_path, {"/d": RecordingDevice("/d", bytes(16 * MIB), events)})
    with disks.session() as session:
        pv.create(session, ("/d",), pv.PvOptions(metadata_copies=2))
    assert [event.offset_bytes if event.data is not None else "flush" for event in events] == [
        4096, 15 * MIB, "flush", 0, "flush",
    ]  # fmt: skip


def test_a_label_in_another_sector_is_cleared(tmp_path: Path) -> None:
    content = bytearray(16 * MIB)
    disks = make_disks(tmp_path, (1,))
    old = bytes(disks.devices["/d0"].content)  # type: ignore[attr-defined]
    content[3 * 512 : 4 * 512] = old[512:1024]
    device = MemoryDevice(path="/d", content=bytes(content))
    with Disks(tmp_path, {"/d": device}).session() as session:
        pv.create(session, ("/d",))
    label, remarks = find_label(device.read(0, 2048))
    assert label is not None
    assert not remarks, "one label only"
    assert device.read(1536, 512) == bytes(512)


def test_all_are_looked_at_before_the_first_is_written(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    events: list[Event] = []
    disks.devices["/new"] = RecordingDevice("/new", bytes(16 * MIB), events)
    with disks.session() as session, pytest.raises(InUseError, match="'vg0'"):
        pv.create(session, ("/new", "/d0"))
    assert events == []


def test_a_physical_volume_is_made_anew_but_one_in_use_only_when_forced_and_agreed_to(tmp_path: Path) -> None:
    disks = Disks(tmp_path, {"/d": MemoryDevice(16 * MIB, path="/d")})
    with disks.session() as session:
        pv.create(session, ("/d",))
        (first,) = (found.label.pv_id for found in session.world().pvs)
        pv.create(session, ("/d",))
        (second,) = (found.label.pv_id for found in session.world().pvs)
        assert second != first
    used = make_disks(tmp_path, (1,))
    with used.session() as session:
        session.force = 1
        with pytest.raises(InUseError, match="without -ff"):
            pv.create(session, ("/d0",))
        session.force = 2
        with pytest.raises(RefusedError, match="Really INITIALIZE"):
            pv.create(session, ("/d0",))
        assert used.group() is not None
        asked: list[str] = []
        pv.create(session, ("/d0",), ask=asked.append)
    assert asked == ["Really INITIALIZE physical volume \"/d0\" of volume group 'vg0'?"]
    assert used.group() is None


def test_what_stands_against_one_device_does_not_stop_the_others(tmp_path: Path) -> None:
    devices = {f"/d{number}": MemoryDevice(16 * MIB, path=f"/d{number}") for number in range(4)}
    devices["/d1"].content[0x438:0x43A] = b"\x53\xef"
    devices["/d2"] = MemoryDevice(MIB, path="/d2")
    errors: list[str] = []
    with Disks(tmp_path, dict(devices)).session() as session:
        made = pv.create(session, tuple(devices), on_error=lambda error: errors.append(str(error)))
        assert made == ("/d0", "/d3")
        assert [found.path for found in session.world().pvs] == ["/d0", "/d3"]
    assert len(errors) == 2
    assert "too small" in errors[0]
    assert "ext2 signature detected on /d1 at offset 1080" in errors[1]


def test_a_signature_is_wiped_when_that_is_agreed_to(tmp_path: Path) -> None:
    device = MemoryDevice(16 * MIB, path="/d")
    device.content[0x10040:0x10048] = b"_BHRfS_M"
    with Disks(tmp_path, {"/d": device}).session() as session:
        pv.create(session, ("/d",), ask=lambda _: None)
    assert device.content[0x10040:0x10048] == bytes(8)


def test_an_id_that_another_device_has_is_refused(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    disks.devices["/d"] = MemoryDevice(16 * MIB, path="/d")
    with disks.session() as session:
        (found,) = session.world().pvs
        with pytest.raises(ExistsError, match="already in use"):
            pv.create(session, ("/d",), pv.PvOptions(pv_id=found.label.pv_id))
        with pytest.raises(UsageError, match="one volume at once"):
            pv.create(session, ("/d", "/d0"), pv.PvOptions(pv_id=found.label.pv_id))
        copy = MemoryDevice(path="/e", content=disks.devices["/d0"].read(0, 16 * MIB))
        disks.devices["/e"] = copy
        with pytest.raises(ExistsError, match="duplicates"):
            pv.create(session, ("/e",))


def test_without_zero_only_labels_are_cleared(tmp_path: Path) -> None:
    device = MemoryDevice(path="/d", content=b"boot code" + bytes(16 * MIB - 9))
    with Disks(tmp_path, {"/d": device}).session() as session:
        pv.create(session, ("/d",), pv.PvOptions(zero=False, label_sector=0))
        pv.create(session, ("/d",), pv.PvOptions(zero=False, label_sector=2, metadata_ignored=True))
        (found,) = session.world().pvs
    assert found.label.sector == 2
    assert found.areas[0].is_ignored
    assert device.content[:1024] == bytes(1024)


def test_a_released_pv_takes_up_the_size_of_its_device(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        (found,) = session.world().pvs
        pv.release(disks.devices["/d0"], found.label.replace(device_size_bytes=4 * MIB))
        (now,) = session.world().pvs
    assert now.label.device_size_bytes == 16 * MIB
    assert not now.label.is_used
    assert disks.group() is None


def test_a_write_that_fails_is_told_and_the_other_devices_are_made(tmp_path: Path) -> None:
    content = b"LUKS\xba\xbe" + bytes(16 * MIB - 6)
    events: list[Event] = []
    with Disks(tmp_path, {"/d": RecordingDevice("/d", content, events)}).session() as session:
        pv.create(session, ("/d",), pv.PvOptions(metadata_copies=2), ask=lambda _: None)
    writes = [number for number, event in enumerate(events) if event.data is not None]
    assert len(writes) == 4
    for number in writes:
        errors: list[str] = []
        disks = Disks(
            tmp_path,
            {"/d": RecordingDevice("/d", content, [], number), "/e": MemoryDevice(16 * MIB, path="/e")},
        )
        with disks.session() as session:
            made = pv.create(
                session,
                ("/d", "/e"),
                pv.PvOptions(metadata_copies=2),
                ask=lambda _: None,
                on_error=lambda error, errors=errors: errors.append(str(error)),  # type: ignore[misc]
            )
            assert made == ("/e",)
            assert [found.path for found in session.world().pvs] == ["/e"]
        assert errors == ["/d: cannot write: No space left on device"]


def test_a_device_of_a_group_whose_metadata_are_damaged_is_not_taken(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    disks.devices["/d0"].write(4096, bytes(512))
    with disks.session() as session:
        session.force = 1
        with pytest.raises(InUseError, match="<unknown> without -ff"):
            pv.create(session, ("/d0",))


@pytest.mark.parametrize("size", [0, 512, MIB, 2 * MIB - 1])
def test_a_device_that_is_too_small_is_refused(tmp_path: Path, size: int) -> None:
    device = MemoryDevice(size, path="/small")
    with Disks(tmp_path, {"/small": device}).session() as session, pytest.raises(Exception, match=r"/small.*small"):
        pv.create(session, ("/small",))
    assert device.content == bytes(size)


def test_paths_are_made_absolute_and_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pv.absolute_paths(("a", "/b")) == (str(tmp_path / "a"), "/b")
    with pytest.raises(RefusedError, match="more than once"):
        pv.absolute_paths(("a", f"{tmp_path}/./a"))


def test_without_zeroing_only_labels_are_cleared(tmp_path: Path) -> None:
    device = MemoryDevice(16 * MIB, path="/n")
    with Disks(tmp_path, {"/n": device}).session() as session:
        pv.create(session, ("/n",))
        (old,), _ = find_labels(device.read(0, 2048))
        device.write(0, encode_label(old.replace(sector=0)))
        device.write(1024, b"boot code")
        pv.write_new(device, old, pv.PvOptions(zero=False))
        assert find_labels(device.read(0, 2048))[0] == (old,)
        assert device.read(1024, 9) == b"boot code"
        pv.write_new(device, old)
        assert not any(device.read(1024, 9))


def test_an_ignored_area_stays_so_when_its_volume_is_released(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        vg_change.change(session, "vg0", VgChange(metadata_copies=1))
        found = session.world().pvs
        assert [area.is_ignored for place in found for area in place.areas] == [False, True]
        for place in found:
            pv.release(disks.devices[place.path], place.label)
        after = session.world().pvs
        assert [area.is_ignored for place in after for area in place.areas] == [False, True]
        assert not any(place.label.is_used for place in after)
