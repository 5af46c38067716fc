"""Every crash of a change of size, or of a volume with parts, leaves the old or the new volume group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.sizes import LvSize
from cryptlv.ops import lv as lvs
from cryptlv.ops.lv_resize import RESIZE, ResizeRequest, resize
from support.disks import MIB, REQUEST, Known, make_disks
from support.outcomes import assert_failures_are_told, assert_old_or_new

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.ops.session import Session


def resized(name: str, extents: int) -> Callable[[Session], object]:
    wanted = ResizeRequest(way=RESIZE, size=LvSize(extents=extents))
    return lambda session: resize(session, "vg0", name, wanted)


CHANGES: dict[str, Callable[[Session], object]] = {
    "extend": resized("first", 40),
    "reduce": resized("first", 3),
    "extend-encrypted": resized("old", 90),
    "reduce-encrypted": resized("old", 1),
    "striped": lambda session: lvs.create(
        session, "vg0", lvs.LvRequest(name="x", size_bytes=MIB, segment_type="striped", stripes=2)
    ),
    "encrypted-stripes": lambda session: lvs.create(session, "vg0", REQUEST.replace(stripes=2), Known()),
    "sharing": lambda session: lvs.create(session, "vg0", REQUEST.replace(crypto_store="cryptostore1"), Known()),
}


@pytest.mark.parametrize("areas", [(1, 1), (2, 1)], ids=str)
@pytest.mark.parametrize("name", CHANGES)
def test_the_old_or_the_new_group_is_left(tmp_path: Path, name: str, areas: tuple[int, ...]) -> None:
    assert_old_or_new(tmp_path, make_disks(tmp_path, areas), CHANGES[name])


@pytest.mark.parametrize("name", CHANGES)
def test_a_write_that_fails_is_told(tmp_path: Path, name: str) -> None:
    assert_failures_are_told(tmp_path, make_disks(tmp_path, (2, 1)), CHANGES[name])
