"""Volumes as devices: tables, names and the steps of changes, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from cryptlv.errors import RefusedError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, Target, VolumeMapping
from cryptlv.model.stack import (
    Clear,
    Create,
    Link,
    Load,
    Release,
    Remove,
    Rename,
    Resume,
    SeenDevice,
    StoreKey,
    Suspend,
    TableLine,
    Unlink,
    described_key,
    key_description,
    key_reference,
    lvm_uuid,
    plan_removal,
    plan_stack,
    stack_uuids,
    table_line,
    undo_of,
    wanted_stack,
)
from cryptlv.model.vg import LogicalVolume, LvArea, PvArea, VolumeGroup
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment

VG = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
LV = "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb"
BELOW = "cccccc-cccc-cccc-cccc-cccc-cccc-cccccc"
REFERENCE = key_reference(64, key_description(VG, LV))
KEYS = {"cryptostore1": StoreKey(cipher="aes-xts-plain64", sector_size=512, word=REFERENCE)}
PLACES = {"pv0": "8:0", "pv1": "8:16"}


def linear(length: int = 8192, offset: int = 2048, pv_id: str = "pv0") -> LinearTarget:
    return LinearTarget(start_sectors=0, length_sectors=length, pv_id=pv_id, offset_sectors=offset)


def mapping(*targets: Target, name: str = "l-v", **more: Any) -> VolumeMapping:
    return VolumeMapping(
        vg_name="v-g", vg_id=VG, lv_name=name, lv_id=LV, length_sectors=sum(t.length_sectors for t in targets),
        targets=targets, **more,
    )  # fmt: skip


def layered(length: int, **more: Any) -> VolumeMapping:
    crypt = CryptTarget(
        start_sectors=0, length_sectors=length, pv_id=BELOW, offset_sectors=0, crypto_store="cryptostore1",
        iv_offset_sectors=0,
    )  # fmt: skip
    below = mapping(linear(length), name="l-v_cryptdata").replace(lv_id=BELOW)
    return mapping(crypt, layers=(below,), **more)


def seen(source: VolumeMapping, *, numbers: tuple[str, ...] = ("253:0", "253:1"), **more: Any) -> list[SeenDevice]:
    """What the kernel has of a volume that was activated."""
    known = dict(PLACES)
    found = []
    for device, number in zip(wanted_stack(source, KEYS), numbers, strict=False):
        lines = tuple(
            line.replace(words=tuple(known.get(word.removeprefix("@"), word) for word in line.words))
            for line in device.lines
        )
        known[device.lv_id] = number
        found.append(
            SeenDevice(name=device.name, uuid=device.uuid, number=number, lines=lines, has_live=True, **more)
        )
    return found


def plan(source: VolumeMapping, there: list[SeenDevice]) -> tuple[list[str], list[str], list[str]]:
    made = plan_stack(wanted_stack(source, KEYS), {device.uuid: device for device in there}, PLACES)
    return tuple([step.shown for step in part] for part in (made.prepare, made.freeze, made.finish))  # type: ignore[return-value]


def test_lines_are_those_of_the_kernel() -> None:
    striped = StripedTarget(
        start_sectors=8, length_sectors=256, chunk_sectors=128, stripes=(("pv0", 2048), ("pv1", 4096))
    )
    crypt = CryptTarget(
        start_sectors=0, length_sectors=512, pv_id="pv0", offset_sectors=40, crypto_store="cryptostore1",
        iv_offset_sectors=16, flags=("no_read_workqueue", "allow_discards"),
    )  # fmt: skip
    assert table_line(linear(), KEYS).text == "0 8192 linear @pv0 2048"
    assert table_line(striped, KEYS).text == "8 256 striped 2 128 @pv0 2048 @pv1 4096"
    ids = "a" * 32 + "b" * 32
    assert table_line(crypt, KEYS).text == (
        f"0 512 crypt aes-xts-plain64 :64:logon:cryptlv:{ids} 16 @pv0 40 2 allow_discards no_read_workqueue"
    )
    wide = {"cryptostore1": KEYS["cryptostore1"].replace(sector_size=4096, word="=cryptostore1")}
    assert table_line(crypt.replace(flags=()), wide).text == (
        "0 512 crypt aes-xts-plain64 =cryptostore1 16 @pv0 40 1 sector_size:4096"
    )
    large = {"cryptostore1": wide["cryptostore1"].replace(has_large_ivs=True)}
    assert table_line(crypt.replace(flags=()), large).text.endswith("40 2 sector_size:4096 iv_large_sectors")
    assert described_key(REFERENCE) == f"cryptlv:{ids}"
    assert described_key("=store") == described_key("ab" * 32) == ""


def test_names_and_uuids_are_lvm2s() -> None:
    below, top = wanted_stack(layered(8192), KEYS)
    assert (below.name, top.name) == ("v--g-l--v_cryptdata", "v--g-l--v")
    assert below.uuid == f"LVM-{'a' * 32}{'c' * 32}-cryptdata"
    assert top.uuid == lvm_uuid(VG, LV) == f"LVM-{'a' * 32}{'b' * 32}"
    assert (below.is_hidden, top.link) == (True, ("v-g", "l-v"))


def test_a_new_volume_is_made_from_below() -> None:
    prepare, freeze, finish = plan(layered(8192), [])
    low, top = "v--g-l--v_cryptdata", "v--g-l--v"
    assert prepare == [f"create {low}", f"load {low}", f"create {top}", f"load {top}"]
    assert freeze == []
    assert finish == [f"resume {low}", f"resume {top}", f"node {low}", f"link {top}"]


def test_a_volume_that_is_as_it_should_be_is_left_alone() -> None:
    assert plan(layered(8192), seen(layered(8192))) == (
        [], [], ["node v--g-l--v_cryptdata", "link v--g-l--v"],
    )  # fmt: skip


def test_what_a_killed_command_left_is_finished_or_undone() -> None:
    source = mapping(linear())
    assert plan(source, seen(source, is_suspended=True)) == ([], [], ["resume v--g-l--v", "link v--g-l--v"])
    left = seen(source, is_suspended=True, has_inactive=True)
    assert plan(source, left)[0] == ["clear v--g-l--v"]
    changed = seen(mapping(linear(4096)), is_suspended=True, has_inactive=True)
    assert plan(source, changed) == (["load v--g-l--v"], [], ["resume v--g-l--v", "link v--g-l--v"])
    (bare,) = seen(source)
    bare = bare.replace(has_live=False, lines=())
    assert plan(source, [bare]) == (["load v--g-l--v"], [], ["resume v--g-l--v", "link v--g-l--v"])
    assert plan(source, [bare.replace(name="v--g-other")])[0] == ["rename v--g-other", "load v--g-l--v"]


def test_a_longer_volume_grows_from_below_and_a_shorter_one_shrinks_from_above() -> None:
    low, top = "v--g-l--v_cryptdata", "v--g-l--v"
    assert plan(layered(16384), seen(layered(8192))) == (
        [f"load {low}", f"resume {low}", f"load {top}"],
        [f"suspend {top}"],
        [f"resume {top}", f"node {low}", f"link {top}"],
    )
    assert plan(layered(8192), seen(layered(16384))) == (
        [f"load {low}", f"load {top}"],
        [f"suspend {top}", f"suspend {low}"],
        [f"resume {top}", f"resume {low}", f"node {low}", f"link {top}"],
    )


def test_a_renamed_volume_keeps_its_tables() -> None:
    before, after = layered(8192), layered(8192).replace(lv_name="new")
    after = after.replace(layers=(after.layers[0].replace(lv_name="new_cryptdata"),))
    prepare, freeze, finish = plan(after, seen(before))
    assert (prepare, freeze) == ([], [])
    assert finish == [
        "rename v--g-l--v_cryptdata", "unlink v--g-l--v", "rename v--g-l--v",
        "node v--g-new_cryptdata", "link v--g-new",
    ]  # fmt: skip


def test_keys_in_digits_make_no_difference_by_their_words() -> None:
    source = layered(8192)
    there = seen(source)
    (line,) = there[1].lines
    there[1] = there[1].replace(lines=(line.replace(words=(line.words[0], "=v--g-l--v:0", *line.words[2:])),))
    digits = {"cryptostore1": KEYS["cryptostore1"].replace(word="=cryptostore1")}
    made = plan_stack(wanted_stack(source, digits), {device.uuid: device for device in there}, PLACES)
    assert [step.shown for step in made.steps] == ["node v--g-l--v_cryptdata", "link v--g-l--v"]


def test_read_only_is_a_change() -> None:
    source = mapping(linear())
    assert plan(source.replace(writable=False), seen(source))[0] == ["load v--g-l--v"]


def test_a_removal_goes_from_above_and_knows_its_way_back() -> None:
    below, top = seen(layered(8192))
    removal = plan_removal([top.replace(is_suspended=True, has_inactive=True), below], ("v-g", "l-v"))
    assert [type(step) for step in removal.steps] == [Clear, Release, Remove, Remove, Unlink]
    back = undo_of(removal.steps)
    assert [step.shown for step in back] == [
        "link v--g-l--v",
        "create v--g-l--v_cryptdata", "load v--g-l--v_cryptdata", "resume v--g-l--v_cryptdata",
        "create v--g-l--v", "load v--g-l--v", "resume v--g-l--v",
    ]  # fmt: skip
    created = [step for step in back if isinstance(step, Create)]
    assert [(step.minor, step.uuid) for step in created] == [(0, below.uuid), (1, top.uuid)]
    assert [step.lines for step in back if isinstance(step, Load)] == [below.lines, top.lines]


def test_every_step_knows_what_undoes_it() -> None:
    lines = (TableLine(start_sectors=0, length_sectors=8, kind="zero", words=()),)
    steps = (
        Create(name="a", uuid="u"), Load(name="a", lines=lines), Suspend(name="a"), Rename(name="a", new="b"),
        Link(name="b", link=("v", "l")),
    )  # fmt: skip
    assert undo_of(steps) == (
        Unlink(name="b", link=("v", "l")), Rename(name="b", new="a"), Clear(name="a"), Resume(name="a"),
        Clear(name="a"), Remove(name="a"),
    )  # fmt: skip
    again = Resume(name="a", former=lines, is_read_only=True).inverse
    assert again == (Load(name="a", lines=lines, is_read_only=True), Resume(name="a"))
    assert Resume(name="a").inverse == Remove(name="a").inverse == ()


def volume(name: str, lv_id: str, *segments: object) -> LogicalVolume:
    return LogicalVolume(name=name, id=lv_id, status=("READ", "WRITE", "VISIBLE"), segments=segments)  # type: ignore[arg-type]


def test_the_devices_of_a_volume_are_known_without_its_physical_volumes() -> None:
    data = StripedSegment(start_le=0, length_le=1, areas=(PvArea(pv_id="gone", start_pe=0),))
    crypt = CryptSegment(
        start_le=0, length_le=1, crypto_store="cryptostore1", areas=(LvArea(lv_name="a_cryptdata", start_le=0),)
    )
    group = VolumeGroup(
        name="vg", id=VG, seqno=1, lvs=(volume("a", LV, crypt), volume("a_cryptdata", BELOW, data))
    )  # fmt: skip
    assert stack_uuids(group, group.lv("a")) == (lvm_uuid(VG, LV), lvm_uuid(VG, BELOW, "cryptdata"))
    thin = OpaqueSegment(start_le=0, length_le=1, type_word="thin")
    with pytest.raises(RefusedError, match="vg/t is of type thin, which lvm2 activates"):
        stack_uuids(group, volume("t", LV, thin))
