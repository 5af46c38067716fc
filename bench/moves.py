"""How fast pvmove and wiping are, against dd with the same block size and flushes on the same files.

Ours and dd turn by turn, each on files that are not in the page cache; medians of wall time. dd copies the very bytes
that pvmove does, from one image to the other, and flushes once; pvmove flushes and commits with every chunk.
`make bench` runs it. BENCH_MOVES_DIR says on which file system, BENCH_MOVES_MIB how much is moved.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptlv.host.system import make_environment, observe_directories
from cryptlv.ops import lv, pv, vg
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.copying import BLOCK_BYTES
from cryptlv.ops.session import Session
from cryptlv.ops.wipe import wipe

MIB = 2**20
ROUNDS = 5
EXTENT_BYTES = 4 * MIB


def main() -> None:
    """Print a table for docs/performance.md."""
    size_bytes = int(os.environ.get("BENCH_MOVES_MIB", "1024")) * MIB
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| operation | on | cryptlv MiB/s | dd MiB/s | ratio |\n|--|--|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("BENCH_MOVES_DIR")) as name:
        folder = Path(name)
        images = [folder / "a.img", folder / "b.img"]
        for image in images:
            fill(image, size_bytes + 16 * MIB)
        measure(folder, "files", list(map(str, images)), size_bytes)
        loops = (
            [attach(image) for image in images] if os.geteuid() == 0 and os.path.exists("/dev/loop-control") else []
        )
        try:
            if loops:
                measure(folder, "loop devices", loops, size_bytes)
        finally:
            for loop in loops:
                subprocess.run(["losetup", "-d", loop], check=True)


def fill(image: Path, size_bytes: int) -> None:
    """A file of random bytes, so that no file system leaves anything out."""
    with image.open("wb") as file:
        for _ in range(size_bytes // MIB):
            file.write(os.urandom(MIB))
        os.fsync(file.fileno())


def attach(image: Path) -> str:
    """A loop device over an image."""
    done = subprocess.run(["losetup", "--show", "-f", image], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def measure(folder: Path, kind: str, paths: list[str], size_bytes: int) -> None:
    """A line for pvmove and one for wiping, on two PVs."""
    environ = {**os.environ, "CRYPTLV_SYSTEM_DIR": str(folder / "system"), "CRYPTLV_RUN_DIR": str(folder / "run")}
    directories = observe_directories(environ, os.geteuid())
    with Session(directories, make_environment("bench"), devices=tuple(paths), force=2) as session:
        for path in paths:
            pv.create(session, (path,), ask=lambda _question: None)
        vg.create(session, "vg0", tuple(paths), EXTENT_BYTES)
        lv.create(session, "vg0", lv.LvRequest(name="data", size_bytes=size_bytes, pvs=(PvArgument(path=paths[0]),)))
        group = session.world().group("vg0")
        (data,) = group.vg.lv("data").segments
        start = group.vg.pvs[0].pe_start_sectors * 512
    program = [str(Path(sys.executable).parent / "cryptlv"), "pvmove", "-q", "--devices", ",".join(paths)]
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(ROUNDS):
        source, target = (paths[number % 2], paths[1 - number % 2])
        ours.append(seconds([*program, source, target], paths, environ))
        words = ["dd", f"if={target}", f"of={source}", f"bs={BLOCK_BYTES}", f"count={size_bytes}", f"skip={start}"]
        words += [
            f"seek={start}",
            "iflag=skip_bytes,count_bytes",
            "oflag=seek_bytes",
            "conv=notrunc,fsync",
            "status=none",
        ]
        theirs.append(seconds([*words, *direct(kind)], paths, environ))
    show("pvmove", kind, ours, theirs, size_bytes)
    ours, theirs = [], []
    place = group.vg.pvs[0].id, 0, data.length_le
    for _ in range(ROUNDS):
        forget(paths)
        with Session(directories, make_environment("bench"), devices=tuple(paths)) as session:
            began = time.perf_counter()
            wipe(session, group, (place,))
            ours.append(time.perf_counter() - began)
        words = ["dd", "if=/dev/zero", f"of={paths[0]}", f"bs={BLOCK_BYTES}", f"count={size_bytes}", f"seek={start}"]
        words += ["iflag=count_bytes", "oflag=seek_bytes", "conv=notrunc,fsync", "status=none"]
        theirs.append(seconds([*words, *direct(kind)[:1]], paths, environ))
    show("wipe", kind, ours, theirs, size_bytes)


def direct(kind: str) -> list[str]:
    """Block devices are read and written past the page cache by ours; dd does the same, then."""
    return [] if kind == "files" else ["oflag=direct", "iflag=direct"]


def forget(paths: list[str]) -> None:
    """Have the system drop what it holds of files or devices."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def seconds(words: list[str], paths: list[str], environ: dict[str, str]) -> float:
    """Wall time of a process."""
    forget(paths)
    began = time.perf_counter()
    subprocess.run(words, env=environ, check=True)
    return time.perf_counter() - began


def show(operation: str, kind: str, ours: list[float], theirs: list[float], size_bytes: int) -> None:
    """One line of the table."""
    mine, dd = statistics.median(ours), statistics.median(theirs)
    row = (operation, kind, f"{size_bytes / MIB / mine:.0f}", f"{size_bytes / MIB / dd:.0f}", f"{dd / mine:.2f}")
    print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
