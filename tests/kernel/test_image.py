"""The parts of the kernel harness that need no kernel; tests/kernel/test_run.py boots one."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernel.image import NoKernelError, extract_vmlinux, plain_module, read_dependencies, with_needs
from kernel.qemu import Disk, tsc_khz
from kernel.run import parse_disk

ROOT = Path(__file__).parents[2]


def bz_image(payload: bytes, *, sectors: int) -> bytes:
    """A kernel file with `payload` 100 bytes behind its 16-bit part of `sectors` sectors and a boot sector."""
    image = bytearray((sectors + 1) * 512 + 100) + payload + b"behind"
    image[0x1F1] = sectors
    image[0x248:0x250] = (100).to_bytes(4, "little") + len(payload).to_bytes(4, "little")
    return bytes(image)


@pytest.mark.parametrize(
    "payload",
    [lzma.compress(b"\x7fELF kernel") + bytes.fromhex("0b000000"), gzip.compress(b"\x7fELF kernel")],
    ids=["xz with the length behind it", "gzip"],
)
def test_the_uncompressed_kernel_is_found_where_the_header_says(payload: bytes) -> None:
    assert extract_vmlinux(bz_image(payload, sectors=27)) == b"\x7fELF kernel"


def test_a_kernel_that_is_compressed_in_another_way_is_named() -> None:
    with pytest.raises(NoKernelError, match="6e6f7468696e"):
        extract_vmlinux(bz_image(b"nothing known", sectors=4))


def test_modules_lose_their_signature_and_their_compression() -> None:
    signature = bytes(300)
    trailer = bytes(8) + (300).to_bytes(4, "big") + b"~Module signature appended~\n"
    signed = b"\x7fELF module" + signature + trailer
    assert plain_module(signed) == b"\x7fELF module"
    assert plain_module(lzma.compress(signed)) == b"\x7fELF module"
    assert plain_module(b"\x7fELF module") == b"\x7fELF module"


def test_modules_come_after_what_they_need() -> None:
    needs = read_dependencies("c.ko: b.ko a.ko\na.ko:\nb.ko: a.ko\nd.ko: e.ko\ne.ko: d.ko\n")
    assert with_needs(["c.ko"], needs) == ["a.ko", "b.ko", "c.ko"]
    assert list(dict.fromkeys(with_needs(["d.ko", "c.ko"], needs))) == ["e.ko", "d.ko", "a.ko", "b.ko", "c.ko"]


def test_the_rate_of_the_clock_is_known_only_where_it_is_constant() -> None:
    assert tsc_khz("flags : tsc constant_tsc\nbogomips\t: 5192.30\n") == 2596150
    assert tsc_khz("flags : tsc\nbogomips\t: 5192.30\n") is None
    assert tsc_khz("constant_tsc") is None


def test_a_disk_is_given_in_mebibytes_and_bytes_a_sector() -> None:
    assert parse_disk("3") == Disk(3 << 20, 512)
    assert parse_disk("3,4096") == Disk(3 << 20, 4096)


@pytest.mark.parametrize(("variable", "status"), [("", 77), ("true", 1)], ids=["elsewhere", "continuous integration"])
def test_a_machine_without_qemu_is_told_so_and_fails_in_ci_alone(variable: str, status: int) -> None:
    environ = dict(os.environ, PATH="/nowhere", CI=variable)
    command = [sys.executable, "-m", "tests.kernel.run", "--", "true"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.stderr == (
        "no kernel to test with: qemu-system-x86_64 is missing (Debian: apt-get install qemu-system-x86)\n"
    )
    assert (done.returncode, done.stdout) == (status, "")
