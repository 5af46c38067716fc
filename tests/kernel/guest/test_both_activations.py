"""Encrypted volumes by the commands: in user space and in the kernel, ours and stock cryptsetup's."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

if TYPE_CHECKING:
    from support.guest import Guest

CIPHERS = {
    "aes-xts": ("aes-xts-plain64", 512, 512),
    "serpent": ("serpent-cbc-essiv:sha256", 256, 2048),
    "adiantum": ("xchacha12,aes-adiantum-plain64", 256, 4096),
    "lrw": ("aes-lrw-benbi", 384, 512),
    "large": ("aes-xts-plain64", 512, 2048),
}
"""Specification, key bits and bytes a sector; the last has IVs that count sectors of that size."""
MIB = 1 << 20


def content(name: str, length: int = 4 * MIB) -> bytes:
    """What a volume is filled with, the same each time."""
    return random.Random(name).randbytes(length)


def read(path: str | Path) -> bytes:
    """A whole device or file."""
    return Path(path).read_bytes()


def write(path: str | Path, data: bytes) -> None:
    """Onto a device, down to it."""
    with open(path, "r+b") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Exports:
    """The volumes of vg0 by their NBD sockets."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        paths = guest.run("vgchange", "-ay", "--backend", "nbd", "--keyfile", "keys", "vg0").lines
        self.sockets = {Path(path).stem: path for path in paths if path.startswith("/")}

    def uri(self, name: str) -> str:
        return f"nbd+unix:///?socket={self.sockets[name]}"

    def read(self, name: str) -> bytes:
        self.guest.tool("nbdcopy", self.uri(name), "copy")
        return read(self.guest.folder / "copy")

    def write(self, name: str, data: bytes) -> None:
        (self.guest.folder / "copy").write_bytes(data)
        self.guest.tool("nbdcopy", "--flush", "copy", self.uri(name))


def test_what_user_space_writes_the_kernel_reads_and_the_reverse(guest: Guest) -> None:
    """Some ciphers, each its volume of one group, with keys in a directory; test_ciphers.py has the others."""
    guest.run("vgcreate", "vg0", *guest.disks_4k)
    (guest.folder / "keys" / "vg0").mkdir(parents=True)
    for number, (name, (spec, bits, sector)) in enumerate(CIPHERS.items(), 1):
        key = guest.key_file(f"keys/vg0/cryptostore{number}", random.Random(name).randbytes(bits // 8))
        kind = ("--handler", "plain", "--iv-large-sectors") if name == "large" else FAST
        words = (*kind, "--cipher", spec, "--keysize", str(bits), "--sector-size", str(sector))
        guest.run("lvcreate", "-an", "--type", "crypt", *words, "--keyfile", key, "-l1", "-n", name, "vg0")
    exports = Exports(guest)
    assert sorted(exports.sockets) == sorted(CIPHERS)
    for name in CIPHERS:
        exports.write(name, content(name))
    guest.run("vgchange", "-an", "vg0")

    guest.run("vgchange", "-ay", "--backend", "dm", "--keyfile", "keys", "vg0")
    tables = guest.tables()
    for name, (spec, _, sector) in CIPHERS.items():
        assert read(f"/dev/vg0/{name}") == content(name), name
        write(f"/dev/vg0/{name}", content(f"kernel {name}"))
        table = tables[f"vg0-{name.replace('-', '--')}"]
        assert table.split()[2:4] == ["crypt", spec]
        assert (f"sector_size:{sector}" in table) == (sector > 512)
        assert ("iv_large_sectors" in table) == (name == "large")
    guest.run("vgchange", "-an", "vg0")
    assert guest.tables() == {}

    exports = Exports(guest)
    for name in CIPHERS:
        assert exports.read(name) == content(f"kernel {name}"), name
    guest.run("vgchange", "-an", "vg0")


@pytest.mark.parametrize(("handler", "sector"), [("luks2", 4096), ("luks1", 512)])
def test_what_ours_made_and_gave_away_cryptsetup_opens(guest: Guest, handler: str, sector: int) -> None:
    guest.run("vgcreate", "vg0", *(guest.disks_4k if sector == 4096 else guest.disks[:2]))
    key = guest.key_file("key", b"a passphrase")
    words = ["--handler", handler, *(FAST if handler == "luks2" else FAST[2:]), "--keyfile", key]
    words += ["--sector-size", str(sector)] if sector > 512 else []
    guest.run("lvcreate", "-an", "--type", "crypt", *words, "-L", "8M", "-n", "ours", "vg0")
    guest.run("lvchange", "-ay", "--keyfile", key, "vg0/ours")
    assert " crypt " in guest.tables()["vg0-ours"]
    write("/dev/vg0/ours", content("ours", 8 * MIB))
    guest.run("lvchange", "-an", "vg0/ours")

    guest.run("lvconvert", "-y", "--splitcrypto", "--header", "header", "vg0/ours")
    guest.stock("lvchange", "-ay", "vg0/ours")
    assert " linear " in guest.tables()["vg0-ours"]
    assert read("/dev/vg0/ours") != content("ours", 8 * MIB)
    guest.tool("cryptsetup", "open", "--header", "header", "--key-file", key, "/dev/vg0/ours", "opened")
    assert read("/dev/mapper/opened") == content("ours", 8 * MIB)
    write("/dev/mapper/opened", content("cryptsetup's", 8 * MIB))
    guest.tool("cryptsetup", "close", "opened")
    guest.stock("lvchange", "-an", "vg0/ours")

    guest.run("lvconvert", "-y", "--type", "crypt", "--import", "--header", "header", "vg0/ours")
    guest.run("lvchange", "-ay", "--keyfile", key, "vg0/ours")
    assert read("/dev/vg0/ours") == content("cryptsetup's", 8 * MIB)


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_a_luks_volume_in_a_stock_volume_is_taken_over_and_given_back(guest: Guest, kind: str) -> None:
    """The header lies in the volume, in front of the data, as cryptsetup makes it."""
    guest.stock("vgcreate", "vg0", *guest.disks[:2])
    guest.stock("lvcreate", "-ay", "-L", "40M", "-n", "old", "vg0", guest.disks[0])
    key = guest.key_file("key", b"a passphrase")
    options = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
    guest.tool("cryptsetup", "luksFormat", "-q", "--type", kind, *options, "--key-file", key, "/dev/vg0/old")
    guest.tool("cryptsetup", "open", "--key-file", key, "/dev/vg0/old", "opened")
    size = int(guest.tool("blockdev", "--getsize64", "/dev/mapper/opened").out)
    write("/dev/mapper/opened", content("old", size))
    guest.tool("cryptsetup", "close", "opened")
    guest.stock("vgchange", "-an", "vg0")

    guest.run("lvconvert", "-y", "--type", "crypt", "--import", "--keyfile", key, "vg0/old")
    guest.run("lvchange", "-ay", "--keyfile", key, "vg0/old")
    assert read("/dev/vg0/old")[:size] == content("old", size)
    write("/dev/vg0/old", content("new", size))
    guest.run("lvchange", "-an", "vg0/old")

    guest.run("lvconvert", "-y", "--type", "linear", "--keep-encrypted", "vg0/old")
    guest.stock("lvchange", "-ay", "vg0/old")
    guest.tool("cryptsetup", "open", "--key-file", key, "/dev/vg0/old", "opened")
    assert read("/dev/mapper/opened")[:size] == content("new", size)
    guest.tool("cryptsetup", "close", "opened")
