"""pvdisplay, vgdisplay, lvdisplay, pvscan, vgscan, lvscan: what they print is what stock lvm2 prints, line by line.

Stock shows volumes in its own device directory, ours in /dev; nothing else is made alike. Without a device-mapper
stock says of every volume that it is not available, and so do we of volumes that are not served.
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

import pytest

from compat.test_stock_layouts import LAYOUTS, MAKE
from support.layouts import every_kind, put_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

FEW: tuple[tuple[str, ...], ...] = (
    ("pvdisplay", "-m"), ("pvdisplay", "-c"), ("vgdisplay", "-v"), ("vgdisplay", "-c"), ("lvdisplay", "-a", "-m"),
    ("lvdisplay", "-a", "-c"), ("pvscan", "-u"), ("lvscan", "-a"),
)  # fmt: skip
COMMANDS: tuple[tuple[str, ...], ...] = (
    *FEW, ("pvdisplay",), ("pvdisplay", "-s"), ("pvdisplay", "-m", "--units", "s"),
    ("vgdisplay", "-s", "--units", "H"), ("vgdisplay", "--nosuffix"), ("lvdisplay", "-m"),
    ("lvdisplay", "-m", "--units", "k"),
    ("pvscan",), ("pvscan", "-s"), ("pvscan", "-n"), ("pvscan", "-e"), ("vgscan",), ("lvscan",),
)  # fmt: skip
"""What is compared where it matters, besides those that are compared everywhere."""
MORE_LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "nothing": (),
    "order": (
        ("vgcreate", "vb", "D2"), ("vgcreate", "va", "D1"), (*MAKE, "-l1", "-nz", "vb"), (*MAKE, "-l2", "-na", "vb"),
        ("pvcreate", "D3"),
    ),
    "reversed": (
        ("vgcreate", "vg", "D3", "D1", "D2"), (*MAKE, "-i3", "-l6", "-na", "vg"), (*MAKE, "-l2", "-nb", "vg"),
    ),
    "full": (("vgcreate", "vg", "D1"), (*MAKE, "-l100%FREE", "-na", "vg"), ("pvchange", "-xn", "D1")),
    "holes": (
        ("vgcreate", "vg", "D1"), *((*MAKE, f"-l{size}", f"-nv{size}", "vg") for size in (1, 2, 3)),
        ("lvremove", "-y", "vg/v2"),
    ),
}  # fmt: skip


class Pair:
    """Stock and ours on the same disks."""

    def __init__(self, stock: StockLvm, machine: Machine, count: int = 3, mib: int = 40) -> None:
        self.stock, self.machine = stock, machine
        self.nodes = {
            f"D{number}": stock.attach(machine.image(f"{number}.img", mib)) for number in range(1, count + 1)
        }

    def make(self, *commands: tuple[str, ...]) -> None:
        for words in commands:
            self.stock.run(*(self.nodes.get(word, word) for word in words))

    def edit(self, change: Callable[[str], str]) -> None:
        """Change the metadata of group vg by hand."""
        backup = self.machine.folder / "backup"
        self.stock.run("vgcfgbackup", "-f", backup, "vg")
        backup.write_text(change(backup.read_text()))
        self.stock.run("vgcfgrestore", "--force", "-f", backup, "vg")

    def look(self) -> None:
        """From now on stock would look at the kernel's device-mapper."""
        config = self.stock.folder / "etc" / "lvm.conf"
        config.write_text(config.read_text().replace("activation = 0", "activation = 1"))

    def both(self, *words: str, status: int = 0) -> tuple[str, str]:
        """What ours and stock print."""
        named = [str(self.nodes.get(word, word)) for word in words]
        ordered = sorted(self.nodes.values(), key=lambda node: os.stat(node).st_rdev)  # as stock goes through them
        devices = ("--devices", ",".join(map(str, ordered)))
        ours = self.machine.run(*named[:1], *devices, *named[1:], expect=status).out
        theirs = self.stock.run(*named, expect=status).out
        for group in ("vg", "va", "vb", "vh", "v-g"):
            theirs = theirs.replace(f"{self.stock.folder}/dev/{group}/", f"/dev/{group}/")
        return ours, theirs

    def same(self, *words: str, status: int = 0) -> str:
        ours, theirs = self.both(*words, status=status)
        if ours != theirs:
            difference = difflib.unified_diff(theirs.split("\n"), ours.split("\n"), "stock", "ours", n=9, lineterm="")
            pytest.fail(f"{words}\n" + "\n".join(difference))
        return ours


@pytest.fixture
def pair(stock: StockLvm, machine: Machine) -> Pair:
    return Pair(stock, machine)


@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
def test_every_form_prints_the_same(pair: Pair, layout: str) -> None:
    pair.make(*(LAYOUTS | MORE_LAYOUTS)[layout])
    pair.look()
    for words in COMMANDS if layout in ("order", "metadata-areas", "striped") else FEW:
        pair.same(*words)


