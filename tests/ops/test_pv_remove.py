"""pvremove: labels go, what they pointed at stays, and nothing goes that is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import InUseError, NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import pv, pv_remove
from support.crash import Event, RecordingDevice
from support.disks import MIB, Disks, make_disks

if TYPE_CHECKING:
    from pathlib import Path


def test_only_labels_are_wiped(tmp_path: Path) -> None:
    device = MemoryDevice(path="/d", content=b"boot code" + bytes(16 * MIB - 9))
    with Disks(tmp_path, {"/d": device}).session() as session:
        pv.create(session, ("/d",), pv.PvOptions(zero=False))
        device.content[2 * 512 : 3 * 512] = device.content[512:1024]
        kept = bytes(device.content)
        assert pv_remove.remove(session, ("/d",)) == ("/d",)
        assert session.world().pvs == ()
        assert device.content == kept[:512] + bytes(512) + kept[1024:], "a label for another sector is none"
        with pytest.raises(NotFoundError, match="No PV found on device /d"):
            pv_remove.remove(session, ("/d",))
        session.force = 1
        assert pv_remove.remove(session, ("/d",)) == ("/d",)


def test_one_in_use_goes_only_when_forced_twice_and_agreed_to(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        for force in (0, 1):
            session.force = force
            with pytest.raises(InUseError, match="use vgreduce first"):
                pv_remove.remove(session, ("/d0",))
        session.force = 2
        with pytest.raises(RefusedError, match="Really WIPE LABELS"):
            pv_remove.remove(session, ("/d0",))
        assert [found.path for found in session.world().pvs] == ["/d0", "/d1"]
        asked: list[str] = []
        assert pv_remove.remove(session, ("/d0",), asked.append) == ("/d0",)
        assert len(asked) == 1
        assert [found.path for found in session.world().pvs] == ["/d1"]


def test_one_of_a_group_that_cannot_be_read_is_in_use(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    disks.devices["/d0"].write(4096, bytes(512))
    with disks.session() as session, pytest.raises(InUseError, match="<unknown>"):
        pv_remove.remove(session, ("/d0",))


def test_a_test_wipes_nothing_and_a_write_that_fails_is_told(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = disks.devices["/d0"].read(0, 16 * MIB)
    with disks.session() as session:
        session.force, session.test = 2, True
        assert pv_remove.remove(session, ("/d0",), lambda _: None) == ("/d0",)
    assert disks.devices["/d0"].read(0, 16 * MIB) == before
    events: list[Event] = []
    disks.devices["/d0"] = RecordingDevice("/d0", before, events, fail_at=0)
    disks.devices["/e"] = MemoryDevice(16 * MIB, path="/e")
    errors: list[str] = []
    with disks.session() as session:
        pv.create(session, ("/e",))
        session.force = 2
        done = pv_remove.remove(session, ("/d0", "/e"), lambda _: None, lambda error: errors.append(str(error)))
    assert done == ("/e",)
    assert errors == ["/d0: cannot write: No space left on device"]
