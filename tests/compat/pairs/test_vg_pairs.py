"""Commands for volume groups by stock lvm2 on one copy and by ours on another leave the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.pairs import STOCK_MAKES

if TYPE_CHECKING:
    from support.pairs import Pair

pytestmark = [pytest.mark.compat, pytest.mark.root]

Steps = tuple[str, ...]


def lv(name: str, extents: int | str, *tail: str) -> str:
    return " ".join(("lvcreate", *STOCK_MAKES, "-l", str(extents), "-n", name, "vg", *tail))


TWO = "vgcreate vg D1 D2"
THREE = "vgcreate vg D1 D2 D3"
WITH_LVS = (TWO, lv("a", 2), lv("b", 5), "lvcreate -an -Zn -Wn -y -l 2 -i 2 -n s vg")
TWO_AREAS = ("pvcreate --pvmetadatacopies 2 D1 D2 D3", THREE)
IGNORED = ("pvcreate D1", "pvcreate --metadataignore y D2", "pvcreate --pvmetadatacopies 2 D3", TWO)
FULL_RING = (
    "pvcreate --metadatasize 32k --dataalignment 4k D1",
    "vgcreate -s 64k vg D1",
    *(lv(f"v{n}", 1) for n in range(9)),
)
"""A ring of which a few texts are a round: it wraps within the steps."""

CASES: dict[str, tuple[Steps, Steps]] = {
    # vgcreate
    "create-defaults": ((), (TWO,)),
    "create-on-pvs": (("pvcreate D1 D2",), (TWO,)),
    "create-limits": ((), ("vgcreate -l 3 -p 2 --alloc cling --addtag t1 --addtag @t2 --addtag t1 vg D1 D2",)),
    "create-odd-extents": ((), ("vgcreate -s 384k --setautoactivation n vg D1 D2",)),
    "create-small-extents": ((), ("vgcreate -s 1k -A n vg D1",)),
    "create-alignment": ((), ("vgcreate --dataalignment 3m --dataalignmentoffset 7s vg D1",)),
    "create-areas": ((), ("vgcreate --metadatasize 2m --pvmetadatacopies 2 -Z n vg D1 D2",)),
    "create-label-sector": ((), ("vgcreate --labelsector 3 -M lvm2 vg D1", "!vgcreate --labelsector 4 wg D2")),
    "create-no-area-on-one": (("pvcreate --pvmetadatacopies 0 D2",), (TWO,)),
    "create-one-ignored": (("pvcreate --metadataignore y D1",), ("vgcreate vg D1",)),
    "create-many-copies": (IGNORED[:3], ("vgcreate --vgmetadatacopies 9 vg D1 D2 D3",)),
    "create-refusals": (
        (TWO, "pvcreate D3"),
        (
            "!vgcreate vg D3", "!vgcreate wg D1", "!vgcreate -s 0 wg D3", "!vgcreate -s 96k wg D3", "!vgcreate wg",
            "!vgcreate --alloc inherit wg D3", "!vgcreate --addtag %% wg D3", "!vgcreate .. D3", "!vgcreate wg D3 D3",
            "!vgcreate -l -1 wg D3",
        ),
    ),
    "create-system-id": ((), ("vgcreate --systemid other vg D1",)),
    # vgextend
    "extend-new": ((TWO,), ("vgextend vg D3",)),
    "extend-pv": ((TWO, "pvcreate --dataalignment 2m D3"), ("vgextend vg D3",)),
    "extend-areas": ((TWO,), ("vgextend --metadatasize 4m --pvmetadatacopies 2 vg D3",)),
    "extend-ignored": ((TWO,), ("vgextend --metadataignore y --labelsector 0 vg D3",)),
    "extend-no-area": ((TWO,), ("vgextend --pvmetadatacopies 0 -Z n vg D3",)),
    "extend-two-areas": ((*TWO_AREAS[:1], TWO), ("vgextend vg D3", "vgchange --addtag t vg")),
    "extend-refusals": (
        (TWO, "pvcreate D3", "vgchange -p 2 vg"),
        ("!vgextend vg D1", "!vgextend vg D3", "!vgextend nosuch D3", "!vgextend vg", "!vgextend vg nosuch"),
    ),
    "extend-not-resizeable": ((TWO, "pvcreate D3", "vgchange -x n vg"), ("!vgextend vg D3", "!vgreduce vg D2")),
    # vgreduce
    "reduce-one": ((THREE, lv("a", 2, "D1")), ("vgreduce vg D3",)),
    "reduce-some": ((THREE, lv("a", 2, "D2")), ("!vgreduce vg D1 D2 D3",)),
    "reduce-all": ((THREE, lv("a", 2, "D2")), ("!vgreduce -a vg",)),
    "reduce-all-unused": ((THREE,), ("!vgreduce --all vg",)),
    "reduce-area": ((*TWO_AREAS, lv("a", 2, "D1")), ("vgreduce vg D2", "vgextend vg D2", "vgreduce vg D3")),
    "reduce-to-ignored": ((*IGNORED[:2], TWO), ("vgreduce vg D1",)),
    "reduce-last-area": (("pvcreate --pvmetadatacopies 0 D1", TWO), ("!vgreduce vg D2",)),
    "reduce-refusals": (
        (TWO, lv("a", 2, "D1")),
        ("!vgreduce vg D1", "!vgreduce vg D3", "!vgreduce vg", "!vgreduce vg nosuch", "!vgreduce nosuch D1",
         "!vgreduce --mirrorsonly vg", "!vgreduce -a vg D2", "vgreduce --removemissing vg"),
    ),
    # vgremove
    "remove-empty": ((TWO,), ("vgremove vg",)),
    "remove-with-lvs": (WITH_LVS, ("!vgremove vg", "vgremove -y vg")),
    "remove-forced": (WITH_LVS, ("vgremove -f vg",)),
    "remove-several": (("vgcreate vg D1", "vgcreate wg D2", "vgcreate xg D3"), ("!vgremove vg nosuch xg",)),
    "remove-by-tag": (
        ("vgcreate --addtag t vg D1", "vgcreate wg D2", "vgcreate --addtag t xg D3"),
        ("vgremove @t", "vgremove @none"),
    ),
    "remove-selected": (("vgcreate vg D1", "vgcreate wg D2"), ("vgremove -S vg_name=wg",)),
    "remove-ignored-areas": ((*IGNORED, "vgextend vg D3", "vgchange --vgmetadatacopies 4 vg"), ("vgremove vg",)),
    "remove-refusals": ((TWO,), ("!vgremove", "!vgremove nosuch", "vgexport vg", "!vgremove vg", "!vgremove -f vg")),
    # vgrename
    "rename": (WITH_LVS, ("vgrename vg wg", "vgrename wg a.very-long_name+1")),
    "rename-exported": ((TWO, "vgexport vg"), ("vgrename vg wg",)),
    "rename-two-areas": (TWO_AREAS, ("vgrename vg wg", "vgchange --addtag t wg")),
    "rename-refusals": (
        ("vgcreate vg D1", "vgcreate wg D2"),
        ("!vgrename vg wg", "!vgrename vg vg", "!vgrename nosuch xg", "!vgrename vg -- -x", "!vgrename vg"),
    ),
    # vgchange
    "change-tags": (WITH_LVS, ("vgchange --addtag t --addtag u vg", "vgchange --deltag t --addtag v vg")),
    "change-tag-again": ((TWO,), ("vgchange --addtag t vg", "vgchange --addtag t --deltag none vg")),
    "change-many": (
        (TWO,), ("vgchange -l 9 -p 5 --alloc anywhere --setautoactivation n --addtag t -x n vg", "vgchange -x y vg"),
    ),
    "change-extents-smaller": (WITH_LVS, ("vgchange -s 1m vg", "vgchange -s 128k vg")),
    "change-extents-larger": (
        ("vgcreate -s 1m vg D1 D2", lv("a", 8), "lvcreate -an -Zn -Wn -y -l 16 -i 2 -n s vg"),
        ("vgchange -s 512k vg", "vgchange -s 1m vg", "!vgchange -s 2m vg"),
    ),
    "change-extents-refused": (
        WITH_LVS, ("!vgchange -s 3m vg", "!vgchange -s 128m vg", "!vgchange -s 1000k vg", "!vgchange -s 0 vg",
                   "vgchange -s 4m vg"),
    ),
    "change-uuid": (WITH_LVS, ("vgchange -u vg",)),
    "change-uuid-two-areas": (TWO_AREAS, ("vgchange -u vg", "vgchange --addtag t vg")),
    "change-copies": (
        (*IGNORED, "vgextend vg D3"),
        ("vgchange --vgmetadatacopies all vg", "vgchange --vgmetadatacopies unmanaged vg"),
    ),
    "change-copies-all-there-are": ((*IGNORED, "vgextend vg D3"), ("vgchange --vgmetadatacopies 4 vg",)),
    "change-several": (
        ("vgcreate vg D1", "vgcreate wg D2"), ("vgchange --addtag t", "!vgchange --addtag u nosuch wg"),
    ),
    "change-by-tag": (("vgcreate --addtag t vg D1", "vgcreate wg D2"), ("vgchange --alloc cling @t",)),
    "change-nothing": ((TWO,), ("vgchange --refresh vg", "vgchange --monitor y vg", "vgchange --poll n vg")),
    "change-system-id": ((TWO,), ("!vgchange --systemid other vg", "vgchange -y --systemid other vg")),
    "change-refusals": (
        (*WITH_LVS, "vgchange --alloc cling vg"),
        ("!vgchange vg", "!vgchange -l 1 vg", "!vgchange -p 1 vg", "!vgchange --alloc cling vg", "!vgchange -x y vg",
         "!vgchange --alloc inherit vg", "!vgchange --setautoactivation y vg", "!vgchange --addtag %% vg",
         "!vgchange --pvmetadatacopies 1 vg", "!vgchange -p -1 vg", "!vgchange --addtag t -x y vg"),
    ),
    "change-wrapped-ring": (FULL_RING, tuple(f"vgchange --addtag tag{n} vg" for n in range(7))),
    # vgexport, vgimport
    "export": (WITH_LVS, ("vgexport vg", "!vgexport vg", "!vgchange --addtag t vg")),
    "export-all": (("vgcreate vg D1", "vgcreate wg D2", "vgexport vg"), ("vgexport -a",)),
    "import": ((*WITH_LVS, "vgexport vg"), ("vgimport vg",)),
    "import-all": (("vgcreate vg D1", "vgcreate wg D2", "vgexport vg"), ("!vgimport -a",)),
    "export-refusals": ((TWO,), ("!vgexport", "!vgimport", "!vgexport -a vg", "!vgimport vg", "!vgexport nosuch")),
    "export-two-areas": ((*TWO_AREAS, lv("a", 3)), ("vgexport vg", "vgimport vg")),
}  # fmt: skip


def run(pair: Pair, steps: Steps) -> None:
    """A step that begins with `!` is refused, with the same status by both."""
    for step in steps:
        words = step.removeprefix("!").split()
        pair.step(*words, expect=None if step.startswith("!") else 0)


@pytest.mark.parametrize("name", CASES)
def test_the_same_is_left(pair: Pair, name: str) -> None:
    setup, steps = CASES[name]
    pair.setup(*(step.split() for step in setup))
    run(pair, steps)
    pair.assert_same()


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_as_many_areas_are_in_use_as_are_wanted(pair: Pair, copies: int) -> None:
    """Which ones is left to chance by stock."""
    pair.setup(*(step.split() for step in (*IGNORED, "vgextend vg D3")))
    run(
        pair,
        (f"vgchange --vgmetadatacopies {copies} vg", "vgchange --addtag t vg", "vgreduce vg D3", "vgextend vg D3"),
    )
    pair.assert_same(without=("pv_mda_used_count", "vg_mda_size"))


MISSING: dict[str, tuple[Steps, str, Steps]] = {
    "tags": ((THREE, lv("a", 2, "D1"), lv("b", 2, "D2")), "D2", ("vgchange --addtag t vg", "!vgchange -l 7 vg")),
    "reduce-unused": ((THREE, lv("a", 2, "D1")), "D3", ("vgreduce --removemissing vg",)),
    "reduce-partial": ((THREE, lv("a", 2, "D1"), lv("b", 2, "D2")), "D2", ("!vgreduce --removemissing vg",)),
    "reduce-forced": (
        (THREE, lv("a", 2, "D1"), lv("b", 2, "D2"), lv("c", 20)), "D2", ("vgreduce --removemissing --force vg",),
    ),
    "refusals": (
        (THREE, lv("b", 2, "D2")),
        "D2",
        ("!vgreduce vg D3", "!vgrename vg wg", "!vgexport vg", "!vgextend --restoremissing vg D1", "!vgremove vg"),
    ),
    "extend": ((TWO, lv("b", 2, "D2")), "D2", ("vgextend vg D3",)),
    "import": ((TWO, lv("b", 2, "D2"), "vgexport vg"), "D2", ("!vgimport vg", "vgimport -f vg")),
    "remove": ((TWO, lv("b", 2, "D2")), "D2", ("vgremove -y vg",)),
    "remove-empty": ((TWO,), "D2", ("!vgremove vg", "vgremove -f vg")),
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_the_same_is_left_when_a_device_is_missing(pair: Pair, name: str) -> None:
    setup, gone, steps = MISSING[name]
    pair.setup(*(step.split() for step in setup))
    pair.hide(gone)
    run(pair, steps)
    pair.assert_same(is_whole=False)


BACK: dict[str, tuple[Steps, Steps, Steps]] = {
    "restored": ((TWO, lv("b", 2, "D2")), ("vgchange --addtag t vg",), ("vgextend --restoremissing vg D2",)),
    "unused": ((TWO, lv("b", 2, "D1")), ("vgchange --addtag t vg",), ("vgchange --addtag u vg",)),
    "given-up": (
        (TWO, lv("b", 2, "D2")),
        ("vgchange --addtag t vg",),
        ("vgreduce --removemissing --force vg", "vgck --updatemetadata vg"),
    ),
    "outdated": ((TWO, lv("b", 2, "D1")), ("vgreduce --removemissing vg",), ("!vgextend vg D2", "vgremove -y vg")),
}


@pytest.mark.parametrize("name", BACK)
def test_the_same_is_left_when_a_device_is_back(pair: Pair, name: str) -> None:
    setup, without, steps = BACK[name]
    pair.setup(*(step.split() for step in setup))
    pair.hide("D2")
    run(pair, without)
    pair.show("D2")
    run(pair, steps)
    pair.assert_same()


def test_a_copy_beside_its_original_is_imported(pair: Pair) -> None:
    """Ours gives volumes new ids, too: it knows active ones by them."""
    pair.setup(*(step.split() for step in ("vgcreate vg D1", lv("a", 2), lv("b", 5), "vgchange --addtag t vg")))
    pair.duplicate("D1", "D3")
    run(pair, ("!vgimportclone D2", "!vgimportclone D3 D2", "vgimportclone D3", "vgimportclone -n wg D3"))
    run(pair, ("vgexport wg", "!vgimportclone -n xg D3", "vgimportclone -i -n xg D3"))
    pair.assert_same(without=("lv_uuid",))


def test_a_group_without_its_original_is_imported(pair: Pair) -> None:
    pair.setup(*(step.split() for step in (*TWO_AREAS[:1], TWO, lv("a", 2), lv("b", 12))))
    run(pair, ("!vgimportclone D1", "vgimportclone D2 D1", "vgimportclone -n wg D1 D2", "vgextend wg D3"))
    pair.assert_same(without=("lv_uuid",))
