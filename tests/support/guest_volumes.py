"""A guest with a volume group, and volumes that are read and written through the kernel."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from support.guest import logon_keys
from support.machine import FAST

if TYPE_CHECKING:
    from support.guest import Guest

MIB = 1024 * 1024
PASSPHRASE = b"correct horse"


class Host:
    """A guest with a volume group of some disks, and a passphrase in a file."""

    def __init__(self, guest: Guest, *disks: Path) -> None:
        self.guest = guest
        self.key = ("--keyfile", str(guest.key_file("key", PASSPHRASE)))
        self.run("vgcreate", "vg0", *disks)

    def run(self, *words: str | Path, given: bytes = b"", expect: int = 0) -> list[str]:
        return self.guest.run(*words, given=given, expect=expect).lines

    def fail(self, *words: str | Path) -> str:
        return self.guest.fail(*words)

    def crypt(self, name: str, *words: str) -> None:
        self.run("lvcreate", "--type", "crypt", *FAST, "-n", name, *self.key, *words, "vg0")

    def state(self, fields: str, name: str) -> list[str]:
        (row,) = json.loads(self.guest.run("lvs", "-a", "--reportformat", "json", "-o", fields, f"vg0/{name}").out)[
            "report"
        ][0]["lv"]
        return [row[field] for field in fields.split(",")]

    def keys(self) -> list[str]:
        return logon_keys()


def write(name: str, offset: int, data: bytes) -> None:
    with Path("/dev/vg0", name).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def read(name: str, offset: int, length: int) -> bytes:
    subprocess.run(["blockdev", "--flushbufs", f"/dev/vg0/{name}"], check=True)
    with Path("/dev/vg0", name).open("rb") as file:
        file.seek(offset)
        return file.read(length)


def pattern(number: int, length: int = MIB) -> bytes:
    return (b"%016d" % number) * (length // 16)
