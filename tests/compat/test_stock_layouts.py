"""Layouts that stock lvm2 makes now: every field that both have comes out the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.report.fields import FIELDS
from support.compare import assert_same_reports, common_fields

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]

MAKE = ("lvcreate", "-an", "-Zn", "-Wn", "-y")
LAYOUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "empty": (("vgcreate", "vg", "D1", "D2", "D3"),),
    "small-extents": (("vgcreate", "-s", "1k", "vg", "D1"), (*MAKE, "-l7", "-na", "vg")),
    "odd-extents": (("vgcreate", "-s", "3m", "vg", "D1", "D2"), (*MAKE, "-l5", "-na", "vg")),
    "big-extents": (("vgcreate", "-s", "16m", "vg", "D1", "D2"), (*MAKE, "-l1", "-na", "vg")),
    "striped": (
        ("vgcreate", "vg", "D1", "D2", "D3"), (*MAKE, "-i3", "-I64k", "-l6", "-na", "vg"),
        (*MAKE, "-i2", "-I4k", "-l4", "-nb", "vg"),
    ),
    "mixed-segments": (
        ("vgcreate", "vg", "D1", "D2", "D3"), (*MAKE, "-l2", "-na", "vg", "D1"), (*MAKE, "-l1", "-nb", "vg", "D1"),
        ("lvextend", "-l+2", "vg/a", "D1"), ("lvextend", "-l+1", "vg/a", "D2"), ("lvextend", "-i2", "-l+4", "vg/a"),
    ),
    "tags": (
        ("vgcreate", "--addtag", "b", "--addtag", "a", "vg", "D1", "D2"),
        (*MAKE, "-l1", "--addtag", "t/1", "-na", "vg"),
        ("pvchange", "--addtag", "ssd", "D1"),
    ),
    "permissions": (
        ("vgcreate", "vg", "D1"), (*MAKE, "-pr", "-l1", "-na", "vg"), (*MAKE, "-l1", "-ky", "-nb", "vg"),
        (*MAKE, "--alloc", "contiguous", "-l1", "-nc", "vg"),
        (*MAKE, "-My", "--major", "253", "--minor", "77", "-l1", "-nd", "vg"),
        (*MAKE, "-r", "none", "-l1", "-ne", "vg"), (*MAKE, "-r", "256k", "-l1", "-nf", "vg"),
        (*MAKE, "--setautoactivation", "n", "-l1", "-ng", "vg"),
    ),
    "group-options": (
        ("vgcreate", "-l", "9", "-p", "5", "--alloc", "cling", "--setautoactivation", "n", "vg", "D1", "D2"),
        ("pvchange", "-xn", "D2"), (*MAKE, "-l1", "-na", "vg"),
    ),
    "not-resizeable": (("vgcreate", "vg", "D1"), ("vgchange", "-xn", "vg")),
    "exported": (("vgcreate", "vg", "D1"), (*MAKE, "-l1", "-na", "vg"), ("vgexport", "vg")),
    "metadata-areas": (
        ("pvcreate", "--pvmetadatacopies", "2", "D1"), ("pvcreate", "--pvmetadatacopies", "0", "D2"),
        ("pvcreate", "--metadatasize", "3m", "D3"), ("vgcreate", "vg", "D1", "D2", "D3"), (*MAKE, "-l3", "-na", "vg"),
    ),
    "metadata-copies": (("vgcreate", "--vgmetadatacopies", "1", "vg", "D1", "D2", "D3"), (*MAKE, "-l3", "-na", "vg")),
    "alignment": (
        ("pvcreate", "--dataalignment", "4m", "D1"), ("pvcreate", "--bootloaderareasize", "3m", "D2"),
        ("pvcreate", "--dataalignment", "1m", "--dataalignmentoffset", "7s", "D3"),
        ("vgcreate", "vg", "D1", "D2", "D3"),
    ),
    "two-groups": (
        ("vgcreate", "vg", "D1"), ("vgcreate", "vh", "D2"), (*MAKE, "-l1", "-na", "vg"), (*MAKE, "-l1", "-na", "vh"),
    ),
    "orphans": (
        ("pvcreate", "D1"), ("pvcreate", "--bootloaderareasize", "3m", "D2"), ("vgcreate", "vg", "D3"),
    ),
    "removed": (
        ("vgcreate", "vg", "D1", "D2"), (*MAKE, "-l1", "-na", "vg"), (*MAKE, "-l2", "-nb", "vg"),
        ("lvremove", "-y", "vg/a"), ("vgreduce", "vg", "D2"),
    ),
    "renamed": (
        ("vgcreate", "vg", "D1"), (*MAKE, "-l1", "-na", "vg"), ("lvrename", "vg", "a", "b-c.d+e"),
        ("vgrename", "vg", "v-g"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_common_field_is_the_same(machine: Machine, stock: StockLvm, layout: str) -> None:
    nodes: dict[str, Path] = {}
    for number in (1, 2, 3):
        nodes[f"D{number}"] = stock.attach(machine.image(f"{number}.img", 40))
    for words in LAYOUTS[layout]:
        stock.run(*(nodes.get(word, word) for word in words))
    assert_same_reports(machine, stock, nodes.values())


def test_lines_and_their_order_are_stocks(machine: Machine, stock: StockLvm) -> None:
    nodes = [stock.attach(machine.image(f"{number}.img", 40)) for number in range(3)]
    stock.run("vgcreate", "vg", *nodes)
    for name, size in (("b", 3), ("a", 1), ("D", 1), ("c", 12)):
        stock.run(*MAKE, f"-l{size}", "-n", name, "vg")
    devices = ("--devices", ",".join(map(str, nodes)))
    for words in (
        ("lvs", "-O", "lv_size"),
        ("lvs", "-O", "-lv_size,lv_name"),
        ("lvs", "-O", "lv_size", "-O", "-name"),
        ("pvs", "-O", "-pv_free"),
        ("pvs", "-O", "+pv_used,-pv_name"),
        ("vgs", "-O", "vg_uuid"),
        ("lvs", "-o", "+devices"),
        ("pvs", "--segments"),
        ("pvs", "--segments", "-o", "+lv_name,segtype,seg_start_pe,devices,lv_size", "--reportformat", "json"),
        ("pvs", "--segments", "-O", "pvseg_size"),
        ("pvs", "--segments", "-O", "-pvseg_start,pv_name"),
        ("pvs", "--segments", "-S", "segtype=free"),
        ("pvs", "-S", "lv_size>4m"),
        ("pvs", "-o", "+lv_name,pvseg_size"),
        ("pvs", "-o", "pv_name,pvseg_start,pvseg_size", "--reportformat", "json"),
        ("lvs", "-o", "+devices,seg_size", "--reportformat", "json"),
        ("lvs", "--segments", "--units", "k"),
        ("lvs", "-o", "name,vg_free,seg_pe_ranges", "--noheadings", "--separator", ","),
    ):
        ours = machine.run(*words[:1], *devices, *words[1:]).out
        assert ours == stock.run(*words).out.replace("XX", "--"), words


def test_enough_is_compared() -> None:
    assert len(LAYOUTS) >= 18
    assert sum(len(common_fields(kind).split(",")) for kind in ("pv", "vg", "lv", "seg")) > 80
    assert set(FIELDS)
