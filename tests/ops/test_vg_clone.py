"""vgimportclone: a copy becomes a group of its own, whose volumes open as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CommitError, DeviceError, NotFoundError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ondisk.label import find_labels
from cryptlv.ops import pv, vg_change
from cryptlv.ops.vg_clone import import_clone
from cryptlv.ops.vgck import find_faults
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup


def with_copies(disks: Disks) -> tuple[str, ...]:
    """A copy /c0, ... of each device; their paths."""
    copies = {path.replace("d", "c"): device for path, device in disks.devices.items()}
    for path, device in copies.items():
        disks.devices[path] = MemoryDevice(path=path, content=bytes(device.read(0, device.size_bytes)))
    return tuple(copies)


def ids(vg: VolumeGroup) -> set[str]:
    """Its id, and those of all that it has."""
    return {vg.id, *(place.id for place in vg.pvs), *(lv.id for lv in vg.lvs)}


def named(disks: Disks, name: str) -> VolumeGroup:
    with disks.session() as session:
        assert find_faults(session, name) == ()
        return session.world().group(name).vg


@pytest.mark.parametrize("areas", [(1,), (1, 2, 0)], ids=str)
def test_a_copy_beside_its_original_gets_new_ids_and_a_name(tmp_path: Path, areas: tuple[int, ...]) -> None:
    disks = make_disks(tmp_path, areas)
    original = disks.group()
    assert original is not None
    paths = with_copies(disks)
    with disks.session() as session:
        made = import_clone(session, paths)
    assert made.name == "vg01"
    assert named(disks, "vg01") == made
    assert named(disks, "vg0") == original
    assert ids(made).isdisjoint(ids(original))
    assert [p.device for p in made.pvs] == list(paths)
    for path in paths:
        labels, _ = find_labels(disks.devices[path].read(0, 2048))
        assert len(labels) == 1
    only = Disks(tmp_path, {path: disks.devices[path] for path in paths})
    with only.session() as session:
        vg_change.rename(session, "vg01", "vg0")
    assert only.opens("old"), "the key header is found where the new ids say"


def test_names_that_are_taken_get_a_number(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    paths = with_copies(disks)
    with disks.session() as session:
        names = [import_clone(session, paths, base).name for base in ("", "vg0", "x", "x", "")]
    assert names == ["vg01", "vg01", "x", "x", "x1"]


def test_a_group_without_its_original_is_changed_in_place(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        vg_change.export(session, "vg0")
        with pytest.raises(RefusedError, match="--import"):
            import_clone(session, ("/d0", "/d1"))
        made = import_clone(session, ("/d1", "/d0"), "new", import_exported=True)
    assert not made.is_exported
    assert named(disks, "new") == made


def test_devices_must_be_those_of_one_whole_group(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    disks.devices["/orphan"] = MemoryDevice(16 * MIB, path="/orphan")
    disks.devices["/blank"] = MemoryDevice(16 * MIB, path="/blank")
    with disks.session() as session:
        pv.create(session, ("/orphan",))
        for paths, error, message in (
            (("/d0",), RefusedError, "imported together"),
            (("/d0", "/d1", "/orphan"), RefusedError, "not found in VG"),
            (("/blank",), NotFoundError, "no physical volume"),
            (("/orphan",), NotFoundError, "No VG found"),
            (("/d0", "/d0"), RefusedError, "more than once"),
            ((), UsageError, "name the devices"),
        ):
            with pytest.raises(error, match=message):
                import_clone(session, paths)


def test_a_test_writes_nothing(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = bytes(disks.devices["/d0"].read(0, 16 * MIB))
    with disks.session() as session:
        session.test = True
        import_clone(session, ("/d0",))
    assert disks.devices["/d0"].read(0, 16 * MIB) == before


def test_a_device_that_cannot_be_written_leaves_the_group_as_it_was(tmp_path: Path) -> None:
    class Failing(MemoryDevice):
        def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
            raise DeviceError("/d1: cannot write: Input/output error", errno=5)

    disks = make_disks(tmp_path, (1, 1))
    old = disks.group()
    disks.devices["/d1"] = Failing(path="/d1", content=bytes(disks.devices["/d1"].read(0, 16 * MIB)))
    with disks.session() as session, pytest.raises(CommitError, match="unchanged"):
        import_clone(session, ("/d0", "/d1"))
    assert disks.group() == old
