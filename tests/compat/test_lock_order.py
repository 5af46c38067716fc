"""Both programs take the same locks in the same order, command for command, as strace sees it.

Names and modes are compared with their `:aux` files, lvm2's hints and the devices file. What differs, and why:

- Nobody is asked for a passphrase or for leave while a lock is held, so `lvcreate --type crypt` plans under the
  reader's lock, asks, and plans again under the writer's. `lvremove` without -y does likewise.
- `lvremove VG` takes the writer's lock once for each volume, not once for all: each removal is a commit of its own.
- A devices file is not locked to be read, since it is replaced whole; stock holds `D_system.devices` shared then.
- A report of everything takes the volume groups in the order of their names, stock in that of its cache.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST, Machine, need

if TYPE_CHECKING:
    from pathlib import Path

    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

_FLOCK = re.compile(r"flock\(\d+<([^>]*)>(?:\(deleted\))?, (LOCK_(?:SH|EX))\)\s+= 0")


class Both:
    """Runs a command of each program, and gives the locks it waited for as `NAME S` or `NAME X`."""

    def __init__(self, machine: Machine, stock: StockLvm) -> None:
        need("strace")
        self.machine = machine
        self.stock = stock
        self.log = machine.folder / "strace"
        self.tracer = ("strace", "-f", "-y", "-qq", "-o", str(self.log), "-e", "trace=flock")
        self.prefix = stock.prefix

    def _locks(self) -> list[str]:
        found = [
            f"{match[1].rpartition('/')[2]} {'S' if match[2] == 'LOCK_SH' else 'X'}"
            for match in _FLOCK.finditer(self.log.read_text())
        ]
        self.log.unlink()
        return [lock for lock in found if lock != "D_system.devices S"]

    def ours(self, *words: str | Path, given: bytes = b"", expect: int = 0) -> list[str]:
        self.machine.prefix = (*self.prefix, *self.tracer)
        self.machine.run(*words, given=given, expect=expect)
        return self._locks()

    def theirs(self, *words: str | Path) -> list[str]:
        self.stock.prefix = (*self.prefix, *self.tracer)
        self.stock.run(*words)
        return self._locks()


def writer(name: str) -> list[str]:
    return [f"{name}:aux X", f"{name} X"]


def reader(name: str) -> list[str]:
    return [f"{name}:aux X", f"{name} S"]


@pytest.fixture
def both(machine: Machine, stock: StockLvm, tmp_path: Path) -> tuple[Both, list[Path]]:
    """Two volume groups, b and a, and two devices more, with hints and devices file in use."""
    stock.configure(hints='"all"', use_devicesfile="1")
    stock.beside(machine)
    stock.private_run(machine)
    nodes = []
    for number in range(8):
        image = tmp_path / f"{number}.img"
        with image.open("wb") as file:
            file.truncate(64 * 1024 * 1024)
        nodes.append(stock.attach(image))
    stock.run("vgcreate", "b", nodes[0])
    stock.run("vgcreate", "a", nodes[1])
    return Both(machine, stock), nodes[2:]


def test_devices_and_volume_groups_are_made_under_the_same_locks(both: tuple[Both, list[Path]]) -> None:
    run, nodes = both
    expected = [*writer("P_global"), "hints X", "D_system.devices X"]
    assert run.theirs("pvcreate", nodes[0]) == run.ours("pvcreate", nodes[1]) == expected
    expected = [*writer("P_global"), "hints X", *writer("V_c"), "D_system.devices X"]
    assert run.theirs("vgcreate", "c", nodes[2]) == expected
    assert [lock.replace("V_d", "V_c") for lock in run.ours("vgcreate", "d", nodes[3])] == expected
    assert run.theirs("pvs", "-o", "pv_name,vg_name")[:2] == reader("P_global")
    assert len(run.stock.report("pv")) == 6, "what we made is seen, hints and devices file notwithstanding"


def test_reports_and_changes_take_the_same_locks(both: tuple[Both, list[Path]]) -> None:
    run, nodes = both
    make = ("lvcreate", "-an", "-Zn", "-l1")
    one = writer("V_b")
    everything = [*reader("P_global"), *reader("V_a"), *reader("V_b")]
    cases: list[tuple[tuple[str, ...], list[str]]] = [
        ((*make, "-nx{}", "b"), one),
        ((*make, "b"), one),
        (("pvs",), everything),
        (("pvs", str(nodes[0].parent / "k1")), everything),
        (("vgs",), everything),
        (("lvs",), everything),
        (("vgs", "b"), reader("V_b")),
        (("vgs", "b", "a"), [*reader("V_b"), *reader("V_a")]),
        (("lvs", "b/x{}"), reader("V_b")),
        (("vgcfgbackup", "b"), reader("V_b")),
        (("vgcfgbackup", "b", "a"), [*reader("V_b"), *reader("V_a")]),
        (("vgcfgbackup",), everything),
        (("vgchange", "-an", "b"), one),
        (("vgchange", "-an"), [*reader("P_global"), *writer("V_a"), *writer("V_b")]),
        (("lvchange", "-an", "b/x{}"), one),
        (("lvchange", "-an", "b"), one),
        (("pvck", "--dump", "headers", str(nodes[0].parent / "k1")), []),
        (("lvremove", "-y", "b/x{}"), one),
    ]
    for words, expected in cases:
        assert run.ours(*(word.format(1) for word in words)) == expected, words
        theirs = run.theirs(*(word.format(2) for word in words))
        if expected[1:2] == ["P_global S"]:  # the order of the groups is that of stock's cache
            pairs = sorted(tuple(theirs[start : start + 2]) for start in range(2, len(theirs), 2))
            theirs = [*theirs[:2], *(lock for pair in pairs for lock in pair)]
        assert theirs == expected, words


def test_what_differs_is_what_is_said_above(both: tuple[Both, list[Path]]) -> None:
    run, _ = both
    crypt = ("lvcreate", "--type", "crypt", *FAST, "-l1")
    assert run.ours(*crypt, "-nx", "b", given=b"word\n") == [*reader("V_b"), *writer("V_b")]
    run.ours("lvcreate", "-l1", "-ny", "b")
    assert run.ours("lvremove", "-y", "b") == [*reader("V_b"), *writer("V_b"), *writer("V_b")]
    run.stock.run("lvcreate", "-an", "-Zn", "-l1", "b")
    run.stock.run("lvcreate", "-an", "-Zn", "-l1", "b")
    assert run.theirs("lvremove", "-y", "b") == writer("V_b")


def test_two_groups_are_locked_in_the_same_order(both: tuple[Both, list[Path]]) -> None:
    run, nodes = both
    run.stock.run("vgextend", "b", nodes[0], nodes[1], nodes[2])
    every = [*writer("P_global"), "hints X"]
    split = [*every, *writer("V_a1"), *writer("V_b")]
    assert run.ours("vgsplit", "b", "a1", nodes[0]) == split
    assert [lock.replace("a2", "a1") for lock in run.theirs("vgsplit", "b", "a2", nodes[1])] == split
    split = [*every, *writer("V_z1"), *writer("V_b")]
    assert run.ours("vgsplit", "-n", "none", "b", "z1", expect=5) == split
    assert [lock.replace("z2", "z1") for lock in run.theirs("vgsplit", "b", "z2", nodes[2])] == split
    merge = [*every, *writer("V_a"), *writer("V_a1")]
    assert run.ours("vgmerge", "a1", "a") == merge
    assert run.theirs("vgmerge", "a1", "a2") == [*every, *writer("V_a1"), *writer("V_a2")]
    assert run.ours("vgundo", "a1", expect=5) == reader("V_a1")
    assert run.ours("vgundo", "-y", "a1", expect=5) == [*every, *writer("V_a1")]
