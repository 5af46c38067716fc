"""pvresize: extents come and go at the end, and a metadata area there moves along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NoSpaceError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops import pv
from cryptlv.ops.pv_change import PvChange, change
from cryptlv.ops.pv_resize import resize
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def grown(disks: Disks, path: str, size_bytes: int) -> None:
    device = disks.devices[path]
    content = device.read(0, device.size_bytes) + bytes(size_bytes - device.size_bytes)
    disks.devices[path] = MemoryDevice(path=path, content=content)


def areas(disks: Disks) -> list[tuple[int, int]]:
    with disks.session() as session:
        group = session.world().group("vg0")
        assert {area.vg for area in group.areas if not area.is_ignored} == {group.vg}
        return [(area.start_bytes, area.size_bytes) for area in group.areas]


@pytest.mark.parametrize("size_mib", [17, 24, 15, 10], ids=lambda size: f"{size} MiB")
def test_a_metadata_area_at_the_end_moves_with_it(tmp_path: Path, size_mib: int) -> None:
    disks = make_disks(tmp_path, (2, 1))
    if size_mib > 16:
        grown(disks, "/d0", size_mib * MIB)
    with disks.session() as session:
        resize(session, "/d0", size_mib * MIB, lambda _: None)
        (found,) = (found for found in session.world().pvs if found.path == "/d0")
    assert areas(disks) == [(4096, MIB - 4096), ((size_mib - 1) * MIB, MIB), (4096, MIB - 4096)]
    assert found.label.device_size_bytes == size_mib * MIB
    group = disks.group()
    assert group is not None
    assert group.pvs[0].pe_count == (size_mib - 2) * MIB // group.extent_size_bytes
    assert disks.opens("old")


def test_a_small_step_moves_an_area_over_itself(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2,))
    with disks.session() as session:
        resize(session, "/d0", 16 * MIB - 65536, lambda _: None)
        resize(session, "/d0")
    assert areas(disks) == [(4096, MIB - 4096), (15 * MIB, MIB)]


def test_an_area_that_is_not_in_use_stays_so(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2, 1))
    with disks.session() as session:
        change(session, "/d0", PvChange(ignore_metadata=True))
        resize(session, "/d0", 12 * MIB, lambda _: None)
        ignored = [area.is_ignored for area in session.world().group("vg0").areas]
    assert ignored == [True, True, False]
    assert areas(disks)[1] == (11 * MIB, MIB)


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = bytes(disks.devices["/d0"].content)  # type: ignore[attr-defined]
    with disks.session() as session:
        group = session.world().group("vg0").vg
        end = max(start + length for lv in group.lvs for s in lv.segments for _, start, length in s.footprint())
        size = MIB + end * group.extent_size_bytes
        with pytest.raises(NoSpaceError, match="are allocated"):
            resize(session, "/d0", size - 65536, lambda _: None)
    assert bytes(disks.devices["/d0"].content) == before  # type: ignore[attr-defined]
    with disks.session() as session:
        resize(session, "/d0", size, lambda _: None)
        with pytest.raises(NoSpaceError):
            lvs.create(session, "vg0", lvs.LvRequest(name="more", size_bytes=65536))


def test_another_size_than_the_devices_is_asked_about(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    warnings: list[str] = []
    with disks.session(warnings.append) as session:
        with pytest.raises(RefusedError, match=r"Requested size 12.00m is less than real size 16.00m"):
            resize(session, "/d0", 12 * MIB)
        resize(session, "/d0", 20 * MIB, lambda _: None)
    assert warnings == ["/d0: Pretending size is 40960 not 32768 sectors."]


def test_an_orphan_and_sizes_that_cannot_be(tmp_path: Path) -> None:
    disks = Disks(tmp_path, {"/d": MemoryDevice(16 * MIB, path="/d")})
    with disks.session() as session:
        pv.create(session, ("/d",), pv.PvOptions(metadata_copies=2, metadata_size_bytes=4 * MIB))
        for size, words in ((MIB, "minimum of 4096 sectors"), (4 * MIB, "extent start"), (17 * MIB, "no room")):
            with pytest.raises((RefusedError, NoSpaceError), match=words):
                resize(session, "/d", size, lambda _: None)
        resize(session, "/d", 12 * MIB, lambda _: None)
        (found,) = session.world().pvs
    assert found.label.device_size_bytes == 12 * MIB
    assert found.label.mdas[1][0] + found.label.mdas[1][1] == 12 * MIB
    assert all(area.header is not None and area.vg is None for area in found.areas)
