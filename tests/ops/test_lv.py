"""Creating volumes, by the rows of the seed (S3, S7, S8, S10, S23)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, ExistsError, NoSpaceError, NotFoundError, RefusedError, UsageError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops import vg
from cryptlv.ops.candidates import PvArgument
from cryptlv.ops.lv_remove import remove
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from support.crash import Event, RecordingDevice
from support.disks import MIB, PLAIN_REQUEST, REQUEST, Disks, Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import LogicalVolume, VolumeGroup

LINEAR = lvs.LvRequest(name="x", size_bytes=3 * MIB)


def group_of(disks: Disks) -> VolumeGroup:
    group = disks.group()
    assert group is not None
    return group


def places(lv: LogicalVolume) -> list[tuple[str, int, int]]:
    return [place for segment in lv.segments for place in segment.footprint()]


def test_an_encrypted_volume_and_its_keystore_come_in_one_commit(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    before = group_of(disks)
    with disks.session() as session:
        made = lvs.create(session, "vg0", REQUEST, Known())
    after = group_of(disks)
    assert after.seqno == before.seqno + 1
    volume, store = after.lv("new"), after.lv("cryptostore2")
    assert volume == made
    assert all(isinstance(segment, CryptSegment) for segment in volume.segments)
    assert {name for segment in volume.segments for name in segment.keystores} == {"cryptostore2"}
    assert [type(segment) for segment in store.segments] == [KeystoreSegment]
    assert store.status == ("READ",), "not VISIBLE, not writable"
    assert volume.length_le * after.extent_size_bytes == 3 * MIB, "no header inside"


def test_an_encrypted_volume_takes_the_extents_that_a_linear_one_would(tmp_path: Path) -> None:
    """With handler plain, whose keystore takes no space, the places are the very same (row S3)."""
    taken = []
    for request in (LINEAR, LINEAR.replace(segment_type="crypt", handler="plain")):
        disks = make_disks(tmp_path, (1, 2))
        with disks.session() as session:
            lvs.create(session, "vg0", request, Known(bytes(64)))
        group = group_of(disks)
        names = {pv.id: number for number, pv in enumerate(group.pvs)}
        taken.append([(names[pv_id], start, length) for pv_id, start, length in places(group.lv("x"))])
    assert taken[0] == taken[1]


def test_keystores_take_the_lowest_number_that_is_free(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        lvs.create(session, "vg0", PLAIN_REQUEST, Known(bytes(64)))
        remove(session, "vg0", ("old",))
        lvs.create(session, "vg0", PLAIN_REQUEST.replace(name="third"), Known(bytes(64)))
    assert {lv.name for lv in group_of(disks).lvs} == {"first", "new", "third", "cryptostore1", "cryptostore2"}


def test_a_volume_without_a_name_is_the_next_lvol(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        names = [lvs.create(session, "vg0", LINEAR.replace(name="", size_bytes=1)).name for _ in range(2)]
        lvs.create(session, "vg0", LINEAR.replace(name="lvol7", size_bytes=1))
        names.append(lvs.create(session, "vg0", LINEAR.replace(name="", size_bytes=1)).name)
    assert names == ["lvol0", "lvol1", "lvol8"]


@pytest.mark.parametrize(
    ("spec", "extents"), [((5, ""), 5), ((100, "FREE"), 80), ((50, "FREE"), 40), ((25, "VG"), 40), ((33, "FREE"), 26)]
)
def test_percentages_are_of_the_group_or_of_what_is_free(tmp_path: Path, spec: tuple[int, str], extents: int) -> None:
    disks = Disks(tmp_path, {"/d0": MemoryDevice(11 * MIB, path="/d0")})
    with disks.session() as session:
        vg.create(session, "vg0", ("/d0",), 64 * 1024)
        lvs.create(session, "vg0", LINEAR.replace(name="half", size_bytes=5 * MIB))
        number, of = spec
        made = lvs.create(session, "vg0", lvs.LvRequest(name="x", extents=number, percent_of=of))
    assert made.length_le == extents


def test_all_free_space_leaves_room_for_the_keystore(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        request = REQUEST.replace(size_bytes=None, extents=100, percent_of="FREE")
        lvs.create(session, "vg0", request, Known())
    group = group_of(disks)
    assert sum(length for lv in group.lvs for _, _, length in places(lv)) == group.extent_count


def test_named_devices_are_the_only_ones_used(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(pvs=(PvArgument(path="/d1"),)), Known())
        with pytest.raises(NotFoundError, match="/d9"):
            lvs.create(session, "vg0", LINEAR.replace(pvs=(PvArgument(path="/d9"),)))
        with pytest.raises(NoSpaceError):
            lvs.create(session, "vg0", LINEAR.replace(size_bytes=20 * MIB, pvs=(PvArgument(path="/d1"),)))
    group = group_of(disks)
    for name in ("new", "cryptostore2"):
        assert {pv_id for pv_id, _, _ in places(group.lv(name))} == {group.pvs[1].id}


def test_the_first_4_kib_of_a_new_volume_read_as_zeros_through_the_key(tmp_path: Path) -> None:
    from cryptlv.activate.stream import VolumeStream
    from cryptlv.model.mapping import map_volume

    device = MemoryDevice(content=b"\xa5" * 16 * MIB, path="/d0")
    disks = Disks(tmp_path, {"/d0": device})
    with disks.session() as session:
        session.force = 2
        vg.create(session, "vg0", ("/d0",), 64 * 1024)
        lvs.create(session, "vg0", LINEAR)
    group = group_of(disks)
    stream = VolumeStream(map_volume(group, group.lv("x")), {group.pvs[0].id: device}, {})
    assert stream.read(0, 4096) == bytes(4096)
    assert stream.read(4096, 4096) == b"\xa5" * 4096


def test_test_mode_writes_nothing_and_asks_nobody(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    events: list[Event] = []
    content = bytes(disks.devices["/d0"].content)  # type: ignore[attr-defined]
    dry = Disks(tmp_path / "dry", {"/d0": RecordingDevice("/d0", content, events)})
    with dry.session() as session:
        session.test = True
        lvs.create(session, "vg0", LINEAR)
        lvs.create(session, "vg0", REQUEST, None)
        remove(session, "vg0", ("old",))
    assert events == []
    assert not (tmp_path / "dry" / "system").exists()


def test_what_cannot_be_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    cases: list[tuple[lvs.LvRequest, type[CryptlvError]]] = [
        (REQUEST.replace(name="first"), ExistsError),
        (REQUEST.replace(size_bytes=2**40), NoSpaceError),
        (REQUEST.replace(size_bytes=None), UsageError),
        (REQUEST.replace(segment_type="raid1"), UsageError),
        (REQUEST.replace(handler="acme"), CryptlvError),
    ]
    with disks.session() as session:
        for request, error in cases:
            with pytest.raises(error):
                lvs.create(session, "vg0", request, None)


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"status": ("EXPORTED", "READ", "WRITE")}, RefusedError, "exported"),
        ({"status": ("READ",)}, RefusedError, "read-only"),
        ({"system_id": "elsewhere"}, RefusedError, "system ID"),
        ({"lock_type": "sanlock"}, RefusedError, "lvmlockd"),
        ({"max_lv": 2}, RefusedError, "maximum"),
    ],
)
def test_a_group_that_must_not_be_changed_is_not(
    tmp_path: Path, change: dict[str, object], error: type[CryptlvError], word: str
) -> None:
    from cryptlv.host.store import usable_places, write_metadata

    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        group = session.world().group("vg0")
        after = group.vg.replace(**change)
        write_metadata(usable_places(group.areas, lambda path: disks.devices[path]), after, session.env)
        before = bytes(disks.devices["/d0"].content)  # type: ignore[attr-defined]
        with pytest.raises(error, match=word):
            lvs.create(session, "vg0", LINEAR)
        assert bytes(disks.devices["/d0"].content) == before  # type: ignore[attr-defined]


def test_a_group_that_changed_while_the_passphrase_was_typed_is_planned_again(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))

    class Slow(Known):
        """Another command takes the name that was planned for the keystore meanwhile."""

        def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
            with disks.session() as other:
                lvs.create(other, "vg0", REQUEST.replace(name="faster"), Known())
            return super().get(purpose, what, kind)

    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST, Slow())
    group = group_of(disks)
    assert {name for segment in group.lv("new").segments for name in segment.keystores} == {"cryptostore3"}
    assert disks.opens("new")
    assert disks.opens("faster")
