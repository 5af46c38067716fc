"""Changes of a group's own fields and of its physical volumes, as lvm2 allows them."""

from __future__ import annotations

import pytest

from cryptlv.errors import NotFoundError, RefusedError
from cryptlv.model.check import check
from cryptlv.model.nodes import PvWord
from cryptlv.model.vg import LogicalVolume, LvArea, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.model.vg_edit import (
    ALL_COPIES,
    VgChange,
    change_vg,
    check_extent_size,
    check_resizeable,
    exported,
    imported,
    partial_lvs,
    stored_policy,
    with_extent_size,
    with_max_lv,
    with_max_pv,
    with_pv_ids,
    with_pvs,
    without_missing_marks,
    without_partial,
    without_pvs,
)
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment


def pv(number: int, pe_count: int = 64) -> PhysicalVolume:
    return PhysicalVolume(id=f"p{number}", device=f"/d{number}", pe_start_sectors=2048, pe_count=pe_count)


def linear(name: str, pv_id: str, start_pe: int, length: int = 8) -> LogicalVolume:
    segment = StripedSegment(start_le=0, length_le=length, areas=(PvArea(pv_id=pv_id, start_pe=start_pe),))
    return LogicalVolume(name=name, id=name, segments=(segment,))


def keystore(name: str, *areas: PvArea, length: int = 1) -> LogicalVolume:
    segment = KeystoreSegment(start_le=0, length_le=length, handler="luks1", areas=areas)
    return LogicalVolume(name=name, id=name, status=("READ",), segments=(segment,))


def crypt(name: str, store: str, pv_id: str, start_pe: int, length: int = 8) -> LogicalVolume:
    segment = CryptSegment(
        start_le=0, length_le=length, crypto_store=store, areas=(PvArea(pv_id=pv_id, start_pe=start_pe),)
    )
    return LogicalVolume(name=name, id=name, segments=(segment,))


GROUP = VolumeGroup(
    name="vg",
    id="g",
    seqno=7,
    extent_size_sectors=1024,
    pvs=(pv(0), pv(1), pv(2)),
    lvs=(
        linear("plain", "p0", 0),
        crypt("secret", "cryptostore1", "p1", 0),
        crypt("shared", "cryptostore1", "p0", 8),
        keystore("cryptostore1", PvArea(pv_id="p0", start_pe=16), length=8),
        keystore("cryptostore2"),
    ),
)


def test_the_group_of_these_tests_is_sound() -> None:
    assert check(GROUP) == ()


def test_tags_are_taken_away_and_then_given_each_once() -> None:
    tagged = GROUP.replace(tags=("a", "b"))
    assert change_vg(tagged, VgChange(add_tags=("c", "a", "c"), del_tags=("a", "x"))).tags == ("b", "c", "a")


def test_limits_are_not_below_what_is_there() -> None:
    assert with_max_lv(GROUP, 3).max_lv == 3
    assert with_max_pv(GROUP, 3).max_pv == 3
    assert with_max_lv(GROUP, 0) == with_max_pv(GROUP, 0) == GROUP
    for change in (VgChange(max_lv=2), VgChange(max_pv=2)):
        with pytest.raises(RefusedError, match="less than the current number 3"):
            change_vg(GROUP, change)


def test_a_group_that_is_not_resizeable_keeps_its_size_and_limits() -> None:
    fixed = change_vg(GROUP, VgChange(is_resizeable=False, max_lv=9))
    assert fixed.max_lv == 9, "limits come first"
    for change in (VgChange(max_lv=5), VgChange(max_pv=5), VgChange(extent_size_sectors=512)):
        with pytest.raises(RefusedError, match="must be resizeable"):
            change_vg(fixed, change)
    with pytest.raises(RefusedError, match="not resizeable"):
        check_resizeable(fixed)
    assert change_vg(fixed, VgChange(is_resizeable=True)).status == GROUP.status


