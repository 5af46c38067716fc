"""Scanning: the newest copy wins, what is left out is named, duplicates are never used twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import FormatError, NotFoundError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.scan import scan
from cryptlv.ops import lv as lvs
from support.crash import Event, RecordingDevice
from support.disks import Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


def contents(disks: Disks) -> dict[str, bytes]:
    return {path: bytes(device.content) for path, device in disks.devices.items() if isinstance(device, MemoryDevice)}


def devices(images: dict[str, bytes]) -> list[MemoryDevice]:
    return [MemoryDevice(path=path, content=content) for path, content in images.items()]


def test_the_newest_copy_wins_and_the_old_one_is_named(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    old = contents(disks)
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="late", size_bytes=MIB))
    new = contents(disks)
    for stale in new:
        world = scan(devices({path: old[path] if path == stale else new[path] for path in new}))
        assert world.group("vg0").vg == disks.group()
        assert len(world.warnings) == 1
        assert stale in world.warnings[0]
        assert "seqno" in world.warnings[0]


def test_a_damaged_text_is_named_and_the_other_copy_is_used(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    images = contents(disks)
    broken = bytearray(images["/d0"])
    for place in range(4096 + 512, 4096 + 60000, 512):
        broken[place] ^= 1
    world = scan(devices({**images, "/d0": bytes(broken)}))
    assert world.group("vg0").vg == disks.group()
    assert any("/d0" in warning and "checksum" in warning for warning in world.warnings)


def test_a_missing_device_is_named(tmp_path: Path) -> None:
    images = contents(make_disks(tmp_path, (1, 1)))
    del images["/d1"]
    world = scan(devices(images))
    group = world.group("vg0")
    assert len(group.missing_pv_ids) == 1
    assert any("/d1" in warning and "not found" in warning for warning in world.warnings)


def test_a_copy_of_a_device_is_not_used(tmp_path: Path) -> None:
    images = contents(make_disks(tmp_path, (1,)))
    world = scan(devices({"/d0": images["/d0"], "/copy": images["/d0"]}))
    assert [pv.path for pv in world.pvs] == ["/d0"]
    assert any("/copy" in warning and "same PV id" in warning for warning in world.warnings)


def test_two_groups_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    first, second = contents(make_disks(tmp_path, (1,))), contents(make_disks(tmp_path, (1,)))
    world = scan(devices({"/a": first["/d0"], "/b": second["/d0"]}))
    with pytest.raises(FormatError, match="several volume groups"):
        world.group("vg0")


def test_what_is_not_there_is_said() -> None:
    world = scan([MemoryDevice(MIB)])
    assert world.groups == world.pvs == world.warnings == ()
    with pytest.raises(NotFoundError, match="vgx"):
        world.group("vgx")


def test_a_device_that_fails_is_a_warning(tmp_path: Path) -> None:
    images = contents(make_disks(tmp_path, (1, 1)))
    short = MemoryDevice(path="/d0", content=images["/d0"][:6000])
    world = scan([short, MemoryDevice(path="/d1", content=images["/d1"])])
    assert world.find_group("vg0") is not None
    assert any("/d0" in warning for warning in world.warnings)


def test_scanning_writes_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    images = contents(make_disks(tmp_path, (1, 2)))
    scan([RecordingDevice(path, content, events) for path, content in images.items()])
    assert events == []
