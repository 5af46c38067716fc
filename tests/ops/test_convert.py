"""LUKS volumes become encrypted volumes of their group: the same data, the same passphrase, one commit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import (
    CryptlvError,
    InUseError,
    KeystoreError,
    NoSpaceError,
    NotFoundError,
    RefusedError,
    UsageError,
    WrongCredential,
)
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.model.sizes import LvSize
from cryptlv.ops import lv as lvs
from cryptlv.ops.candidates import parse_pv_argument
from cryptlv.ops.convert import ImportRequest, import_volume
from cryptlv.ops.lv_resize import EXTEND, REDUCE, ResizeRequest, resize
from cryptlv.ops.vgck import find_faults
from support.disks import PASSPHRASE, Disks, Known, make_disks
from support.luks import (
    EXTENT,
    HEADERS,
    KEY,
    formatted,
    luks_disks,
    plaintext,
    put_volume,
    read_opened,
    sectors,
    write_raw,
)
from support.served import ServerLock
from support.volumes import open_volume

if TYPE_CHECKING:
    from pathlib import Path

    from support.luks import Pieces

IMPORT = ImportRequest()
ALIGNED = {"luks1": 17 * EXTENT, "luks2": 5 * EXTENT}
"""Payload offsets that are whole extents."""
ONE: Pieces = ((0, 100, 24),)
MANY: Pieces = ((0, 100, 3), (1, 20, 16), (0, 140, 1), (1, 60, 3), (1, 70, 1))


def header_copies(disks: Disks) -> int:
    """How often something that looks like a header's beginning is on the disks."""
    return sum(device.read(0, device.size_bytes).count(b"LUKS\xba\xbe") for device in disks.devices.values())


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
@pytest.mark.parametrize("is_aligned", [True, False])
@pytest.mark.parametrize("pieces", [ONE, MANY], ids=["one piece", "many pieces"])
def test_data_are_the_same_after_an_import(
    tmp_path: Path, headers: Path, kind: str, is_aligned: bool, pieces: Pieces
) -> None:
    offset = ALIGNED[kind] if is_aligned else HEADERS[kind]
    disks, data = luks_disks(tmp_path, headers, kind, offset, pieces)
    before = disks.group()
    assert before is not None
    copies = header_copies(disks)
    with disks.session() as session:
        done = import_volume(session, "vg0", "lv", IMPORT, Known())
        assert find_faults(session, "vg0") == ()
    after = disks.group()
    assert after is not None
    assert after.seqno == before.seqno + 1
    found = read_opened(disks)
    assert found[: len(data)] == data
    assert len(found) == -(-len(data) // EXTENT) * EXTENT
    assert disks.opens("lv")
    assert header_copies(disks) == copies, "no copy of the header stays outside the keystore"
    assert after.lv("lv").id == before.lv("lv").id
    (store,) = after.lv(done.store_name).segments
    if is_aligned and pieces is ONE:
        assert list(store.footprint()) == [(after.pvs[0].id, 100, offset // EXTENT)], "the header's own extents"


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_striped_volume_lies_below_the_encrypted_one_and_can_grow_and_shrink(
    tmp_path: Path, headers: Path, rows: int
) -> None:
    """The data begin inside an extent, with an extent but inside a row, and with a row."""
    offset = (HEADERS["luks2"], 5 * EXTENT, 6 * EXTENT)[rows]
    disks, data = luks_disks(tmp_path, headers, "luks2", offset, ((0, 100, 6), (1, 30, 6)), stripes=2)
    copies = header_copies(disks)
    with disks.session() as session:
        import_volume(session, "vg0", "lv", IMPORT)
        assert find_faults(session, "vg0") == ()
    group = disks.group()
    assert group is not None
    assert "VISIBLE" not in group.lv("lv_cryptdata").status
    assert group.lv("lv_cryptdata").segments[0].shown_type == "striped"
    assert read_opened(disks)[: len(data)] == data
    assert header_copies(disks) == copies
    length = group.lv("lv").length_le
    with disks.session() as session:
        resize(session, "vg0", "lv", ResizeRequest(way=EXTEND, size=LvSize(extents=2, sign="+")))
        assert find_faults(session, "vg0") == ()
    found = read_opened(disks)
    assert found[: len(data)] == data
    assert length + 2 <= len(found) // EXTENT <= length + 4, "whole rows of stripes"
    with disks.session() as session:
        resize(session, "vg0", "lv", ResizeRequest(way=REDUCE, size=LvSize(extents=2, sign="-")))
        assert find_faults(session, "vg0") == ()
    assert read_opened(disks)[: len(data)] == data


def test_an_imported_volume_grows_with_the_same_key(tmp_path: Path, headers: Path) -> None:
    disks, data = luks_disks(tmp_path, headers, "luks1", HEADERS["luks1"], MANY)
    with disks.session() as session:
        import_volume(session, "vg0", "lv", IMPORT)
        resize(session, "vg0", "lv", ResizeRequest(way=EXTEND, size=LvSize(extents=3, sign="+")))
        assert find_faults(session, "vg0") == ()
    assert read_opened(disks)[: len(data)] == data


@pytest.mark.parametrize("handler", ["plain", "hashed"])
def test_ciphertext_without_a_header_is_imported_where_it_is(tmp_path: Path, handler: str) -> None:
    disks = make_disks(tmp_path, (1, 0))
    data = plaintext(5 * EXTENT)
    request = ImportRequest(handler=handler, keystore=KeystoreRequest(cipher="aes-xts-plain64", key_size_bits=256))
    secret = key = KEY
    if handler == "hashed":
        request = request.replace(keystore=request.keystore.replace(key_hash="sha256"))
        secret, key = b"pass", hashlib.sha256(b"pass").digest()
    put_volume(disks, ((0, 100, 2), (1, 50, 3)), sectors(data, key=key))
    with disks.session() as session:
        done = import_volume(session, "vg0", "lv", request, Known(secret))
        assert find_faults(session, "vg0") == ()
    with open_volume(disks, "lv", secret) as volume:
        assert bytes(volume.read(0, volume.size_bytes)) == data
    group = disks.group()
    assert group is not None
    assert list(group.lv(done.store_name).segments[0].footprint()) == []


def test_with_test_the_plan_is_told_and_nothing_is_done(tmp_path: Path, headers: Path) -> None:
    disks, _ = luks_disks(tmp_path, headers, "luks2", HEADERS["luks2"], MANY)
    before = contents(disks)
    with disks.session() as session:
        session.test = True
        done = import_volume(session, "vg0", "lv", IMPORT, Known())
    assert contents(disks) == before
    assert [step.split()[0] for step in done.steps] == ["make", "make", "copy", "overwrite"]
    assert "/d" in done.steps[0]


def contents(disks: Disks) -> dict[str, bytes]:
    return {path: device.read(0, device.size_bytes) for path, device in disks.devices.items()}


def refused(
    disks: Disks,
    error: type[CryptlvError],
    words: str,
    request: ImportRequest = IMPORT,
    *,
    name: str = "lv",
    credentials: Known | None = None,
) -> None:
    """An import is refused with such words, in one line, and nothing is changed."""
    before = contents(disks)
    with disks.session() as session, pytest.raises(error, match=words) as raised:
        import_volume(session, "vg0", name, request, credentials)
    assert "\n" not in str(raised.value)
    assert contents(disks) == before


def test_what_is_no_luks_volume_is_refused(tmp_path: Path, headers: Path) -> None:
    disks = make_disks(tmp_path, (1, 0))
    put_volume(disks, ((0, 100, 24),), b"not LUKS")
    refused(disks, RefusedError, "vg0/lv holds no LUKS header; .*--handler")
    refused(disks, NotFoundError, "nothing", name="nothing")
    refused(disks, RefusedError, "encrypted by the volume group already", name="old")
    refused(disks, RefusedError, "hidden volume", name="cryptostore1")
    refused(disks, UsageError, "header of its own", ImportRequest(handler="luks1"))
    refused(disks, CryptlvError, "acme", ImportRequest(handler="acme"))
    refused(disks, CryptlvError, "nowhere: cannot read", ImportRequest(header_path=str(tmp_path / "nowhere")))
    whole = formatted(headers, "luks1", HEADERS["luks1"])
    write_raw(disks, "lv", whole[:104] + bytes(4) + whole[108:])
    refused(disks, RefusedError, "detached")


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_headers_that_do_not_fit_are_refused(tmp_path: Path, headers: Path, kind: str) -> None:
    disks = make_disks(tmp_path, (1, 0))
    whole = formatted(headers, kind, HEADERS[kind])
    extents = HEADERS[kind] // EXTENT
    put_volume(disks, ((0, 100, extents),), whole[: extents * EXTENT])
    refused(disks, CryptlvError, "does not fit|outside the header|bytes only")
    with disks.session() as session:
        resize(session, "vg0", "lv", ResizeRequest(way=EXTEND, size=LvSize(extents=3, sign="+")))
    write_raw(disks, "lv", whole[:100] + b"\xff" + whole[101:])
    if kind == "luks1":  # a payload of 2^32 sectors
        write_raw(disks, "lv", whole[:104] + b"\xff\xff\xff\xff" + whole[108:])
        refused(disks, RefusedError, "does not fit: its data are from byte 2199023255040 on")
    else:  # the second copy counts, and is shown to be all there is
        write_raw(disks, "lv", whole[:4096] + b"X" * 28672 + whole[32768:])
        refused(disks, KeystoreError, "vg0/lv: LUKS2 header: .*both copies are damaged")


def test_the_wrong_key_file_is_refused(tmp_path: Path, headers: Path) -> None:
    disks, _ = luks_disks(tmp_path, headers, "luks2", ALIGNED["luks2"], ONE)
    refused(disks, WrongCredential, "no keyslot opens", credentials=Known(b"wrong"))


def test_an_active_volume_is_refused(tmp_path: Path, headers: Path) -> None:
    disks, _ = luks_disks(tmp_path, headers, "luks2", ALIGNED["luks2"], ONE)
    group = disks.group()
    assert group is not None
    with ServerLock(str(tmp_path / "run"), group.lv("lv").id):
        refused(disks, InUseError, "lvchange -an")


def test_no_free_extents_are_said(tmp_path: Path, headers: Path) -> None:
    disks, _ = luks_disks(tmp_path, headers, "luks2", HEADERS["luks2"], ONE)
    with disks.session() as session:
        lvs.create(session, "vg0", lvs.LvRequest(name="full", extents=100, percent_of="FREE"))
    refused(disks, NoSpaceError, "insufficient free space .* 0 extents free, 5 required")
    refused(disks, NotFoundError, "/nowhere", IMPORT.replace(pvs=(parse_pv_argument("/nowhere"),)))


def test_the_header_of_another_volume_is_refused(tmp_path: Path, headers: Path) -> None:
    disks, _ = luks_disks(tmp_path, headers, "luks2", HEADERS["luks2"], ONE)
    with disks.session() as session:
        import_volume(session, "vg0", "lv", IMPORT)
        lvs.create(session, "vg0", lvs.LvRequest(name="copy", size_bytes=24 * EXTENT))
    write_raw(disks, "copy", formatted(headers, "luks2", HEADERS["luks2"]))
    refused(disks, RefusedError, "belongs to another volume: keystore cryptostore2", name="copy")
    path = tmp_path / "other.hdr"
    path.write_bytes(formatted(headers, "luks2", HEADERS["luks2"]))
    refused(disks, RefusedError, "belongs to another volume", ImportRequest(header_path=str(path)), name="copy")


def test_a_file_system_that_ends_beyond_the_data_is_seen_with_the_key(tmp_path: Path, headers: Path) -> None:
    disks = make_disks(tmp_path, (1, 0))
    offset = HEADERS["luks2"]
    data = bytearray(plaintext(24 * EXTENT - offset))
    data[:4096] = bytes(4096)
    data[1024 + 4 : 1024 + 8] = (len(data) // 1024 + 1).to_bytes(4, "little")
    data[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    put_volume(disks, ONE, formatted(headers, "luks2", offset) + sectors(bytes(data)))
    refused(disks, RefusedError, "file system in it has .* more than", credentials=Known(PASSPHRASE))
    with disks.session() as session:
        import_volume(session, "vg0", "lv", IMPORT)
    assert read_opened(disks)[: len(data)] == data


def test_volumes_that_others_use_or_that_are_lvm2s_own_are_refused(tmp_path: Path, headers: Path) -> None:
    from cryptlv.ops.commit import commit_change
    from cryptlv.segments.opaque import OpaqueSegment

    disks, _ = luks_disks(tmp_path, headers, "luks2", HEADERS["luks2"], ONE)
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        lv = group.vg.lv("lv")
        commit_change(session, group, group.vg.with_lv(lv.replace(status=(*lv.status, "LOCKED"))))
    refused(disks, RefusedError, "locked")
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        segment = OpaqueSegment(start_le=0, length_le=1, type_word="error")
        commit_change(session, group, group.vg.with_lv(lv.replace(segments=(segment,))))
    refused(disks, RefusedError, "type error: convert it with lvm2")
