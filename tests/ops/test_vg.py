"""vgcreate on physical volumes, on devices that are none yet, and on what must not be taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ExistsError, InUseError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ondisk.label import find_label
from cryptlv.ops import pv, vg
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def blank(tmp_path: Path, count: int = 2) -> Disks:
    return Disks(tmp_path, {f"/n{number}": MemoryDevice(16 * MIB, path=f"/n{number}") for number in range(count)})


def test_devices_are_made_physical_volumes_where_they_are_none(tmp_path: Path) -> None:
    disks = blank(tmp_path)
    with disks.session() as session:
        pv.create(session, ("/n0",))
        made = vg.create(session, "vg0", ("/n0", "/n1"))
    assert disks.group() == made
    assert [place.device for place in made.pvs] == ["/n0", "/n1"]
    assert made.seqno == 1
    assert made.extent_count == 2 * 3, "15 MiB in extents of 4 MiB, twice"
    for device in disks.devices.values():
        label, _ = find_label(device.read(0, 2048))
        assert label is not None
        assert label.is_used


@pytest.mark.parametrize(("size", "sectors"), [(0, 8192), (64 * 1024, 128), (3 * MIB, 6144), (512, 1)])
def test_extent_sizes_need_not_be_powers_of_two(tmp_path: Path, size: int, sectors: int) -> None:
    with blank(tmp_path).session() as session:
        assert vg.create(session, "vg0", ("/n0",), size).extent_size_sectors == sectors


@pytest.mark.parametrize("size", [1, 1000, 2**41])
def test_extent_sizes_are_whole_sectors(tmp_path: Path, size: int) -> None:
    with blank(tmp_path).session() as session, pytest.raises(UsageError, match="extent size"):
        vg.create(session, "vg0", ("/n0",), size)


def test_nothing_is_written_when_one_device_must_not_be_taken(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    disks.devices["/new"] = MemoryDevice(16 * MIB, path="/new")
    with disks.session() as session:
        with pytest.raises(InUseError, match="'vg0'"):
            vg.create(session, "vg1", ("/new", "/d0"))
        with pytest.raises(ExistsError):
            vg.create(session, "vg0", ("/new",))
        with pytest.raises(RefusedError, match="no room"):
            vg.create(session, "vg1", ("/new",), 64 * MIB)
        with pytest.raises(UsageError):
            vg.create(session, "vg1", ())
    assert disks.devices["/new"].read(0, 16 * MIB) == bytes(16 * MIB)


def test_a_physical_volume_of_a_group_that_is_gone_or_damaged_is_not_taken(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    disks.devices["/d0"].write(4096, bytes(512))
    with disks.session() as session, pytest.raises(InUseError, match="metadata is missing"):
        vg.create(session, "vg1", ("/d0",))
