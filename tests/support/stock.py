"""Stock lvm2 with a system directory and device nodes of its own: it sees a test's loop devices and no others."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from support.machine import Result, need, need_root

if TYPE_CHECKING:
    from pathlib import Path

_CONFIG = """
global {{ activation = 0 locking_dir = "{folder}/lock" use_lvmpolld = 0 }}
devices {{
    dir = "{folder}/dev" scan = [ "{folder}/dev" ] use_devicesfile = 0 hints = "none" sysfs_scan = 0
    multipath_component_detection = 0 md_component_detection = 0 obtain_device_list_from_udev = 0
}}
backup {{ backup = 0 archive = 0 }}
"""


class StockLvm:
    """Attach images, run `lvm`, detach; close() gives every loop device back."""

    def __init__(self, folder: Path) -> None:
        need("lvm", "losetup")
        need_root()
        self.folder = folder
        self._loops: list[str] = []
        for name in ("dev", "etc", "lock"):
            (folder / name).mkdir(parents=True)
        (folder / "etc" / "lvm.conf").write_text(_CONFIG.format(folder=folder))
        self._environ = dict(os.environ, LVM_SYSTEM_DIR=str(folder / "etc"), LVM_SUPPRESS_FD_WARNINGS="1")
        self._environ["PATH"] = self._environ.get("PATH", "") + ":/usr/sbin:/sbin"

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
            ["lvm", *(str(word) for word in words)], env=self._environ, capture_output=True, timeout=120, check=False
        )
        result = Result(done)
        if expect is not None:
            assert result.status == expect, f"{words}: {result.status}\n{result.out}\n{result.err}"
        return result

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start an lvm2 command and do not wait."""
        return subprocess.Popen(
            ["lvm", *(str(word) for word in words)],
            env=self._environ,
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

    def detach(self) -> None:
        """Give the loop devices back; what lies in the images stays."""
        while self._loops:
            subprocess.run(["losetup", "-d", self._loops.pop()], env=self._environ, capture_output=True, check=False)
        for node in (self.folder / "dev").glob("k*"):
            node.unlink()
