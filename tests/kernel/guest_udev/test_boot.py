"""Activation at boot, by the files in boot/: a rule that udevd runs, and the command of the unit that it asks for."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.guest import Guest
    from support.machine import Result

BOOT = Path(__file__).parents[3] / "boot"
CHANGING = ("USEC_INITIALIZED", "SEQNUM", "DISKSEQ", "DM_COOKIE", "DM_UDEV_DISABLE_LIBRARY_FALLBACK_FLAG")
"""Properties that differ from one event to the next; and the flag by which stock says that it makes no missing node
itself, as ours does."""
RULES = Path("/etc/udev/rules.d/90-cryptlv.rules")


@pytest.fixture
def rules(guest: Guest) -> Iterator[Guest]:
    """The guest with the rule installed."""
    RULES.write_text((BOOT / "udev" / RULES.name).read_text())
    guest.tool("udevadm", "control", "--reload")
    yield guest
    RULES.unlink()
    guest.tool("udevadm", "control", "--reload")


def wanted(guest: Guest, device: Path, action: str = "add") -> list[str]:
    """The units that an event of a device asks systemd for."""
    guest.tool("udevadm", "trigger", f"--action={action}", "--settle", device)
    properties = guest.tool("udevadm", "info", "--query=property", device).out
    return re.findall(r"^SYSTEMD_WANTS=(.*)$", properties, re.MULTILINE)


def start_unit(guest: Guest) -> Result:
    """What the unit starts, with the checkout's cryptlv and a key directory of the test's."""
    unit = (BOOT / "systemd" / "cryptlv-activate@.service").read_text()
    [line] = re.findall(r"^ExecStart=/usr/bin/cryptlv (.*)$", unit, re.MULTILINE)
    words = [word.replace("/etc/cryptlv/keys/", f"{guest.folder}/keys/") for word in shlex.split(line)]
    return guest.tool(sys.executable, "-m", "cryptlv", *words)


def test_a_disk_with_a_label_asks_for_the_unit_and_another_does_not(rules: Guest) -> None:
    disk, other = rules.disks[:2]
    assert wanted(rules, disk) == []
    rules.stock("pvcreate", disk)
    number = (Path("/sys/block") / disk.name / "dev").read_text().strip()
    for action in ("add", "change"):
        assert wanted(rules, disk, action) == [f"cryptlv-activate@{number}.service"]
    assert wanted(rules, other) == []
    assert (BOOT / "systemd" / "cryptlv-activate@.service").is_file()


def test_the_unit_activates_a_group_when_its_last_disk_has_come(guest: Guest) -> None:
    one, two = guest.disks[:2]
    guest.run("vgcreate", "vg0", one, two)
    (guest.folder / "keys" / "vg0").mkdir(parents=True)
    key = guest.key_file("keys/vg0/cryptostore1", b"the key of the first")
    guest.run("lvcreate", "-an", "--type", "crypt", *FAST, "--keyfile", key, "-l1", "-n", "kept", "vg0", two)
    guest.run("lvcreate", "-an", "--type", "crypt", *FAST, "-l1", "-n", "asks", "vg0", given=b"a person's\n")
    guest.run("lvcreate", "-an", "-l1", "-n", "plain", "vg0", one)
    devices = guest.folder / "etc" / "devices" / "system.devices"
    both = devices.read_text()
    devices.write_text("".join(line for line in both.splitlines(keepends=True) if f"DEVNAME={two}" not in line))
    result = start_unit(guest)
    assert guest.tables() == {}
    devices.write_text(both)
    result = start_unit(guest)
    assert sorted(guest.tables()) == ["vg0-kept", "vg0-plain"]
    assert result.err.startswith("  WARNING: vg0/asks is skipped: its passphrase is needed, and the key directory")
    assert start_unit(guest).err == result.err, "another event changes nothing"
    guest.run("lvchange", "-ay", "vg0/asks", given=b"a person's\n")
    assert sorted(guest.tables()) == ["vg0-asks", "vg0-kept", "vg0-plain"]
    guest.run("vgchange", "-an", "vg0")


def test_udevd_knows_an_active_volume_as_it_knows_stocks(guest: Guest) -> None:
    """Nodes and links are udevd's, and are there when the command ends; they go with the volume."""
    guest.stock("vgcreate", "vg0", *guest.disks[:2])
    guest.stock("lvcreate", "-an", "-l1", "-n", "one", "vg0")

    def known() -> tuple[dict[str, str], dict[str, str]]:
        links = [*Path("/dev/disk/by-id").glob("dm-*"), Path("/dev/mapper/vg0-one"), Path("/dev/vg0/one")]
        text = guest.tool("udevadm", "info", "--query=property", "/dev/vg0/one").out
        properties = dict(line.split("=", 1) for line in text.splitlines())
        for name in CHANGING:
            properties.pop(name, None)
        properties["DEVLINKS"] = " ".join(sorted(properties["DEVLINKS"].split()))
        return {str(link): str(link.readlink()) for link in links}, properties

    guest.stock("lvchange", "-ay", "vg0/one")
    stocks = known()
    guest.stock("lvchange", "-an", "vg0/one")
    guest.run("lvchange", "-ay", "vg0/one")
    assert known() == stocks
    assert len(stocks[0]) == 4
    guest.run("lvchange", "-an", "vg0/one")
    assert not any(Path(link).is_symlink() for link in stocks[0])
