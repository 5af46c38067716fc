"""Archive and backup files of metadata, which ones stay, and what they restore: beside stock's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.pairs import STOCK_MAKES

if TYPE_CHECKING:
    from pathlib import Path

    from support.pairs import Pair

pytestmark = [pytest.mark.compat, pytest.mark.root]

KEPT = "backup { backup = 1 archive = 1 retain_min = 3 retain_days = 0 }"
TWO = ("vgcreate", "vg", "D1", "D2")


def lv(name: str, extents: int, *tail: str) -> tuple[str, ...]:
    return "lvcreate", *STOCK_MAKES, "-l", str(extents), "-n", name, "vg", *tail


def files(folder: Path) -> list[tuple[str, str, str]]:
    """(Name without what is random, group, seqno) of each file in archive and backup."""
    found = []
    for path in [*folder.glob("archive/*"), *folder.glob("backup/*")]:
        text = path.read_text()
        name = re.search(r"^(\S+) \{", text, re.MULTILINE)
        seqno = re.search(r"seqno = (\d+)", text)
        assert name is not None
        assert seqno is not None
        kind = f"{path.parent.name}/{re.sub(r'-[0-9]+[.]vg$', '', path.name)}"
        found.append((kind, name[1], seqno[1]))
    return sorted(found)


STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "made-and-renamed": (
        TWO,
        lv("a", 2),
        ("vgrename", "vg", "wg"),
        ("vgextend", "wg", "D3"),
        ("vgreduce", "wg", "D3"),
    ),
    "exported": (TWO, ("vgexport", "vg"), ("vgimport", "vg"), ("vgchange", "--addtag", "t", "vg")),
    "without": (TWO, ("vgchange", "-A", "n", "--addtag", "t", "vg"), ("vgchange", "-An", "--addtag", "u", "vg")),
    "pruned": (TWO, *(("vgchange", "--addtag", f"t{number}", "vg") for number in range(7))),
}


@pytest.mark.parametrize(
    "local", ["", KEPT, "backup { backup = 0 archive = 1 }", "backup { backup = 1 archive = 0 }"]
)
@pytest.mark.parametrize("name", STEPS)
def test_the_same_files_are_kept(pair: Pair, name: str, local: str) -> None:
    pair.stock.configure(local=local, backup="1", archive="1")
    pair.setup()
    for words in STEPS[name]:
        pair.step(*words)
    assert files(pair.machine.folder / "system") == files(pair.stock.folder / "etc")


def test_directories_are_those_of_the_configuration(pair: Pair) -> None:
    conf = "backup {{ backup_dir = '{0}/b' archive_dir = '{0}/a' }}"
    pair.stock.configure(backup="1", archive="1", local=conf.format(pair.stock.folder))
    pair.setup()
    (pair.machine.folder / "system" / "lvmlocal.conf").write_text(conf.format(pair.machine.folder))
    for words in (TWO, ("vgchange", "--addtag", "t", "vg")):
        pair.step(*words)
    for folder in ("a", "b"):
        theirs, ours = (len(list((where / folder).iterdir())) for where in (pair.stock.folder, pair.machine.folder))
        assert theirs == ours == 1


@pytest.mark.parametrize(
    "later",
    [
        (),
        (lv("b", 3),),
        (("lvremove", "-y", "vg/a"), ("vgchange", "--addtag", "t", "vg")),
        (("vgremove", "-f", "vg"),),
        (("vgchange", "-s", "1m", "vg"), ("vgexport", "vg")),
    ],
    ids=["nothing", "more", "less", "removed", "changed"],
)
def test_an_earlier_value_is_restored(pair: Pair, tmp_path: Path, later: tuple[tuple[str, ...], ...]) -> None:
    file = tmp_path / "kept"
    pair.setup(TWO, lv("a", 2), lv("s", 10), ("vgcfgbackup", "-f", str(file), "vg"), *later)
    pair.step("vgcfgrestore", "-f", str(file), "--test", "vg")
    pair.step("vgcfgrestore", "-f", str(file), "vg")
    pair.step("vgck", "--updatemetadata", "vg")  # stock leaves an older seqno on what the file does not name
    pair.assert_same()


def test_what_cannot_be_restored_is_refused(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    pair.setup(TWO, lv("a", 2), ("vgcfgbackup", "-f", str(file), "vg"))
    for words in (
        ("vgcfgrestore",), ("vgcfgrestore", "-l"), ("vgcfgrestore", "-f", str(file), "wg"), ("vgcfgrestore", "vg"),
        ("vgcfgrestore", "-f", str(tmp_path / "none"), "vg"), ("vgcfgrestore", "vg", "wg"), ("vgcfgrestore", "/x"),
    ):  # fmt: skip
        pair.step(*words, expect=None)
    pair.hide("D2")
    pair.step("vgcfgrestore", "-f", str(file), "vg", expect=5)
    pair.show("D2")
    pair.assert_same()


def test_files_are_listed(pair: Pair) -> None:
    pair.stock.configure(backup="1", archive="1")
    pair.setup(TWO, lv("a", 2), ("vgchange", "--addtag", "t", "vg"))
    for words in (("-l", "vg"), ("-l", "nosuch")):
        theirs = pair.stock.run("vgcfgrestore", *words).out
        ours = pair.our_step("vgcfgrestore", *words).out
        theirs = re.sub(r"(/[^/\s]+)\1(?=\n)", r"\1", theirs)  # stock shows the file's name twice
        assert ours.replace(str(pair.machine.folder / "system"), "") == theirs.replace(
            str(pair.stock.folder / "etc"), ""
        )
