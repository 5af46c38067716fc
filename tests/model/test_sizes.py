"""Sizes in extents; stock's own reckoning is in compat/pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, NoSpaceError, RefusedError, UsageError
from cryptlv.model.allocate import Candidate
from cryptlv.model.sizes import LvSize, Striping, changed_length, check_striping, new_length

if TYPE_CHECKING:
    from cryptlv.model.vg import VolumeGroup

MIB = 1024 * 1024
TWO = Striping(count=2, size_sectors=128)


def test_new_sizes(sound_vg: VolumeGroup) -> None:
    """Extents of 4 MiB; 40 in all, 25 of them free."""
    plain = Striping()
    assert new_length(sound_vg, LvSize(size_bytes=5 * MIB), plain).length_le == 2
    assert new_length(sound_vg, LvSize(extents=3), plain).length_le == 3
    assert new_length(sound_vg, LvSize(extents=3), TWO).length_le == 4
    assert new_length(sound_vg, LvSize(extents=50, percent_of="FREE"), plain).length_le == 12
    assert new_length(sound_vg, LvSize(extents=50, percent_of="FREE"), plain, reserved_le=5).length_le == 10
    assert new_length(sound_vg, LvSize(extents=50, percent_of="VG"), plain).length_le == 20
    assert new_length(sound_vg, LvSize(extents=100, percent_of="VG"), plain).length_le == 25
    assert new_length(sound_vg, LvSize(extents=100, percent_of="FREE"), TWO).length_le == 24, "no whole stripe more"
    first = (Candidate(pv_id=sound_vg.pvs[0].id),)
    assert new_length(sound_vg, LvSize(extents=100, percent_of="PVS"), plain, first).length_le == 14
    assert new_length(sound_vg, LvSize(extents=50, percent_of="PVS"), plain).length_le == 20
    assert new_length(sound_vg, LvSize(size_bytes=5 * MIB), plain).remarks


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (LvSize(), UsageError),
        (LvSize(extents=1, sign="-"), UsageError),
        (LvSize(extents=10, percent_of="LV"), UsageError),
        (LvSize(size_bytes=2**62), UsageError),
        (LvSize(extents=3, percent_of="FREE"), NoSpaceError),
    ],
)
def test_sizes_that_are_none(sound_vg: VolumeGroup, size: LvSize, error: type[CryptlvError]) -> None:
    with pytest.raises(error):
        new_length(sound_vg, size, Striping())


def test_changed_sizes(sound_vg: VolumeGroup) -> None:
    lv = sound_vg.lv("two")  # 2 + 5 extents

    def changed(striping: Striping = Striping(), **size: object) -> int:  # noqa: B008 - a value
        return changed_length(sound_vg, lv, LvSize(**size), striping).length_le  # type: ignore[arg-type]

    assert changed(extents=9) == 9
    assert changed(extents=3, sign="+") == 10
    assert changed(extents=3, sign="-") == 4
    assert changed(size_bytes=5 * MIB, sign="+") == 9, "rounded up when it grows"
    assert changed(size_bytes=5 * MIB, sign="-") == 6, "and down when it shrinks"
    assert changed(extents=50, percent_of="LV", sign="+") == 11
    assert changed(extents=50, percent_of="LV", sign="-") == 4
    assert changed(extents=100, percent_of="FREE", sign="+") == 32
    assert changed(extents=100, percent_of="VG") == 32, "no more than there is"
    assert changed(extents=2, sign="+", striping=Striping(count=3, size_sectors=8)) == 10


def test_a_volume_is_not_reduced_to_nothing(sound_vg: VolumeGroup) -> None:
    lv = sound_vg.lv("two")
    for size in (LvSize(extents=7, sign="-"), LvSize(extents=100, percent_of="LV", sign="-"), LvSize()):
        with pytest.raises(RefusedError):
            changed_length(sound_vg, lv, size, Striping())


def test_stripes(sound_vg: VolumeGroup) -> None:
    remarks: list[str] = []
    assert check_striping(sound_vg, 1, 0, remarks) == Striping()
    assert remarks == []
    assert check_striping(sound_vg, 1, 8, remarks) == Striping()
    assert check_striping(sound_vg, 2, 0, remarks) == TWO
    assert check_striping(sound_vg, 2, 2**20, remarks).size_sectors == sound_vg.extent_size_sectors
    assert len(remarks) == 3
    for count, sectors in ((0, 0), (129, 0), (2, 4), (2, 24), (2, 2**31)):
        with pytest.raises(UsageError):
            check_striping(sound_vg, count, sectors, remarks)
    with pytest.raises(RefusedError):
        check_striping(sound_vg.replace(extent_size_sectors=6144), 2, 8192, remarks)
