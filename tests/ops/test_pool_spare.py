"""The spare for pools' metadata is as long as the longest of them, and goes with the last pool."""

from __future__ import annotations

import pytest

from cryptlv.errors import NoSpaceError
from cryptlv.host.system import make_environment
from cryptlv.model.check import check
from cryptlv.model.vg import LogicalVolume, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.ops.pool_spare import with_spare
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

ENV = make_environment("test")


def part(name: str, start_pe: int, length: int) -> LogicalVolume:
    segment = StripedSegment(start_le=0, length_le=length, areas=(PvArea(pv_id="a", start_pe=start_pe),))
    return LogicalVolume(name=name, id=name, status=("READ", "WRITE"), segments=(segment,))


def group(*lvs: LogicalVolume, extents: int = 20) -> VolumeGroup:
    disk = PhysicalVolume(id="a", device="/a", pe_start_sectors=2048, pe_count=extents)
    return VolumeGroup(name="vg", id="vg", seqno=1, pvs=(disk,), lvs=lvs)


BODY = (("metadata", "meta"), ("pool", "data"))
POOL = LogicalVolume(
    name="lvol3", id="p", segments=(OpaqueSegment(start_le=0, length_le=4, type_word="thin-pool", body=BODY),)
)
WITH_POOL = (POOL, part("meta", 0, 3), part("data", 3, 4))


def test_a_spare_is_made_under_the_next_name() -> None:
    after = with_spare(group(*WITH_POOL), ENV)
    spare = after.lv("lvol4_pmspare")
    assert (spare.length_le, spare.is_visible) == (3, False)
    assert check(after) == ()
    assert with_spare(after, ENV) == after


def test_a_spare_that_is_too_short_is_made_longer() -> None:
    after = with_spare(group(*WITH_POOL, part("lvol0_pmspare", 10, 1)), ENV)
    assert after.lv("lvol0_pmspare").length_le == 3
    assert check(after) == ()


def test_without_pools_there_is_none() -> None:
    assert with_spare(group(part("lvol0_pmspare", 10, 1), part("x", 0, 1)), ENV).find_lv("lvol0_pmspare") is None
    assert with_spare(group(part("x", 0, 1)), ENV) == group(part("x", 0, 1))


def test_no_room_is_told() -> None:
    with pytest.raises(NoSpaceError, match="pool metadata spare"):
        with_spare(group(*WITH_POOL, extents=8), ENV)
