"""lvcreate and lvremove by stock lvm2 on one copy and by ours on another leave the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.pairs import STOCK_MAKES

if TYPE_CHECKING:
    from support.pairs import Pair

pytestmark = [pytest.mark.compat, pytest.mark.root]

GROUP = ("vgcreate", "vg", "D1", "D2", "D3")
STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "one": (("lvcreate", *STOCK_MAKES, "-l", "5", "-n", "a", "vg"),),
    "rest": (("lvcreate", *STOCK_MAKES, "-l", "100%FREE", "-n", "a", "vg"),),
    "removed": (("lvcreate", *STOCK_MAKES, "-l", "5", "-n", "a", "vg"), ("lvremove", "-y", "vg/a")),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_same_is_left(pair: Pair, name: str) -> None:
    pair.setup(GROUP)
    for words in STEPS[name]:
        pair.step(*words)
    pair.assert_same()
