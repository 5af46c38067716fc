"""The words of vgsplit and vgmerge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.machine import FAST

if TYPE_CHECKING:
    from support.machine import Machine


def test_split_and_merge_say_what_became_of_everything(vg0: Machine) -> None:
    make = ("lvcreate", "--type", "crypt", *FAST, "-l", "2")
    vg0.run(*make, "-n", "s", "vg0", vg0.folder / "b.img", given=b"word\n")
    done = vg0.run("vgsplit", "-l", "9", "--alloc", "cling", "vg0", "new", "b.img")
    assert done.lines == ['New volume group "new" successfully split from "vg0"']
    assert vg0.run("vgs", "--noheadings", "-o", "vg_name,max_lv,lv_count", "new").lines == ["new     9   1"]
    vg0.run(*make, "-n", "t", "vg0", given=b"other\n")
    assert vg0.run("vgmerge", "-l", "vg0", "new").lines == [
        'Keystore "cryptostore1" is now "cryptostore2" in volume group "vg0"',
        'Volume group "new" successfully merged into "vg0"',
        "t",
        "s",
        "cryptostore1",
        "cryptostore2",
    ]
    path = vg0.run("lvchange", "-ay", "vg0/s", given=b"word\n").out
    assert "vg0/s" in path
    vg0.run("lvchange", "-an", "vg0/s")


def test_active_volumes_are_refused(vg0: Machine) -> None:
    vg0.run("lvcreate", "-l", "1", "-n", "x", "vg0", vg0.folder / "b.img")
    vg0.run("lvchange", "-ay", "vg0/x")
    assert vg0.fail("vgsplit", "-n", "x", "vg0", "new") == "Logical volume vg0/x must be inactive."
    vg0.image("c.img")
    vg0.run("vgcreate", "other", "c.img")
    assert vg0.fail("vgmerge", "other", "vg0") == 'Logical volumes in "vg0" must be inactive'
    assert vg0.fail("vgsplit", "vg0", "other", "a.img") == 'Logical volumes in "vg0" must be inactive'
    vg0.run("vgsplit", "vg0", "new", "a.img")
    vg0.run("vgmerge", "vg0", "other")
    vg0.run("lvchange", "-an", "vg0/x")


def test_several_groups_are_merged_and_one_that_fails_does_not_stop_the_others(vg0: Machine) -> None:
    vg0.image("c.img")
    vg0.run("vgcreate", "other", "c.img")
    done = vg0.run("vgmerge", "vg0", "none", "other", expect=5)
    assert done.lines == ['Volume group "other" successfully merged into "vg0"']
    assert "'none' not found" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("vgsplit", "vg0"),
        ("vgsplit", "vg0", "new"),
        ("vgsplit", "-n", "x", "vg0"),
        ("vgsplit", "-n", "x", "vg0", "new", "a.img"),
        ("vgsplit", "-l", "many", "vg0", "new", "a.img"),
        ("vgsplit", "-s", "4m", "vg0", "new", "a.img"),
        ("vgsplit", "-M", "1", "vg0", "new", "a.img"),
        ("vgsplit", "--alloc", "inherit", "vg0", "new", "a.img"),
        ("vgsplit", "--vgmetadatacopies", "some", "vg0", "new", "a.img"),
        ("vgsplit", "--poolmetadataspare", "perhaps", "vg0", "new", "a.img"),
        ("vgmerge", "vg0"),
        ("vgmerge", "a b", "vg0"),
    ],
    ids=" ".join,
)
def test_words_that_mean_nothing_are_usage_errors(vg0: Machine, words: tuple[str, ...]) -> None:
    vg0.fail(*words, status=3)


def test_copies_and_the_spare_are_taken_as_lvm2_writes_them(vg0: Machine) -> None:
    vg0.run("vgsplit", "--vgmetadatacopies", "all", "--poolmetadataspare", "n", "-A", "y", "vg0", "new", "b.img")
    vg0.run("vgsplit", "--vgmetadatacopies", "unmanaged", "new", "newer", "b.img")
    vg0.run("vgsplit", "--vgmetadatacopies", "2", "-p", "3", "newer", "newest", "b.img")
    assert vg0.run("vgs", "--noheadings", "-o", "vg_mda_copies", "newest").lines == ["2"]
