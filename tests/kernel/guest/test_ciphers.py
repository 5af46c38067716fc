"""Every cipher that both have: what the engine in user space encrypts, dm-crypt decrypts, and the reverse.

The kernel's answers that are kept in tests/golden/dmcrypt hold the engine to many IVs, sizes and key lengths of each;
here each cipher is met once by the kernel that runs, on a disk, at a place in the volume that is not its start.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.ciphers.spec import parse_cipher_spec
from cryptlv.errors import CipherError
from cryptlv.secret import VolumeKey
from support.dmcrypt import kernel_cases, kernel_key

if TYPE_CHECKING:
    from pathlib import Path

    from support.guest import Guest

START_SECTORS = 4096
LENGTH_SECTORS = 256
IV_OFFSET_SECTORS = 8 * 1000003
BIG_DISK_FROM_BYTES = 4096
"""Ciphers with sectors of so many bytes are tried on a disk whose own are as large."""


def selection() -> list[dict[str, Any]]:
    """A case of each cipher that the kernel took and the engine has; their sector sizes take turns."""
    chosen: list[dict[str, Any]] = []
    cases: dict[str, list[dict[str, Any]]] = {}
    for case in kernel_cases():
        try:
            parse_cipher_spec(case["spec"])
        except CipherError:
            continue
        if case["accepted"]:
            cases.setdefault(case["spec"], []).append(case)
    for ours in cases.values():
        kinds = sorted({(case["sector_size"], case["iv_large_sectors"], case["key_bits"]) for case in ours})
        size, large, bits = kinds[len(chosen) % len(kinds)]
        chosen.append({"spec": ours[0]["spec"], "key_bits": bits, "sector_size": size, "iv_large_sectors": large})
    return chosen


def read_at(path: Path, offset: int, length: int) -> bytes:
    """Bytes of a device, past what the page cache of another device has kept."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(file.fileno(), length, offset)


def write_at(path: Path, offset: int, data: bytes | bytearray) -> None:
    """Bytes onto a device, down to it."""
    with path.open("r+b") as file:
        assert os.pwrite(file.fileno(), data, offset) == len(data)
        os.fsync(file.fileno())


def noise(text: str) -> bytes:
    """As many bytes as the mapping has, the same each time."""
    return hashlib.shake_128(text.encode()).digest(LENGTH_SECTORS * 512)


def test_the_selection_has_every_cipher_mode_iv_and_sector_size() -> None:
    cases = selection()
    parsed = [parse_cipher_spec(case["spec"]) for case in cases]
    assert {spec.cipher for spec in parsed} >= {"aes", "serpent", "twofish", "camellia"}
    assert {spec.mode for spec in parsed} == {"xts", "cbc", "ecb", "ctr", "lrw", "adiantum"}
    assert {case["spec"].split("-")[-1].split(":")[0] for case in cases} >= {
        "plain", "plain64", "plain64be", "essiv", "benbi", "null", "eboiv",
    }  # fmt: skip
    assert {(case["sector_size"], case["iv_large_sectors"]) for case in cases} >= {
        (512, False), (1024, False), (2048, False), (4096, False), (4096, True),
    }  # fmt: skip


@pytest.mark.parametrize("case", selection(), ids=lambda case: f"{case['spec']}-{case['key_bits']}")
def test_each_reads_what_the_other_wrote(guest: Guest, case: dict[str, Any]) -> None:
    spec, size, large = case["spec"], case["sector_size"], case["iv_large_sectors"]
    disk = (guest.disks_4k if size >= BIG_DISK_FROM_BYTES else guest.disks)[0]
    key = kernel_key(case["key_bits"])
    options = [f"sector_size:{size}"] * (size > 512) + ["iv_large_sectors"] * large
    table = f"0 {LENGTH_SECTORS} crypt {spec} {key.hex()} {IV_OFFSET_SECTORS} {disk} {START_SECTORS}"
    table += f" {len(options)} {' '.join(options)}" if options else ""
    with VolumeKey(key) as volume_key:
        cipher = open_sector_cipher(spec, volume_key, size, iv_large_sectors=large)

    ours = bytearray(noise(f"ours {spec}"))
    cipher.encrypt(ours, IV_OFFSET_SECTORS)
    write_at(disk, START_SECTORS * 512, ours)
    guest.tool("dmsetup", "create", "seen", "--table", table)
    mapped = guest.mapped("seen")
    assert read_at(mapped, 0, len(ours)) == noise(f"ours {spec}")
    write_at(mapped, 0, noise(f"the kernel's {spec}"))
    guest.tool("dmsetup", "remove", "seen")
    theirs = bytearray(read_at(disk, START_SECTORS * 512, len(ours)))
    assert bytes(theirs) != noise(f"the kernel's {spec}"), "it was encrypted at all"
    cipher.decrypt(theirs, IV_OFFSET_SECTORS)
    cipher.close()
    assert bytes(theirs) == noise(f"the kernel's {spec}")
