"""Reports of more than their own things: volumes that are no more, groups with fields of what is in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from compat.test_complex_layouts import MAKE, history
from support.compare import assert_same_rows, common_fields, said_by_stock, stock_rows
from support.texts import restore

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]


@pytest.fixture
def nodes(machine: Machine, stock: StockLvm) -> list[Path]:
    """Four devices: three in `va` and one in `vb`."""
    nodes = [stock.attach(machine.image(f"{number}.img", 64)) for number in range(4)]
    stock.run("vgcreate", "-s", "1m", "va", *nodes[:3])
    stock.run("vgcreate", "-s", "1m", "vb", nodes[3])
    return nodes


def devices(nodes: list[Path]) -> tuple[str, str]:
    return "--devices", ",".join(map(str, nodes))


def test_volumes_that_are_no_more(machine: Machine, stock: StockLvm, nodes: list[Path]) -> None:
    """But for lv_modules, over which stock stumbles there, and for the parity chunks, which it counts to 2^32 - 1."""
    restore(stock, machine.folder, history, name="va")
    for kind, *options in (("lv", "-a"), ("seg", "-a", "--segments"), ("lv",)):
        fields = ",".join(
            name for name in common_fields(kind).split(",") if name not in ("lv_modules", "parity_chunks")
        )
        words = ("lvs", "-H", *options, "--units", "s", "-o", fields, "--reportformat", "json")
        ours = json.loads(machine.run(*words, *devices(nodes)).out)["report"][0][kind]
        assert_same_rows(ours, stock_rows(stock, kind, *words))
    for words in (("lvs", "-H"), ("lvs", "-H", "va/-t1s"), ("lvs", "-H", "va/t1"), ("lvs", "-H", "-O-lv_name")):
        assert machine.run(*words, *devices(nodes)).out == said_by_stock(stock, *words).replace("XX", "--")
    assert machine.run("lvs", "va/-t1s", *devices(nodes), expect=5).out == ""


@pytest.mark.parametrize(
    "words",
    [
        "vgs -o vg_name,lv_name", "vgs -o+lv_name,lv_attr", "vgs -o vg_name,pv_name", "vgs -o vg_name,devices",
        "vgs -o vg_name,pvseg_start,pvseg_size", "vgs -o vg_name,seg_size,lv_name va", "vgs -S lv_name=x",
        "vgs -o vg_name,lv_name -O -lv_name", "vgs -o vg_name -O lv_name",
        "vgs -o vg_name,lv_name --reportformat json",
        "vgs -o vg_name,segtype --reportformat json", "vgs -o name,attr,size", "pvs -o lv_name,segtype",
        "vgs -o pv_name,lv_name", "lvs -o lv_name,pv_name",
    ],
)  # fmt: skip
def test_fields_of_what_is_within(machine: Machine, stock: StockLvm, nodes: list[Path], words: str) -> None:
    for name in ("x", "y"):
        stock.run(*MAKE, "-l3", "-n", name, "va")
    theirs = stock.run(*words.split(), expect=None)
    ours = machine.run(*words.split(), *devices(nodes), expect=None)
    assert ours.out == theirs.out.replace("XX", "--")
    assert (ours.status == 0) == (theirs.status == 0)