@pytest.mark.parametrize(
    "change",
    [
        VgChange(is_resizeable=True),
        VgChange(autoactivates=True),
        VgChange(allocation_policy="normal"),
        VgChange(system_id=""),
    ],
)
def test_what_is_so_already_is_refused(change: VgChange) -> None:
    with pytest.raises(RefusedError, match="already"):
        change_vg(GROUP, change)


def test_words_are_kept_as_the_metadata_have_them() -> None:
    changed = change_vg(
        GROUP,
        VgChange(autoactivates=False, allocation_policy="cling", metadata_copies=2, new_id="new", system_id="host"),
    )
    assert changed.flags == ("NOAUTOACTIVATE",)
    assert (changed.allocation_policy, changed.metadata_copies) == ("cling", 2)
    assert (changed.id, changed.system_id) == ("new", "host")
    back = change_vg(
        changed, VgChange(autoactivates=True, allocation_policy="normal", metadata_copies=ALL_COPIES, system_id="")
    )
    assert back.replace(id="g") == GROUP
    with pytest.raises(RefusedError, match="inherit"):
        stored_policy("inherit")


def test_only_tags_are_safe_while_a_physical_volume_is_missing() -> None:
    assert VgChange(add_tags=("a",), del_tags=("b",)).is_safe_when_partial
    assert not VgChange(add_tags=("a",), max_lv=4).is_safe_when_partial


@pytest.mark.parametrize("sectors", [1, 2, 256, 768, 8192, 2**31])
def test_extent_sizes_that_lvm2_takes(sectors: int) -> None:
    check_extent_size(sectors)


@pytest.mark.parametrize("sectors", [0, -1, 3, 257, 2**32])
def test_extent_sizes_that_lvm2_does_not_take(sectors: int) -> None:
    with pytest.raises(RefusedError, match="Physical"):
        check_extent_size(sectors)


def test_extents_of_another_size_are_the_same_bytes() -> None:
    for sectors in (128, 256, 1024, 8192):
        scaled = with_extent_size(GROUP, sectors)
        assert check(scaled) == ()
        assert [(p.pe_count * sectors) for p in scaled.pvs] == [64 * 1024] * 3
        for old, new in zip(GROUP.lvs, scaled.lvs, strict=True):
            if old.name == "cryptostore2":
                assert new == old, "it takes no space"
                continue
            assert [
                (pv_id, start * sectors, length * sectors)
                for segment in new.segments
                for pv_id, start, length in segment.footprint()
            ] == [
                (pv_id, start * 1024, length * 1024)
                for segment in old.segments
                for pv_id, start, length in segment.footprint()
            ]
        assert with_extent_size(scaled, 1024) == GROUP


def test_extents_of_another_size_must_fit() -> None:
    odd = GROUP.replace(lvs=(linear("plain", "p0", 0, 7),))
    with pytest.raises(RefusedError, match="not an exact number of new extents"):
        with_extent_size(odd, 2048)
    with pytest.raises(RefusedError, match="perfect fit"):
        with_extent_size(GROUP, 2**31)
    with pytest.raises(RefusedError, match="exceeds 32 bits"):
        with_extent_size(GROUP.replace(extent_size_sectors=2**31), 1)
    segment = OpaqueSegment(start_le=0, length_le=8, type_word="raid1", body=())
    raid = GROUP.replace(lvs=(LogicalVolume(name="r", id="r", segments=(segment,)),))
    with pytest.raises(RefusedError, match="raid1 are not understood"):
        with_extent_size(raid, 512)


def test_an_exported_group_is_nobodys_and_an_imported_one_this_hosts() -> None:
    out = exported(GROUP.replace(system_id="host"))
    assert out.is_exported
    assert out.system_id is None
    assert {p.status for p in out.pvs} == {("ALLOCATABLE", "EXPORTED")}
    assert exported(out) == out
    assert imported(out, "") == GROUP
    assert imported(out, "other").system_id == "other"


