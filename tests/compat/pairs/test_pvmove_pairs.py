"""pvmove by stock lvm2 on one copy and by ours on another leave the same.

Stock stops when it has chosen the extents, for want of device-mapper; the rest of its outcome is put in force by
`support.moves`. Refusals have the same exit status.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from support.moves import finish
from support.pairs import STOCK_MAKES, Pair

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = [pytest.mark.compat, pytest.mark.root]

Words = tuple[str, ...]


def lvcreate(*words: str) -> Words:
    return ("lvcreate", *STOCK_MAKES, *words)


GROUP: Words = ("vgcreate", "vg", "D1", "D2", "D3")
LINEAR: tuple[Words, ...] = (
    GROUP,
    lvcreate("-l", "3", "-n", "a", "vg", "D1"),
    lvcreate("-l", "2", "-n", "b", "vg", "D1"),
)
STRIPED: tuple[Words, ...] = (GROUP, lvcreate("-l", "6", "-i", "2", "-I", "8k", "-n", "s", "vg", "D1", "D2"))
PIECES: tuple[Words, ...] = (
    GROUP,
    lvcreate("-l", "2", "-n", "a", "vg", "D1:0-1"),
    lvcreate("-l", "1", "-n", "hole", "vg", "D1:2"),
    ("lvextend", "-l", "+3", "vg/a", "D1:4-6"),
    ("lvextend", "-l", "+1", "vg/a", "D2:5"),
)
HOLES: tuple[Words, ...] = (
    GROUP,
    lvcreate("-l", "6", "-n", "a", "vg", "D1:0-5"),
    *(lvcreate("-l", "1", "-n", f"h{number}", "vg", f"D2:{pe}") for number, pe in enumerate((1, 4, 6))),
    lvcreate("-l", "7", "-n", "full", "vg", "D3:0-6"),
)
ODD: tuple[Words, ...] = (
    ("pvcreate", "--pvmetadatacopies", "2", "D1"),
    ("pvcreate", "--pvmetadatacopies", "0", "D2"),
    ("vgcreate", "-s", "3m", "vg", "D1", "D2", "D3"),
    lvcreate("-l", "5", "-n", "a", "vg", "D1"),
)
MOVES: dict[str, tuple[Sequence[Words], Words]] = {
    "everything": (LINEAR, ("pvmove", "D1")),
    "to a pv": (LINEAR, ("pvmove", "D1", "D3")),
    "to several": (LINEAR, ("pvmove", "D1", "D3", "D2")),
    "to a range": (LINEAR, ("pvmove", "D1", "D3:2-6")),
    "to several ranges": (LINEAR, ("pvmove", "D1", "D3:0-1:5-7")),
    "a range": ((*LINEAR[:2],), ("pvmove", "D1:1-1")),
    "a length": ((*LINEAR[:2],), ("pvmove", "D1:1+2")),
    "a volume": (LINEAR, ("pvmove", "-n", "vg/b", "D1")),
    "striped": (STRIPED, ("pvmove", "D1")),
    "part of a stripe": (STRIPED, ("pvmove", "D2:1-1")),
    "in pieces, joined again": (PIECES, ("pvmove", "-n", "a", "D1", "D2")),
    "into holes": (HOLES, ("pvmove", "-n", "a", "D1")),
    "onto the same pv": (LINEAR, ("pvmove", "--alloc", "anywhere", "D1:0-2", "D1:5-8")),
    "contiguous": (LINEAR, ("pvmove", "--alloc", "contiguous", "-n", "a", "D1")),
    "cling": (LINEAR, ("pvmove", "--alloc", "cling", "D1")),
    "to a tag": ((*LINEAR, ("pvchange", "--addtag", "spare", "D3")), ("pvmove", "D1", "@spare")),
    "odd extents and areas": (ODD, ("pvmove", "D1")),
    "a closed pv": ((*LINEAR, ("pvchange", "-xn", "D2")), ("pvmove", "D1")),
    "policy of the group": ((*LINEAR[:2], ("vgchange", "--alloc", "cling", "vg")), ("pvmove", "D1")),
    "tagged volumes": ((*LINEAR, ("lvchange", "--addtag", "t", "vg/a")), ("pvmove", "D1")),
}
REFUSED: dict[str, tuple[Sequence[Words], Words]] = {
    "nothing there": (LINEAR, ("pvmove", "D2")),
    "nothing of it there": (LINEAR, ("pvmove", "-n", "a", "D3")),
    "free extents": (LINEAR, ("pvmove", "D1:7-8")),
    "no such pv": (LINEAR, ("pvmove", "/nowhere")),
    "no such target": (LINEAR, ("pvmove", "D1", "/nowhere")),
    "no such volume": (LINEAR, ("pvmove", "-n", "nope", "D1")),
    "of another group": (LINEAR, ("pvmove", "-n", "other/a", "D1")),
    "no name": (LINEAR, ("pvmove", "-n", "a b", "D1")),
    "to itself": (LINEAR, ("pvmove", "D1", "D1")),
    "too small": (LINEAR, ("pvmove", "D1", "D2:0-1")),
    "not contiguous": (LINEAR, ("pvmove", "--alloc", "contiguous", "D1")),
    "no room beside": (STRIPED, ("pvmove", "D1", "D2")),
    "backwards": (LINEAR, ("pvmove", "D1:4-2")),
    "beyond": (LINEAR, ("pvmove", "D1:0-99")),
    "overlapping": (LINEAR, ("pvmove", "D1:0-2:2-3")),
    "no range": (LINEAR, ("pvmove", "D1:x")),
    "no policy": (LINEAR, ("pvmove", "--alloc", "best", "D1")),
    "twice the same": (LINEAR, ("pvmove", "D1", "D2", "D2")),
    "closed target": ((*LINEAR, ("pvchange", "-xn", "D2")), ("pvmove", "D1", "D2")),
}


def random_bytes(path: Path) -> None:
    """Fill a disk's extents, so that it shows when something is not copied."""
    rng = random.Random(5)
    with path.open("r+b") as file:
        file.seek(1024 * 1024)
        file.write(rng.randbytes(path.stat().st_size - 2 * 1024 * 1024))


