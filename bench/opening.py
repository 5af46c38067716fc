"""How long opening a volume takes, against `cryptsetup open --test-passphrase` on the same header in the same run.

Whole processes, turn by turn: ours reads the volume group, derives the key and has a server serve the volume, so that
its file can be read when the command ends; cryptsetup looks at the passphrase and does nothing else. Headers are made
here with the default cost (two seconds of the machine that makes them). Medians.
"""

from __future__ import annotations

import compileall
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench.common import CRYPTLV, machine, seconds

import cryptlv

ROUNDS = 7
KINDS = (
    ("luks2", "--pbkdf", "argon2id"),
    ("luks2", "--pbkdf", "pbkdf2"),
    ("luks1", "--pbkdf", "pbkdf2"),
)
_MAGICS = {"luks1": b"LUKS\xba\xbe\0\1", "luks2": b"LUKS\xba\xbe\0\2"}
_HEADER_BYTES = 4 * 2**20


def measure(folder: Path, environ: dict[str, str], kind: tuple[str, ...]) -> None:
    """One line for a kind of header."""
    image, header, key = folder / "disk.img", folder / "header.img", folder / "key"
    with image.open("wb") as file:
        file.truncate(64 * 2**20)
    key.touch(mode=0o600)
    key.write_bytes(b"a passphrase for the benchmark")
    devices = ("--devices", str(image))
    opening = ("--keyfile", str(key), "vg0/secret")
    crypt = ("lvcreate", "--type", "crypt", "--handler", *kind, "-l1", "-n", "secret", "--keyfile", str(key), "vg0")
    for command in (("vgcreate", "vg0", str(image)), crypt):
        subprocess.run([CRYPTLV, command[0], *devices, *command[1:]], env=environ, check=True, capture_output=True)
    data = image.read_bytes()
    start = data.index(_MAGICS[kind[0]])
    header.write_bytes(data[start : start + _HEADER_BYTES])
    ours: list[float] = []
    theirs: list[float] = []
    peak = 0
    for _ in range(ROUNDS):
        elapsed, memory = seconds([CRYPTLV, "lvchange", "-ay", *devices, *opening], environ)
        ours.append(elapsed)
        peak = max(peak, memory)
        subprocess.run([CRYPTLV, "lvchange", "-an", *devices, "vg0/secret"], env=environ, check=True)
        words = ["cryptsetup", "open", "--test-passphrase", "--key-file", str(key), str(header)]
        theirs.append(seconds(words, environ)[0])
    mine, stock = statistics.median(ours), statistics.median(theirs)
    row = (kind[0], kind[2], f"{mine:.2f}", f"{stock:.2f}", f"{mine / stock:.2f}", peak // 1024)
    print("|", " | ".join(map(str, row)), "|", flush=True)
    image.unlink()


def main() -> None:
    """Print a table for docs/performance.md."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    compileall.compile_dir(str(Path(cryptlv.__file__).parent), quiet=1)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ |= {"CRYPTLV_SYSTEM_DIR": str(folder / "system"), "CRYPTLV_RUN_DIR": str(folder / "run")}
        print(f"{machine()}\n")
        print("| header | derivation | cryptlv s | cryptsetup s | ratio | cryptlv MiB |\n|--|--|--:|--:|--:|--:|")
        for kind in KINDS:
            measure(folder, environ, kind)


if __name__ == "__main__":
    main()
