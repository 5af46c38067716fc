"""pvcreate lays devices out as stock does, byte for byte, whatever sizes, alignments and areas are asked for."""

from __future__ import annotations

import fcntl
import itertools
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.machine import Machine
from support.stock import StockLvm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.compat, pytest.mark.root]

_LOOP_SET_BLOCK_SIZE = 0x4C09
SIZES = (2 * 1024, 2 * 1024 + 1, 3 * 1024, 8 * 1024 - 4, 40 * 1024, 24 * 1024)
"""Of the devices, in KiB."""
METADATA = ((), ("--metadatasize", "32k"), ("--metadatasize", "5m"))
PLACES = (
    (),
    ("--dataalignment", "4k"),
    ("--dataalignment", "4m"),
    ("--dataalignment", "64k", "--dataalignmentoffset", "7s"),
    ("--dataalignmentoffset", "4k", "--bootloaderareasize", "1m"),
    ("--bootloaderareasize", "300k", "--dataalignment", "256k"),
)
COPIES = ("0", "1", "2")
OPTIONS = [
    ("--pvmetadatacopies", copies, *metadata, *places)
    for copies, metadata, places in itertools.product(COPIES, METADATA, PLACES)
] + [
    ("--metadatasize", "4k", "--dataalignment", "4k"),
    ("--labelsector", "3"),
    ("--labelsector", "0", "--metadataignore", "y"),
    ("--metadatacopies", "2", "--metadataignore", "y"),
    ("--setphysicalvolumesize", "30m", "--metadatacopies", "2"),
    ("--dataalignment", "3k"),
    ("--dataalignment", "8k", "--dataalignmentoffset", "12k"),
    ("--metadatasize", "1.3m"),
]


class Rack:
    """Loop devices that both programs use in turn; the last one has sectors of 4096 bytes."""

    def __init__(self, folder: Path) -> None:
        self.stock = StockLvm(folder / "stock")
        (folder / "ours").mkdir()
        self.machine = Machine(folder / "ours")
        self.images = [folder / f"{kib}.img" for kib in SIZES]
        for image, kib in zip(self.images, SIZES, strict=True):
            image.write_bytes(bytes(kib * 1024))
        self.nodes = [self.stock.attach(image) for image in self.images]
        with self.nodes[-1].open("rb") as last:
            fcntl.ioctl(last, _LOOP_SET_BLOCK_SIZE, 4096)

    def clear(self) -> None:
        for node in self.nodes:
            subprocess.run(["dd", "if=/dev/zero", f"of={node}", "bs=64k", "count=4", "status=none"], check=True)


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    rack = Rack(tmp_path_factory.mktemp("rack"))
    yield rack
    rack.stock.detach()


def headers(rack: Rack) -> list[str]:
    """What stock shows of the headers of each device, but for ids and checksums; "" for one without a label."""
    shown = []
    for node in rack.nodes:
        text = rack.stock.run("pvck", "--dump", "headers", node, expect=None).out
        lines = text.splitlines() if "label_header at" in text else []
        shown.append("\n".join(line for line in lines if ".crc" not in line and ".pv_uuid" not in line))
    return shown


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_headers_are_those_that_stock_writes(rack: Rack, options: tuple[str, ...]) -> None:
    rack.clear()
    theirs = rack.stock.run("pvcreate", "-y", *options, *rack.nodes, expect=None)
    expected = headers(rack)
    rack.clear()
    ours = rack.machine.run("pvcreate", "-y", *options, *rack.nodes, expect=theirs.status)
    assert headers(rack) == expected, ours.err