def volume(pair: Pair, lv_name: str, vg_name: str = "vg") -> bytes:
    """A volume's bytes on the twin, as stock says where they are."""
    words = ("--noheadings", "--nosuffix", "--units", "b")
    extent = int(pair.twin.run("vgs", *words, "-o", "vg_extent_size", vg_name).out)
    columns = "lv_name,seg_start_pe,devices,seg_size"
    rows = pair.twin.run("lvs", "--segments", *words, "-o", columns, "-O", "seg_start_pe", vg_name).out
    found = b""
    for name, _, device, size in map(str.split, rows.splitlines()):
        if name == lv_name:
            node, start_pe = device.rstrip(")").split("(")
            with open(node, "rb") as file:
                file.seek(1024 * 1024 + int(start_pe) * extent)
                found += file.read(int(size))
    return found


@pytest.mark.parametrize("name", MOVES)
def test_the_same_extents_are_taken(pair: Pair, name: str) -> None:
    steps, words = MOVES[name]
    pair.setup(*steps)
    pair.step(*words)
    finish(pair.stock, pair.nodes["D1"])
    pair.assert_same()


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_is_refused(pair: Pair, name: str) -> None:
    steps, words = REFUSED[name]
    pair.setup(*steps)
    result = pair.step(*words, expect=None)
    assert result.status in (3, 5)
    assert len([line for line in result.err.splitlines() if "WARNING" not in line]) == 1
    pair.assert_same()


def test_the_data_go_along(pair: Pair) -> None:
    for image in pair.images:
        random_bytes(image)
    pair.setup(*PIECES)
    before = volume(pair, "a")
    assert len(set(before)) == 256
    pair.our_step("pvmove", "-n", "a", "D1", "D2")
    assert volume(pair, "a") == before
    pair.our_step("pvmove", "D2")
    assert volume(pair, "a") == before
    pair.twin.run("vgck", "vg")


def test_stock_goes_on_where_ours_has_moved(pair: Pair) -> None:
    pair.setup(*LINEAR)
    pair.our_step("pvmove", "D1")
    pair.twin.run("lvextend", "-l", "+2", "vg/a")
    pair.twin.run("lvremove", "-y", "vg/b")
    pair.twin.run("vgreduce", "vg", pair.twins["D1"])
    pair.twin.run("vgck", "vg")


def test_an_encrypted_volume_goes_where_a_linear_one_of_stocks_does(pair: Pair) -> None:
    """Row S3: with handler plain, whose keystore takes no space, the places are the very same."""
    pair.setup(GROUP)
    steps: tuple[Words, ...] = (("-l", "4", "-n", "a", "vg", "D1"), ("-l", "3", "-n", "b", "vg", "D1"))
    crypt = ("lvcreate", "--type", "crypt", "--handler", "plain", "--keyfile", "-")
    for words in steps:
        pair.step(*lvcreate(*words), ours=(*crypt, *words), given=bytes(range(64)))
    for words in (("pvmove", "D1"), ("pvmove", "-n", "a", "D2:1-2"), ("pvmove", "D2", "D1:3-8")):
        pair.step(*words)
        finish(pair.stock, pair.nodes["D1"])
        theirs = _places(
            pair.stock.run("lvs", "--noheadings", "--segments", "-o", "lv_name,seg_start_pe,devices").out
        )
        ours = _places(pair.our_step("lvs", "--noheadings", "--segments", "-o", "lv_name,seg_start_pe,devices").out)
        assert ours == theirs


def _places(text: str) -> list[str]:
    """Lines of a report without the folders of nodes; those of the two copies have the same names."""
    return sorted(" ".join(line.split()).replace("/stock/", "/").replace("/twin/", "/") for line in text.splitlines())
