"""A machine with a kernel of its own: scratch disks, a stock lvm2 that activates, device-mapper. For guests only."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

from cryptlv.host.keyring import LOGON, drop_key
from support.machine import Machine, Result

_CONFIG = """
global {{ locking_dir = "{folder}/lock" use_lvmpolld = 0 system_id_source = none }}
devices {{
    use_devicesfile = 1 hints = "none"
    multipath_component_detection = 0 md_component_detection = 0 obtain_device_list_from_udev = 0
}}
backup {{ backup = 0 archive = 0 }}
"""
BLKDISCARD = 0x1277
"""linux/fs.h: the bytes from one number on, as many as the other says; a scratch disk reads as zeroes then."""
MAX_LAYERS = 4


class Guest(Machine):
    """Ours and stock side by side, with one system directory and the same locks; their nodes are those in /dev."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for name in ("etc/devices", "lock"):
            (folder / name).mkdir(parents=True)
        (folder / "etc" / "devices" / "system.devices").touch()
        self.configure()
        self.environ.pop("CRYPTLV_SYSTEM_DIR")
        self.environ["LVM_SYSTEM_DIR"] = str(folder / "etc")
        self.environ |= {name: os.environ[name] for name in ("DM_DISABLE_UDEV",) if name in os.environ}

    def configure(self, more: str = "") -> None:
        """Write the configuration of both anew, with more sections."""
        (self.folder / "etc" / "lvm.conf").write_text(_CONFIG.format(folder=self.folder) + more + "\n")

    @property
    def disks(self) -> list[Path]:
        """The scratch disks with sectors of 512 bytes; empty, and emptied after each test."""
        return scratch_disks(512)

    @property
    def disks_4k(self) -> list[Path]:
        """Those with sectors of 4096 bytes."""
        return scratch_disks(4096)

    def mapped(self, name: str) -> Path:
        """The node of a mapped device."""
        return Path("/dev/mapper") / name

    def stock(self, *words: str | Path, expect: int | None = 0) -> Result:
        """Run an lvm2 command."""
        return self.tool("lvm", *words, expect=expect)

    def tables(self) -> dict[str, str]:
        """Device-mapper's tables by name, a line a target, without keys."""
        tables: dict[str, str] = {}
        for line in self.tool("dmsetup", "table").out.splitlines():
            name, colon, target = line.partition(": ")
            if colon:
                tables[name] = tables.get(name, "") + target + "\n"
        return tables

    def clean(self) -> None:
        """Take away every mapped and loop device, every key, and what is on the disks, whether the test failed or
        not."""
        self.close()
        for _ in range(MAX_LAYERS):
            if not list(Path("/sys/block").glob("dm-*")):
                break
            # A device that another lies upon goes in the next round.
            subprocess.run(["dmsetup", "remove_all", "--force"], capture_output=True, check=False)
        for link in Path("/dev").glob("*/*"):
            if link.is_symlink() and not link.exists() and link.parent.name not in ("fd", "mapper"):
                link.unlink()
                with suppress(OSError):
                    link.parent.rmdir()
        if list(Path("/sys/block").glob("loop*/loop")):
            subprocess.run(["losetup", "-D"], check=True)
        for description in logon_keys():
            drop_key(LOGON, description)
        for disk in scratch_disks(512) + scratch_disks(4096):
            with disk.open("r+b", buffering=0) as file:
                fcntl.ioctl(file, BLKDISCARD, struct.pack("<QQ", 0, file.seek(0, os.SEEK_END)))


def logon_keys() -> list[str]:
    """The descriptions of our keys that only the kernel can read."""
    return re.findall(r" logon +(cryptlv:\S+): ", Path("/proc/keys").read_text())


def scratch_disks(sector_bytes: int) -> list[Path]:
    """The guest's scratch disks with such sectors, in order."""
    found = (
        path for path in Path("/sys/block").glob("vd*")
        if int((path / "queue/logical_block_size").read_text()) == sector_bytes
    )  # fmt: skip
    return sorted(Path("/dev") / path.name for path in found)
