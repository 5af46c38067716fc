"""How long reports take, against stock lvm2 on the same loop device in the same run. `make bench` runs it, as root.

Whole processes, bytecode compiled, ours and stock's turn by turn; medians of wall time, and our peak memory.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from bench.common import CRYPTLV, attached, machine, make_group, prepare, seconds

COUNTS = (1, 100, 1000, 10_000)
COMMANDS = ("lvs", "vgs", "pvs", "vgck")
ROUNDS = 7


def measure(folder: Path, environ: dict[str, str], count: int) -> None:
    """One line for each command."""
    image = make_group(folder, count)
    with attached(image, folder / "dev" / f"k{count}") as node:
        for command in COMMANDS:
            ours: list[float] = []
            theirs: list[float] = []
            peak = 0
            for _ in range(ROUNDS):
                elapsed, memory = seconds([CRYPTLV, command, "--devices", str(node)], environ)
                ours.append(elapsed)
                peak = max(peak, memory)
                theirs.append(seconds(["lvm", command], environ)[0])
            mine, stock = statistics.median(ours), statistics.median(theirs)
            row = (count, command, f"{mine * 1000:.0f}", f"{stock * 1000:.0f}", f"{mine / stock:.2f}", peak // 1024)
            print("|", " | ".join(map(str, row)), "|", flush=True)
    image.unlink()


def main() -> None:
    """Print a table for docs/performance.md."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        environ = prepare(folder)
        print(f"{machine()}\n")
        print("| LVs | command | cryptlv ms | stock ms | ratio | cryptlv MiB |\n|--:|--|--:|--:|--:|--:|")
        for count in COUNTS:
            measure(folder, environ, count)


if __name__ == "__main__":
    main()
