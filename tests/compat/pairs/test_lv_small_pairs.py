"""lvrename, lvremove and lvchange by stock lvm2 on one copy and by ours on another leave and refuse the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.layouts import every_kind, put_into
from support.pairs import STOCK_MAKES

if TYPE_CHECKING:
    from support.pairs import Pair

pytestmark = [pytest.mark.compat, pytest.mark.root]

MAKE = ("lvcreate", *STOCK_MAKES)
SETUP = (
    ("vgcreate", "vg", "D1", "D2", "D3"),
    (*MAKE, "-l3", "-na", "--addtag", "old", "vg"),
    (*MAKE, "-l4", "-i2", "-nb", "vg"),
    (*MAKE, "-l2", "-nc", "-pr", "--addtag", "two", "--addtag", "old", "vg", "D3"),
)
STEPS: dict[str, tuple[tuple[tuple[str, ...], int], ...]] = {
    "rename": ((("lvrename", "vg", "a", "new"), 0),),
    "rename path": ((("lvrename", "/dev/vg/b", "/dev/vg/b-2.x"), 0),),
    "rename short": ((("lvrename", "vg/b", "z"), 0),),
    "rename mixed": ((("lvrename", "vg", "vg/b", "vg/z"), 0), (("lvrename", "vg/z", "b"), 0)),
    "rename refused": (
        (("lvrename", "vg", "a", "b"), 5),
        (("lvrename", "vg", "nothing", "x"), 5),
        (("lvrename", "none", "a", "x"), 5),
        (("lvrename", "vg", "a", "a"), 3),
        (("lvrename", "vg", "a"), 3),
        (("lvrename", "vg/a", "other/x"), 3),
        (("lvrename", "vg", "other/a", "x"), 3),
        (("lvrename", "vg", "a", "pvmove1"), 3),
        (("lvrename", "vg", "a", "x_rimage_0"), 3),
        (("lvrename", "vg", "a", "x y"), 3),
        (("lvrename", "vg", "a", "x" * 124), 3),
    ),
    "long name": ((("lvrename", "vg", "a", "x" * 122), 0),),
    "remove several": ((("lvremove", "-y", "vg/a", "/dev/vg/b"), 0),),
    "remove striped": ((("lvremove", "-f", "vg/b"), 0),),
    "remove all": ((("lvremove", "-y", "vg"), 0), (("lvremove", "-y", "vg"), 0)),
    "remove tag": ((("lvremove", "-y", "@old"), 0),),
    "remove selection": ((("lvremove", "-y", "-S", "lv_name=~^[ab]"), 0),),
    "remove selection in group": ((("lvremove", "-y", "vg", "-S", "segtype=striped"), 0),),
    "remove with one that is not there": ((("lvremove", "-y", "vg/a", "vg/nothing"), 5),),
    "remove refused": (
        (("lvremove", "-y"), 3),
        (("lvremove", "-y", "vg/nothing"), 5),
        (("lvremove", "-y", "none"), 5),
        (("lvremove", "-y", "none/a"), 5),
    ),
    "test mode": ((("lvremove", "-t", "-y", "vg/a"), 0), (("lvrename", "-t", "vg", "a", "x"), 0)),
    "read only": ((("lvchange", "-pr", "vg/a"), 0), (("lvchange", "-prw", "vg/c"), 0)),
    "permission as it is": ((("lvchange", "-prw", "vg/a"), 5), (("lvchange", "-pr", "vg/c"), 5)),
    "tags": (
        (("lvchange", "--addtag", "x", "--addtag", "@y", "--deltag", "old", "vg/a", "vg/c"), 0),
        (("lvchange", "--addtag", "x", "vg/a"), 0),
        (("lvchange", "--deltag", "nothing", "vg/a"), 0),
        (("lvchange", "--addtag", "z", "@two"), 0),
        (("lvchange", "--addtag", "b", "--deltag", "b", "vg"), 0),
        (("lvchange", "--addtag", "a b", "vg"), 3),
    ),
    "policies": (
        (("lvchange", "--alloc", "cling", "vg/a"), 0),
        (("lvchange", "-Cy", "vg/b"), 0),
        (("lvchange", "--alloc", "anywhere", "vg"), 0),
        (("lvchange", "-Cn", "vg/b"), 0),
        (("lvchange", "-Cn", "vg/b"), 5),
        (("lvchange", "--alloc", "nonsense", "vg/b"), 3),
        (("lvchange", "--alloc", "cling", "-Cy", "vg/b"), 3),
    ),
    "read ahead": (
        (("lvchange", "-r", "256", "vg/a"), 0),
        (("lvchange", "-r", "256", "vg/a"), 5),
        (("lvchange", "-r", "13", "vg/b"), 0),
        (("lvchange", "-r", "none", "vg/c"), 0),
        (("lvchange", "-r", "none", "vg/c"), 5),
        (("lvchange", "-r", "auto", "vg/a"), 0),
        (("lvchange", "-r", "auto", "vg/a"), 5),
        (("lvchange", "-r", "1m", "vg/a"), 0),
    ),
    "flags": (
        (("lvchange", "-ky", "vg/a"), 0),
        (("lvchange", "-k", "y", "--setautoactivation", "n", "vg/b"), 0),
        (("lvchange", "-kn", "vg/b"), 0),
        (("lvchange", "--setautoactivation", "n", "vg/b"), 0),
        (("lvchange", "--setautoactivation", "n", "vg"), 0),
        (("lvchange", "--setautoactivation", "y", "vg/c"), 0),
    ),
    "device numbers": (
        (("lvchange", "-My", "--minor", "77", "vg/a"), 0),
        (("lvchange", "-My", "--major", "253", "--minor", "78", "vg/b"), 0),
        (("lvchange", "-Mn", "vg/b"), 0),
        (("lvchange", "-Mn", "vg/b"), 5),
        (("lvchange", "-My", "vg/b"), 3),
    ),
    "all at once": (
        (("lvchange", "-pr", "--addtag", "t", "--alloc", "normal", "-r", "512", "-ky", "vg/a", "vg/b"), 0),
        (("lvchange", "-pr", "--addtag", "u", "vg/a"), 5),
        (("lvchange", "-S", "lv_tags=t", "--deltag", "t", "vg"), 0),
    ),
    "change refused": (
        (("lvchange", "vg/a"), 3),
        (("lvchange", "-pr", "vg/nothing"), 5),
        (("lvchange", "-pr"), 3),
        (("lvchange", "-px", "vg/a"), 3),
        (("lvchange", "-Zn", "vg/a"), 5),
        (("lvchange", "-Zn", "vg"), 0),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_same_is_left(pair: Pair, name: str) -> None:
    pair.setup(*SETUP)
    for words, status in STEPS[name]:
        theirs = [word.replace("/dev/", f"{pair.stock.folder}/dev/") for word in words]
        pair.step(*theirs, ours=words, expect=status)
    pair.assert_same()


KINDS = (
    "mir", "r1", "r0", "org", "cow", "ext", "pool", "thin1", "thin2", "cached", "cpool", "cv", "wc", "vpool", "vdo1",
    "err", "locked",
)  # fmt: skip
HIDDEN = (
    "mir_mlog", "r1_rimage_0", "r1_rmeta_0", "pool_tdata", "pool_tmeta", "cached_corig", "fast_cvol", "vpool_vdata",
)  # fmt: skip
CHANGES = (
    ("-pr", "--addtag", "t"), ("--alloc", "cling"), ("-r", "512"), ("-ky", "--setautoactivation", "n"), ("-Mn",),
)  # fmt: skip


def restore_every_kind(pair: Pair) -> None:
    """A volume group with a volume of each kind that stock knows, then the copy of the disks."""
    pair.stock.run("vgcreate", "vg", *pair.nodes.values())
    file = pair.folder / "vg.txt"
    pair.stock.run("vgcfgbackup", "-f", file, "vg")
    text = put_into(file.read_text(), every_kind())
    text = re.sub(r' word="x .*?\\\\"', "", text)  # stock's own JSON cannot be read with it
    file.write_text(text)
    pair.stock.run("vgcfgrestore", "--force", "-f", file, "vg")
    pair.copy()


def test_a_volume_of_any_kind_is_renamed_with_its_parts(big_pair: Pair) -> None:
    restore_every_kind(big_pair)
    for name in KINDS:
        big_pair.step("lvrename", "vg", name, f"{name}.new", expect=None)
    for name in HIDDEN[::2]:
        big_pair.step("lvrename", "vg", name, "x", expect=5)
    big_pair.assert_same()


@pytest.mark.parametrize("change", CHANGES, ids=" ".join)
def test_volumes_of_any_kind_are_changed_or_not(big_pair: Pair, change: tuple[str, ...]) -> None:
    restore_every_kind(big_pair)
    big_pair.step("lvchange", *change, *(f"vg/{name}" for name in (*KINDS, *HIDDEN)), expect=None)
    big_pair.step("lvchange", *change, "vg", expect=None)
    big_pair.assert_same()


def test_volumes_whose_parts_are_theirs_alone_are_removed_with_them(big_pair: Pair) -> None:
    restore_every_kind(big_pair)
    alone = ("mir", "core", "r1", "r5", "r10", "r6", "r0", "err", "zer", "locked")
    big_pair.step("lvremove", "-y", *(f"vg/{name}" for name in alone))
    for name in ("pool_tdata", "pool_tmeta"):
        big_pair.step("lvremove", "-y", f"vg/{name}", expect=5)
    big_pair.assert_same()


@pytest.mark.parametrize(
    "words",
    [
        ("lvremove", "-y", "vg/c"), ("lvremove", "-y", "vg/a"), ("lvrename", "vg", "a", "x"),
        ("lvchange", "-pr", "vg/a"), ("lvchange", "--addtag", "x", "vg"), ("lvchange", "--alloc", "cling", "vg/a"),
        ("lvchange", "--alloc", "cling", "vg"), ("lvchange", "-r", "512", "vg/c"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_group_with_a_missing_disk_is_changed_as_by_stock(pair: Pair, words: tuple[str, ...]) -> None:
    pair.setup(*SETUP)
    for nodes in (pair.nodes, pair.twins):
        nodes["D1"].unlink()
    del pair.twins["D1"]
    pair.step(*words, expect=None)
    pair.assert_same(is_whole=False)
