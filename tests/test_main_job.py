"""The seed's t-crypto-usage.sh as it stands today (row S28): create, activate, write, deactivate, remove.

Each handler, each backend; through the command line, in processes of their own, as a user has it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from support.machine import FAST, Machine, need

RAW_KEY = bytes(range(64))
HANDLERS: list[tuple[str, bytes, tuple[str, ...]]] = [
    ("plain", RAW_KEY, ()),
    ("hashed", b"a passphrase\xff", ()),
    ("luks1", b"a passphrase\nof two lines\xff", FAST),
    ("luks2", b"a passphrase\nof two lines\xff", FAST),
]


@pytest.mark.parametrize(("handler", "credential", "options"), HANDLERS, ids=[name for name, *_ in HANDLERS])
@pytest.mark.parametrize("backend", ["fuse", "nbd"])
def test_a_file_system_full_of_files_survives_and_only_ciphertext_is_on_disk(
    vg0: Machine, handler: str, credential: bytes, options: tuple[str, ...], backend: str
) -> None:
    need("mke2fs", "debugfs", "nbdcopy")
    key = vg0.key_file("key", credential)
    vg0.run(
        "lvcreate", "--type", "crypt", "--handler", handler, "--keyfile", key, *options, "-L40M", "-nsecret", "vg0"
    )
    tree = vg0.folder / "tree"
    tree.mkdir()
    sums = {}
    for number in range(100):
        data = f"Confidential report {number}. ".encode() * (number + 1)
        (tree / f"report-{number:03d}").write_bytes(data)
        sums[f"report-{number:03d}"] = hashlib.sha256(data).digest()

    path = Path(vg0.run("lvchange", "-ay", "--backend", backend, "--keyfile", key, "vg0/secret").lines[0])
    assert path == vg0.folder / "run" / "vg0" / ("secret" if backend == "fuse" else "secret.nbd")
    if backend == "fuse":
        vg0.tool("mke2fs", "-q", "-t", "ext4", "-d", tree, path)
    else:
        plain = vg0.folder / "plain.ext4"
        with plain.open("wb") as file:
            file.truncate(40 * 1024 * 1024)
        vg0.tool("mke2fs", "-q", "-t", "ext4", "-d", tree, plain)
        vg0.tool("nbdcopy", plain, f"nbd+unix:///vg0%2Fsecret?socket={path}")
        plain.unlink()
    vg0.run("lvchange", "-an", "vg0/secret")
    assert not path.exists()

    for name in ("a.img", "b.img"):
        on_disk = (vg0.folder / name).read_bytes()
        for needle in (b"Confidential", b"report-042", credential):
            assert needle not in on_disk

    path = Path(vg0.run("vgchange", "-ay", "--keyfile", key, "vg0").lines[0])
    back = vg0.folder / "back"
    back.mkdir()
    assert path.suffix != ".nbd", "auto takes FUSE where it works"
    vg0.tool("debugfs", "-R", f"rdump / {back}", path)
    assert {name: hashlib.sha256((back / name).read_bytes()).digest() for name in sums} == sums
    vg0.run("vgchange", "-an", "vg0")

    vg0.run("lvremove", "-y", "vg0/secret")
    assert vg0.run("lvs", "-a", "--noheadings").out == ""
    assert vg0.run("vgs", "--noheadings", "-o", "vg_free_count,vg_extent_count").lines[0].split() == ["14", "14"]


def test_linear_volumes_need_no_key_and_hold_what_is_written(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l", "100%FREE", "-n", "whole", "vg0")
    path = Path(vg0.run("lvchange", "-ay", "vg0/whole").lines[0])
    assert path.stat().st_size == 14 * 4 * 1024 * 1024
    data = os.urandom(9 * 1024 * 1024 + 17)
    with path.open("r+b") as file:
        file.seek(5 * 1024 * 1024 + 3)
        file.write(data)
    vg0.run("lvchange", "-an", "vg0/whole")
    vg0.run("lvchange", "-ay", "vg0/whole")
    with path.open("rb") as file:
        file.seek(5 * 1024 * 1024 + 3)
        assert file.read(len(data)) == data
    vg0.run("vgchange", "-an")
    assert data[: 1024 * 1024] in (vg0.folder / "a.img").read_bytes()


def test_a_volume_whose_image_is_a_luks_header_plus_nothing_takes_exactly_its_size(vg0: Machine) -> None:
    key = vg0.key_file("key", b"x")
    vg0.run("lvcreate", "--type", "crypt", "--keyfile", key, *FAST, "-L", "20M", "-n", "exact", "vg0")
    path = Path(vg0.run("lvchange", "-ay", "--keyfile", key, "vg0/exact").lines[0])
    assert path.stat().st_size == 20 * 1024 * 1024
