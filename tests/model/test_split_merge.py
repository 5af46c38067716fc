"""What goes with physical volumes, what is refused, and how names are kept apart."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, ExistsError, NotFoundError, RefusedError
from cryptlv.model.check import check
from cryptlv.model.nodes import PvWord, Section
from cryptlv.model.split_merge import (
    check_compatible,
    find_spare,
    merge,
    pvs_under,
    rest_after,
    split,
    without,
)
from cryptlv.model.vg import LogicalVolume, LvArea, PhysicalVolume, PvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

if TYPE_CHECKING:
    from cryptlv.model.vg import Segment

NUMBERS = count()


def new_id() -> str:
    return f"new{next(NUMBERS)}"


def pv(name: str) -> PhysicalVolume:
    return PhysicalVolume(id=name, device=f"/{name}", pe_start_sectors=2048, pe_count=20)


def lv(name: str, *segments: Segment, hidden: bool = False) -> LogicalVolume:
    status = ("READ", "WRITE") if hidden else ("READ", "WRITE", "VISIBLE")
    return LogicalVolume(name=name, id=f"id-{name}", status=status, segments=segments)


def linear(pv_id: str, start_pe: int, length: int = 2, start_le: int = 0) -> StripedSegment:
    return StripedSegment(start_le=start_le, length_le=length, areas=(PvArea(pv_id=pv_id, start_pe=start_pe),))


def store(pv_id: str = "", start_pe: int = 0, name: str = "cryptostore1") -> LogicalVolume:
    areas = (PvArea(pv_id=pv_id, start_pe=start_pe),) if pv_id else ()
    return lv(name, KeystoreSegment(start_le=0, length_le=1, handler="luks1", areas=areas), hidden=True)


def crypt(pv_id: str, start_pe: int, name: str = "cryptostore1") -> CryptSegment:
    return CryptSegment(start_le=0, length_le=2, crypto_store=name, areas=(PvArea(pv_id=pv_id, start_pe=start_pe),))


def group(name: str, pvs: str, *lvs: LogicalVolume) -> VolumeGroup:
    return VolumeGroup(name=name, id=f"vg-{name}", seqno=3, pvs=tuple(map(pv, pvs)), lvs=lvs)


EMPTY = group("new", "").replace(seqno=0)


def names(vg: VolumeGroup) -> set[str]:
    return {volume.name for volume in vg.lvs}


def test_volumes_go_with_their_physical_volumes() -> None:
    vg = group("vg", "abc", lv("one", linear("a", 0)), lv("two", linear("b", 0), linear("c", 0, 3, 2)))
    move = split(vg, EMPTY, ["c", "b"], new_id)
    assert [volume.id for volume in move.target.pvs] == ["c", "b"]
    assert [volume.id for volume in move.source.pvs] == ["a"]
    assert (names(move.source), names(move.target)) == ({"one"}, {"two"})
    assert check(move.source) == check(move.target) == ()
    assert [volume.name for volume in move.moved] == ["two"]


TORN: dict[str, tuple[VolumeGroup, str]] = {
    "segments": (group("vg", "ab", lv("x", linear("a", 0), linear("b", 0, 2, 2))), "Logical Volume x between"),
    "stripes": (
        group(
            "vg", "ab",
            lv("x", StripedSegment(
                start_le=0, length_le=2, stripe_size_sectors=8,
                areas=(PvArea(pv_id="a", start_pe=0), PvArea(pv_id="b", start_pe=0)),
            )),
        ),
        "Logical Volume x between",
    ),
    "shared keystore": (
        group("vg", "ab", lv("x", crypt("a", 1)), lv("y", crypt("b", 1)), store("a")),
        "keystore cryptostore1 between two Volume Groups: y, which would go, and x, which would stay, share it",
    ),
    "shared keystore without a place": (
        group("vg", "ab", lv("x", crypt("a", 1)), lv("y", crypt("b", 1)), store()),
        "keystore cryptostore1 between two Volume Groups: y, which would go, and x, which would stay, share it",
    ),
    "keystore stays": (
        group("vg", "ab", lv("x", crypt("b", 1)), store("a")),
        "keystore cryptostore1 from x into another Volume Group: it lies on /a, which stays; move it first",
    ),
    "keystore goes": (
        group("vg", "ab", lv("x", crypt("a", 1)), store("b")),
        "keystore cryptostore1 from x into another Volume Group: it lies on /b, which goes; move it first",
    ),
    "parts": (
        group(
            "vg", "ab",
            lv("m", OpaqueSegment(
                start_le=0, length_le=2, type_word="mirror", body=(("mirrors", ("m0", 0, "m1", 0)),)
            )),
            lv("m0", linear("a", 0), hidden=True),
            lv("m1", linear("b", 0), hidden=True),
        ),
        "Logical Volume m between",
    ),
    "places of another type": (
        group(
            "vg", "ab",
            lv("m", OpaqueSegment(
                start_le=0, length_le=2, type_word="mirror",
                body=(("mirrors", (PvWord("a"), 0, PvWord("b"), 0)),),
            )),
        ),
        "Logical Volume m between",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TORN)
def test_what_would_be_torn_apart_is_refused_by_name(case: str) -> None:
    vg, words = TORN[case]
    with pytest.raises(RefusedError) as caught:
        split(vg, EMPTY, ["b"], new_id)
    assert words in str(caught.value)


def test_keystores_and_hidden_parts_go_along() -> None:
    stacked = CryptSegment(
        start_le=0, length_le=2, crypto_store="cryptostore2", areas=(LvArea(lv_name="s_cryptdata", start_le=0),)
    )
    vg = group(
        "vg", "ab", lv("stays", linear("a", 0)), lv("x", crypt("b", 1)), lv("s", stacked), store("b"),
        store(name="cryptostore2"), lv("s_cryptdata", linear("b", 5), hidden=True),
    )  # fmt: skip
    move = split(vg, EMPTY, ["b"], new_id)
    assert names(move.source) == {"stays"}
    assert names(move.target) == {"x", "s", "s_cryptdata", "cryptostore1", "cryptostore2"}
    assert check(move.target) == ()


def test_what_lies_nowhere_goes_along() -> None:
    zero = OpaqueSegment(start_le=0, length_le=2, type_word="zero")
    assert names(split(group("vg", "ab", lv("z", zero)), EMPTY, ["b"], new_id).target) == {"z"}


def test_unknown_types_are_refused() -> None:
    strange = OpaqueSegment(start_le=0, length_le=2, type_word="strange")
    with pytest.raises(RefusedError, match="unknown segments in it: s is of type strange"):
        split(group("vg", "ab", lv("s", strange)), EMPTY, ["b"], new_id)


def test_keystores_get_the_next_free_names_and_references_follow() -> None:
    one = group("one", "a", lv("x", crypt("a", 1)), store("a"), store("a", 9, "cryptostore2"))
    two = group(
        "two", "b", lv("y", crypt("b", 1)), lv("z", crypt("b", 3, "cryptostore3")), store("b"),
        store("b", 9, "cryptostore3"),
    )  # fmt: skip
    two = two.replace(lvs=tuple(volume.replace(id=f"{volume.id}-two") for volume in two.lvs))
    move = merge(two, one, new_id)
    assert move.renamed == {"cryptostore1": "cryptostore4"}
    assert names(move.target) == {"x", "y", "z", *(f"cryptostore{number}" for number in (1, 2, 3, 4))}
    stores = {volume.name: volume.segments[0].keystores for volume in move.target.lvs}
    assert stores["x"] == ("cryptostore1",)
    assert stores["y"] == ("cryptostore4",)
    assert stores["z"] == ("cryptostore3",)
    assert next(volume.id for volume in move.target.lvs if volume.name == "cryptostore4") == "id-cryptostore1-two"
    assert move.source.pvs == move.source.lvs == ()
    assert check(move.target) == ()


def test_an_id_that_is_taken_is_made_anew() -> None:
    one = group("one", "a", lv("x", linear("a", 0)))
    two = group("two", "b", lv("y", linear("b", 0)).replace(id="id-x"))
    ids = [volume.id for volume in merge(two, one, new_id).target.lvs]
    assert ids[0] == "id-x"
    assert ids[1].startswith("new")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"extent_size_sectors": 64}, "Extent sizes differ"),
        ({"max_pv": 1}, "Maximum number of physical volumes"),
        ({"max_lv": 1}, "Maximum number of logical volumes"),
        ({"format": "lvm1"}, "Metadata types differ"),
        ({"lvs": (lv("y", linear("a", 0)),)}, 'Duplicate logical volume name "y" in "one" and "two"'),
    ],
)
def test_groups_that_do_not_fit_are_refused(change: dict[str, object], words: str) -> None:
    one = group("one", "a", lv("x", linear("a", 0))).replace(**change)
    two = group("two", "b", lv("y", linear("b", 0)))
    with pytest.raises((RefusedError, ExistsError), match=words):
        check_compatible(two, one)
    with pytest.raises(CryptlvError, match=words):
        merge(two, one, new_id)


def test_groups_that_may_not_be_resized_are_refused() -> None:
    with pytest.raises(RefusedError, match="vg is not resizeable"):
        split(group("vg", "ab").replace(status=("READ", "WRITE")), EMPTY, ["b"], new_id)


def test_of_two_spares_the_longer_stays() -> None:
    one = group("one", "a", lv("lvol0_pmspare", linear("a", 0, 2), hidden=True))
    two = group("two", "b", lv("lvol0_pmspare", linear("b", 0, 3), hidden=True).replace(id="other"))
    for source, target in ((one, two), (two, one)):
        spare = find_spare(merge(source, target, new_id).target)
        assert spare is not None
        assert spare.id == "other"
    assert find_spare(without(one, one.lvs[0])) is None


def test_histories_are_kept_and_not_torn() -> None:
    past = Section(items=(("gone", Section(items=(("descendants", ("x",)),))),))
    vg = group("vg", "ab", lv("x", linear("b", 0)), lv("y", linear("a", 0))).replace(historical=past)
    with pytest.raises(RefusedError, match="x from the history"):
        split(vg, EMPTY, ["b"], new_id)
    assert split(vg, EMPTY, ["a"], new_id).source.historical == past
    assert split(vg, EMPTY, ["a", "b"], new_id).target.historical == past
    other = group("other", "c").replace(historical=Section(items=(("gone", 1), ("more", 2))))
    merged = merge(vg, other, new_id).target.historical
    assert merged == Section(items=(("gone", 1), ("more", 2)))


def test_the_physical_volumes_under_a_volume_come_parts_first() -> None:
    thin = OpaqueSegment(start_le=0, length_le=2, type_word="thin", body=(("thin_pool", "pool"),))
    body = (("metadata", "meta"), ("pool", "data"))
    vg = group(
        "vg", "abcd",
        lv("t", thin),
        lv("pool", OpaqueSegment(start_le=0, length_le=2, type_word="thin-pool", body=body)),
        lv("meta", linear("c", 0), hidden=True),
        lv("data", linear("b", 0), hidden=True),
        lv("x", crypt("a", 1)),
        store("d"),
    )  # fmt: skip
    assert pvs_under(vg, "t") == ("c", "b")
    assert pvs_under(vg, "x") == ("d", "a")
    with pytest.raises(NotFoundError, match="none not in volume group vg"):
        pvs_under(vg, "none")


def test_what_is_left_after_an_interruption_is_what_the_split_would_have_left() -> None:
    vg = group("vg", "ab", lv("x", crypt("b", 1)), store(), lv("y", linear("a", 0)))
    move = split(vg, EMPTY, ["b"], new_id)
    assert rest_after(vg, move.target) == move.source
    assert rest_after(move.source, move.target) == move.source
    grown = vg.with_lv(vg.lv("x").replace(segments=(crypt("b", 6),)))
    more = vg.replace(lvs=(*vg.lvs, lv("z", linear("b", 10))))
    for changed in (grown, more):
        with pytest.raises(RefusedError, match="vg was changed since new was to take"):
            rest_after(changed, move.target)
    spare = vg.replace(lvs=(*vg.lvs, lv("lvol0_pmspare", linear("b", 10), hidden=True)))
    assert rest_after(spare, move.target) == move.source
