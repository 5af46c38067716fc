"""The commit's order, its limits, and its four outcomes (crashes: see crash/)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CheckError, CommitError, DeviceMapperError, NoSpaceError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.store import (
    check_room,
    erase_metadata,
    ignore_areas,
    plan_areas,
    plan_places,
    prepare,
    usable_places,
    write_metadata,
)
from cryptlv.host.system import make_environment
from cryptlv.model.vg import LogicalVolume
from cryptlv.ops import lv as lvs
from cryptlv.ops import pv, vg
from cryptlv.segments.striped import StripedSegment
from support.crash import Event, RecordingDevice
from support.disks import MIB, REQUEST, Disks, Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.host.scan import MetadataArea

ENV = make_environment("test")


def test_text_is_flushed_before_slot_1_and_that_before_slot_0_on_every_area(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2, 1))
    timeline: list[Event] = []
    after = Disks(
        tmp_path,
        {
            path: RecordingDevice(path, bytes(device.content), timeline)
            for path, device in disks.devices.items()
            if isinstance(device, MemoryDevice)
        },
    )
    with after.session() as session:
        group = session.world().group("vg0")
        write_metadata(usable_places(group.areas, lambda path: after.devices[path]), group.vg, ENV)
    words = ["flush" if event.data is None else "header" if len(event.data) == 512 else "text" for event in timeline]
    assert words == ["text"] * 3 + ["flush"] * 2 + ["header"] * 3 + ["flush"] * 2 + ["header"] * 3 + ["flush"] * 2
    slots = [event.data[40:88] for event in timeline if event.data is not None and len(event.data) == 512]
    for precommit, commit in zip(slots[:3], slots[3:], strict=True):
        assert precommit[:24] != commit[:24], "slot 0 still names the old text"
        assert precommit[24:] == commit[:24], "slot 1 names the new text, then slot 0 does"
        assert commit[24:] == bytes(24)


def test_what_must_not_be_at_work_is_stopped_right_before_the_commit_and_hinders_it(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2, 1))
    before = disks.group()
    seen: list[object] = []

    def stop() -> None:
        seen.append(disks.group())
        raise DeviceMapperError("not now")

    with disks.session() as session:
        group = session.world().group("vg0")
        places = usable_places(group.areas, lambda path: disks.devices[path])
        with pytest.raises(CommitError, match="not now; volume group vg0 is unchanged"):
            write_metadata(places, group.vg, ENV, stop)
        assert disks.group() == before
        write_metadata(places, group.vg, ENV, lambda: seen.append(disks.group()))
    after = disks.group()
    assert seen == [before, before]
    assert before is not None
    assert after is not None
    assert after.seqno == before.seqno + 1


def test_metadata_that_breaks_a_rule_is_never_written(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    group = disks.group()
    assert group is not None
    overlapping = LogicalVolume(name="x", id=ENV.new_uuid(), segments=group.lv("first").segments)
    with pytest.raises(CheckError):
        prepare(group.replace(lvs=(*group.lvs, overlapping)), ENV)


def test_a_full_metadata_area_refuses_with_stock_lvm2s_limit(tmp_path: Path) -> None:
    """Stock: a 32 KiB area holds texts of 15 872 - 512 bytes; nothing is changed."""
    device = MemoryDevice(16 * MIB, path="/d0")
    disks = Disks(tmp_path, {"/d0": device})
    with disks.session() as session:
        options = pv.PvOptions(metadata_size_bytes=32 * 1024, data_alignment_bytes=4096)
        pv.create(session, ("/d0",), options)
        vg.create(session, "vg0", ("/d0",), 64 * 1024)
        for number in range(200):
            before = bytes(device.content)
            try:
                lvs.create(session, "vg0", lvs.LvRequest(name=f"v{number}", size_bytes=1))
            except NoSpaceError as error:
                said = str(error)
                break
    assert device.content == before
    assert "/d0" in said
    assert "exceeds the 15616 bytes" in said
    group = disks.group()
    assert group is not None
    assert 40 <= len(group.lvs) <= 60, "stock lvm2 fits 53 volumes into such an area"


def test_without_a_usable_area_nothing_is_written(tmp_path: Path) -> None:
    group = make_disks(tmp_path, (1,)).group()
    assert group is not None
    with pytest.raises(CommitError, match="no metadata area") as caught:
        write_metadata([], group, ENV)
    assert caught.value.outcome == "reverted"


def test_the_seqno_grows_by_one_and_the_text_reads_back(tmp_path: Path) -> None:
    group = make_disks(tmp_path, (1,)).group()
    assert group is not None
    prepared, text = prepare(group, ENV)
    assert prepared == group.replace(seqno=group.seqno + 1)
    assert text.endswith(b"\n\n"), "stock's pvck wants two line ends before the NUL"


def test_an_area_that_missed_a_commit_is_brought_up_to_date_by_the_next(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    old = bytes(disks.devices["/d1"].content)  # type: ignore[attr-defined]
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST, Known())
    disks.devices["/d1"] = MemoryDevice(path="/d1", content=old)
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="next", size_bytes=MIB))
        group = session.world().group("vg0")
    assert {area.vg for area in group.areas} == {group.vg}
    assert isinstance(group.vg.lv("next").segments[0], StripedSegment)


def test_room_is_known_without_a_write(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        group = session.world().group("vg0")
    places = usable_places(group.areas, lambda path: disks.devices[path])
    before = disks.devices["/d0"].read(0, MIB)
    check_room(places, group.vg, ENV)
    with pytest.raises(NoSpaceError, match="/d0: metadata of volume group vg0"):
        check_room(places, group.vg.replace(tags=tuple(f"tag{number:050}" for number in range(12000))), ENV)
    assert disks.devices["/d0"].read(0, MIB) == before


def areas_of(disks: Disks) -> tuple[MetadataArea, ...]:
    with disks.session() as session:
        return session.world().group("vg0").areas


def test_areas_are_chosen_up_to_date_ones_first(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1, 1))
    first, second, third = areas_of(disks)
    assert second.vg is not None
    stale = first.replace(vg=second.vg.replace(seqno=1))
    header = third.header
    assert header is not None
    assert header.committed is not None
    idle = third.replace(header=header.with_slots(header.committed.replace(flags=1), None), vg=None)
    damaged = third.replace(header=None)
    assert plan_areas((stale, second, idle)) == ([stale, second], [])
    assert plan_areas((stale, second, idle), 1) == ([second], [stale])
    assert plan_areas((stale, second, idle), 3) == ([stale, second, idle], [])
    assert plan_areas((stale, idle), use_all=True) == ([stale, idle], [])
    assert plan_areas((idle,)) == ([idle], []), "one at least"
    assert plan_areas((damaged, second), 2) == ([second], [])


def test_areas_are_ignored_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    places = plan_places(areas_of(disks), lambda path: disks.devices[path])
    assert ignore_areas(places[1:]) == ()
    assert [area.is_ignored for area in areas_of(disks)] == [False, True]
    events: list[Event] = []
    failing = RecordingDevice("/d0", bytes(disks.devices["/d0"].read(0, 16 * MIB)), events, 0)
    (miss,) = ignore_areas([places[0].replace(device=failing)])
    assert "No space left" in miss


def test_erased_metadata_are_those_of_no_group(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (2, 1))
    erase_metadata(plan_places(areas_of(disks), lambda path: disks.devices[path]), "vg0")
    assert disks.group() is None
