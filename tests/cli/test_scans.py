"""pvscan, vgscan and lvscan as programs; equality with stock is in compat/."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

if TYPE_CHECKING:
    from support.machine import Machine


def test_what_there_is(vg0: Machine) -> None:
    vg0.image("c.img")
    vg0.run("pvcreate", "c.img")
    vg0.run("lvcreate", "--type", "crypt", *FAST, "-l2", "-nsecret", "vg0", given=b"x\n")
    assert vg0.run("vgscan").lines == ['Found volume group "vg0" using metadata type lvm2']
    assert vg0.run("lvscan").lines == ["inactive          '/dev/vg0/secret' [8.00 MiB] inherit"]
    assert len(vg0.run("lvscan", "-a").lines) == 2
    paths = [str(vg0.folder / name) for name in ("a.img", "b.img", "c.img")]
    *shown, total = vg0.run("pvscan", "-s").lines
    assert shown == paths
    assert total == "Total: 3 [88.00 MiB] / in use: 2 [56.00 MiB] / in no VG: 1 [32.00 MiB]"
    alone = vg0.run("pvscan", "-n")
    assert [line.split()[1] for line in alone.lines[:-1]] == paths[2:]
    assert "WARNING: only considering" in alone.err
    assert vg0.run("pvscan", "-e").lines == ["No matching physical volumes found"]
    assert all("with UUID" in line for line in vg0.run("pvscan", "-u").lines[:-1])


def test_an_empty_machine(machine: Machine) -> None:
    assert machine.run("pvscan").lines == ["No matching physical volumes found"]
    assert machine.run("vgscan").out == machine.run("lvscan").out == ""
    assert machine.run("pvscan", "-qq").out == ""


@pytest.mark.parametrize(
    "words", [("pvscan", "-e", "-n"), ("pvscan", "a"), ("vgscan", "a"), ("lvscan", "--units", "k")]
)
def test_what_they_do_not_take(machine: Machine, words: tuple[str, ...]) -> None:
    machine.fail(*words, status=3)
