"""vgmerge on disks in memory; what stock does is in compat/pairs, crashes in crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ExistsError, NotFoundError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops import vg
from cryptlv.ops.vg_merge import vgmerge
from support.disks import REQUEST, Disks, Known

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    """vg0 and vg1, an encrypted volume in each."""
    devices = {f"/d{number}": MemoryDevice(8 * MIB, path=f"/d{number}") for number in range(2)}
    made = Disks(tmp_path, devices)
    with made.session() as session:
        for number in range(2):
            vg.create(session, f"vg{number}", (f"/d{number}",), 64 * 1024)
            lvs.create(session, f"vg{number}", REQUEST.replace(name=f"s{number}", size_bytes=MIB), Known())
    return made


def test_keys_of_both_open_and_the_renamed_one_is_told(disks: Disks) -> None:
    with disks.session() as session:
        done = vgmerge(session, "vg0", "vg1")
        assert done.renamed == (("cryptostore1", "cryptostore2"),)
        assert [group.vg.name for group in session.world().groups] == ["vg0"]
    assert disks.opens("s0")
    assert disks.opens("s1")


def test_what_cannot_be_merged_stays(disks: Disks) -> None:
    before = [bytes(device.content) for device in disks.devices.values()]  # type: ignore[attr-defined]
    with disks.session() as session:
        with pytest.raises(ExistsError, match="Duplicate volume group name"):
            vgmerge(session, "vg0", "vg0")
        with pytest.raises(NotFoundError, match="none"):
            vgmerge(session, "vg0", "none")
    assert [bytes(device.content) for device in disks.devices.values()] == before  # type: ignore[attr-defined]