def test_physical_volumes_come_and_go() -> None:
    grown = with_pvs(GROUP, pv(3), pv(4))
    assert [p.id for p in grown.pvs] == ["p0", "p1", "p2", "p3", "p4"]
    assert without_pvs(grown, ("p3", "p4")) == GROUP
    with pytest.raises(RefusedError, match="holds max 3"):
        with_pvs(GROUP.replace(max_pv=3), pv(3))
    with pytest.raises(RefusedError, match="extents are more than"):
        with_pvs(GROUP, pv(3, 2**32 - 1))


def test_a_physical_volume_stays_when_it_is_used_or_the_last() -> None:
    with pytest.raises(RefusedError, match='"/dev/x" still in use'):
        without_pvs(GROUP, ("p1",), {"p1": "/dev/x"})
    with pytest.raises(NotFoundError, match="p9"):
        without_pvs(GROUP, ("p9",))
    with pytest.raises(RefusedError, match="final"):
        without_pvs(GROUP.replace(lvs=(), pvs=(pv(0),)), ("p0",))


def test_a_volume_is_partial_by_its_extents_its_parts_and_its_key() -> None:
    over = CryptSegment(
        start_le=0, length_le=4, crypto_store="cryptostore2", areas=(LvArea(lv_name="plain", start_le=0),)
    )
    stacked = GROUP.replace(lvs=(*GROUP.lvs, LogicalVolume(name="over", id="over", segments=(over,))))
    names = {pv_id: {lv.name for lv in partial_lvs(stacked, (pv_id,))} for pv_id in ("p0", "p1", "p2")}
    assert names == {"p0": {"plain", "secret", "shared", "cryptostore1", "over"}, "p1": {"secret"}, "p2": set()}


def test_partial_volumes_go_with_the_keystores_that_nobody_uses_any_more() -> None:
    left = without_partial(GROUP, ("p1",))
    assert {lv.name for lv in left.lvs} == {"plain", "shared", "cryptostore1", "cryptostore2"}
    assert [p.id for p in left.pvs] == ["p0", "p2"]
    left = without_partial(GROUP, ("p0",))
    assert {lv.name for lv in left.lvs} == {"cryptostore2"}, "the key of secret was on p0"
    alone = GROUP.replace(lvs=(keystore("cryptostore7", PvArea(pv_id="p0", start_pe=0)),))
    assert without_partial(alone, ("p0",)).lvs == ()


def test_partial_volumes_that_are_not_understood_are_lvm2s_to_remove() -> None:
    segment = OpaqueSegment(
        start_le=0, length_le=8, type_word="mirror", body=(("mirrors", (PvWord("p0"), 0, PvWord("p1"), 0)),)
    )
    group = GROUP.replace(lvs=(LogicalVolume(name="m", id="m", segments=(segment,)),))
    with pytest.raises(RefusedError, match="lvm2"):
        without_partial(group, ("p1",))
    hidden = linear("m_mimage", "p1", 0).replace(status=("READ", "WRITE"))
    with pytest.raises(RefusedError, match="lvm2"):
        without_partial(GROUP.replace(lvs=(hidden,)), ("p1",))


def test_marks_of_missing_ones_are_taken_away() -> None:
    marked = GROUP.replace(
        pvs=(pv(0).replace(flags=("MISSING",)), pv(1).replace(status=("ALLOCATABLE", "MISSING")), pv(2))
    )
    assert without_missing_marks(marked, ("p0", "p1")) == GROUP
    assert without_missing_marks(marked, ("p1",)).pvs[0].is_missing


def test_new_ids_of_physical_volumes_reach_every_segment() -> None:
    raid = OpaqueSegment(start_le=0, length_le=8, type_word="mirror", body=(("mirrors", (PvWord("p2"), 3)),))
    group = GROUP.replace(lvs=(*GROUP.lvs, LogicalVolume(name="m", id="m", segments=(raid,))))
    new = with_pv_ids(group, {"p0": "q0", "p1": "q1", "p2": "q2"})
    assert check(new) == ()
    old_places = [place for lv in group.lvs for segment in lv.segments for place in segment.footprint()]
    new_places = [place for lv in new.lvs for segment in lv.segments for place in segment.footprint()]
    assert new_places == [(pv_id.replace("p", "q"), start, length) for pv_id, start, length in old_places]
