"""Encrypted volumes become ordinary ones with their header in a file or in front; stock cryptsetup opens them."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, KeystoreError, NoSpaceError, RefusedError, UsageError, WrongCredential
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.keys.headers import find_header
from cryptlv.ops import lv as lvs
from cryptlv.ops.convert import ImportRequest, import_volume
from cryptlv.ops.convert_export import keep_encrypted, split_header
from cryptlv.ops.vgck import find_faults
from support.disks import PASSPHRASE, REQUEST, Disks, Known, make_disks
from support.luks import (
    EXTENT,
    HEADERS,
    KEY,
    luks_disks,
    plaintext,
    read_opened,
    read_raw,
    sectors,
)
from support.machine import Machine, need
from support.volumes import open_volume

if TYPE_CHECKING:
    from pathlib import Path

    from support.luks import Pieces

ALIGNED = {"luks1": 17 * EXTENT, "luks2": 5 * EXTENT}
ONE: Pieces = ((0, 100, 24),)
MANY: Pieces = ((0, 100, 3), (1, 20, 16), (0, 140, 1), (1, 60, 3), (1, 70, 1))


def opens(folder: Path, *header: Path | str, device: bytes = b"") -> None:
    """Stock cryptsetup opens a header, or a whole device, with the passphrase."""
    need("cryptsetup")
    machine = Machine(folder)
    words: list[Path | str] = []
    for path in header:
        words += ["--header", path]
    (folder / "device.img").write_bytes(device)
    key = machine.key_file("key", PASSPHRASE)
    machine.tool("cryptsetup", "open", "--test-passphrase", "--key-file", key, *words, folder / "device.img")


def decrypted(raw: bytes, offset: int) -> bytes:
    return sectors(raw[offset:], encrypts=False)


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
@pytest.mark.parametrize("is_aligned", [True, False])
@pytest.mark.parametrize("pieces", [ONE, MANY], ids=["one piece", "many pieces"])
def test_what_was_imported_is_an_ordinary_luks_volume_again(
    tmp_path: Path, headers: Path, kind: str, is_aligned: bool, pieces: Pieces
) -> None:
    offset = ALIGNED[kind] if is_aligned else HEADERS[kind]
    disks, data = luks_disks(tmp_path, headers, kind, offset, pieces)
    group = disks.group()
    assert group is not None
    with disks.session() as session:
        import_volume(session, "vg0", "lv", ImportRequest())
        keep_encrypted(session, "vg0", "lv", (), Known())
        assert find_faults(session, "vg0") == ()
    after = disks.group()
    assert after is not None
    raw = read_raw(disks, "lv")
    found = find_header(raw)
    assert found is not None
    assert decrypted(raw, found.data_offset_bytes)[: len(data)] == data
    opens(tmp_path, device=raw)
    assert after.lv("lv").segments == group.lv("lv").segments or not (is_aligned and pieces is ONE)
    assert {lv.name for lv in after.lvs} == {lv.name for lv in group.lvs}, "the keystore is gone"
    with disks.session() as session:
        import_volume(session, "vg0", "lv", ImportRequest(), Known())
    assert read_opened(disks)[: len(data)] == data


@pytest.mark.parametrize("pieces", [ONE, MANY], ids=["one piece", "many pieces"])
@pytest.mark.parametrize("is_aligned", [True, False])
def test_the_header_in_a_file_opens_the_volume_and_brings_it_back(
    tmp_path: Path, headers: Path, is_aligned: bool, pieces: Pieces
) -> None:
    """Data inside an extent are left where they are where the header can say so: it is small enough."""
    offset = ALIGNED["luks2"] if is_aligned else 8 * EXTENT + 8 * 512
    disks, data = luks_disks(tmp_path, headers, "luks2", offset, pieces)
    path = tmp_path / "lv.hdr"
    with disks.session() as session:
        import_volume(session, "vg0", "lv", ImportRequest())
        if not is_aligned:
            with pytest.raises(RefusedError, match=r"no header of 576 sectors can say so; move it .* pvmove"):
                split_header(session, "vg0", "lv", str(path))
            return
        split_header(session, "vg0", "lv", str(path), (), Known())
        assert find_faults(session, "vg0") == ()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    raw = read_raw(disks, "lv")
    found = find_header(path.read_bytes())
    assert found is not None
    assert found.data_offset_bytes == 0
    assert decrypted(raw, 0)[: len(data)] == data
    opens(tmp_path, path, device=raw)
    on_disks = b"".join(device.read(0, device.size_bytes) for device in disks.devices.values())
    assert found.uuid.encode() not in on_disks, "the header is in the file only"
    with disks.session() as session, pytest.raises(UsageError, match="a new file is needed"):
        split_header(session, "vg0", "old", str(path))
    with disks.session() as session:
        import_volume(session, "vg0", "lv", ImportRequest(header_path=str(path)), Known())
        assert find_faults(session, "vg0") == ()
    assert read_opened(disks)[: len(data)] == data


def test_luks1_in_many_pieces_with_data_inside_an_extent_is_split(tmp_path: Path) -> None:
    """As after an import with large extents: header before the data within one extent (made by hand here)."""
    from cryptlv.model.vg import PvArea
    from cryptlv.ops.commit import commit_change
    from cryptlv.segments.crypt import CryptSegment

    disks = make_disks(tmp_path, (1, 0))
    data = plaintext(3 * EXTENT)
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        pv_id = group.vg.pvs[1].id
        old = group.vg.lv("old")
        assert isinstance(old.segments[0], CryptSegment)
        segments = tuple(
            old.segments[0].replace(
                start_le=start, length_le=1, areas=(PvArea(pv_id=pv_id, start_pe=place),), area_offset_sectors=offset
            )
            for start, place, offset in ((0, 100, 7), (1, 110, 0), (2, 120, 7))
        )
        commit_change(session, group, group.vg.with_lv(old.replace(segments=segments)))
    with open_volume(disks, "old", PASSPHRASE) as volume:
        volume.write(0, data)
    with disks.session() as session, pytest.raises(RefusedError, match="pvmove"):
        split_header(session, "vg0", "old", str(tmp_path / "hdr"))
    with disks.session() as session:
        keep_encrypted(session, "vg0", "old")
        import_volume(session, "vg0", "old", ImportRequest(), Known())
        assert find_faults(session, "vg0") == ()
    assert read_opened(disks, "old")[: len(data)] == data


@pytest.mark.parametrize("handler", ["luks1", "luks2"])
def test_a_volume_that_lvcreate_made_is_exported_in_both_ways(tmp_path: Path, handler: str) -> None:
    for way in ("split", "keep"):
        (tmp_path / way).mkdir()
        disks = make_disks(tmp_path / way, (1, 0))
        with disks.session() as session:
            lvs.create(session, "vg0", REQUEST.replace(name="lv", handler=handler), Known())
        data = plaintext(3 * 1024 * 1024)
        with open_volume(disks, "lv", PASSPHRASE) as volume:
            volume.write(0, data)
        path = tmp_path / way / "hdr"
        with disks.session() as session:
            if way == "split":
                split_header(session, "vg0", "lv", str(path))
            else:
                keep_encrypted(session, "vg0", "lv")
            assert find_faults(session, "vg0") == ()
        raw = read_raw(disks, "lv")
        opens(tmp_path / way, *([path] if way == "split" else []), device=raw)
        request = ImportRequest(header_path=str(path) if way == "split" else "")
        with disks.session() as session:
            import_volume(session, "vg0", "lv", request, Known())
        assert read_opened(disks) == data


@pytest.mark.parametrize("handler", ["luks1", "luks2"])
def test_a_volume_that_shares_its_keystore_takes_a_copy_of_the_header(tmp_path: Path, handler: str) -> None:
    disks = make_disks(tmp_path, (1, 0))
    with disks.session() as session:
        lvs.create(session, "vg0", REQUEST.replace(name="first2", handler=handler), Known())
        request = REQUEST.replace(name="lv", crypto_store="cryptostore2")
        lvs.create(session, "vg0", request, Known())
    data = plaintext(3 * 1024 * 1024)
    with open_volume(disks, "lv", PASSPHRASE) as volume:
        volume.write(0, data)
    path = tmp_path / "hdr"
    if handler == "luks1":
        before = {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()}
        with (
            disks.session() as session,
            pytest.raises(KeystoreError, match=r"vg0/lv .*LUKS1 .*iv_base"),
        ):
            split_header(session, "vg0", "lv", str(path))
        assert {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()} == before
        assert not path.exists()
        return
    with disks.session() as session:
        split_header(session, "vg0", "lv", str(path))
    found = find_header(path.read_bytes())
    assert found is not None
    assert found.iv_tweak == 2**40
    assert disks.opens("first2")
    with disks.session() as session, pytest.raises(RefusedError, match="belongs to another volume"):
        import_volume(session, "vg0", "lv", ImportRequest(header_path=str(path)))


def test_what_cannot_be_exported_is_refused_and_nothing_changes(tmp_path: Path, headers: Path) -> None:
    disks, _ = luks_disks(tmp_path, headers, "luks2", ALIGNED["luks2"], ONE)
    path = str(tmp_path / "hdr")
    put_plain(disks)
    before = {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()}
    cases: list[tuple[str, type[CryptlvError], str]] = [
        ("lv", RefusedError, "not encrypted by the volume group"),
        ("bare", RefusedError, "handler plain has no LUKS header; .*--keep-encrypted"),
        ("cryptostore1", RefusedError, "hidden volume"),
        ("nothing", CryptlvError, "nothing"),
    ]
    for name, error, words in cases:
        with disks.session() as session, pytest.raises(error, match=words):
            split_header(session, "vg0", name, path)
    with disks.session() as session, pytest.raises(WrongCredential):
        split_header(session, "vg0", "old", path, (), Known(b"wrong"))
    with disks.session() as session, pytest.raises(WrongCredential):
        keep_encrypted(session, "vg0", "old", (), Known(b"wrong"))
    with disks.session() as session, pytest.raises(CryptlvError, match="nowhere"):
        split_header(session, "vg0", "old", str(tmp_path / "nowhere" / "hdr"))
    with disks.session() as session:
        session.test = True
        assert split_header(session, "vg0", "old", path).steps[0].startswith("write the header")
        assert keep_encrypted(session, "vg0", "old").steps
    assert {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()} == before
    assert not (tmp_path / "hdr").exists()


def put_plain(disks: Disks) -> None:
    """A volume "bare" whose keystore stores nothing."""
    with disks.session() as session:
        request = lvs.LvRequest(name="bare", size_bytes=2 * EXTENT, segment_type="crypt", handler="plain")
        lvs.create(session, "vg0", request.replace(keystore=KeystoreRequest(key_size_bits=256)), Known(KEY))


def test_without_a_header_the_ciphertext_is_left_as_it_is(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 0))
    put_plain(disks)
    data = plaintext(2 * EXTENT)
    with open_volume(disks, "bare", KEY) as volume:
        volume.write(0, data)
    with disks.session() as session:
        keep_encrypted(session, "vg0", "bare")
        assert find_faults(session, "vg0") == ()
    assert read_raw(disks, "bare") == sectors(data)


def test_stripes_are_a_striped_volume_again_and_a_header_in_front_needs_its_old_room(
    tmp_path: Path, headers: Path
) -> None:
    disks, data = luks_disks(tmp_path, headers, "luks2", 5 * EXTENT, ((0, 100, 6), (1, 30, 6)), stripes=2)
    group = disks.group()
    assert group is not None
    with disks.session() as session:
        import_volume(session, "vg0", "lv", ImportRequest())
        keep_encrypted(session, "vg0", "lv", (), Known())
    again = disks.group()
    assert again is not None
    assert again.lvs == group.lvs
    raw = read_raw(disks, "lv")
    assert decrypted(raw, 5 * EXTENT) == data
    opens(tmp_path, device=raw)


def test_no_room_for_a_header_is_said_with_what_it_needs(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 0))
    with disks.session() as session:
        request = REQUEST.replace(name="lv", crypto_store="cryptostore1")
        lvs.create(session, "vg0", request, Known())
        lvs.create(session, "vg0", lvs.LvRequest(name="full", extents=100, percent_of="FREE"))
    with disks.session() as session, pytest.raises(NoSpaceError, match=r"0 extents free, \d+ required"):
        keep_encrypted(session, "vg0", "lv")


def test_a_header_file_does_not_stay_when_the_commit_fails(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    path = tmp_path / "hdr"

    class Failing:
        """A device whose metadata cannot be written."""

        def __init__(self, device: object) -> None:
            self._device = device

        def __getattr__(self, name: str) -> object:
            return getattr(self._device, name)

        def write(self, offset_bytes: int, data: bytes) -> None:
            from cryptlv.errors import DeviceError

            raise DeviceError(f"/d0: cannot write {len(data)} bytes at {offset_bytes}")

    broken = Disks(tmp_path, {name: Failing(device) for name, device in disks.devices.items()})  # type: ignore[misc]
    with broken.session() as session, pytest.raises(CryptlvError):
        split_header(session, "vg0", "old", str(path))
    assert not path.exists()
    assert disks.opens("old")
