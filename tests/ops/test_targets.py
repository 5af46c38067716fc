"""What the words of a changing command mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import UsageError
from cryptlv.ops.targets import lv_targets, pv_targets, vg_targets
from support.disks import make_disks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def pairs(folder: Path, words: Sequence[str], selection: str = "") -> tuple[list[str], tuple[str, ...]]:
    with make_disks(folder, (1, 1)).session() as session:
        targets, problems = lv_targets(session, words, selection)
    return [f"{target.vg_name}/{target.lv_name}" for target in targets], problems


def test_names_groups_and_selections_mean_volumes_each_once(tmp_path: Path) -> None:
    assert pairs(tmp_path, ["vg0/old", "/dev/vg0/old", "vg0/nothing"]) == (["vg0/old", "vg0/nothing"], ())
    assert pairs(tmp_path, ["vg0"]) == (["vg0/first", "vg0/old"], ())
    assert pairs(tmp_path, ["vg0", "vg0/cryptostore1"])[0] == ["vg0/first", "vg0/old", "vg0/cryptostore1"]
    assert pairs(tmp_path, [], "lv_name=~^f") == (["vg0/first"], ())
    assert pairs(tmp_path, ["vg0"], "segtype=crypt") == (["vg0/old"], ())
    assert pairs(tmp_path, ["@none"]) == ([], ())
    chosen, problems = pairs(tmp_path, ["vg1", "vg0"])
    assert chosen == ["vg0/first", "vg0/old"]
    assert len(problems) == 1
    for word in ("vg0/", "/", "a/b/c"):
        with pytest.raises(UsageError):
            pairs(tmp_path, [word])


def test_groups_and_physical_volumes(tmp_path: Path) -> None:
    with make_disks(tmp_path, (1, 1)).session() as session:
        assert vg_targets(session, ["/dev/vg0", "other"]) == (("vg0", "other"), ())
        assert vg_targets(session, []) == (("vg0",), ())
        assert vg_targets(session, [], "vg_name=x") == ((), ())
        assert pv_targets(session, ["/d1"]) == (("/d1",), ())
        assert pv_targets(session, []) == (("/d0", "/d1"), ())
        assert pv_targets(session, [], "pv_name=/d0") == (("/d0",), ())
        with pytest.raises(UsageError):
            vg_targets(session, ["a/b"])
