"""fio on an encrypted volume in the kernel, against LUKS that cryptsetup opened on the same disk; in a guest.

Run by `make bench-kernel`. Both are aes-xts with 512-bit keys, 512-byte sectors and no flags, active at the same
time on one disk; ours lies on the disk, cryptsetup's in a linear volume of stock lvm2, as one has it today. They
take turns, and so does cryptsetup's a second time, which shows how much is chance. Emulation makes the numbers
small: what counts is the median of the rounds' ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.common import CRYPTLV, machine

JOBS = {
    "sequential read": "--rw=read --bs=1M --iodepth=4",
    "sequential write": "--rw=write --bs=1M --iodepth=4",
    "random read": "--rw=randread --bs=4k --iodepth=16",
    "random write": "--rw=randwrite --bs=4k --iodepth=16",
}
SECONDS = 1
MIB = 1 << 20
FAST = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
FORMAT = f"--type luks2 --cipher aes-xts-plain64 --key-size 512 --sector-size 512 {FAST}"
CRYPT = f"--type crypt --cipher aes-xts-plain64 --keysize 512 --sector-size 512 {FAST}"
DISK = "/dev/vda"


def run(line: str, *more: str) -> None:
    """A command that must work."""
    subprocess.run([*line.split(), *more], check=True, capture_output=True)


def set_up(folder: Path) -> dict[str, str]:
    """Two active volumes of 256 MiB, by name; cryptsetup's has two, to show what the same gives from run to run."""
    etc = folder / "etc"
    (etc / "devices").mkdir(parents=True)
    (etc / "devices" / "system.devices").touch()
    (etc / "lvm.conf").write_text('devices { use_devicesfile = 1 hints = "none" } backup/backup = 0\n')
    os.environ["LVM_SYSTEM_DIR"] = str(etc)
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text("a passphrase for the benchmark")
    run(f"lvm vgcreate vg0 {DISK}")
    run("lvm lvcreate -L 272M -n theirs vg0")
    run(f"cryptsetup luksFormat -q {FORMAT} --key-file {key} /dev/vg0/theirs")
    run(f"cryptsetup open --key-file {key} /dev/vg0/theirs theirs")
    run(CRYPTLV, "lvcreate", *CRYPT.split(), "--keyfile", str(key), "-L256M", "-nours", "vg0")
    return {"ours": "/dev/vg0/ours", "theirs": "/dev/mapper/theirs", "again": "/dev/mapper/theirs"}


def speed(path: str, options: str) -> float:
    """MiB a second of one run of fio."""
    line = f"fio --name=x --filename={path} --direct=1 --ioengine=libaio --size=256M {options}"
    line += f" --time_based --runtime={SECONDS} --output-format=json"
    done = subprocess.run(line.split(), check=True, capture_output=True, text=True)
    job = json.loads(done.stdout)["jobs"][0]
    return float(max(job["read"]["bw_bytes"], job["write"]["bw_bytes"])) / MIB


def main(rounds: int) -> None:
    """Print a table for docs/kernel.md."""
    print(f"{machine()}; {rounds} rounds of {SECONDS} s\n")
    with tempfile.TemporaryDirectory() as name:
        volumes = set_up(Path(name))
        print(
            "| job | cryptlv MiB/s | cryptsetup MiB/s | ratio | cryptsetup to itself |\n|--|--:|--:|--:|--:|",
            flush=True,
        )
        for job, options in JOBS.items():
            found: dict[str, list[float]] = {which: [] for which in volumes}
            order = list(volumes)
            for _ in range(rounds):
                order = order[1:] + order[:1]
                for which in order:
                    found[which].append(speed(volumes[which], options))
            ours, theirs = (statistics.median(found[which]) for which in ("ours", "theirs"))
            ratios = [
                statistics.median(a / b for a, b in zip(found[which], found["theirs"], strict=True))
                for which in ("ours", "again")
            ]
            print(f"| {job} | {ours:.1f} | {theirs:.1f} | {ratios[0]:.3f} | {ratios[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
