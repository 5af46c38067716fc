"""The devices file in lvm2's form: entries, counter, identities and lines of others that stay, whose file it is."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError
from cryptlv.host.devicesfile import DeviceEntry, DevicesFile

if TYPE_CHECKING:
    from pathlib import Path

ID1, ID2 = "a" * 32, "b" * 32


@pytest.fixture
def devices(tmp_path: Path) -> DevicesFile:
    return DevicesFile(str(tmp_path / "devices" / "system.devices"), str(tmp_path / "lock"))


def write(devices: DevicesFile, *lines: str) -> None:
    os.makedirs(os.path.dirname(devices.path), exist_ok=True)
    with open(devices.path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def version(devices: DevicesFile) -> str:
    (found,) = [line for line in devices.lines() if line.startswith("VERSION")]
    return found


def test_no_file_means_no_devices(devices: DevicesFile) -> None:
    assert devices.paths() == ()
    assert devices.foreign_system_id() is None


def test_entries_are_added_replaced_and_removed_and_the_counter_grows(devices: DevicesFile) -> None:
    devices.add([("/img/a", ID1), ("/img/with blank", ID2)])
    assert devices.paths() == ("/img/a", "/img/with blank")
    assert version(devices) == "VERSION=1.1.1"
    assert f"IDTYPE=devname IDNAME=/img/a DEVNAME=/img/a PVID={ID1}" in devices.lines()
    devices.add([("/img/a", ID2)])
    assert sum("DEVNAME=/img/a " in line for line in devices.lines()) == 1
    assert version(devices) == "VERSION=1.1.2"
    devices.remove(["/img/with blank"])
    assert devices.paths() == ("/img/a",)
    assert version(devices) == "VERSION=1.1.3"
    devices.remove(["/img/none"])
    assert version(devices) == "VERSION=1.1.3", "nothing changed"


def test_what_stock_wrote_is_read_and_kept(devices: DevicesFile) -> None:
    """Lines as lvmdevices(8) shows them."""
    lines = [
        "# LVM uses devices listed in this file.",
        "# Created by LVM command vgimportdevices pid 1 at Mon Nov 23 2026",
        "VERSION=1.1.41",
        f"IDTYPE=sys_wwid IDNAME=naa.5000 DEVNAME=/dev/sda2 PVID={ID1} PART=2",
        f"IDTYPE=loop_file IDNAME=/x DEVNAME=. PVID={ID2}",
        "IDTYPE=devname IDNAME=/dev/sdq DEVNAME=. PVID=.",
        "IDTYPE=sys_serial IDNAME=1 DEVNAME=/dev/vdc PVID=.",
        "what nobody knows",
    ]
    write(devices, *lines)
    assert devices.entries() == (
        DeviceEntry(path="/dev/sda2", pv_id=ID1),
        DeviceEntry(path="/dev/sdq"),
        DeviceEntry(path="/dev/vdc"),
    )
    devices.add([("/img/c", ID2)])
    assert devices.lines() == [
        *lines[:2], "VERSION=1.1.42", *lines[3:], f"IDTYPE=devname IDNAME=/img/c DEVNAME=/img/c PVID={ID2}"
    ]  # fmt: skip


def test_a_device_keeps_what_stock_knows_it_by(devices: DevicesFile) -> None:
    """A wwid outlives a new PV and its removal, as with stock's pvcreate and pvremove."""
    entry = "IDTYPE=sys_wwid IDNAME=naa.5000 DEVNAME=/dev/sda2 PVID={} PART=2"
    write(devices, "VERSION=1.1.1", entry.format(ID1))
    devices.add([("/dev/sda2", ID2)])
    assert devices.lines()[-1] == entry.format(ID2)
    devices.remove(["/dev/sda2"])
    assert devices.lines()[-1] == entry.format(".")
    assert devices.paths() == ("/dev/sda2",)
    assert version(devices) == "VERSION=1.1.3"


def test_the_file_bears_the_hosts_system_id_and_that_of_another_is_told(tmp_path: Path) -> None:
    path, locks = str(tmp_path / "devices" / "system.devices"), str(tmp_path / "lock")
    mine = DevicesFile(path, locks, "me")
    mine.add([("/a", ID1)])
    assert mine.lines()[1] == "SYSTEMID=me"
    assert mine.foreign_system_id() is None
    other = DevicesFile(path, locks, "other")
    assert other.foreign_system_id() == "me"
    other.add([("/b", ID2)])
    assert other.foreign_system_id() is None
    assert DevicesFile(path, locks).foreign_system_id() == "other"


@pytest.mark.parametrize("word", ["2.0.5", "1.x.1", ""])
def test_a_file_of_a_version_that_is_not_known_is_read_and_never_written(devices: DevicesFile, word: str) -> None:
    lines = [f"VERSION={word}", f"IDTYPE=devname IDNAME=/a DEVNAME=/a PVID={ID1}"]
    write(devices, *lines)
    assert devices.paths() == ("/a",)
    with pytest.raises(DeviceError, match="version"):
        devices.add([("/b", ID2)])
    assert devices.lines() == lines


def test_a_change_waits_for_stocks_lock_and_leaves_its_file_there(devices: DevicesFile, tmp_path: Path) -> None:
    """Stock opens D_NAME, locks it and never unlinks it: who unlinked it would let two in at once."""
    (tmp_path / "lock").mkdir()
    path = tmp_path / "lock" / "D_system.devices"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    thread = threading.Thread(target=devices.add, args=([("/a", ID1)],))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    assert devices.paths() == ()
    os.close(descriptor)
    thread.join(10)
    assert devices.paths() == ("/a",)
    assert os.listdir(tmp_path / "lock") == ["D_system.devices"]


def test_a_file_that_cannot_be_read_is_named(devices: DevicesFile, tmp_path: Path) -> None:
    (tmp_path / "devices" / "system.devices").mkdir(parents=True)
    with pytest.raises(DeviceError, match=r"system\.devices"):
        devices.paths()
