"""A keystore in another place: the image there, the old place overwritten, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NoSpaceError
from cryptlv.model.allocate import free_count
from cryptlv.ops import lv as lvs
from cryptlv.ops.keyslots import backup_keystore, restore_keystore
from cryptlv.ops.lv_plan import LvRequest
from cryptlv.ops.vgck import find_faults
from support.keyslots import FIRST, SECOND, THIRD, change, keystore_disks, opening, store_of

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import PvArea
    from support.disks import Disks

KINDS = pytest.mark.parametrize("kind", ["luks1", "luks2"])


def changed_twice(folder: Path, kind: str) -> tuple[Disks, str]:
    """A store that SECOND opens by the keyslot that was FIRST's when it was kept in the file."""
    disks, kept = keystore_disks(folder, kind, FIRST), str(folder / "kept")
    with disks.session() as session:
        backup_keystore(session, "vg0", "x", kept)
        change(session, FIRST, THIRD)
        change(session, THIRD, SECOND)
    return disks, kept


def area_of(disks: Disks) -> PvArea:
    group = disks.group()
    assert group is not None
    (segment,) = group.lv("cryptostore1").segments
    ((_, area),) = segment.movable()
    return area


def fill(disks: Disks) -> None:
    """Leave no extent free."""
    group = disks.group()
    assert group is not None
    with disks.session() as session:
        lvs.create(session, "vg0", LvRequest(name="full", extents=free_count(group), is_zeroed=False))


@KINDS
def test_a_header_with_another_key_in_the_same_place_goes_to_free_extents(tmp_path: Path, kind: str) -> None:
    disks, kept = changed_twice(tmp_path, kind)
    old, before = area_of(disks), store_of(disks)
    material = before.keyslots.areas(before.view.image)[0]
    with disks.session() as session:
        restore_keystore(session, "vg0", "x", kept)
        assert find_faults(session, "vg0") == ()
    assert opening(disks, FIRST, SECOND, THIRD) == (FIRST,)
    assert area_of(disks) != old
    content = disks.devices["/d"].read(0, disks.devices["/d"].size_bytes)
    start, length = material
    assert not any(
        before.view.image[place : place + 512] in content for place in range(start, start + length // 2, 512)
    ), "the key material of SECOND is nowhere"


@KINDS
def test_without_free_extents_it_is_refused_but_for_force(tmp_path: Path, kind: str) -> None:
    disks, kept = changed_twice(tmp_path, kind)
    fill(disks)
    old, before = area_of(disks), store_of(disks)
    with disks.session() as session:
        with pytest.raises(NoSpaceError, match="-f overwrites it there"):
            restore_keystore(session, "vg0", "x", kept)
        assert store_of(disks) == before
        session.force = 1
        restore_keystore(session, "vg0", "x", kept)
    assert opening(disks, FIRST, SECOND, THIRD) == (FIRST,)
    assert area_of(disks) == old


@KINDS
def test_with_other_keys_in_other_places_it_stays_where_it_is(tmp_path: Path, kind: str) -> None:
    disks, kept = keystore_disks(tmp_path, kind, FIRST), str(tmp_path / "kept")
    with disks.session() as session:
        backup_keystore(session, "vg0", "x", kept)
        change(session, FIRST, THIRD)
        fill(disks)
        old = area_of(disks)
        restore_keystore(session, "vg0", "x", kept)
    assert opening(disks, FIRST, THIRD) == (FIRST,)
    assert area_of(disks) == old
