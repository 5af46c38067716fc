"""Moving extents: what is read stays the same, whatever is moved, interrupted, or fails."""

from __future__ import annotations

import fcntl
import os
import random
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.process import ServerFiles
from cryptlv.errors import (
    CommitError,
    CryptlvError,
    DeviceError,
    NoSpaceError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.allocate import used_extents
from cryptlv.model.check import check
from cryptlv.model.edit import add_lvs
from cryptlv.model.nodes import PvWord
from cryptlv.model.vg import PvArea
from cryptlv.ops.commit import commit_change
from cryptlv.ops.pvmove import Chunks, Mover, MoveRequest, move, split_pv
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.opaque import OpaqueSegment
from cryptlv.segments.striped import StripedSegment
from support.filled import contents, make_volumes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from support.disks import Disks

KIB = 1024
SMALL = Chunks(most_bytes=256 * KIB, block_bytes=96 * KIB)


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    return make_volumes(tmp_path)


def group_of(disks: Disks) -> VolumeGroup:
    group = disks.group()
    assert group is not None
    assert not check(group)
    return group


def used_on(group: VolumeGroup, number: int) -> int:
    return sum(length for _, length in used_extents(group)[group.pvs[number].id])


class Watcher:
    """Stops after so many bytes; keeps what it was told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.told: list[tuple[int, int]] = []
        self._stop_at = stop_at

    @property
    def is_stopping(self) -> bool:
        return self._stop_at is not None and bool(self.told) and self.told[-1][0] >= self._stop_at

    def tell(self, done_bytes: int, total_bytes: int) -> None:
        self.told.append((done_bytes, total_bytes))


def test_a_pv_is_emptied_and_every_volume_reads_the_same(disks: Disks) -> None:
    data = contents(disks)
    before = group_of(disks)
    watcher = Watcher()
    with disks.session() as session:
        result = move(session, MoveRequest(source="/d0", chunks=SMALL), watcher)
    after = group_of(disks)
    assert used_on(after, 0) == 0
    assert result.is_complete
    assert contents(disks) == data
    assert disks.opens("old")
    imported = used_on(before, 0) - 1, "the extent that area_offset costs is not needed any more"
    assert result.total_bytes == imported[0] * 64 * KIB, imported[1]
    assert watcher.told[0] == (0, result.total_bytes)
    assert watcher.told[-1] == (result.total_bytes, result.total_bytes)
    assert [told[0] for told in watcher.told] == sorted(told[0] for told in watcher.told)
    assert {lv.name: lv.length_le for lv in after.lvs} == {lv.name: lv.length_le for lv in before.lvs}


def test_no_byte_of_ciphertext_and_no_iv_changes(disks: Disks) -> None:
    def ciphertext(group: VolumeGroup) -> bytes:
        found = b""
        for segment in group.lv("imported").segments:
            assert isinstance(segment, CryptSegment)
            assert segment.iv_base_sectors == 40 * 2**40
            (area,) = segment.areas
            assert isinstance(area, PvArea)
            pv = group.pv(area.pv_id)
            start = pv.pe_start_sectors + area.start_pe * group.extent_size_sectors + segment.area_offset_sectors
            found += disks.devices[pv.device].read(start * 512, segment.length_le * group.extent_size_bytes)
        return found

    before = ciphertext(group_of(disks))
    with disks.session() as session:
        move(session, MoveRequest(source="/d0:112-113", chunks=SMALL))
    group = group_of(disks)
    places = [(segment.start_le, segment.length_le) for segment in group.lv("imported").segments]
    assert places == [(0, 1), (1, 3), (4, 1)], "the extents 1 to 3 have sectors in the two that were named"
    assert ciphertext(group) == before


def test_the_old_place_of_a_keystore_is_overwritten_and_those_of_volumes_are_not(disks: Disks) -> None:
    group = group_of(disks)
    places = {name: next(iter(group.lv(name).segments[0].footprint())) for name in ("cryptostore1", "first")}
    with disks.session() as session:
        move(session, MoveRequest(source="/d0"))
    for name, (pv_id, start_pe, length_pe) in places.items():
        start = (group.pv(pv_id).pe_start_sectors + start_pe * group.extent_size_sectors) * 512
        left = disks.devices["/d0"].read(start, length_pe * group.extent_size_bytes)
        assert any(left) == (name == "first"), name


def test_a_fill_survives_many_moves(disks: Disks) -> None:
    data = contents(disks)
    rng = random.Random(3)
    done = 0
    for _ in range(60):
        number = rng.randrange(3)
        start = rng.randrange(240)
        end = rng.randrange(start, min(start + 60, 240))
        others = [f"/d{other}" for other in range(3) if other != number]
        targets = rng.choice([(), (), tuple(others), (f"/d{number}", *others)])
        policy = rng.choice(["", "normal", "anywhere", "cling"])
        chunks = SMALL.replace(most_bytes=rng.choice([64, 300, 1000]) * KIB)
        request = MoveRequest(source=f"/d{number}:{start}-{end}", targets=targets, policy=policy, chunks=chunks)
        watcher = Watcher(rng.choice([None, None, 500 * KIB]))
        with disks.session() as session:
            try:
                done += move(session, request, watcher).done_bytes
            except (RefusedError, NoSpaceError):
                continue
        group_of(disks)
    assert done > 10 * 1024 * KIB
    assert contents(disks) == data
    assert disks.opens("old")


def test_a_stopped_move_goes_on_when_the_same_is_asked_for_again(disks: Disks) -> None:
    data = contents(disks)
    request = MoveRequest(source="/d0", chunks=SMALL)
    rounds = 0
    total = 0
    while True:
        with disks.session() as session:
            result = move(session, request, Watcher(1024 * KIB))
        total += result.done_bytes
        rounds += 1
        assert contents(disks) == data
        if result.is_complete:
            break
        assert 0 < result.done_bytes < result.total_bytes
    assert rounds > 3
    assert used_on(group_of(disks), 0) == 0
    with disks.session() as session, pytest.raises(RefusedError, match=r"No data to move for vg0\."):
        move(session, request)


def test_a_chunk_is_never_less_than_one_extent_nor_part_of_a_keystore(disks: Disks) -> None:
    before = group_of(disks).seqno
    chunks = Chunks(most_bytes=1, block_bytes=4096)
    with disks.session() as session:
        move(session, MoveRequest(source="/d0", lv_name="vg0/cryptostore1", chunks=chunks))
    assert group_of(disks).seqno == before + 1
    with disks.session() as session:
        move(session, MoveRequest(source="/d0", lv_name="wide", chunks=chunks))
    assert group_of(disks).seqno == before + 1 + 6, "an extent a commit"
    assert disks.opens("old")


def test_an_atomic_move_is_one_commit_or_none(disks: Disks) -> None:
    before = group_of(disks)
    request = MoveRequest(source="/d0", is_atomic=True, chunks=SMALL)
    with disks.session() as session:
        result = move(session, request, Watcher(512 * KIB))
    assert not result.is_complete
    assert result.done_bytes == 0
    assert group_of(disks) == before
    with disks.session() as session:
        assert move(session, request).is_complete
    assert group_of(disks).seqno == before.seqno + 1


def test_one_archive_is_kept_of_a_move(disks: Disks, tmp_path: Path) -> None:
    archive = tmp_path / "system" / "archive"
    before = len(list(archive.iterdir()))
    with disks.session() as session:
        move(session, MoveRequest(source="/d0", chunks=SMALL))
    assert len(list(archive.iterdir())) == before + 1


def test_a_trial_writes_nothing_and_says_what_it_would_do(disks: Disks) -> None:
    assert all(isinstance(device, MemoryDevice) for device in disks.devices.values())
    before = {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()}
    with disks.session() as session:
        session.test = True
        result = move(session, MoveRequest(source="/d0:140-140", targets=("/d2",)))
    assert {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()} == before
    assert result.steps == ("1 extents of logical volume vg0/striped from /d0:140-140 to /d2:102-102",)


def test_a_volume_and_what_it_is_made_of_can_be_moved_alone(disks: Disks) -> None:
    before = group_of(disks)
    with disks.session() as session:
        move(session, MoveRequest(source="/d0", lv_name="stacked"))
    after = group_of(disks)
    changed = [lv.name for lv in after.lvs if lv != before.lv(lv.name)]
    assert changed == ["stacked_cryptdata"]


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (MoveRequest(source="/nope"), UsageError, "Failed to find physical volume '/nope'"),
        (MoveRequest(source="/d0", lv_name="nope"), NotFoundError, "nope"),
        (MoveRequest(source="/d0", lv_name="vg1/first"), UsageError, "must be in the same VG"),
        (MoveRequest(source="/d0", targets=("/nope",)), NotFoundError, "not found in Volume Group"),
        (MoveRequest(source="/d0", targets=("/d0",)), NoSpaceError, "No extents available"),
        (MoveRequest(source="/d0", targets=("@none",)), NoSpaceError, "No specified PVs"),
        (MoveRequest(source="/d0", targets=("/d1:0-3",)), NoSpaceError, "Insufficient free space"),
        (MoveRequest(source="/d0", policy="contiguous"), NoSpaceError, "contiguous"),
        (MoveRequest(source="/d0:5-3"), RefusedError, "PE range error"),
        (MoveRequest(source="/d0:0-5:5-6"), RefusedError, "Overlapping"),
        (MoveRequest(source="/d0:x"), RefusedError, "parsing error"),
        (MoveRequest(source="/d0:200-210"), RefusedError, r"^No data to move for vg0\.$"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    disks: Disks, request_: MoveRequest, error: type[CryptlvError], words: str
) -> None:
    before = group_of(disks)
    with disks.session() as session, pytest.raises(error, match=words):
        move(session, request_)
    assert group_of(disks) == before


def test_active_volumes_are_left_where_they_are(disks: Disks, tmp_path: Path) -> None:
    """A server says by a lock that it serves a volume; what is below an active volume is left, too."""
    group = group_of(disks)
    said: list[str] = []
    with ExitStack() as held:
        for name in ("first", "stacked"):
            files = ServerFiles(str(tmp_path / "run"), group.lv(name).id)
            os.makedirs(files.directory, exist_ok=True)
            lock = held.enter_context(open(files.lock, "w", encoding="ascii"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        with disks.session() as session:
            session._inform = said.append
            move(session, MoveRequest(source="/d0"))
            with pytest.raises(RefusedError, match="All data on source PV skipped"):
                move(session, MoveRequest(source="/d0"))
    assert on_first_pv(group_of(disks)) == {"first", "stacked_cryptdata"}
    assert [word.split()[2] for word in said] == ["vg0/first", "vg0/stacked_cryptdata"] * 2


def on_first_pv(group: VolumeGroup) -> set[str]:
    return {
        lv.name
        for lv in group.lvs
        for segment in lv.segments
        if any(pv_id == group.pvs[0].id for pv_id, _, _ in segment.footprint())
    }


def change(disks: Disks, make: Callable[[VolumeGroup], VolumeGroup]) -> VolumeGroup:
    """Commit another value."""
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        return commit_change(session, group, make(group.vg))


def test_locked_volumes_and_those_of_other_types_are_skipped_by_name(disks: Disks) -> None:
    def odd(vg: VolumeGroup) -> VolumeGroup:
        first, wide = vg.lv("first"), vg.lv("wide")
        vg = vg.with_lv(first.replace(status=(*first.status, "LOCKED")))
        vg = vg.with_lv(wide.replace(name="pool_tdata", status=("READ", "WRITE")))
        pool = OpaqueSegment(start_le=0, length_le=6, type_word="thin-pool", body=(("pool", "pool_tdata"),))
        places = (PvWord(vg.pvs[0].id), 200)
        mirror = OpaqueSegment(start_le=0, length_le=2, type_word="mirror", body=(("mirrors", places),))
        more = [
            wide.replace(name=name, id=wide.id[:-1] + mark, segments=(segment,))
            for name, mark, segment in (("pool", "P", pool), ("mirrored", "M", mirror))
        ]
        return vg.replace(lvs=(*vg.lvs, *more))

    change(disks, odd)
    said: list[str] = []
    with disks.session() as session:
        session._inform = said.append
        move(session, MoveRequest(source="/d0"))
    assert on_first_pv(group_of(disks)) == {"first", "pool_tdata", "mirrored"}
    assert said == [
        "Skipping locked LV vg0/first.",
        "Skipping LV vg0/mirrored of type mirror, which only lvm2's pvmove moves.",
        "Skipping LV vg0/pool_tdata, part of a volume that only lvm2's pvmove moves.",
    ]


def test_a_move_of_lvm2s_is_not_meddled_with(disks: Disks) -> None:
    change(disks, lambda vg: vg.with_lv(vg.lv("wide").replace(status=("READ", "WRITE", "PVMOVE", "LOCKED"))))
    with disks.session() as session, pytest.raises(RefusedError, match="Detected pvmove in progress for /d0"):
        move(session, MoveRequest(source="/d0"))


def test_what_others_do_between_two_chunks_is_seen(disks: Disks) -> None:
    """Another command grows a volume into the extents that the move had its eye on."""
    data = contents(disks)

    request = MoveRequest(source="/d0", chunks=SMALL)
    with disks.session() as session:
        mover = Mover(session, request, Watcher())
        assert mover.step()
        place = PvArea(pv_id=group_of(disks).pvs[1].id, start_pe=130)
        taken = StripedSegment(start_le=0, length_le=110, areas=(place,))
        change(disks, lambda vg: add_lvs(vg, vg.lv("first").replace(name="taken", id=vg.id, segments=(taken,))))
        while mover.step():
            pass
    assert mover.done_bytes == mover.total_bytes
    assert used_on(group_of(disks), 0) == 0
    assert contents(disks) == data


class Failing(MemoryDevice):
    """A device whose read, write or flush fails at the call of a number."""

    def __init__(self, device: MemoryDevice, what: str, at: int) -> None:
        super().__init__(path=device.path, content=bytes(device.content))
        self._what = what
        self._left = at

    def _count(self, what: str) -> None:
        self._left -= what == self._what
        if self._left == 0 and what == self._what:
            raise DeviceError(f"{self.path}: cannot {what}: Input/output error", errno=5)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._count("read_into")
        super().read_into(offset_bytes, buffer)

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        self._count("write")
        super().write(offset_bytes, data)

    def flush(self) -> None:
        self._count("flush")


@pytest.mark.parametrize("at", [1, 2, 5, 9, 14])
@pytest.mark.parametrize(("path", "what"), [("/d0", "read_into"), ("/d1", "write"), ("/d1", "flush")])
def test_a_device_that_fails_leaves_every_volume_whole(disks: Disks, path: str, what: str, at: int) -> None:
    data = contents(disks)
    healthy = dict(disks.devices)
    disks.devices = {
        name: Failing(device, what, at) if name == path else device  # type: ignore[arg-type]
        for name, device in healthy.items()
    }
    request = MoveRequest(source="/d0", targets=("/d1",), lv_name="old", chunks=SMALL)
    with disks.session() as session:
        try:
            move(session, request)
        except CryptlvError as error:
            assert isinstance(error, DeviceError | CommitError)
            assert "\n" not in str(error)
            if "are moved" in str(error):
                assert "the same command goes on from there" in str(error)
    group_of(disks)
    assert contents(disks) == data
    with disks.session() as session, suppress(RefusedError):
        move(session, request)
    assert "old" not in on_first_pv(group_of(disks))
    assert contents(disks) == data


@pytest.mark.parametrize(
    ("word", "path", "ranges"),
    [
        ("/a", "/a", ""),
        ("/a:1-2:3", "/a", ":1-2:3"),
        (r"/by-path/pci\:0\@1:5", "/by-path/pci:0@1", ":5"),
        ("/a:", "/a", ":"),
    ],
)
def test_a_pv_and_its_extents_are_told_apart(word: str, path: str, ranges: str) -> None:
    assert split_pv(word) == (path, ranges)
