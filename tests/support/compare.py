"""Reports of stock lvm2 and ours beside each other: every field that both have, every line of the default reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptlv.report.fields import usable_fields

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.machine import Machine
    from support.stock import StockLvm

STATE_OF_THE_KERNEL = {"lv_active", "data_percent", "metadata_percent", "copy_percent"}
REPORTS = (("pv", "pvs"), ("vg", "vgs"), ("lv", "lvs", "-a"), ("seg", "lvs", "-a", "--segments"))
TEXTS = (("pvs",), ("vgs",), ("lvs",), ("lvs", "-a"), ("lvs", "--segments"))


def common_fields(kind: str) -> str:
    """The fields of a report (`pv`, `vg`, `lv`, `seg`) that stock has too, but for the state that is the kernel's."""
    names = [field.name for field in usable_fields(kind) if field.prefix == f"{kind}_"]
    names = [name for name in names if name not in STATE_OF_THE_KERNEL and not name.startswith("crypt_")]
    return ",".join(["vg_name", *(["lv_name"] if kind == "seg" else []), *names])


def said_by_stock(stock: StockLvm, *words: str | Path) -> str:
    """What stock prints, without its remarks on device numbers."""
    lines = stock.run(*words).out.splitlines(keepends=True)
    return "".join(line for line in lines if "Ignoring supplied major" not in line)


def stock_rows(stock: StockLvm, kind: str, *words: str) -> list[dict[str, Any]]:
    """The rows of a report of stock's, with paths of volumes as on a machine whose devices are in /dev.

    In lv_attr the letters of a state that it cannot know here are `-`.
    """
    rows: list[dict[str, Any]] = json.loads(said_by_stock(stock, *words))["report"][0][kind]
    for row in rows:
        if "lv_attr" in row:
            row["lv_attr"] = row["lv_attr"].replace("XX", "--")
        for path in ("lv_path", "lv_dm_path"):
            if row.get(path):
                row[path] = row[path].replace(str(stock.folder / "dev"), "/dev")
    return rows


def assert_same_rows(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Fail with the fields that differ."""
    names = [row.get("lv_name") or row["vg_name"] for row in theirs]
    assert [row.get("lv_name") or row["vg_name"] for row in ours] == names
    for name, our, their in zip(names, ours, theirs, strict=True):
        differing = {
            key: (our.get(key), their.get(key)) for key in {**our, **their} if our.get(key) != their.get(key)
        }
        assert not differing, f"{name}: ours and stock's: {differing}"


def assert_same_reports(machine: Machine, stock: StockLvm, nodes: Iterable[Path], *, texts: bool = False) -> None:
    """Fail when a field, or with `texts` a line of a default report, is not what stock says."""
    devices = ("--devices", ",".join(map(str, nodes)))
    for kind, command, *options in REPORTS:
        words = ("--units", "s", *options, "-o", common_fields(kind), "--reportformat", "json")
        ours = json.loads(machine.run(command, *devices, *words).out)["report"][0][kind]
        assert_same_rows(ours, stock_rows(stock, kind, command, *words))
    for command, *options in TEXTS if texts else ():
        ours = machine.run(command, *devices, *options).out
        assert ours == said_by_stock(stock, command, *options).replace("XX", "--"), (command, *options)
