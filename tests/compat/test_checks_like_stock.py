"""pvck and vgck: what they find, and what they write, is what stock lvm2 finds and writes."""

from __future__ import annotations

import lzma
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

MAKE = ("lvcreate", "-an", "-Zn", "-Wn", "-y")
GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "lvm2"
MIB = 1 << 20
NAMES = ("k1", "k2", "k3")


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: Path, offset: int) -> None:
    overwrite(path, offset, bytes([path.read_bytes()[offset] ^ 0x40]))


def made(machine: Machine, stock: StockLvm, *options: str) -> tuple[list[Path], list[Path]]:
    """Images and nodes of a volume group of three devices, changed a few times."""
    images = [machine.image(f"{number}.img", 40) for number in range(3)]
    nodes = [stock.attach(image) for image in images]
    for node in nodes:
        stock.run("pvcreate", *options, node)
    stock.run("vgcreate", "vg", *nodes)
    stock.run(*MAKE, "-l2", "-na", "vg", nodes[0])
    for tag in ("x", "y", "z"):
        stock.run("vgchange", "--addtag", tag, "vg")
    return images, nodes


@pytest.mark.parametrize("options", [(), ("--pvmetadatacopies", "2"), ("--bootloaderareasize", "2m")])
def test_texts_are_found(machine: Machine, stock: StockLvm, options: tuple[str, ...]) -> None:
    _, nodes = made(machine, stock, *options)
    commands: list[tuple[str | Path, ...]] = [("pvck", nodes[0])]
    for what in ("metadata_all", "metadata_search"):
        commands += [
            ("pvck", "--dump", what, nodes[0]),
            ("pvck", "--dump", what, "--settings", "seqno=3", nodes[0]),
            ("pvck", "--dump", what, "--settings", "metadata_offset=4608", nodes[0]),
        ]
    if options[:1] == ("--pvmetadatacopies",):
        commands += [(*words[:-1], "--settings", "mda_num=2", nodes[0]) for words in commands[1:]]
    for words in commands:
        assert machine.run(*words).out == stock.run(*words).out, words
    for tool, target in ((machine.run, "ours"), (stock.run, "theirs")):
        tool("pvck", "--dump", "metadata_all", "-f", machine.folder / target, nodes[0])
    assert (machine.folder / "ours").read_bytes() == (machine.folder / "theirs").read_bytes()


def test_texts_are_found_without_a_label_and_round_the_end(machine: Machine, stock: StockLvm) -> None:
    images, nodes = made(machine, stock, "--pvmetadatacopies", "2")
    overwrite(images[0], 0, bytes(8192))
    for settings in (
        (), ("mda_num=2",), ("mda_offset=4096 mda_size=65536",), ("mda_offset=8192", "mda_size = 4096"),
        ("mda_num=2 mda_size=1048576",), ("mda_num=1 mda_offset=4096",),
    ):  # fmt: skip
        words = [word for pair in settings for word in ("--settings", pair)]
        theirs = "".join(
            line
            for line in stock.run("pvck", "--dump", "metadata_search", *words, nodes[0]).out.splitlines(keepends=True)
            if "CHECK:" not in line
        )
        assert "vg vg seqno" in theirs or "8192" in str(settings)
        assert machine.run("pvck", "--dump", "metadata_search", *words, nodes[0]).out == theirs, settings
    wrapped = machine.folder / "wrapped.img"
    wrapped.write_bytes(lzma.decompress((GOLDEN / "wrapped_text" / "pv0.img.xz").read_bytes()))
    node = stock.attach(wrapped)
    for what in ("metadata_all", "metadata_search"):
        theirs = stock.run("pvck", "--dump", what, node).out
        assert theirs.count("metadata at") > 2
        assert machine.run("pvck", "--dump", what, node).out == theirs


HURTS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Callable[[Path], None]]] = {
    "start of the device": (("--repair",), (), lambda image: overwrite(image, 0, bytes(8192))),
    "a MiB": (("--repair",), (), lambda image: overwrite(image, 0, bytes(MIB))),
    "label": (("--repair",), (), lambda image: overwrite(image, 512, bytes(512))),
    "label of two areas": (
        ("--repair",), ("--pvmetadatacopies", "2"), lambda image: overwrite(image, 0, bytes(MIB))
    ),
    "metadata area": (("--repairtype", "metadata"), (), lambda image: overwrite(image, 4096, bytes(MIB - 4096))),
    "pv header": (("--repairtype", "pv_header"), (), lambda image: overwrite(image, 544, b"\xff" * 60)),
    "label checksum": (("--repairtype", "label_header"), (), lambda image: overwrite(image, 528, b"\xff" * 4)),
    "label words": (("--repairtype", "label_header"), (), lambda image: overwrite(image, 512, b"\xff" * 32)),
}  # fmt: skip


STILL_SOUND = ("label", "label of two areas")
"""Where a sound area is left, stock writes the text at its begin, over what may be the last good one; we do not."""


