"""Reports of stock lvm2 and ours beside each other: every field that both have, every line of the default reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptlv.host.system import make_environment, observe_directories
from cryptlv.ops.commit import commit_change
from cryptlv.ops.session import Session
from cryptlv.report.fields import usable_fields

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from support.machine import Machine, Result
    from support.stock import StockLvm

STATE_OF_THE_KERNEL = {"lv_active", "lv_active_locally", "lv_active_remotely", "lv_active_exclusively"}
"""What stock without a device-mapper does not know and we do."""
REPORTS = (("pv", "pvs"), ("vg", "vgs"), ("lv", "lvs", "-a"), ("seg", "lvs", "-a", "--segments"))
UNKNOWN_SEGMENTS = ("Unrecognised segment type", "importing unknown segment", "Unrecognised flag")
"""What stock says when it reads segments that it does not know."""
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


def assert_same_reports(
    machine: Machine,
    stock: StockLvm,
    nodes: Iterable[Path],
    *,
    texts: bool = False,
    without: Collection[str] = (),
    more: tuple[str, ...] = (),
) -> None:
    """Fail when a field, but for those of `without`, or with `texts` a line of a default report, is not stock's.

    `more` are options for each report.
    """
    devices = ("--devices", ",".join(map(str, nodes)))
    for kind, command, *options in REPORTS:
        fields = ",".join(field for field in common_fields(kind).split(",") if field not in without)
        words = ("--units", "s", *more, *options, "-o", fields, "--reportformat", "json")
        ours = json.loads(machine.run(command, *devices, *words).out)["report"][0][kind]
        assert_same_rows(ours, stock_rows(stock, kind, command, *words))
    for command, *options in TEXTS if texts else ():
        ours = machine.run(command, *devices, *more, *options).out
        assert ours == said_by_stock(stock, command, *more, *options).replace("XX", "--"), (command, *options)


def sound_text(text: str) -> list[str]:
    """The lines of a backup that say what a volume group is: not when, why and as which number it was kept."""
    kept = text[text.index("{") :].splitlines()
    return [line.strip() for line in kept if not line.strip().startswith("seqno = ")]


def backup_of(stock: StockLvm, name: str) -> list[str]:
    """The lines of a backup that stock makes, without a warning but for segments that it does not know."""
    target = stock.folder / "backup"
    target.unlink(missing_ok=True)
    assert_no_warning(stock.run("vgcfgbackup", "--foreign", "-f", target, name), *UNKNOWN_SEGMENTS)
    return sound_text(target.read_text())


def assert_no_warning(result: Result, *expected: str) -> None:
    """Fail when stock said more than that there is no device-mapper, and lines with the words `expected`."""
    known = ("Activation disabled", "open failed: No such device", "device-mapper", "libdevmapper", *expected)
    lines = [line for line in result.err.splitlines() if line and not any(word in line for word in known)]
    assert not lines, lines


def retag(machine: Machine, nodes: Iterable[Path], name: str, tag: str) -> None:
    """A change of ours that touches nothing but the tags of a volume group, whatever the state of the group."""
    directories = observe_directories(machine.environ, 1000)
    with Session(directories, make_environment("retag"), devices=tuple(map(str, nodes))) as session:
        group = session.world().group(name)
        commit_change(session, group, group.vg.replace(tags=(*group.vg.tags, tag)))


def assert_rewrite_keeps_all(machine: Machine, stock: StockLvm, nodes: Iterable[Path], name: str = "vg") -> None:
    """Fail when our rewrite of a volume group changes more in stock's backup than what we changed.

    That is a tag, and in segments of ours the ids of their PVs, which other programs do not write.
    """
    before = backup_of(stock, name)
    retag(machine, nodes, name, "ours")
    after = backup_of(stock, name)
    place = after.index(next(line for line in after if line.startswith("extent_size = ")))
    assert any(line.startswith("tags = ") and line.endswith('"ours"]') for line in after[:place])
    assert _unchanged(after) == _unchanged(before)


def _unchanged(lines: list[str]) -> list[str]:
    """The lines without the volume group's own tags and without PVs' ids in segments."""
    place = lines.index(next(line for line in lines if line.startswith("extent_size = ")))
    own = [line for line in lines[:place] if not line.startswith("tags = ")]
    return own + [line for line in lines[place:] if not line.startswith("area_ids=")]