@pytest.mark.parametrize("status", ['"READ"', '"RESIZEABLE", "WRITE"', ""])
def test_groups_that_may_not_be_written(pair: Pair, status: str) -> None:
    pair.make(("vgcreate", "vg", "D1"), (*MAKE, "-l1", "-na", "vg"))
    pair.edit(lambda text: text.replace('["RESIZEABLE", "READ", "WRITE"]', f"[{status}]"))
    pair.look()
    for words in (("vgdisplay",), ("vgdisplay", "-c"), ("lvdisplay",)):
        pair.same(*words)


def test_every_kind_of_volume(stock: StockLvm, machine: Machine) -> None:
    pair = Pair(stock, machine, mib=200)
    pair.make(("vgcreate", "vg", "D1", "D2", "D3"))
    pair.edit(lambda text: put_into(text, every_kind()))
    pair.look()
    for words in COMMANDS:
        pair.same(*words)
    assert "Zero new blocks" in pair.same("lvdisplay", "-m", "vg/pool")
    pair.same("lvdisplay", "vg/cow", "vg/org")
    assert not pair.same("lvdisplay", "vg/r1_rimage_0")  # hidden, though it be named
    assert "r1_rimage_0" in pair.same("lvdisplay", "-a", "vg/r1_rimage_0")


def test_missing_disks_and_exported_groups(pair: Pair) -> None:
    pair.make(
        ("vgcreate", "vg", "D2", "D3"), (*MAKE, "-l1", "-nb", "vg", "D2"), (*MAKE, "-l12", "-na", "vg"),
        ("vgcreate", "vh", "D1"), (*MAKE, "-l1", "-na", "vh"), ("vgexport", "vh"),
    )  # fmt: skip
    pair.nodes.pop("D3").unlink()
    pair.look()
    for words in COMMANDS:
        pair.same(*words)
    assert "(partial)" in pair.same("lvdisplay", "vg/a")
    assert "(partial)" not in pair.same("lvdisplay", "vg/b")
    pair.same("lvdisplay", "vg", "vh", status=5)


def test_words(pair: Pair) -> None:
    pair.make(
        ("vgcreate", "--addtag", "gold", "vg", "D1"), ("vgcreate", "vh", "D2"), ("pvcreate", "D3"),
        ("pvchange", "--addtag", "ssd", "D2"), (*MAKE, "-l1", "-na", "vg"),
        (*MAKE, "-l1", "--addtag", "gold", "-nb", "vh"), (*MAKE, "-l1", "-nc", "vh"),
    )  # fmt: skip
    found: tuple[tuple[str, ...], ...] = (
        ("pvdisplay", "-s", "D2", "D1"), ("pvdisplay", "-c", "D3"), ("pvdisplay", "@ssd"),
        ("pvdisplay", "D1", "@ssd"),
        ("vgdisplay", "-s", "vh", "vg"), ("vgdisplay", "-s", "vg", "vh", "vg"), ("vgdisplay", "-c", "@gold"),
        ("vgdisplay", "-s", "vh", "@gold"), ("vgdisplay", "-A"),
        ("lvdisplay", "-c", "vh/c", "vg"), ("lvdisplay", "-c", "vh/c", "vh/b"), ("lvdisplay", "-c", "vh", "vh/nope"),
        ("lvdisplay", "-c", "@gold"), ("lvdisplay", "-c", "vh/c", "@gold"), ("lvdisplay", "-c", "@none"),
        ("pvdisplay", "-C"), ("vgdisplay", "-C", "-o", "name,size", "--noheadings"), ("vgdisplay", "-C", "vh"),
    )  # fmt: skip
    absent: tuple[tuple[str, ...], ...] = (
        ("pvdisplay", "-s", "D2", "/dev/nope"), ("pvdisplay", "nope"), ("vgdisplay", "-s", "nope", "vg"),
        ("vgdisplay", "nope"), ("lvdisplay", "-c", "nope"), ("lvdisplay", "-c", "vg/nope", "vg/a", "nope/a", "vh/b"),
    )  # fmt: skip
    wrong: tuple[tuple[str, ...], ...] = (
        ("pvdisplay", "-cs"), ("pvdisplay", "-cm"), ("pvdisplay", "-Cm"), ("pvdisplay", "-o", "+pv_size"),
        ("vgdisplay", "-cs"), ("vgdisplay", "-Cs"), ("vgdisplay", "-A", "vg"), ("vgdisplay", "--noheadings"),
        ("lvdisplay", "-cm"), ("lvdisplay", "-Cc"), ("lvdisplay", "-s"), ("lvdisplay", "-O", "lv_name"),
        ("pvscan", "-ne"), ("pvscan", "D1"), ("vgscan", "vg"), ("lvscan", "vg"), ("lvscan", "--units", "k"),
    )  # fmt: skip
    for status, commands in ((0, found), (5, absent), (3, wrong)):
        for words in commands:
            pair.same(*words, status=status)


def test_what_is_compared_is_enough() -> None:
    assert len(LAYOUTS) + len(MORE_LAYOUTS) >= 23
    assert {words[0] for words in COMMANDS} == {"pvdisplay", "vgdisplay", "lvdisplay", "pvscan", "vgscan", "lvscan"}