@pytest.mark.parametrize("hurt", HURTS)
@pytest.mark.parametrize("source", ["text", "backup"])
def test_repairs_write_what_stock_writes(machine: Machine, stock: StockLvm, hurt: str, source: str) -> None:
    repair, options, damage = HURTS[hurt]
    images, nodes = made(machine, stock, *options)
    text = machine.folder / "text"
    if source == "text":
        stock.run("pvck", "--dump", "metadata", "-f", text, nodes[1])
    else:
        stock.run("vgcfgbackup", "-f", text, "vg")
    damage(images[0])
    file = () if repair[-1] == "label_header" else ("-f", text)
    hurt_image = images[0].read_bytes()
    theirs = stock.run("pvck", "-y", *repair, *file, nodes[0])
    expected = images[0].read_bytes()
    images[0].write_bytes(hurt_image)
    devices = ("--devices", ",".join(map(str, nodes)))
    ours = machine.run("pvck", "-y", *devices, *repair, *file, nodes[0])
    if hurt not in STILL_SOUND:
        assert images[0].read_bytes() == expected
        assert ours.lines == [line.strip() for line in theirs.out.splitlines() if "Writing" in line]
    assert stock.report("pv", "-o", "pv_name,vg_name,pv_attr")[0]["vg_name"] == "vg"
    machine.run("vgck", *devices, "vg")
    if source == "text":
        assert stock.run("vgck", "vg").err.count("WARNING") == 1, "the one that activation is disabled"


def plain(text: bytes) -> list[str]:
    """A metadata text without what names its writer and its time."""
    trailer = re.compile(r"^(# Generated|description|creation_host|creation_time)")
    return [line.split("\t#")[0] for line in text.decode().splitlines() if line and not trailer.match(line)]


def state(stock: StockLvm, nodes: list[Path]) -> list[list[str]]:
    texts: list[list[str]] = []
    for node in nodes:
        dump = stock.run("pvck", "--dump", "headers", node, expect=None).out
        headers = [line for line in dump.splitlines() if "crc" not in line]
        texts.append([line for line in headers if "checksum" not in line and "size" not in line])
        found = stock.run("pvck", "--dump", "metadata", node, expect=None).out.encode()
        gone = f'device = "{nodes[0].with_name("k3")}"'  # stock forgets the name of a device that is away
        lines = [line for line in plain(found) if "crc 0x" not in line]
        texts.append(['device = "[unknown]"' if line == gone and len(nodes) < len(NAMES) else line for line in lines])
    return texts


DAMAGES: dict[str, Callable[[Path], None]] = {
    "none": lambda _: None,
    "text": lambda image: overwrite(image, 4608, b"\xff" * 8192),
    "header checksum": lambda image: flip(image, 4096),
    "header version": lambda image: flip(image, 4116),
}
ABSENCES = {"old copy": ("vgck", "--updatemetadata", "vg"), "outdated": ("vgreduce", "--removemissing", "vg")}


@pytest.mark.parametrize("change", [*DAMAGES, *ABSENCES])
def test_updatemetadata_writes_what_stock_writes(machine: Machine, stock: StockLvm, change: str) -> None:
    images, nodes = made(machine, stock)
    if change in DAMAGES:
        DAMAGES[change](images[2])
    else:
        nodes[2].rename(stock.folder / "away")
        stock.run(*ABSENCES[change], expect=None)
        (stock.folder / "away").rename(nodes[2])
    before = [image.read_bytes() for image in images]
    devices = ("--devices", ",".join(map(str, nodes)))
    found = machine.run("vgck", *devices, "vg", expect=None)
    if change == "none":
        assert (found.status, found.err) == (0, "")
    else:
        assert found.status == 5
        assert all(str(nodes[2]) in line for line in found.err.splitlines()), found.err
    repaired = "not repairing" not in stock.run("vgck", "--updatemetadata", "vg").err
    assert repaired or change == "text", "2.03.16 looks at freed memory there, and may leave the area as it is"
    expected = state(stock, nodes)
    for image, content in zip(images, before, strict=True):
        image.write_bytes(content)
    machine.run("vgck", "--updatemetadata", *devices, "vg")
    for ours, theirs in zip(state(stock, nodes), expected, strict=True):
        assert ours == theirs or not repaired
    machine.run("vgck", *devices, "vg")
    assert stock.run("vgck", "vg").err.count("WARNING") == 1


def test_a_missing_device_is_marked_as_stock_marks_it(machine: Machine, stock: StockLvm) -> None:
    images, nodes = made(machine, stock)
    hidden = stock.folder / "hidden"
    nodes[2].rename(hidden)
    before = [image.read_bytes() for image in images]
    stock.run("vgck", "--updatemetadata", "vg", expect=None)
    expected = state(stock, nodes[:2])
    for image, content in zip(images, before, strict=True):
        image.write_bytes(content)
    devices = ("--devices", ",".join(map(str, nodes[:2])))
    assert "missing" in machine.fail("vgck", *devices, "vg")
    machine.run("vgck", "--updatemetadata", *devices, "vg")
    for ours, theirs in zip(state(stock, nodes[:2]), expected, strict=True):
        assert ours == theirs
    assert "MISSING" in str(expected)
