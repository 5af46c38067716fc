"""Every crash of an import or export leaves the volume before or the one after: its data, and a header to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.keys.headers import find_header
from cryptlv.model.check import check
from cryptlv.ops.convert import ImportRequest, import_volume
from cryptlv.ops.convert_export import keep_encrypted, split_header
from cryptlv.ops.keystore import keystore_segment, read_image
from support.crash import crash_states
from support.disks import Disks
from support.luks import EXTENT, HEADERS, formatted, luks_disks, read_raw, sectors, stream_under
from support.outcomes import next_command
from support.record import failing_writes, record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.session import Session
    from support.luks import Pieces

ONE: Pieces = ((0, 100, 8),)
TWO: Pieces = ((0, 100, 6), (1, 30, 2))
STRIPES: Pieces = ((0, 100, 4), (1, 30, 4))
CASES = {
    "aligned": ("luks2", 5 * EXTENT, ONE, 1),
    "unaligned": ("luks2", HEADERS["luks2"], ONE, 1),
    "in two pieces": ("luks2", HEADERS["luks2"], TWO, 1),
    "header in two pieces": ("luks2", 5 * EXTENT, ((0, 100, 2), (1, 30, 6)), 1),
    "stripes": ("luks2", HEADERS["luks2"], STRIPES, 2),
    "LUKS1": ("luks1", HEADERS["luks1"], ((0, 100, 18), (1, 30, 2)), 1),
}


def import_it(session: Session) -> object:
    return import_volume(session, "vg0", "lv", ImportRequest())


def keep_it(session: Session) -> object:
    return keep_encrypted(session, "vg0", "lv")


def read(state: Disks, group: VolumeGroup, header: bytes) -> bytes:
    """The volume's data, under the key that is known, if a header is where it must be."""
    lv = group.lv("lv")
    stores = {store for segment in lv.segments for store in segment.keystores}
    if not stores:
        raw = read_raw(state, "lv")
        found = find_header(raw)
        assert found is not None
        assert _same_keys(raw, header)
        return sectors(raw[found.data_offset_bytes :], encrypts=False)
    (store,) = stores
    with state.session() as session:
        paths = session.world().group("vg0").pv_paths
        assert keystore_segment(group, store).handler in ("luks1", "luks2")
        image = read_image(session, group, store, paths)
    assert find_header(image) is not None
    assert _same_keys(image, header)
    return stream_under(state, group, "lv", store)


def _same_keys(image: bytes, header: bytes) -> bool:
    """Whether the key material is what it was; a header may say another place of the data."""
    start = 4096 if header[6:8] == b"\0\1" else 2 * 0x4000
    used = min(len(header), len(image)) // 4096 * 4096
    assert used > start
    return image[start:used] == header[start:used] and image[168:208] == header[168:208]


def run(
    folder: Path, disks: Disks, change: Callable[[Session], object], header: bytes, data: bytes, most: int = 4
) -> Disks:
    """Every crash of a change; gives the disks after it."""
    old = disks.group()
    before, timeline, done = record(folder, disks, change)
    new = done.group()
    assert old is not None
    assert new is not None
    assert new.seqno == old.seqno + 1
    seen: dict[VolumeGroup, Disks] = {}
    tried: set[tuple[object, ...]] = set()
    for point, devices in crash_states(before, timeline, most):
        state = Disks(folder, devices)
        found = state.group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        assert found is not None
        assert not check(found)
        # what lies where the volume and its header are; states that differ elsewhere only are alike
        mark = (found, _bytes_of(state, found))
        if mark not in tried:
            tried.add(mark)
            assert read(state, found, header)[: len(data)] == data, f"crash point {point} of {len(timeline)}"
        seen[found] = state
    assert set(seen) == {old, new}
    for state in seen.values():
        next_command(state)
    return done


def _bytes_of(state: Disks, group: VolumeGroup) -> bytes:
    import hashlib

    paths = {pv.id: pv for pv in group.pvs}
    mark = hashlib.sha256()
    for lv in group.lvs:
        if lv.name not in ("first", "old", "cryptostore1"):
            for segment in lv.segments:
                for pv_id, start, length in segment.footprint():
                    place = (paths[pv_id].pe_start_sectors + start * group.extent_size_sectors) * 512
                    mark.update(state.devices[paths[pv_id].device].read(place, length * group.extent_size_bytes))
    return mark.digest()


@pytest.mark.parametrize("name", CASES)
def test_imports_and_the_way_back_lose_nothing_at_any_crash(tmp_path: Path, headers: Path, name: str) -> None:
    kind, offset, pieces, stripes = CASES[name]
    disks, data = luks_disks(tmp_path, headers, kind, offset, pieces, stripes=stripes)
    header = formatted(headers, kind, offset)
    done = run(tmp_path, disks, import_it, header, data)
    on_disks = b"".join(device.read(0, device.size_bytes) for device in done.devices.values())
    assert on_disks.count(header[168:208]) == header.count(header[168:208]), "one header is left"
    run(tmp_path, done, keep_it, header, data)


def test_a_split_loses_nothing_at_any_crash(tmp_path: Path, headers: Path) -> None:
    """The file is whole before the commit: with it what is left opens."""
    disks, data = luks_disks(tmp_path, headers, "luks2", 5 * EXTENT, TWO)
    header = formatted(headers, "luks2", 5 * EXTENT)
    with disks.session() as session:
        import_it(session)
    old = disks.group()
    path = tmp_path / "lv.hdr"
    before, timeline, done = record(tmp_path, disks, lambda session: split_header(session, "vg0", "lv", str(path)))
    new = done.group()
    kept = path.read_bytes()
    assert _same_keys(kept, header)
    seen = set()
    for point, devices in crash_states(before, timeline):
        state = Disks(tmp_path, devices)
        found = state.group()
        assert found in (old, new), f"crash point {point} of {len(timeline)}"
        assert found is not None
        if found == new:
            assert sectors(read_raw(state, "lv"), encrypts=False)[: len(data)] == data
        elif found not in seen:
            assert read(state, found, header)[: len(data)] == data
            assert state.opens("lv")
        seen.add(found)
    assert seen == {old, new}


def test_each_write_that_fails_is_told_and_leaves_the_volume_before_or_after(tmp_path: Path, headers: Path) -> None:
    disks, data = luks_disks(tmp_path, headers, "luks2", HEADERS["luks2"], TWO)
    header = formatted(headers, "luks2", HEADERS["luks2"])
    before, timeline, _ = record(tmp_path, disks, import_it)
    old = disks.group()
    for number, path, state, error, warnings in failing_writes(tmp_path, before, timeline, import_it):
        assert error is None or path in str(error), f"write {number}: {error}"
        found = state.group()
        assert found is not None
        assert (found == old) == (error is not None), f"write {number}"
        assert error is not None or warnings, f"write {number}: what was missed is said"
        assert read(state, found, header)[: len(data)] == data
