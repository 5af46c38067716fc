"""How long changes of a volume group take, against stock lvm2 on the same loop device. `make bench` runs it, as root.

Whole processes, archive and backup included for both. A round makes a volume, renames, extends and removes it.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.common import CRYPTLV, attached, machine, make_group, prepare, seconds

COUNTS = (1000, 10_000)
ROUNDS = 7
STEPS = (
    ("lvcreate", "-an", "-Zn", "-Wn", "-y", "-l", "1", "-n", "new", "vg0"),
    ("lvrename", "vg0", "new", "newer"),
    ("lvextend", "-l", "+1", "vg0/newer"),
    ("lvremove", "-y", "vg0/newer"),
)


def measure(folder: Path, environ: dict[str, str], count: int) -> None:
    """One line for each command."""
    image = make_group(folder, count)
    ours: dict[str, list[float]] = {step[0]: [] for step in STEPS}
    theirs: dict[str, list[float]] = {step[0]: [] for step in STEPS}
    with attached(image, folder / "dev" / f"k{count}") as node:
        for _ in range(ROUNDS):
            for command, *words in STEPS:
                ours[command].append(seconds([CRYPTLV, command, "--devices", str(node), *words], environ)[0])
            for command, *words in STEPS:
                theirs[command].append(seconds(["lvm", command, *words], environ)[0])
    for command, times in ours.items():
        mine, stock = statistics.median(times), statistics.median(theirs[command])
        print(f"| {count} | {command} | {mine * 1000:.0f} | {stock * 1000:.0f} | {mine / stock:.2f} |", flush=True)
    image.unlink()


def main() -> None:
    """Print a table for docs/performance.md."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        environ = prepare(folder, keeps_archive=True)
        print(f"{machine()}\n")
        print("| LVs | command | cryptlv ms | stock ms | ratio |\n|--:|--|--:|--:|--:|")
        for count in COUNTS:
            measure(folder, environ, count)


if __name__ == "__main__":
    main()
