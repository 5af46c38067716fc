"""How long reports take, against stock lvm2 on the same loop device in the same run. `make bench` runs it, as root.

Whole processes, bytecode compiled, ours and stock's turn by turn; medians of wall time, and our peak memory.
"""

from __future__ import annotations

import compileall
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cryptlv
from cryptlv.host.store import usable_places, write_metadata
from cryptlv.host.system import make_environment, observe_directories
from cryptlv.model.vg import LogicalVolume, PvArea
from cryptlv.ops import pv, vg
from cryptlv.ops.session import Session
from cryptlv.segments.striped import StripedSegment

COUNTS = (1, 100, 1000, 10_000)
COMMANDS = ("lvs", "vgs", "pvs", "vgck")
ROUNDS = 7
EXTENT_BYTES = 64 * 1024
CONFIG = """
global {{ activation = 0 locking_dir = "{folder}/lock" use_lvmpolld = 0 }}
devices {{
    dir = "{folder}/dev" scan = [ "{folder}/dev" ] use_devicesfile = 0 hints = "none" sysfs_scan = 0
    multipath_component_detection = 0 md_component_detection = 0 obtain_device_list_from_udev = 0
}}
backup {{ backup = 0 archive = 0 }}
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


def measure(folder: Path, count: int) -> None:
    """One line for each command."""
    image = make_group(folder, count)
    loop = subprocess.run(
        ["losetup", "--show", "-f", str(image)], capture_output=True, text=True, check=True
    ).stdout.strip()
    node = folder / "dev" / f"k{count}"
    os.mknod(node, 0o60600, os.stat(loop).st_rdev)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"LVM_SYSTEM_DIR": str(folder / "etc"), "LVM_SUPPRESS_FD_WARNINGS": "1"}
    environ |= {"CRYPTLV_SYSTEM_DIR": str(folder / "system"), "CRYPTLV_RUN_DIR": str(folder / "run")}
    try:
        for command in COMMANDS:
            ours: list[float] = []
            theirs: list[float] = []
            peak = 0
            for _ in range(ROUNDS):
                words = [str(Path(sys.executable).parent / "cryptlv"), command, "--devices", str(node)]
                elapsed, memory = seconds(words, environ)
                ours.append(elapsed)
                peak = max(peak, memory)
                theirs.append(seconds(["lvm", command], environ)[0])
            mine, stock = statistics.median(ours), statistics.median(theirs)
            row = (count, command, f"{mine * 1000:.0f}", f"{stock * 1000:.0f}", f"{mine / stock:.2f}", peak // 1024)
            print("|", " | ".join(map(str, row)), "|", flush=True)
    finally:
        node.unlink()
        subprocess.run(["losetup", "-d", loop], check=True)
        image.unlink()


def main() -> None:
    """Print a table for docs/performance.md."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    compileall.compile_dir(str(Path(cryptlv.__file__).parent), quiet=1)
    version = subprocess.run(["lvm", "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()};{version.strip()}\n")
    print("| LVs | command | cryptlv ms | stock ms | ratio | cryptlv MiB |\n|--:|--|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for sub in ("dev", "etc", "lock"):
            (folder / sub).mkdir()
        (folder / "etc" / "lvm.conf").write_text(CONFIG.format(folder=folder))
        for count in COUNTS:
            measure(folder, count)


if __name__ == "__main__":
    main()
