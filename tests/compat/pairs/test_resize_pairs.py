"""lvextend, lvreduce and lvresize by stock lvm2 on one copy and by ours on another leave the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.pairs import STOCK_MAKES

if TYPE_CHECKING:
    from support.pairs import Pair

pytestmark = [pytest.mark.compat, pytest.mark.root]

MAKE = ("lvcreate", *STOCK_MAKES)
FINE = ("vgcreate", "-s", "128k", "vg", "D1", "D2", "D3")
A = (*MAKE, "-l", "20", "-n", "a", "vg")
ONE = (FINE, A)
BETWEEN = (FINE, A, (*MAKE, "-l", "10", "-n", "b", "vg"), (*MAKE, "-l", "30", "-n", "c", "vg", "D2"))
"""Volume a has another behind it."""
GAP = (*BETWEEN, (*MAKE, "-l", "40", "-n", "d", "vg"), ("lvremove", "-y", "vg/b"))
STRIPED = (FINE, (*MAKE, "-i", "2", "-l", "20", "-n", "a", "vg"))
STRIPED_BETWEEN = (*STRIPED, (*MAKE, "-l", "10", "-n", "b", "vg"), (*MAKE, "-l", "200", "-n", "c", "vg", "D1"))
MIXED = (*STRIPED, ("lvextend", "-i", "1", "-l", "+7", "vg/a"))
THREE = (FINE, (*MAKE, "-l", "20", "-n", "a", "vg", "D1"), ("lvextend", "-l", "+5", "vg/a", "D3"),
         ("lvextend", "-l", "+9", "vg/a", "D2"))  # fmt: skip

Case = tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]
SAME: dict[str, Case] = {
    "in-place": (ONE, ("lvextend", "-l", "+30", "vg/a")),
    "to-a-size": (ONE, ("lvextend", "-L", "5m", "vg/a")),
    "by-a-rounded-size": (ONE, ("lvextend", "-L", "+100k", "vg/a")),
    "by-half": (ONE, ("lvextend", "-l", "+50%LV", "vg/a")),
    "to-double": (ONE, ("lvextend", "-l", "200%LV", "vg/a")),
    "by-all": (BETWEEN, ("lvextend", "-l", "+100%FREE", "vg/a")),
    "by-a-third-of-free": (BETWEEN, ("lvextend", "-l", "+33%FREE", "vg/a")),
    "to-half-of-group": (BETWEEN, ("lvextend", "-l", "50%VG", "vg/a")),
    "to-all-of-group": (BETWEEN, ("lvextend", "-l", "100%VG", "vg/a")),
    "by-percent-of-group": (BETWEEN, ("lvextend", "-l", "+10%VG", "vg/a")),
    "around-another": (BETWEEN, ("lvextend", "-l", "+30", "vg/a")),
    "into-the-gap-and-on": (GAP, ("lvextend", "-l", "+30", "vg/a")),
    "into-the-gap": (GAP, ("lvextend", "-l", "+8", "vg/a")),
    "on-named-pvs": (BETWEEN, ("lvextend", "-l", "+50", "vg/a", "D3", "D2")),
    "on-a-range": (BETWEEN, ("lvextend", "-l", "+5", "vg/a", "D3:40-60")),
    "all-room-on-a-pv": (BETWEEN, ("lvextend", "vg/a", "D3")),
    "percent-of-a-pv": (BETWEEN, ("lvextend", "-l", "+50%PVS", "vg/a", "D3")),
    "contiguous": (ONE, ("lvextend", "-l", "+100", "--alloc", "contiguous", "vg/a")),
    "cling": (GAP, ("lvextend", "-l", "+100", "--alloc", "cling", "vg/a")),
    "cling-over-three": (THREE, ("lvextend", "-l", "+300", "--alloc", "cling", "vg/a")),
    "normal-over-three": (THREE, ("lvextend", "-l", "+400", "vg/a")),
    "anywhere": (GAP, ("lvextend", "-l", "+300", "--alloc", "anywhere", "vg/a")),
    "striped": (STRIPED, ("lvextend", "-l", "+20", "vg/a")),
    "striped-rounded": (STRIPED, ("lvextend", "-l", "+5", "vg/a")),
    "striped-around-others": (STRIPED_BETWEEN, ("lvextend", "-l", "+60", "vg/a")),
    "striped-by-all": (STRIPED_BETWEEN, ("lvextend", "-l", "+100%FREE", "vg/a")),
    "striped-by-another-width": (STRIPED, ("lvextend", "-i", "3", "-l", "+30", "vg/a")),
    "striped-by-linear": (STRIPED, ("lvextend", "-i", "1", "-l", "+30", "vg/a")),
    "linear-by-striped": (ONE, ("lvextend", "-i", "2", "-l", "+30", "vg/a")),
    "linear-by-striped-of-8k": (ONE, ("lvextend", "-i", "2", "-I", "8k", "-l", "+30", "vg/a")),
    "mixed-with-a-width": (MIXED, ("lvextend", "-i", "2", "-l", "+30", "vg/a")),
    "reduce": (ONE, ("lvreduce", "-y", "-l", "-5", "vg/a")),
    "reduce-to-a-size": (ONE, ("lvreduce", "-y", "-L", "1m", "vg/a")),
    "reduce-rounded": (ONE, ("lvreduce", "-y", "-L", "-200k", "vg/a")),
    "reduce-by-percent": (ONE, ("lvreduce", "-y", "-l", "-50%LV", "vg/a")),
    "reduce-over-segments": (THREE, ("lvreduce", "-y", "-l", "22", "vg/a")),
    "reduce-to-the-first-segment": (THREE, ("lvreduce", "-y", "-l", "20", "vg/a")),
    "reduce-striped": (STRIPED, ("lvreduce", "-y", "-l", "-4", "vg/a")),
    "reduce-striped-rounded": (STRIPED, ("lvreduce", "-y", "-l", "-3", "vg/a")),
    "reduce-mixed-into-the-stripes": (MIXED, ("lvreduce", "-y", "-l", "13", "vg/a")),
    "resize-up": (ONE, ("lvresize", "-l", "40", "vg/a")),
    "resize-down": (ONE, ("lvresize", "-y", "-l", "7", "vg/a")),
    "resize-by": (ONE, ("lvresize", "-l", "+1", "vg/a")),
    "resize-down-by": (ONE, ("lvresize", "-y", "-l", "-1", "vg/a")),
    "odd-extents": (
        (("vgcreate", "-s", "3m", "vg", "D1", "D2"), (*MAKE, "-l", "2", "-n", "a", "vg")),
        ("lvextend", "-L", "+4m", "vg/a"),
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...], int]] = {
    "too-large": (ONE, ("lvextend", "-l", "+2000", "vg/a"), 5),
    "not-larger": (ONE, ("lvextend", "-l", "5", "vg/a"), 5),
    "the-same": (ONE, ("lvextend", "-l", "20", "vg/a"), 5),
    "not-smaller": (ONE, ("lvreduce", "-y", "-l", "25", "vg/a"), 5),
    "to-nothing": (ONE, ("lvreduce", "-y", "-l", "-20", "vg/a"), 5),
    "below-nothing": (ONE, ("lvreduce", "-y", "-l", "-21", "vg/a"), 5),
    "wrong-sign": (ONE, ("lvextend", "-l", "-5", "vg/a"), 3),
    "wrong-sign-of-reduce": (ONE, ("lvreduce", "-y", "-l", "+5", "vg/a"), 3),
    "two-sizes": (ONE, ("lvextend", "-l", "+5", "-L", "+1m", "vg/a"), 3),
    "no-size": (ONE, ("lvextend", "vg/a"), 3),
    "no-such-volume": (ONE, ("lvextend", "-l", "+5", "vg/b"), 5),
    "not-contiguous": (BETWEEN, ("lvextend", "-l", "+5", "--alloc", "contiguous", "vg/a"), 5),
    "mixed-without-a-width": (MIXED, ("lvextend", "-l", "+30", "vg/a"), 5),
    "more-stripes-than-pvs": (ONE, ("lvextend", "-i", "4", "-l", "+8", "vg/a"), 5),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_the_same_is_left(pair: Pair, name: str) -> None:
    setup, words = SAME[name]
    pair.setup(*setup)
    pair.step(*words)
    pair.assert_same()


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(pair: Pair, name: str) -> None:
    setup, words, status = REFUSED[name]
    pair.setup(*setup)
    pair.step(*words, expect=status)
    pair.assert_same()
