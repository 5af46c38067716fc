"""vgck: what is wrong with a volume group; that the mending is stock's is in compat/test_checks_like_stock.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import NotFoundError
from cryptlv.host.devices import MemoryDevice
from cryptlv.ops import lv as lvs
from cryptlv.ops.vgck import find_faults, update_metadata
from support.crash import crash_states
from support.disks import Disks, Known, make_disks
from support.record import record

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


def faults(disks: Disks) -> tuple[str, ...]:
    with disks.session() as session:
        return find_faults(session, "vg0")


def rewrite(disks: Disks, old: bytes, new: bytes) -> None:
    """Change the metadata text on every device, checksums repaired."""
    from cryptlv.ondisk.mda import decode_mda_header, encode_mda_header, raw_location

    for device in disks.devices.values():
        header = decode_mda_header(device.read(4096, 512), 4096, MIB - 4096)
        assert header.committed is not None
        place = header.committed.offset_bytes
        text = device.read(4096 + place, header.committed.size_bytes)
        assert old in text
        text = text.replace(old, new)
        device.write(4096 + place, text)
        device.write(4096, encode_mda_header(header.with_slots(raw_location(place, text), None)))


def test_a_sound_group_has_none(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 2))
    assert faults(disks) == ()
    with disks.session() as session, pytest.raises(NotFoundError, match="nothere"):
        find_faults(session, "nothere")


def test_each_fault_names_its_device(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1, 1))
    disks.devices["/d1"].write(4100, b"x")
    assert [line.split()[0] for line in faults(disks)] == ["/d1"]
    disks.devices["/d2"].write(4608, b"\xff" * 4096)
    assert [line.split()[0] for line in faults(disks)] == ["/d1", "/d2"]
    with disks.session() as session:
        update_metadata(session, "vg0")
    assert len(faults(disks)) == 1, "what has lost its magic may not be a metadata area at all"
    assert "pvck" not in faults(disks)[0]


def test_a_label_that_lost_its_flag_is_told_and_mended(tmp_path: Path) -> None:
    from cryptlv.ondisk.label import encode_label, find_label

    disks = make_disks(tmp_path, (1, 1))
    label, _ = find_label(disks.devices["/d1"].read(0, 2048))
    assert label is not None
    disks.devices["/d1"].write(512, encode_label(label.replace(flags=0)))
    (line,) = faults(disks)
    assert line.startswith("/d1: its label")
    with disks.session() as session:
        update_metadata(session, "vg0")
    assert faults(disks) == ()


def test_a_device_that_shrank_is_told(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    smaller = MemoryDevice(8 * MIB, path="/d1")
    smaller.write(0, disks.devices["/d1"].read(0, 8 * MIB))
    disks.devices["/d1"] = smaller
    (line,) = faults(disks)
    assert line.startswith("/d1: its extents end")


def test_a_keystore_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Row S11: the group opens, and vgck says it."""
    disks = make_disks(tmp_path, (1, 1))
    rewrite(disks, b'crypto_store = "cryptostore1"', b'crypto_store = "cryptostore9"')
    group = disks.group()
    assert group is not None
    assert group.find_lv("old") is not None
    (line,) = faults(disks)
    assert "vg0/old" in line
    assert "cryptostore9 does not exist" in line


def test_areas_that_stock_has_renumbered_are_told_and_mended(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    before = disks.group()
    assert before is not None
    first = before.lv("old").segments
    rewrite(disks, b'areas = [\n"pv0"', b'areas = [\n"pv1"')
    assert all("pv1" in line for line in faults(disks))
    assert len(faults(disks)) == 2, "volume and keystore"
    with disks.session() as session:
        update_metadata(session, "vg0")
    after = disks.group()
    assert after is not None
    assert after.lv("old").segments == first
    assert faults(disks) == ()


def test_a_device_that_is_away_is_marked_and_welcomed_back(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1))
    away = Disks(tmp_path, {"/d0": disks.devices["/d0"]})
    assert "missing" in " ".join(faults(away))
    with away.session() as session:
        assert [pv.is_missing for pv in update_metadata(session, "vg0").pvs] == [False, True]
    told = faults(disks)
    assert any("old" in line for line in told)
    assert any("as missing, but it is here" in line for line in told)
    with disks.session() as session:
        assert not any(pv.is_missing for pv in update_metadata(session, "vg0").pvs)
    assert faults(disks) == ()


def test_any_crash_while_mending_leaves_the_group(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1, 1, 1))
    disks.devices["/d1"].write(4608, b"\xff" * 4096)
    old = disks.group()
    assert old is not None
    before, timeline, done = record(tmp_path, disks, lambda session: update_metadata(session, "vg0"))
    new = done.group()
    assert new is not None
    assert new.seqno == old.seqno + 1
    assert all(Disks(tmp_path, devices).group() in (old, new) for _, devices in crash_states(before, timeline))


def test_volumes_that_share_tweaks_are_told(tmp_path: Path) -> None:
    disks = make_disks(tmp_path, (1,))
    twin = lvs.LvRequest(name="twin", size_bytes=MIB, segment_type="crypt", crypto_store="cryptostore1")
    with disks.session() as session:
        lvs.create(session, "vg0", twin, Known())
    assert faults(disks) == (), "each has its own iv_base"
    rewrite(disks, b"iv_base = 1099511627776", b"iv_base = 16")
    (line,) = faults(disks)
    assert "vg0/old and vg0/twin" in line
    assert "cryptostore1" in line
