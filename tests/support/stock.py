"""Stock lvm2 with a system directory and device nodes of its own: it sees a test's loop devices and no others."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

from support.machine import Result, need, need_root

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine

_CONFIG = """
global {{ activation = 0 locking_dir = "{folder}/lock" use_lvmpolld = 0 }}
devices {{
    dir = "{folder}/dev" scan = [ "{folder}/dev" ] use_devicesfile = 0 hints = "none" sysfs_scan = 0
    multipath_component_detection = 0 md_component_detection = 0 obtain_device_list_from_udev = 0
}}
backup {{ backup = 0 archive = 0 }}
# Given a number, a system ID's source, or another word by a test:
global/system_id_source = none
"""


class StockLvm:
    """Attach images, run `lvm`, detach; `prefix` goes before each command."""

    def __init__(self, folder: Path) -> None:
        need("lvm", "losetup")
        need_root()
        self.folder = folder
        self.prefix: tuple[str, ...] = ()
        self._loops: list[str] = []
        for name in ("dev", "etc", "lock"):
            (folder / name).mkdir(parents=True)
        self.configure()
        self._environ = dict(os.environ, LVM_SYSTEM_DIR=str(folder / "etc"), LVM_SUPPRESS_FD_WARNINGS="1")
        self._environ["PATH"] = self._environ.get("PATH", "") + ":/usr/sbin:/sbin"

    def configure(self, local: str = "", **settings: str) -> None:
        """Write the configuration anew: settings of the base with other values, and an lvmlocal.conf."""
        text = _CONFIG.format(folder=self.folder)
        for name, value in settings.items():
            text, count = re.subn(rf"\b{name} = \S+", f"{name} = {value}", text)
            assert count == 1, name
        (self.folder / "etc" / "lvm.conf").write_text(text)
        (self.folder / "etc" / "lvmlocal.conf").write_text(local)

    def attach(self, image: Path) -> Path:
        """A device node for an image, on a loop device."""
        done = subprocess.run(
            ["losetup", "--show", "-f", str(image)], env=self._environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        loop = done.stdout.strip()
        self._loops.append(loop)
        node = self.folder / "dev" / f"k{len(self._loops)}"
        os.mknod(node, 0o60600, os.stat(loop).st_rdev)
        return node

    def run(self, *words: str | Path, expect: int | None = 0) -> Result:
        """Run an lvm2 command; `expect` is its exit status, None for any."""
        done = subprocess.run(
            [*self.prefix, "lvm", *map(str, words)],
            env=self._environ,
            capture_output=True,
            timeout=120,
            check=False,
        )
        result = Result(done)
        if expect is not None:
            assert result.status == expect, f"{words}: {result.status}\n{result.out}\n{result.err}"
        return result

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start an lvm2 command and do not wait."""
        return subprocess.Popen(
            [*self.prefix, "lvm", *map(str, words)],
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def report(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """The rows of `pvs`, `vgs` or `lvs` as JSON."""
        text = self.run(f"{kind}s", "--reportformat", "json", *words).out
        rows: list[dict[str, Any]] = json.loads(text)["report"][0][kind]
        return rows

    def metadata(self, node: Path) -> bytes:
        """The committed text on a device."""
        target = self.folder / "text"
        target.unlink(missing_ok=True)
        self.run("pvck", "--dump", "metadata", "-f", target, node)
        return target.read_bytes()

    def beside(self, machine: Machine) -> None:
        """Have a machine live beside this lvm2: one system directory, one configuration, the same locks."""
        machine.environ.pop("CRYPTLV_SYSTEM_DIR", None)
        machine.environ["LVM_SYSTEM_DIR"] = str(self.folder / "etc")
        (self.folder / "etc" / "devices").mkdir(exist_ok=True)
        (self.folder / "etc" / "devices" / "system.devices").touch()

    def private_run(self, machine: Machine) -> None:
        """Give both a /run of their own, as stock's hints lie in /run/lvm whatever is configured."""
        need("unshare", "mount")
        (self.folder / "run" / "lvm").mkdir(parents=True)
        mount = 'mount --bind "$0" /run && exec "$@"'
        self.prefix = ("unshare", "-m", "sh", "-c", mount, str(self.folder / "run"))
        machine.prefix = self.prefix

    def detach(self) -> None:
        """Give the loop devices back; what lies in the images stays."""
        while self._loops:
            subprocess.run(["losetup", "-d", self._loops.pop()], env=self._environ, capture_output=True, check=False)
        for node in (self.folder / "dev").glob("k*"):
            node.unlink()
