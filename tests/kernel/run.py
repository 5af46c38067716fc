"""Run a command in a real kernel, or the guest's tests: python -m tests.kernel.run [options] [-- COMMAND...].

The exit status is the command's, 124 for the time limit, 125 when the guest ended without one. Where no kernel can be
booted, that is said, and the status is 77, but 1 under continuous integration (the variable CI).
"""

from __future__ import annotations

import argparse
import compileall
import os
import signal
import sys
import sysconfig
from pathlib import Path

from .image import NoKernelError, find_image
from .qemu import Disk, run

ROOT = Path(__file__).parents[2]
DISKS = [Disk(128 << 20)] * 4 + [Disk(128 << 20, 4096)] * 2


def parse_disk(text: str) -> Disk:
    """SIZE[,SECTOR]: mebibytes and bytes."""
    size, _comma, sector = text.partition(",")
    return Disk(int(size) << 20, int(sector or 512))


def main(arguments: list[str]) -> int:
    """The command line above."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and the guest ends with us
    ours, _dashes, command = _split(arguments)
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.run", description=__doc__.split(":", maxsplit=1)[0])
    parser.add_argument(
        "--disk",
        action="append",
        type=parse_disk,
        metavar="MIB[,SECTOR]",
        help="instead of 4 of 128 MiB and 2 with 4096-byte sectors",
    )
    parser.add_argument("--nbd", action="append", default=[], metavar="URI", help="an export as the last disk")
    parser.add_argument("--memory", type=int, default=1024, metavar="MIB")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--udev", action="store_true", help="with udevd running in the guest")
    parser.add_argument("--console", action="store_true", help="show the end of the console's text in any case")
    parser.add_argument("--check", action="store_true", help="only see whether there is a kernel to boot")
    options = parser.parse_args(ours)
    if not command:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-v",
            "tests/kernel/guest" + "_udev" * options.udev,
        ]
    try:
        image = find_image(udev=options.udev)
    except NoKernelError as why:
        print(f"no kernel to test with: {why}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 77
    if options.check:
        return 0
    precompile()
    disks = DISKS if options.disk is None and not options.nbd else options.disk or []
    disks = disks + [Disk(0, uri=uri) for uri in options.nbd]
    outcome = run(image, command, disks, timeout=options.timeout, memory=options.memory, cpus=options.cpus)
    if outcome.status is None or options.console:
        print(f"--- the guest's console:\n{outcome.console}\n---", file=sys.stderr)
    if outcome.status is None:
        print(f"kernel tests: {outcome.reason}", file=sys.stderr)
        return 124 if "time limit" in outcome.reason else 125
    return outcome.status


def _split(arguments: list[str]) -> tuple[list[str], str, list[str]]:
    """Options, --, command."""
    where = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:where], "--", arguments[where + 1 :]


def precompile() -> None:
    """Bytecode for what the guest imports, since what it compiles itself is lost, and slow."""
    for folder in (ROOT / "src", ROOT / "tests/support", ROOT / "tests/kernel", Path(sysconfig.get_path("purelib"))):
        compileall.compile_dir(str(folder), quiet=2, workers=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
