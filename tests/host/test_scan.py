"""Scanning: the newest copy wins, what is left out is named, duplicates are never used twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CheckError, FormatError, NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.scan import scan
from cryptlv.model.vg_edit import VgChange
from cryptlv.ondisk.crc import lvm_crc
from cryptlv.ondisk.label import encode_label, find_labels
from cryptlv.ops import lv as lvs
from cryptlv.ops import vg, vg_change
from support.crash import Event, RecordingDevice
from support.disks import Disks, make_disks
from support.hostile import (
    AREA_START,
    IMAGE_BYTES,
    PV_ID,
    PV_TEXT,
    group,
    header,
    hyphened,
    label,
    slot,
    volume,
    with_text,
)

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024


def contents(disks: Disks) -> dict[str, bytes]:
    return {path: bytes(device.content) for path, device in disks.devices.items() if isinstance(device, MemoryDevice)}


def devices(images: dict[str, bytes]) -> list[MemoryDevice]:
    return [MemoryDevice(path=path, content=content) for path, content in images.items()]


def test_the_newest_copy_wins_and_the_old_one_is_named(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    old = contents(disks)
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="late", size_bytes=MIB))
    new = contents(disks)
    for stale in new:
        world = scan(devices({path: old[path] if path == stale else new[path] for path in new}))
        assert world.group("vg0").vg == disks.group()
        assert len(world.warnings) == 1
        assert stale in world.warnings[0]
        assert "seqno" in world.warnings[0]


def test_a_damaged_text_is_named_and_the_other_copy_is_used(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    images = contents(disks)
    broken = bytearray(images["/d0"])
    for place in range(4096 + 512, 4096 + 60000, 512):
        broken[place] ^= 1
    world = scan(devices({**images, "/d0": bytes(broken)}))
    assert world.group("vg0").vg == disks.group()
    assert any("/d0" in warning and "checksum" in warning for warning in world.warnings)


def test_a_missing_device_is_named(tmp_path: Path) -> None:
    images = contents(make_disks(tmp_path, (1, 1)))
    del images["/d1"]
    world = scan(devices(images))
    group = world.group("vg0")
    assert len(group.missing_pv_ids) == 1
    assert any("/d1" in warning and "not found" in warning for warning in world.warnings)


def test_a_copy_of_a_device_is_not_used(tmp_path: Path) -> None:
    images = contents(make_disks(tmp_path, (1,)))
    world = scan(devices({"/d0": images["/d0"], "/copy": images["/d0"]}))
    assert [pv.path for pv in world.pvs] == ["/d0"]
    assert any("/copy" in warning and "same PV id" in warning for warning in world.warnings)


def test_two_groups_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    first, second = contents(make_disks(tmp_path, (1,))), contents(make_disks(tmp_path, (1,)))
    world = scan(devices({"/a": first["/d0"], "/b": second["/d0"]}))
    with pytest.raises(FormatError, match="several volume groups"):
        world.group("vg0")


def test_what_is_not_there_is_said() -> None:
    world = scan([MemoryDevice(MIB)])
    assert world.groups == world.pvs == world.warnings == ()
    with pytest.raises(NotFoundError, match="vgx"):
        world.group("vgx")


def test_a_device_that_fails_is_a_warning(tmp_path: Path) -> None:
    images = contents(make_disks(tmp_path, (1, 1)))
    short = MemoryDevice(path="/d0", content=images["/d0"][:6000])
    world = scan([short, MemoryDevice(path="/d1", content=images["/d1"])])
    assert world.find_group("vg0") is not None
    assert any("/d0" in warning for warning in world.warnings)


def test_scanning_writes_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    images = contents(make_disks(tmp_path, (1, 2)))
    scan([RecordingDevice(path, content, events) for path, content in images.items()])
    assert events == []


def test_a_group_that_claims_the_volume_of_another_does_not_get_it(tmp_path: Path) -> None:
    victim = contents(make_disks(tmp_path, (1,)))["/d0"]
    pv_id = scan(devices({"/d0": victim})).pvs[0].label.pv_id
    claim = f"pv1 {PV_TEXT.removeprefix('pv0').replace(hyphened(PV_ID), pv_id)}"
    thief = MemoryDevice(IMAGE_BYTES, path="/evil")
    for place, data in with_text(group(volume(), pvs=PV_TEXT + claim)).items():
        thief.write(place, data)
    for order in ([thief, *devices({"/d0": victim})], [*devices({"/d0": victim}), thief]):
        world = scan(order)
        assert world.group("vg0").pv_paths == {pv_id: "/d0"}
        assert pv_id not in world.group("evil").pv_paths
        assert any("/d0: volume group evil says" in warning for warning in world.warnings)


def test_extents_over_the_metadata_are_a_hazard_that_stops_changes(tmp_path: Path) -> None:
    evil = MemoryDevice(IMAGE_BYTES, path="/d0")
    for place, data in with_text(group(pvs=PV_TEXT.replace("= 2048", "= 8"))).items():
        evil.write(place, data)
    with Disks(tmp_path, {"/d0": evil}).session() as session:
        assert session.world().group("evil").hazards
        with pytest.raises(CheckError, match="over its label or a metadata area"):
            lvs.create(session, "evil", lvs.LvRequest(name="a", size_bytes=MIB))


def test_a_label_whose_data_lie_over_the_metadata_makes_no_group(tmp_path: Path) -> None:
    evil = MemoryDevice(IMAGE_BYTES, path="/d0")
    evil.write(512, label(data=((AREA_START, 0),), extension=bytes(8)))
    evil.write(AREA_START, header(b""))
    with Disks(tmp_path, {"/d0": evil}).session() as session, pytest.raises(RefusedError, match="damaged label"):
        vg.create(session, "vg1", ("/d0",))
    larger = MemoryDevice(IMAGE_BYTES, path="/d0")
    larger.write(512, label(device_bytes=2 * IMAGE_BYTES, extension=bytes(8)))
    larger.write(AREA_START, header(b""))
    with Disks(tmp_path, {"/d0": larger}).session() as session, pytest.raises(RefusedError, match="its label says"):
        vg.create(session, "vg1", ("/d0",))


def test_texts_of_one_device_share_what_they_may_take() -> None:
    text = group(fields="a=1 " * 120_000)
    pieces = {}
    places = tuple((MIB * (1 + 2 * number), MIB) for number in range(6))
    for number, (start, size) in enumerate(places):
        data = text.replace(b"seqno = 1", b"seqno = %d" % (number + 1)) + b"\0"
        pieces[start] = header(slot(512, len(data), lvm_crc(data)), start=start, size=size)
        pieces[start + 512] = data
    evil = MemoryDevice(IMAGE_BYTES, path="/d0")
    for place, data in {**pieces, 512: label(mdas=places, data=())}.items():
        evil.write(place, data)
    problems = [area.problem for area in scan([evil]).pvs[0].areas]
    assert problems[:2] == ["", ""]
    assert all("/d0 at byte" in problem and "more in the metadata" in problem for problem in problems[3:])


def test_of_two_groups_with_the_same_physical_volumes_the_newer_counts(tmp_path: Path) -> None:
    """What a crash leaves while a group gets a new id."""
    disks = make_disks(tmp_path, (1, 1))
    old = contents(disks)["/d1"]
    with disks.session() as session:
        vg_change.change(session, "vg0", VgChange(), new_id=True)
    new = disks.group()
    world = scan(devices({"/d0": contents(disks)["/d0"], "/d1": old}))
    assert world.group("vg0").vg == new
    assert any("is newer" in warning for warning in world.warnings)


def test_of_two_labels_the_one_counts_that_the_metadata_name() -> None:
    evil = MemoryDevice(IMAGE_BYTES, path="/d0")
    for place, data in with_text(group()).items():
        evil.write(place, data)
    first = find_labels(evil.read(0, 2048))[0][0]
    other = first.replace(pv_id="other0-0000-0000-0000-0000-0000-000000")
    for order in ((first, other), (other, first)):
        evil.write(512, encode_label(order[0].replace(sector=1)) + encode_label(order[1].replace(sector=2)))
        (pv,) = scan([evil]).pvs
        assert pv.label.pv_id == first.pv_id
        assert pv.spare is not None
        assert pv.spare.pv_id == other.pv_id
        assert pv.is_unmarked
