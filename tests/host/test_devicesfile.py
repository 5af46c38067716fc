"""The devices file in lvm2's form: entries, counter, and lines of others that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import DeviceError
from cryptlv.host.devicesfile import DevicesFile

if TYPE_CHECKING:
    from pathlib import Path

ID1, ID2 = "a" * 32, "b" * 32


@pytest.fixture
def devices(tmp_path: Path) -> DevicesFile:
    return DevicesFile(str(tmp_path / "devices" / "system.devices"), str(tmp_path / "lock"))


def test_no_file_means_no_devices(devices: DevicesFile) -> None:
    assert devices.paths() == ()


def test_entries_are_added_replaced_and_removed_and_the_counter_grows(devices: DevicesFile) -> None:
    devices.add([("/img/a", ID1), ("/img/with blank", ID2)])
    assert devices.paths() == ("/img/a", "/img/with blank")
    assert devices.lines()[-1] == "VERSION=1.1.1"
    assert f"IDTYPE=devname IDNAME=/img/a DEVNAME=/img/a PVID={ID1}" in devices.lines()
    devices.add([("/img/a", ID2)])
    assert sum("DEVNAME=/img/a " in line for line in devices.lines()) == 1
    assert devices.lines()[-1] == "VERSION=1.1.2"
    devices.remove(["/img/with blank"])
    assert devices.paths() == ("/img/a",)
    assert devices.lines()[-1] == "VERSION=1.1.3"
    devices.remove(["/img/none"])
    assert devices.lines()[-1] == "VERSION=1.1.3", "nothing changed"


def test_what_stock_wrote_is_read_and_kept(devices: DevicesFile, tmp_path: Path) -> None:
    """Lines as lvmdevices(8) shows them."""
    lines = [
        "# LVM uses devices listed in this file.",
        "# Created by LVM command vgimportdevices pid 1 at Mon Nov 23 2026",
        "SYSTEMID=host",
        f"IDTYPE=sys_wwid IDNAME=naa.5000 DEVNAME=/dev/sda2 PVID={ID1} PART=2",
        f"IDTYPE=loop_file IDNAME=/x DEVNAME=. PVID={ID2}",
        "VERSION=1.1.41",
    ]
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "system.devices").write_text("\n".join(lines) + "\n")
    assert devices.paths() == ("/dev/sda2",)
    devices.add([("/img/c", ID2)])
    assert devices.lines()[: len(lines) - 1] == lines[:-1]
    assert devices.lines()[-1] == "VERSION=1.1.42"


def test_a_file_that_cannot_be_read_is_named(devices: DevicesFile, tmp_path: Path) -> None:
    (tmp_path / "devices" / "system.devices").mkdir(parents=True)
    with pytest.raises(DeviceError, match=r"system\.devices"):
        devices.paths()
