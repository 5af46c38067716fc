"""What the benchmarks share: a volume group of any size on a loop device, processes and their times."""

from __future__ import annotations

import compileall
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cryptlv
from cryptlv.host.store import usable_places, write_metadata
from cryptlv.host.system import make_environment, observe_directories
from cryptlv.model.vg import LogicalVolume, PvArea
from cryptlv.ops import pv, vg
from cryptlv.ops.session import Session
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENT_BYTES = 64 * 1024
CRYPTLV = str(Path(sys.executable).parent / "cryptlv")
_CONFIG = """
global {{ activation = 0 locking_dir = "{folder}/lock" use_lvmpolld = 0 }}
devices {{
    dir = "{folder}/dev" scan = [ "{folder}/dev" ] use_devicesfile = 0 hints = "none" sysfs_scan = 0
    multipath_component_detection = 0 md_component_detection = 0 obtain_device_list_from_udev = 0
}}
backup {{ backup = {keep} archive = {keep} }}
"""


def make_group(folder: Path, count: int) -> Path:
    """An image with vg0 and so many linear volumes of one extent, its metadata area 64 MiB."""
    image = folder / f"{count}.img"
    with image.open("wb") as file:
        file.truncate((count + 100) * EXTENT_BYTES + 80 * 2**20)
    directories = observe_directories({"CRYPTLV_SYSTEM_DIR": str(folder), "CRYPTLV_RUN_DIR": str(folder / "run")}, 0)
    with Session(directories, make_environment("bench"), devices=(str(image),)) as session:
        pv.create(session, (str(image),), pv.PvOptions(metadata_size_bytes=64 * 2**20))
        vg.create(session, "vg0", (str(image),), EXTENT_BYTES)
        group = session.world().group("vg0")
        pv_id = group.vg.pvs[0].id
        lvs = tuple(
            LogicalVolume(
                name=f"lv{number}",
                id=session.env.new_uuid(),
                creation_time=session.env.now,
                creation_host="bench",
                segments=(StripedSegment(start_le=0, length_le=1, areas=(PvArea(pv_id=pv_id, start_pe=number),)),),
            )
            for number in range(count)
        )
        places = usable_places(group.areas, lambda path: session.device(path, writable=True))
        write_metadata(places, group.vg.replace(lvs=lvs), session.env)
    return image


def seconds(words: list[str], environ: dict[str, str]) -> tuple[float, int]:
    """Wall time of a process, and its peak memory in KiB."""
    start = time.perf_counter()
    process = subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(words)}: exit status {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss


@contextmanager
def attached(image: Path, node: Path) -> Iterator[Path]:
    """A device node for an image, on a loop device."""
    loop = subprocess.run(
        ["losetup", "--show", "-f", str(image)], capture_output=True, text=True, check=True
    ).stdout.strip()
    os.mknod(node, 0o60600, os.stat(loop).st_rdev)
    try:
        yield node
    finally:
        node.unlink()
        subprocess.run(["losetup", "-d", loop], check=True)


def prepare(folder: Path, *, keeps_archive: bool = False) -> dict[str, str]:
    """Stock's directory, the bytecode compiled; the environment for the processes of both."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    compileall.compile_dir(str(Path(cryptlv.__file__).parent), quiet=1)
    for sub in ("dev", "etc", "lock"):
        (folder / sub).mkdir()
    (folder / "etc" / "lvm.conf").write_text(_CONFIG.format(folder=folder, keep=int(keeps_archive)))
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"LVM_SYSTEM_DIR": str(folder / "etc"), "LVM_SUPPRESS_FD_WARNINGS": "1"}
    return environ | {"CRYPTLV_SYSTEM_DIR": str(folder / "system"), "CRYPTLV_RUN_DIR": str(folder / "run")}


def machine() -> str:
    """What was measured on, and with what."""
    version = subprocess.run(["lvm", "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    return f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()};{version.strip()}"
