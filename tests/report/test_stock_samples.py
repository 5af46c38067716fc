"""Every field that stock lvm2 2.03.16 reported of its own images, from ours: see golden/ORIGIN.md.

Stock could not see activation states there (`XX`); sizes are in sectors, paths without the device directory.
"""

from __future__ import annotations

import json
import lzma
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.host.devices import MemoryDevice
from cryptlv.ops.report import report_lvs, report_pvs, report_vgs
from cryptlv.report.field import SIZE
from cryptlv.report.fields import FIELDS
from cryptlv.report.rows import segment_rows
from support.disks import Disks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.report.rows import Row

GOLDEN = Path(__file__).parent.parent / "golden" / "lvm2"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/expected.json"))


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stock ran in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def expected(case: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((GOLDEN / case / "expected.json").read_text())
    return data


def disks(case: str, folder: Path) -> Disks:
    """The case's images under their stock names, without those that stock did not see."""
    hidden = expected(case).get("hidden_images") or []
    return Disks(
        folder,
        {
            path.name.removesuffix(".img.xz"): MemoryDevice(
                path=path.name.removesuffix(".img.xz"), content=lzma.decompress(path.read_bytes())
            )
            for path in sorted((GOLDEN / case).glob("*.img.xz"))
            if path.name.removesuffix(".xz") not in hidden
        },
    )


def shown(row: Row, name: str) -> str:
    field = FIELDS[name]
    value = field.value(row)
    if value is None:
        return ""
    text = str(int(value) // 512) if field.kind == SIZE and isinstance(value, int) else str(value)
    return text.removeprefix("/dev/") if name in ("lv_path", "lv_dm_path") else text


def compare(rows: list[Row], theirs: list[dict[str, str]], keys: tuple[str, ...]) -> None:
    """Row by row in any order, as stock's order among equal names is its own."""
    names = list(theirs[0]) if theirs else []
    ours = [{name: shown(row, name) for name in names} for row in rows]

    def key(line: dict[str, str]) -> tuple[str, ...]:
        return tuple(line[name] for name in keys)

    wanted = [
        {name: text.replace("XX", "--") if name == "lv_attr" else text for name, text in line.items()}
        for line in theirs
    ]
    assert sorted(ours, key=key) == sorted(wanted, key=key)


@pytest.mark.parametrize("case", CASES)
def test_physical_volumes(case: str, tmp_path: Path) -> None:
    with disks(case, tmp_path).session() as session:
        rows = report_pvs(session)
    theirs = expected(case)["pvs"]["report"][0]["pv"]
    compare(rows, [line for line in theirs if line["pv_uuid"]], ("pv_name", "pv_uuid"))


@pytest.mark.parametrize("case", CASES)
def test_volume_groups(case: str, tmp_path: Path) -> None:
    with disks(case, tmp_path).session() as session:
        rows = report_vgs(session)
    compare(rows, expected(case)["vgs"]["report"][0]["vg"], ("vg_name",))


@pytest.mark.parametrize("case", CASES)
def test_logical_volumes(case: str, tmp_path: Path) -> None:
    with disks(case, tmp_path).session() as session:
        rows = report_lvs(session, hidden=True)
    compare(rows, expected(case)["lvs"]["report"][0]["lv"], ("vg_name", "lv_name"))


@pytest.mark.parametrize("case", CASES)
def test_segments(case: str, tmp_path: Path) -> None:
    with disks(case, tmp_path).session() as session:
        rows = segment_rows(report_lvs(session, hidden=True))
    compare(rows, expected(case)["segs"]["report"][0]["seg"], ("vg_name", "lv_name", "seg_start_pe"))
