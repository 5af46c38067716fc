"""Stock's hints and devices file: what we change is seen by stock at once, and what stock lists binds us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.machine import Machine
    from support.stock import StockLvm

pytestmark = [pytest.mark.compat, pytest.mark.root]


def attach(stock: StockLvm, folder: Path, count: int) -> list[Path]:
    nodes = []
    for number in range(count):
        image = folder / f"{number}.img"
        with image.open("wb") as file:
            file.truncate(16 * 1024 * 1024)
        nodes.append(stock.attach(image))
    return nodes


def names(stock: StockLvm, kind: str) -> set[str]:
    return {row[f"{kind}_name"] for row in stock.report(kind)}


def test_stock_sees_what_we_made_though_it_keeps_hints(machine: Machine, stock: StockLvm, tmp_path: Path) -> None:
    stock.configure(hints='"all"')
    stock.private_run(machine)
    nodes = attach(stock, tmp_path, 3)
    stock.run("pvcreate", nodes[0])
    hints = stock.folder / "run" / "lvm" / "hints"
    stock.run("pvs")
    assert str(nodes[0]) in hints.read_text()
    machine.run("pvcreate", "--devices", nodes[1], nodes[1])
    assert names(stock, "pv") == {str(nodes[0])}, "the trap: hints that nobody cleared hide the new PV"
    machine.environ["LVM_SYSTEM_DIR"] = str(stock.folder / "etc")
    machine.run("pvcreate", "--devices", nodes[2], "--test", nodes[2])
    assert str(nodes[0]) in hints.read_text(), "a test changes nothing"
    machine.run("pvcreate", "--devices", nodes[2], nodes[2])
    assert str(nodes[0]) not in hints.read_text()
    assert names(stock, "pv") == set(map(str, nodes))
    stock.run("vgs")
    machine.run("vgcreate", "--devices", nodes[2], "vg", nodes[2])
    assert names(stock, "vg") == {"vg"}
    assert [row["vg_name"] for row in stock.report("pv", "-Opv_name")] == ["", "", "vg"]
    stock.configure(hints='"none"')
    hints.write_text("as it was\n")
    machine.run("pvcreate", "--devices", nodes[1], "-f", nodes[1])
    assert hints.read_text() == "as it was\n", "stock that keeps no hints needs none cleared"


def test_the_devices_file_goes_to_and_fro(machine: Machine, stock: StockLvm, tmp_path: Path) -> None:
    """Made by either, edited by the other: the same devices, identities kept, a counter that never goes back."""
    stock.configure('local { system_id = "me" }', use_devicesfile="1", system_id_source='"lvmlocal"')
    stock.beside(machine)
    nodes = attach(stock, tmp_path, 4)
    listed = stock.folder / "etc" / "devices" / "system.devices"
    stock.run("pvcreate", nodes[0])
    stock.run("pvcreate", nodes[1])
    before = listed.read_text()
    assert "SYSTEMID=me\nVERSION=1.1.2\n" in before
    machine.run("pvcreate", nodes[2])
    text = listed.read_text()
    assert "SYSTEMID=me\nVERSION=1.1.3\n" in text
    assert [line for line in before.splitlines() if line.startswith("IDTYPE")] == [
        line for line in text.splitlines() if line.startswith("IDTYPE=loop_file")
    ]
    assert names(stock, "pv") == set(map(str, nodes[:3]))
    assert "system id" not in stock.run("pvs").err
    stock.run("lvmdevices", "--adddev", nodes[3])
    machine.run("vgcreate", "vg", nodes[0], nodes[3])
    text = listed.read_text()
    assert "VERSION=1.1.5\n" in text
    uuid = stock.run("pvs", "--noheadings", "-opv_uuid", nodes[3]).out.strip().replace("-", "")
    assert f"IDTYPE=loop_file IDNAME={tmp_path}/3.img DEVNAME={nodes[3]} PVID={uuid}" in text
    assert stock.run("lvmdevices", "--check").err.count("\n") <= 2
    stock.run("lvmdevices", "--deldev", nodes[2])
    assert str(nodes[2]) not in machine.run("pvs").out
    stock.configure('local { system_id = "you" }', use_devicesfile="1", system_id_source='"lvmlocal"')
    assert "unmatching system id" in stock.run("pvs").err
    assert "of system ID me, this host's is you" in machine.run("pvs").err


def test_a_device_that_is_not_the_listed_one_is_not_used(machine: Machine, stock: StockLvm, tmp_path: Path) -> None:
    """A name that moved to another disk gives that disk nobody's leave; stock finds the listed one by what it is."""
    stock.configure(use_devicesfile="1")
    stock.beside(machine)
    nodes = attach(stock, tmp_path, 2)
    stock.run("pvcreate", nodes[0])
    listed = stock.folder / "etc" / "devices" / "system.devices"
    machine.run("pvcreate", "--devices", nodes[1], nodes[1])
    listed.write_text(listed.read_text().replace(str(nodes[0]), str(nodes[1])))
    seen = machine.run("pvs", "--noheadings", "-o", "pv_name")
    assert seen.out == ""
    assert "another device" in seen.err
    assert names(stock, "pv") == {str(nodes[0])}
    assert machine.run("pvs", "--noheadings", "-o", "pv_name").lines == [str(nodes[0])], (
        "stock has put the name right"
    )


def test_a_listed_device_loses_and_changes_its_id_as_with_stock(
    machine: Machine, stock: StockLvm, tmp_path: Path
) -> None:
    stock.configure(use_devicesfile="1")
    stock.beside(machine)
    nodes = attach(stock, tmp_path, 4)
    listed = stock.folder / "etc" / "devices" / "system.devices"
    stock.run("pvcreate", *nodes)
    stock.run("vgcreate", "vg", nodes[2], nodes[3])
    stock.run("pvremove", nodes[0])
    machine.run("pvremove", nodes[1])
    lines = listed.read_text().splitlines()
    ends = {line.split("DEVNAME=")[1] for line in lines if "PVID=." in line}
    assert ends == {f"{node} PVID=." for node in nodes[:2]}
    machine.run("pvcreate", nodes[1])
    stock.run("pvchange", "-u", nodes[2])
    machine.run("pvchange", "-u", nodes[1], nodes[3])
    assert names(stock, "pv") == set(map(str, nodes[1:]))
    ids = {row["pv_uuid"].replace("-", "") for row in stock.report("pv", "-o", "pv_uuid")}
    assert ids == {word[5:] for word in listed.read_text().split() if word.startswith("PVID=")} - {"."}
    assert stock.run("vgck", "vg").status == 0
