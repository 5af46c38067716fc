"""vgsplit and vgmerge by stock lvm2 on one copy and by ours on another leave the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.pairs import STOCK_MAKES
from support.texts import Volumes, restore, segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.pairs import Pair

    Steps = tuple[tuple[str, ...], ...]

pytestmark = [pytest.mark.compat, pytest.mark.root]

THREE: Steps = (("vgcreate", "vg", "D1", "D2", "D3"),)
TWO_GROUPS: Steps = (("vgcreate", "vg", "D1", "D2"), ("vgcreate", "other", "D3"))


def on(name: str, *pvs: str, vg: str = "vg") -> tuple[str, ...]:
    """A linear volume of four extents on these PVs."""
    return ("lvcreate", *STOCK_MAKES, "-n", name, "-l", "4", vg, *pvs)


DONE: dict[str, tuple[Steps, Steps]] = {
    "a PV without volumes": (THREE, (("vgsplit", "vg", "new", "D2"),)),
    "linear volumes": (
        (*THREE, on("a", "D1"), on("b", "D2"), on("c", "D2"), on("d", "D3")),
        (("vgsplit", "vg", "new", "D2"),),
    ),
    "by the name of a volume": ((*THREE, on("a", "D1"), on("b", "D2")), (("vgsplit", "-n", "b", "vg", "new"),)),
    "by VG/LV": ((*THREE, on("a", "D1"), on("b", "D2")), (("vgsplit", "-n", "vg/b", "vg", "new"),)),
    "stripes": (
        (*THREE, ("lvcreate", *STOCK_MAKES, "-i2", "-l", "6", "-n", "s", "vg", "D2", "D3"), on("a", "D1")),
        (("vgsplit", "-n", "s", "vg", "new"),),
    ),
    "two PVs in another order": (
        (*THREE, on("a", "D1:0-1", "D3:4-8"), on("b", "D2")),
        (("vgsplit", "vg", "new", "D3", "D1"),),
    ),
    "everything": ((*THREE, on("a", "D1"), on("b", "D2")), (("vgsplit", "vg", "new", "D1", "D2", "D3"),)),
    "limits of the new group": (
        (*THREE, on("a", "D1"), on("b", "D2")),
        (("vgsplit", "-l", "7", "-p", "9", "--alloc", "cling", "vg", "new", "D2"),),
    ),
    "limits are inherited": (
        (
            ("vgcreate", "-l", "5", "-p", "4", "--alloc", "anywhere", "-s", "1m", "vg", "D1", "D2", "D3"),
            on("a", "D2"),
        ),
        (("vgsplit", "vg", "new", "D2"),),
    ),
    "fewer volumes allowed than there are": (
        (*THREE, on("a", "D2"), on("b", "D2")),
        (("vgsplit", "-l", "1", "-p", "1", "vg", "new", "D2", "D3"),),
    ),
    "tags and odd extents": (
        (
            ("vgcreate", "--addtag", "of_group", "-s", "768k", "vg", "D1", "D2", "D3"),
            (*on("a", "D2"), "--addtag", "of_volume"),
            ("pvchange", "--addtag", "of_pv", "D2"),
        ),
        (("vgsplit", "vg", "new", "D2"),),
    ),
    "an existing group": ((*TWO_GROUPS, on("a", "D1"), on("b", "D2")), (("vgsplit", "vg", "other", "D2"),)),
    "an existing group gets everything": (
        (*TWO_GROUPS, on("a", "D1"), on("b", "D3", vg="other")),
        (("vgsplit", "vg", "other", "D1", "D2"),),
    ),
    "two metadata areas": (
        (("pvcreate", "--metadatacopies", "2", "D2", "D3"), *THREE, on("a", "D1"), on("b", "D2")),
        (("vgsplit", "vg", "new", "D2"),),
    ),
    "ignored areas on what goes": (
        (*THREE, ("pvchange", "--metadataignore", "y", "D2"), on("b", "D2")),
        (("vgsplit", "vg", "new", "D2"),),
    ),
    "ignored areas on what stays": (
        (*THREE, ("pvchange", "--metadataignore", "y", "D1", "D3"), on("b", "D2")),
        (("vgsplit", "vg", "new", "D2", "D3"),),
    ),
    "a PV without an area joins": (
        (("pvcreate", "--metadatacopies", "0", "D2"), *TWO_GROUPS, on("b", "D2")),
        (("vgsplit", "vg", "other", "D2"),),
    ),
    "copies of the new group": (
        (("pvcreate", "--metadatacopies", "2", "D2"), *THREE),
        (("vgsplit", "--vgmetadatacopies", "1", "vg", "new", "D2"),),
    ),
    "split and merge again": (
        (*THREE, on("a", "D1"), on("b", "D2")),
        (("vgsplit", "vg", "new", "D2"), ("vgmerge", "vg", "new")),
    ),
    "merge": ((*TWO_GROUPS, on("a", "D1"), on("c", "D3", vg="other")), (("vgmerge", "vg", "other"),)),
    "merge the other way": ((*TWO_GROUPS, on("a", "D1"), on("c", "D3", vg="other")), (("vgmerge", "other", "vg"),)),
    "merge with the list": ((*TWO_GROUPS, on("a", "D1")), (("vgmerge", "-l", "vg", "other"),)),
    "merge three": (
        (("vgcreate", "vg", "D1"), ("vgcreate", "b", "D2"), ("vgcreate", "c", "D3"), on("x", "D2", vg="b")),
        (("vgmerge", "vg", "c"), ("vgmerge", "vg", "b")),
    ),
    "merge of two metadata areas and ignored ones": (
        (
            ("pvcreate", "--metadatacopies", "2", "D3"),
            *TWO_GROUPS,
            ("pvchange", "--metadataignore", "y", "D2"),
            on("c", "D3", vg="other"),
        ),
        (("vgmerge", "vg", "other"),),
    ),
    "a small group": (
        (("pvcreate", "--metadatasize", "32k", "--dataalignment", "4k", "D1", "D2"), *THREE, on("b", "D2")),
        (("vgsplit", "vg", "new", "D2"), ("vgmerge", "new", "vg")),
    ),
}


@pytest.mark.parametrize("name", DONE)
def test_the_same_is_left(pair: Pair, name: str) -> None:
    setup, steps = DONE[name]
    pair.setup(*setup)
    for words in steps:
        pair.step(*words)
    pair.assert_same(
        without=("vg_mda_size",) if name == "copies of the new group" else ()
    )  # stock's choice is by lot


REFUSED: dict[str, tuple[Steps, tuple[str, ...]]] = {
    "a volume on both sides": ((*THREE, on("a", "D1:0-1", "D2:0-1")), ("vgsplit", "vg", "new", "D2")),
    "stripes on both sides": (
        (*THREE, ("lvcreate", *STOCK_MAKES, "-i2", "-l", "6", "-n", "s", "vg", "D2", "D3")),
        ("vgsplit", "vg", "new", "D2"),
    ),
    "a volume that is not there": (THREE, ("vgsplit", "-n", "nothing", "vg", "new")),
    "a PV of another group": (TWO_GROUPS, ("vgsplit", "vg", "new", "D3")),
    "a group that is not there": (THREE, ("vgsplit", "none", "new", "D3")),
    "the same group": (THREE, ("vgsplit", "vg", "vg", "D3")),
    "a bad name": (THREE, ("vgsplit", "vg", "a b", "D3")),
    "no PV": (THREE, ("vgsplit", "vg", "new")),
    "PV and volume": ((*THREE, on("a", "D1")), ("vgsplit", "-n", "a", "vg", "new", "D1")),
    "limits for a group that exists": (TWO_GROUPS, ("vgsplit", "-l", "3", "vg", "other", "D2")),
    "inherited policy": (THREE, ("vgsplit", "--alloc", "inherit", "vg", "new", "D2")),
    "no area for the new group": (
        (("pvcreate", "--metadatacopies", "0", "D2"), *THREE),
        ("vgsplit", "vg", "new", "D2"),
    ),
    "no area for the old group": (
        (("pvcreate", "--metadatacopies", "0", "D1", "D3"), *THREE),
        ("vgsplit", "vg", "new", "D2"),
    ),
    "not resizeable": ((*THREE, ("vgchange", "-x", "n", "vg")), ("vgsplit", "vg", "new", "D2")),
    "extent sizes": ((("vgcreate", "-s", "1m", "vg", "D1", "D2"), TWO_GROUPS[1]), ("vgsplit", "vg", "other", "D2")),
    "most PVs": ((TWO_GROUPS[0], ("vgcreate", "-p", "2", "other", "D3")), ("vgsplit", "vg", "other", "D2")),
    "merge: extent sizes": ((("vgcreate", "-s", "1m", "vg", "D1", "D2"), TWO_GROUPS[1]), ("vgmerge", "vg", "other")),
    "merge: most PVs": ((("vgcreate", "-p", "2", "vg", "D1", "D2"), TWO_GROUPS[1]), ("vgmerge", "vg", "other")),
    "merge: most volumes": (
        (("vgcreate", "-l", "1", "vg", "D1", "D2"), TWO_GROUPS[1], on("a"), on("b", vg="other")),
        ("vgmerge", "vg", "other"),
    ),
    "merge: the same name": ((*TWO_GROUPS, on("a"), on("a", vg="other")), ("vgmerge", "vg", "other")),
    "merge: with itself": (THREE, ("vgmerge", "vg", "vg")),
    "merge: one group": (THREE, ("vgmerge", "vg")),
    "merge: not there": (THREE, ("vgmerge", "vg", "none")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_is_refused(pair: Pair, name: str) -> None:
    setup, words = REFUSED[name]
    pair.setup(*setup)
    done = pair.step(*words, expect=None)
    assert done.status in (3, 5), done.out
    pair.assert_same()


def test_exported_groups_are_refused(pair: Pair) -> None:
    pair.setup(*TWO_GROUPS, ("vgexport", "other"))
    pair.step("vgsplit", "other", "new", "D3", expect=5)
    pair.step("vgsplit", "vg", "other", "D2", expect=5)
    pair.step("vgmerge", "vg", "other", expect=5)
    pair.step("vgmerge", "other", "vg", expect=5)
    assert [row["vg_exported"] for row in pair.twin.report("vg", "-o", "vg_exported", "-O", "vg_name")] == [
        "exported",
        "",
    ]


def mirror(vg: Volumes) -> None:
    """On the first two PVs; another volume on the third."""
    images = ("m_mimage_0", 0, "m_mimage_1", 0)
    vg.one("m", "mirror", 3, mirror_count=2, mirror_log="m_mlog", region_size=1024, mirrors=images)
    for number in range(2):
        vg.part(f"m_mimage_{number}", 3, number)
    vg.part("m_mlog", 1, 1)
    vg.linear("a", 2, 2)


def raid(vg: Volumes) -> None:
    parts = ("r_rmeta_0", "r_rimage_0", "r_rmeta_1", "r_rimage_1")
    vg.one("r", "raid1", 3, device_count=2, region_size=4096, raids=parts)
    for number, part in enumerate(parts):
        vg.part(part, 1 if "meta" in part else 3, number // 2)
    vg.linear("a", 2, 2)


def thin(vg: Volumes) -> None:
    words = {"transaction_id": 1, "chunk_size": 128, "discards": "passdown", "zero_new_blocks": 1}
    vg.one("pool", "thin-pool", 3, metadata="pool_tmeta", pool="pool_tdata", **words)
    vg.one("t", "thin", 5, thin_pool="pool", transaction_id=0, device_id=1)
    vg.part("pool_tdata", 3, 0)
    vg.part("pool_tmeta", 1, 1)
    vg.part("lvol0_pmspare", 1, 1)
    vg.linear("a", 2, 2)


def snapshot(vg: Volumes) -> None:
    vg.linear("home", 3, 0)
    vg.linear("snap", 2, 1)
    vg.add("snapshot0", segment("snapshot", 2, chunk_size=8, origin="home", cow_store="snap"), hidden=True)
    vg.linear("a", 2, 2)


def cache(vg: Volumes) -> None:
    vg.one("c", "cache", 3, cache_pool="fast_cpool", origin="c_corig")
    words = {"metadata_format": 2, "cache_mode": "writethrough", "policy": "smq", "chunk_size": 128}
    vg.add("fast_cpool", segment("cache-pool", 2, data="fast_cdata", metadata="fast_cmeta", **words), hidden=True)
    vg.part("fast_cdata", 2, 1)
    vg.part("fast_cmeta", 1, 1)
    vg.part("c_corig", 3, 0)
    vg.part("lvol0_pmspare", 1, 0)
    vg.linear("a", 2, 2)


def nowhere(vg: Volumes) -> None:
    vg.one("zer", "zero", 2)
    vg.one("err", "error", 2)
    vg.linear("a", 2, 2)


STACKED = {make.__name__: make for make in (mirror, raid, thin, snapshot, cache)}
MOVES: dict[str, tuple[str, ...]] = {
    "goes": ("vgsplit", "vg", "new", "D1", "D2"),
    "stays": ("vgsplit", "vg", "new", "D3"),
    "torn": ("vgsplit", "vg", "new", "D1"),
    "torn, the other part": ("vgsplit", "vg", "new", "D2", "D3"),
}


def put(pair: Pair, tmp_path: Path, make: Callable[[Volumes], None]) -> None:
    pair.stock.run("vgcreate", "vg", *pair.nodes.values())
    restore(pair.stock, tmp_path, make)
    pair.copy()


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("name", STACKED)
def test_what_lies_on_other_volumes_goes_as_one(pair: Pair, tmp_path: Path, name: str, move: str) -> None:
    put(pair, tmp_path, STACKED[name])
    if (name, move) == ("thin", "torn, the other part"):  # stock writes one of the two groups before it sees this
        before = pair.images[0].with_suffix(".twin").read_bytes()
        assert "between two Volume Groups" in pair.our_step(*MOVES[move], expect=5).err
        assert pair.images[0].with_suffix(".twin").read_bytes() == before
        return
    done = pair.step(*MOVES[move], expect=None)
    assert done.status == (5 if "torn" in move else 0), done.err
    pair.assert_same()


@pytest.mark.parametrize("name", STACKED)
def test_what_lies_on_other_volumes_is_merged(pair: Pair, tmp_path: Path, name: str) -> None:
    put(pair, tmp_path, STACKED[name])
    pair.step("vgsplit", "vg", "new", "D1", "D2")
    pair.step("vgmerge", "new", "vg")
    pair.assert_same()


def test_volumes_without_a_place_go_along(pair: Pair, tmp_path: Path) -> None:
    put(pair, tmp_path, nowhere)
    pair.step("vgsplit", "vg", "new", "D1")
    pair.assert_same()


def test_the_longer_spare_is_kept(pair: Pair, tmp_path: Path) -> None:
    def pool(number: int, spare_le: int) -> Callable[[Volumes], None]:
        def make(vg: Volumes) -> None:
            words = {"transaction_id": 1, "chunk_size": 128, "discards": "passdown", "zero_new_blocks": 1}
            name = f"pool{number}"
            vg.one(name, "thin-pool", 2, metadata=f"{name}_tmeta", pool=f"{name}_tdata", **words)
            vg.part(f"{name}_tdata", 2)
            vg.part(f"{name}_tmeta", 1)
            vg.part("lvol0_pmspare", spare_le)

        return make

    for number, (group, disk) in enumerate((("vg", "D1"), ("other", "D2"))):
        pair.stock.run("vgcreate", group, pair.nodes[disk])
        restore(pair.stock, tmp_path, pool(number, number + 1), name=group, swaps=())
        if number == 0:
            path = pair.stock.folder / "ids"
            pair.stock.run("vgcfgbackup", "-f", path, group)
            path.write_text(re.sub(r"LVLVLV-0000", "LWLWLW-0000", path.read_text()))
            pair.stock.run("vgcfgrestore", "-y", "--force", "-f", path, group)
    pair.copy()
    pair.step("vgmerge", "vg", "other")
    pair.assert_same()
