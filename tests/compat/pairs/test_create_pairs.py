"""lvcreate by stock lvm2 on one copy and by ours on another leaves the same, or is refused by both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.pairs import STOCK_MAKES

if TYPE_CHECKING:
    from support.pairs import Pair

pytestmark = [pytest.mark.compat, pytest.mark.root]

GROUP = ("vgcreate", "vg", "D1", "D2", "D3")
FINE = ("vgcreate", "-s", "128k", "vg", "D1", "D2", "D3")
MAKE = ("lvcreate", *STOCK_MAKES)
HOLES: tuple[tuple[str, ...], ...] = (
    FINE,
    *((*MAKE, "-l", str(length), "-n", f"h{number}", "vg") for number, length in enumerate((40, 7, 60, 9, 120, 30))),
    (*MAKE, "-l", "50", "-n", "h6", "vg", "D2"),
    (*MAKE, "-l", "33", "-n", "h7", "vg", "D3"),
    ("lvremove", "-y", "vg/h1", "vg/h3", "vg/h5", "vg/h6"),
)
"""A group with free extents here and there, on PVs of 312."""
TAGGED = (GROUP, ("pvchange", "--addtag", "fast", "D2"), ("pvchange", "--addtag", "fast", "D3"))
CLOSED = (GROUP, ("pvchange", "-xn", "D1"))

SAME: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "one": ((GROUP,), ("-l", "5", "-n", "a", "vg")),
    "rest": ((GROUP,), ("-l", "100%FREE", "-n", "a", "vg")),
    "half-of-group": ((GROUP,), ("-l", "50%VG", "-n", "a", "vg")),
    "all-of-group-when-some-is-used": ((*HOLES,), ("-l", "100%VG", "-n", "a", "vg")),
    "odd-percentage": ((*HOLES,), ("-l", "33%FREE", "-n", "a", "vg")),
    "of-some-pvs": ((*HOLES,), ("-l", "100%PVS", "-n", "a", "vg", "D1", "D3")),
    "half-of-one-pv": ((*HOLES,), ("-l", "50%PVS", "-n", "a", "vg", "D2")),
    "rounded-size": ((FINE,), ("-L", "1000k", "-n", "a", "vg")),
    "odd-extents": ((("vgcreate", "-s", "3m", "vg", "D1", "D2", "D3"),), ("-L", "10m", "-n", "a", "vg")),
    "no-name": ((GROUP,), ("-l", "1", "vg")),
    "through-holes": ((*HOLES,), ("-l", "400", "-n", "a", "vg")),
    "into-a-hole": ((*HOLES,), ("-l", "8", "-n", "a", "vg")),
    "contiguous": ((*HOLES,), ("-l", "100", "-C", "y", "-n", "a", "vg")),
    "contiguous-policy": ((*HOLES,), ("-l", "50", "--alloc", "contiguous", "-n", "a", "vg")),
    "cling": ((*HOLES,), ("-l", "180", "--alloc", "cling", "-n", "a", "vg")),
    "anywhere": ((*HOLES,), ("-l", "300", "--alloc", "anywhere", "-n", "a", "vg")),
    "on-a-pv": ((GROUP,), ("-l", "3", "-n", "a", "vg", "D2")),
    "pvs-in-an-order": ((GROUP,), ("-l", "12", "-n", "a", "vg", "D3", "D1")),
    "range": ((FINE,), ("-l", "20", "-n", "a", "vg", "D2:100-200")),
    "ranges": ((FINE,), ("-l", "60", "-n", "a", "vg", "D2:100-119:50-69", "D1:10-40")),
    "range-and-count": ((FINE,), ("-l", "10", "-n", "a", "vg", "D1:5+10")),
    "one-extent-range": ((FINE,), ("-l", "1", "-n", "a", "vg", "D3:77")),
    "range-in-holes": ((*HOLES,), ("-l", "16", "-n", "a", "vg", "D1:30-200")),
    "tag": (TAGGED, ("-l", "12", "-n", "a", "vg", "@fast")),
    "tag-and-path": (TAGGED, ("-l", "20", "-n", "a", "vg", "@fast", "D1")),
    "closed-pv": (CLOSED, ("-l", "12", "-n", "a", "vg")),
    "closed-pv-named": (CLOSED, ("-l", "3", "-n", "a", "vg", "D1", "D2")),
    "two-stripes": ((GROUP,), ("-i", "2", "-l", "6", "-n", "a", "vg")),
    "three-stripes-of-4k": ((GROUP,), ("-i", "3", "-I", "4k", "-l", "9", "-n", "a", "vg")),
    "stripes-rounded-up": ((GROUP,), ("-i", "2", "-l", "5", "-n", "a", "vg")),
    "stripes-of-all": ((GROUP,), ("-i", "3", "-l", "100%FREE", "-n", "a", "vg")),
    "two-stripes-of-all": ((GROUP,), ("-i", "2", "-l", "100%FREE", "-n", "a", "vg")),
    "large-stripes": ((FINE,), ("-i", "2", "-I", "1m", "-l", "8", "-n", "a", "vg")),
    "stripes-through-holes": ((*HOLES,), ("-i", "2", "-l", "300", "-n", "a", "vg")),
    "three-stripes-through-holes": ((*HOLES,), ("-i", "3", "-l", "270", "-n", "a", "vg")),
    "stripes-anywhere": ((*HOLES,), ("-i", "3", "--alloc", "anywhere", "-l", "60", "-n", "a", "vg", "D1", "D2")),
    "stripes-contiguous": ((*HOLES,), ("-i", "2", "-C", "y", "-l", "120", "-n", "a", "vg")),
    "stripes-cling": ((*HOLES,), ("-i", "2", "--alloc", "cling", "-l", "250", "-n", "a", "vg")),
    "striped-type": ((GROUP,), ("--type", "striped", "-i", "2", "-l", "4", "-n", "a", "vg")),
    "tags": ((GROUP,), ("--addtag", "x", "--addtag", "y.z", "-l", "1", "-n", "a", "vg")),
    "read-only": ((GROUP,), ("-p", "r", "-l", "1", "-n", "a", "vg")),
    "read-ahead": ((GROUP,), ("-r", "256", "-l", "1", "-n", "a", "vg")),
    "no-read-ahead": ((GROUP,), ("-r", "none", "-l", "1", "-n", "a", "vg")),
    "skipped": ((GROUP,), ("-k", "y", "-l", "1", "-n", "a", "vg")),
    "not-at-boot": ((GROUP,), ("--setautoactivation", "n", "-l", "1", "-n", "a", "vg")),
    "minor": ((GROUP,), ("-My", "--major", "253", "--minor", "77", "-l", "1", "-n", "a", "vg")),
    "two-areas": (
        (("pvcreate", "--pvmetadatacopies", "2", "D1"), ("vgcreate", "vg", "D1", "D2")), ("-l", "3", "-n", "a", "vg")
    ),
    "ignored-areas": (
        (GROUP, ("pvchange", "--metadataignore", "y", "D1"), ("pvchange", "--metadataignore", "y", "D2")),
        ("-l", "3", "-n", "a", "vg"),
    ),
    "policy-of-the-group": (
        (("vgcreate", "-s", "128k", "--alloc", "contiguous", "vg", "D1", "D2", "D3"),), ("-l", "312", "-n", "a", "vg")
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]] = {
    "too-large": ((GROUP,), ("-l", "28", "-n", "a", "vg")),
    "not-in-one-piece": ((GROUP,), ("-C", "y", "-l", "10", "-n", "a", "vg")),
    "more-stripes-than-pvs": ((GROUP,), ("-i", "4", "-l", "8", "-n", "a", "vg")),
    "stripes-without-room": ((GROUP,), ("-i", "2", "-l", "8", "-n", "a", "vg", "D1")),
    "stripes-through-holes": ((*HOLES,), ("-i", "3", "-l", "399", "-n", "a", "vg")),
    "name-taken": ((GROUP, (*MAKE, "-l", "1", "-n", "a", "vg")), ("-l", "1", "-n", "a", "vg")),
    "no-such-group": ((GROUP,), ("-l", "1", "-n", "a", "other")),
    "percentage-of-nothing": (
        (GROUP, (*MAKE, "-l", "100%FREE", "-n", "x", "vg")), ("-l", "100%FREE", "-n", "a", "vg")
    ),
    "no-extent-of-that-number": ((GROUP,), ("-l", "1", "-n", "a", "vg", "D1:40-50")),
    "not-a-pv": ((GROUP,), ("-l", "1", "-n", "a", "vg", "/nothing")),
    "group-is-full": (
        (("vgcreate", "-l", "1", "vg", "D1"), (*MAKE, "-l", "1", "-n", "x", "vg")), ("-l", "1", "-n", "a", "vg")
    ),
    "on-one-pv-only": ((GROUP,), ("--alloc", "contiguous", "-l", "12", "-n", "a", "vg", "D1", "D2")),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_the_same_is_left(pair: Pair, name: str) -> None:
    setup, words = SAME[name]
    pair.setup(*setup)
    pair.step(*MAKE, *words)
    pair.assert_same()


@pytest.mark.parametrize("words", [("-i", "2", "-I", "3k"), ("-i", "0"), ("-i", "129"), ("-I", "0", "-i", "2")])
def test_both_refuse_such_words(pair: Pair, words: tuple[str, ...]) -> None:
    pair.setup(GROUP)
    pair.step(*MAKE, *words, "-l", "8", "-n", "a", "vg", expect=3)
    pair.assert_same()


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(pair: Pair, name: str) -> None:
    setup, words = REFUSED[name]
    pair.setup(*setup)
    said = pair.step(*MAKE, *words, expect=5)
    assert len([line for line in said.err.splitlines() if "WARNING" not in line]) == 1, said.err
    pair.assert_same()
