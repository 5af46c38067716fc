"""Properties set as lvchange sets them, and what is so already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.model.lv_properties import ChangeRules, LvChange, change_lv
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.opaque import OpaqueSegment

if TYPE_CHECKING:
    from cryptlv.model.vg import VolumeGroup


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"add_tags": ("b", "a", "b"), "remove_tags": ("a",)}, {"tags": ("b",)}),
        ({"allocation_policy": "cling"}, {"allocation_policy": "cling"}),
        ({"is_writable": False}, {"status": ("READ", "VISIBLE")}),
        ({"read_ahead": (256,)}, {"read_ahead": 256}),
        ({"skips_activation": True}, {"flags": ("ACTIVATION_SKIP",)}),
        ({"activates_automatically": False}, {"flags": ("NOAUTOACTIVATE",)}),
        (
            {"minor": 7, "major": 253},
            {"minor": 7, "major": 253, "status": ("READ", "WRITE", "FIXED_MINOR", "VISIBLE")},
        ),
    ],
)
def test_each_property_is_set_and_nothing_else(
    sound_vg: VolumeGroup, change: dict[str, object], expected: dict[str, object]
) -> None:
    lv = sound_vg.lv("lin")
    changed = change_lv(lv, "vg/lin", LvChange(**change))  # type: ignore[arg-type]
    assert changed.lv == lv.replace(**expected)
    assert changed.problems == ()
    assert changed.done == 1


def test_flags_of_dm_crypt_are_for_encrypted_volumes(sound_vg: VolumeGroup) -> None:
    flags = ("allow_discards", "no_read_workqueue")
    changed = change_lv(sound_vg.lv("two"), "vg/two", LvChange(crypt_flags=flags))
    assert [segment.flags for segment in changed.lv.segments if isinstance(segment, CryptSegment)] == [flags] * 2
    assert change_lv(changed.lv, "vg/two", LvChange(crypt_flags=())).lv == sound_vg.lv("two")
    plain = change_lv(sound_vg.lv("lin"), "vg/lin", LvChange(crypt_flags=flags))
    assert plain.lv == sound_vg.lv("lin")
    assert plain.problems == ("Logical volume vg/lin is not encrypted: it has no flags of dm-crypt's.",)


def test_what_is_so_already_is_told_and_the_rest_is_done(sound_vg: VolumeGroup) -> None:
    lv = sound_vg.lv("lin")
    wanted = LvChange(
        add_tags=("x",), allocation_policy="", is_writable=True, read_ahead=(None,), minor=-1, skips_activation=False
    )
    changed = change_lv(lv, "vg/lin", wanted)
    assert changed.lv == lv.replace(tags=("x",))
    assert changed.done == 2
    assert changed.problems == (
        "Allocation policy of logical volume vg/lin is already inherit.",
        "Logical volume vg/lin is already writable.",
        "Read ahead is already auto for vg/lin.",
        "Minor number is already not persistent for vg/lin.",
    )
    locked = lv.replace(status=("READ", "VISIBLE"), flags=("WRITE_LOCKED", "NOAUTOACTIVATE"))
    only = change_lv(locked, "vg/lin", LvChange(is_writable=False, read_ahead=(-1,))).lv
    assert (only.status, only.flags, only.read_ahead) == (("READ", "VISIBLE"), ("NOAUTOACTIVATE",), -1)


def test_rules_say_which_volumes_may_be_changed(sound_vg: VolumeGroup) -> None:
    store = sound_vg.lv("cryptostore1")
    rules = ChangeRules(sound_vg, LvChange(allocation_policy="cling"), frozenset((sound_vg.pvs[1].id,)))
    assert "hidden LV vg/cryptostore1" in rules.refusal(store)
    assert rules.refusal(sound_vg.lv("one")) == ""
    assert "missing" in rules.refusal(sound_vg.lv("two"))
    assert "thinpool" in ChangeRules(sound_vg, LvChange(is_for_pools=True), frozenset()).refusal(sound_vg.lv("lin"))
    body = (("origin", "lin"), ("cow_store", "one"))
    snapshot = store.replace(
        name="snapshot0", segments=(OpaqueSegment(start_le=0, length_le=4, type_word="snapshot", body=body),)
    )
    vg = sound_vg.replace(lvs=(*sound_vg.lvs, snapshot.replace(id="s")))
    vg = vg.with_lv(vg.lv("one").replace(status=("READ", "WRITE")))
    rules = ChangeRules(vg, LvChange(read_ahead=(8,)), frozenset())
    assert "has snapshots" in rules.refusal(vg.lv("lin"))
    assert rules.refusal(vg.lv("one")) == "", "the store of a snapshot is seen by users"
