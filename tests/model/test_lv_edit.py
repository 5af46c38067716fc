"""Volumes removed and renamed: with their parts, their keystores and what names them; others refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import ExistsError, NotFoundError, RefusedError, UsageError
from cryptlv.model.allocate import free_count
from cryptlv.model.check import check
from cryptlv.model.edit import removed_lvs, users_of
from cryptlv.model.lv_edit import remove_lv, remove_lvs, rename_lv
from cryptlv.model.nodes import Section
from cryptlv.model.vg import LvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    GoldenVg = Callable[[str], VolumeGroup]


def names(vg: VolumeGroup) -> list[str]:
    return [lv.name for lv in vg.lvs]


@pytest.fixture
def stacked(sound_vg: VolumeGroup) -> VolumeGroup:
    """The linear volume made the hidden data of an encrypted one, `top`."""
    below = sound_vg.lv("lin").replace(name="top_cryptdata", status=("READ", "WRITE"))
    top = sound_vg.lv("one").replace(
        name="top",
        id="x" * 38,
        segments=(
            CryptSegment(
                start_le=0, length_le=4, crypto_store="cryptostore1", areas=(LvArea(lv_name=below.name, start_le=0),)
            ),
        ),
    )
    lvs = (top, *(below if lv.name == "lin" else lv for lv in sound_vg.lvs))
    return sound_vg.replace(lvs=lvs)


def test_keystore_is_shared_and_goes_with_its_last_volume(sound_vg: VolumeGroup) -> None:
    assert users_of(sound_vg, "cryptostore1") == ("one", "two")
    without_one = remove_lv(sound_vg, "one")
    assert [lv.name for lv in without_one.lvs] == ["lin", "two", "cryptostore1"]
    assert free_count(without_one) == free_count(sound_vg) + 3
    without_both = remove_lv(without_one, "two")
    assert [lv.name for lv in without_both.lvs] == ["lin"]
    assert free_count(without_both) == free_count(without_one) + 7 + 1
    assert [lv.name for lv in removed_lvs(without_one, without_both)] == ["two", "cryptostore1"]
    assert check(without_both) == ()


def test_order_of_removal_does_not_matter(sound_vg: VolumeGroup) -> None:
    assert remove_lv(remove_lv(sound_vg, "two"), "one") == remove_lv(remove_lv(sound_vg, "one"), "two")


def test_volume_of_two_keystores_takes_both_with_it(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2-crypt/V3_plain_1ext_noarea/raw_text")
    tst, luks1 = vg.lv("tst"), vg.lv("luks1")
    segment = luks1.segments[0].replace(start_le=4)
    both = vg.replace(lvs=tuple(lv for lv in vg.lvs if lv.name != "luks1"))
    both = both.with_lv(tst.replace(segments=(*tst.segments, segment)))
    assert check(both) == ()
    assert users_of(both, "cryptostore2") == ("tst",)
    assert [lv.name for lv in remove_lv(both, "tst").lvs] == ["lin"]


def test_keystore_in_use_is_not_removed(sound_vg: VolumeGroup) -> None:
    with pytest.raises(RefusedError, match="keystore of one"):
        remove_lv(sound_vg, "cryptostore1")


def test_keystore_that_nobody_uses_can_be_removed(sound_vg: VolumeGroup) -> None:
    idle = sound_vg.replace(lvs=(sound_vg.lv("lin"), sound_vg.lv("cryptostore1")))
    assert [lv.name for lv in remove_lv(idle, "cryptostore1").lvs] == ["lin"]
    assert [lv.name for lv in remove_lv(idle, "lin").lvs] == ["cryptostore1"]


def test_volume_that_is_not_there_is_not_removed(sound_vg: VolumeGroup) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        remove_lv(sound_vg, "nobody")


def test_volume_with_a_dangling_keystore_can_be_removed(sound_vg: VolumeGroup) -> None:
    broken = sound_vg.replace(lvs=tuple(lv for lv in sound_vg.lvs if lv.name != "cryptostore1"))
    assert check(broken)
    assert [lv.name for lv in remove_lv(remove_lv(broken, "one"), "two").lvs] == ["lin"]


@pytest.mark.parametrize("name", ["lvol0_pmspare", "pool_tmeta", "pool_tdata"])
def test_hidden_volumes_of_lvm2_are_not_removed(name: str, golden_vg: GoldenVg) -> None:
    with pytest.raises(RefusedError, match="hidden part"):
        remove_lv(golden_vg("lvm2/thin/raw_text_pv0_mda0"), name)


@pytest.mark.parametrize(("case", "name"), [("thin", "pool"), ("thin", "t1")])
def test_what_only_lvm2_can_remove_is_left_to_it(case: str, name: str, golden_vg: GoldenVg) -> None:
    # thin volumes without their pool make the whole volume group unreadable for stock
    with pytest.raises(RefusedError, match=f"{name} is .*"):
        remove_lv(golden_vg(f"lvm2/{case}/raw_text_pv0_mda0"), name)


def test_raid_volumes_go_with_their_parts(golden_vg: GoldenVg) -> None:
    vg = golden_vg("lvm2/raid1_raid5/raw_text_pv0_mda0")
    left = remove_lv(remove_lv(vg, "r1"), "r5")
    assert not any(name.startswith(("r1", "r5")) for name in names(left))
    with pytest.raises(RefusedError, match="hidden part"):
        remove_lv(vg, "r1_rimage_0")
    locked = vg.with_lv(vg.lv("r1_rimage_0").replace(status=("READ", "WRITE", "LOCKED")))
    with pytest.raises(RefusedError, match="locked logical volume"):
        remove_lv(locked, "r1")


def test_an_encrypted_volume_goes_with_the_hidden_one_below(stacked: VolumeGroup) -> None:
    assert names(remove_lv(stacked, "top")) == ["one", "two", "cryptostore1"]
    with pytest.raises(RefusedError, match="hidden part"):
        remove_lv(stacked, "top_cryptdata")
    visible = stacked.with_lv(stacked.lv("top_cryptdata").replace(status=("READ", "WRITE", "VISIBLE")))
    for name in ("top", "top_cryptdata"):
        with pytest.raises(RefusedError):
            remove_lv(visible, name)


def test_several_are_removed_at_once_and_those_that_cannot_be_are_told(sound_vg: VolumeGroup) -> None:
    removal = remove_lvs(sound_vg, ("two", "nobody", "cryptostore1", "one", "two"))
    assert removal.names == ("two", "one")
    assert names(removal.after) == ["lin"], "the keystore goes with the last"
    assert [type(problem) for problem in removal.problems] == [NotFoundError, RefusedError]
    assert remove_lvs(sound_vg, ("nobody",)).after is sound_vg


def test_a_renamed_volume_keeps_all_but_its_name(sound_vg: VolumeGroup) -> None:
    after = rename_lv(sound_vg, "one", "uno")
    assert names(after) == ["lin", "uno", "two", "cryptostore1"]
    assert after.lv("uno") == sound_vg.lv("one").replace(name="uno")
    assert rename_lv(after, "uno", "one") == sound_vg


def test_hidden_parts_follow_and_what_names_them_too(stacked: VolumeGroup, golden_vg: GoldenVg) -> None:
    after = rename_lv(stacked, "top", "new")
    assert {"new", "new_cryptdata"} < set(names(after))
    assert check(after) == check(stacked) == ()
    thin = golden_vg("lvm2/thin/raw_text_pv0_mda0")
    after = rename_lv(thin, "pool", "p2")
    assert check(after) == ()
    assert {"p2", "p2_tdata", "p2_tmeta", "lvol0_pmspare"} < set(names(after))
    assert not any(name.startswith("pool") for name in names(after))
    assert rename_lv(after, "p2", "pool") == thin


def test_messages_of_pools_and_volumes_that_are_gone_name_the_new_one(sound_vg: VolumeGroup) -> None:
    gone = Section(items=(("id", "x"), ("name", "was"), ("origin", "one"), ("descendants", ("one", "-was"))))
    message = Section(items=(("create", "one"),))
    pool = sound_vg.lv("lin").replace(
        segments=(OpaqueSegment(start_le=0, length_le=4, type_word="thin-pool", body=(("message1", message),)),)
    )
    vg = sound_vg.with_lv(pool).replace(historical=Section(items=(("hlv1", gone),)))
    after = rename_lv(vg, "one", "uno")
    assert after.historical is not None
    ((_, section),) = after.historical.sections()
    assert (section.get("origin"), section.get("descendants")) == ("uno", ("uno", "-was"))
    assert list(after.lv("lin").segments[0].mentioned()) == ["uno"]
    with pytest.raises(ExistsError):
        rename_lv(vg, "one", "was")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("one", "two", ExistsError),
        ("one", "cryptostore7", UsageError),
        ("one", "cryptostore1", UsageError),
        ("one", "x_rimage_0", UsageError),
        ("one", "pvmove0", UsageError),
        ("one", "a b", UsageError),
        ("nobody", "x", NotFoundError),
        ("cryptostore1", "x", RefusedError),
    ],
)
def test_names_that_cannot_be_are_refused(sound_vg: VolumeGroup, old: str, new: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        rename_lv(sound_vg, old, new)


def test_parts_that_cannot_follow_stop_a_renaming(stacked: VolumeGroup) -> None:
    with pytest.raises(RefusedError, match="top_cryptdata is a hidden part"):
        rename_lv(stacked, "top_cryptdata", "x")
    taken = stacked.with_lv(stacked.lv("one").replace(name="new_cryptdata"))
    with pytest.raises(ExistsError, match="new_cryptdata"):
        rename_lv(taken, "top", "new")
    with pytest.raises(RefusedError, match="too long"):
        rename_lv(stacked, "top", "x" * 120)
    other = stacked.with_lv(stacked.lv("top_cryptdata").replace(name="elsewhere"))
    segment = other.lv("top").segments[0].with_names({"top_cryptdata": "elsewhere"})
    other = other.with_lv(other.lv("top").replace(segments=(segment,)))
    with pytest.raises(RefusedError, match="elsewhere has a name of its own"):
        rename_lv(other, "top", "new")
    locked = stacked.with_lv(stacked.lv("top").replace(status=("READ", "WRITE", "VISIBLE", "LOCKED")))
    with pytest.raises(RefusedError, match="locked"):
        rename_lv(locked, "top", "new")


def test_a_word_that_may_be_a_name_stops_a_renaming(sound_vg: VolumeGroup) -> None:
    segment = OpaqueSegment(start_le=0, length_le=4, type_word="acme", body=(("note", "one"), ("mode", "two")))
    vg = sound_vg.with_lv(sound_vg.lv("lin").replace(segments=(segment,)))
    with pytest.raises(RefusedError, match="one may be named as note in a segment of type acme"):
        rename_lv(vg, "one", "x")
    assert rename_lv(vg, "two", "x").lv("lin").segments == (segment,), "a word that is known to be no name"
