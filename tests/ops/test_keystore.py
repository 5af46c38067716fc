"""The meeting of metadata and handlers: where images lie, and that they are gone when they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import KeystoreError, NotFoundError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.vg import LogicalVolume, LvArea
from cryptlv.ops import lv as lvs
from cryptlv.ops.commit import commit_change
from cryptlv.ops.keystore import attributes_of, image_place, keystore_segment, read_image, write_image
from cryptlv.ops.lv_remove import remove
from cryptlv.ops.pvmove import MoveRequest, move
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment
from support.disks import MIB, Disks, Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup


def test_the_image_of_a_luks2_keystore_is_a_luks_header_at_its_extents(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        group = session.world().group("vg0")
        segment = keystore_segment(group.vg, "cryptostore1")
        image = read_image(session, group.vg, "cryptostore1", group.pv_paths)
    place = image_place(group.vg, segment)
    assert place is not None
    pv_id, offset, length = place
    assert len(image) == length
    assert image.startswith(b"LUKS\xba\xbe\x00\x02")
    assert disks.devices[group.pv_paths[pv_id]].read(offset, length) == image


def test_a_keystore_that_stores_nothing_has_no_image(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        request = lvs.LvRequest(name="p", size_bytes=MIB, segment_type="crypt", handler="plain")
        lvs.create(session, "vg0", request, Known(bytes(64)))
        group = session.world().group("vg0")
        segment = keystore_segment(group.vg, "cryptostore2")
        assert image_place(group.vg, segment) is None
        assert segment.length_le == 1, "stock lvm2 needs an extent, which takes no space"
        assert read_image(session, group.vg, "cryptostore2", group.pv_paths) == b""
    assert attributes_of(segment).cipher == "aes-xts-plain64"
    assert attributes_of(segment).key_size_bits == 512


def test_what_is_no_keystore_is_refused(tmp_path: Path) -> None:
    group = make_disks(tmp_path, (1,)).group()
    assert group is not None
    with pytest.raises(RefusedError, match="first"):
        keystore_segment(group, "first")
    with pytest.raises(NotFoundError):
        keystore_segment(group, "cryptostore9")


def test_unknown_keys_of_the_metadata_reach_the_handler() -> None:
    extra = (("server", "https://keys"), ("count", 3), ("nested", ("a",)))
    segment = KeystoreSegment(start_le=0, length_le=1, handler="acme", extra=extra)
    assert attributes_of(segment).extra == (("server", "https://keys"), ("count", 3))


def test_an_image_that_does_not_read_back_is_an_error() -> None:
    class Forgetful(MemoryDevice):
        """Loses what is written."""

        def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
            super().write(offset_bytes, bytes(len(data)))

    with pytest.raises(KeystoreError, match="does not read back"):
        write_image(Forgetful(MIB, path="/bad"), 0, b"image")


def test_a_keystore_on_a_missing_device_is_named(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        group = session.world().group("vg0")
        with pytest.raises(KeystoreError, match="cryptostore1"):
            read_image(session, group.vg, "cryptostore1", {})


def with_stacked_keystore(vg: VolumeGroup, stripes: int = 1) -> VolumeGroup:
    """The keystore of `old` on a hidden volume, as others may have put it there, where it was before."""
    store = vg.lv("cryptostore1")
    segment = keystore_segment(vg, store.name)
    below = StripedSegment(
        start_le=0, length_le=segment.length_le, areas=segment.areas * stripes, stripe_size_sectors=stripes & ~1
    )
    hidden_id = "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb"
    hidden = LogicalVolume(name="below", id=hidden_id, status=("READ", "WRITE"), segments=(below,))
    over = segment.replace(areas=(LvArea(lv_name="below", start_le=0),))
    changed = vg.with_lv(store.replace(segments=(over,)))
    return changed.replace(lvs=(*changed.lvs, hidden))


def store_bytes(disks: Disks) -> dict[str, bytes]:
    """What lies where the keystore is, by device."""
    group = disks.group()
    assert group is not None
    place = image_place(group, keystore_segment(group, "cryptostore1"))
    assert place is not None
    pv_id, offset, length = place
    return {group.pv(pv_id).device: disks.devices[group.pv(pv_id).device].read(offset, length)}


def test_a_keystore_on_a_hidden_volume_opens_moves_and_goes_with_its_volume(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    with disks.session() as session:
        group = session.writable_group("vg0")
        commit_change(session, group, with_stacked_keystore(group.vg))
    assert disks.opens("old")
    image = store_bytes(disks)
    assert list(image) == ["/d0"]
    with disks.session() as session:
        move(session, MoveRequest(source="/d0"))
    assert disks.opens("old")
    assert store_bytes(disks) == {"/d1": image["/d0"]}
    assert b"LUKS\xba\xbe" not in disks.devices["/d0"].read(2 * MIB, 14 * MIB), "the old place is overwritten"
    with disks.session() as session:
        remove(session, "vg0", ["old"])
    left = disks.group()
    assert left is not None
    assert [lv.name for lv in left.lvs] == ["first"]
    assert b"LUKS\xba\xbe" not in disks.devices["/d1"].read(2 * MIB, 14 * MIB)


def test_a_keystore_on_stripes_is_refused_by_the_name_of_the_volume(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session:
        group = session.world().group("vg0")
        changed = with_stacked_keystore(group.vg, 2)
        with pytest.raises(RefusedError, match=r"vg0/below: .* not in one piece"):
            read_image(session, changed, "cryptostore1", group.pv_paths)
