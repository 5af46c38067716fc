"""Volumes of every kind that can be moved, filled with random data, and read through their mappings."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptlv.activate.stream import VolumeStream
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.model.check import check
from cryptlv.model.mapping import map_volume
from cryptlv.model.vg import LogicalVolume, LvArea, PvArea
from cryptlv.ops.commit import commit_change
from cryptlv.secret import VolumeKey
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.striped import StripedSegment
from support.disks import make_disks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cryptlv.model.vg import Segment, VolumeGroup
    from support.disks import Disks

NAMES = ("first", "old", "pieces", "striped", "wide", "imported", "stacked_cryptdata")
"""What can be read: two volumes of make_disks', one in pieces on all PVs, two of two stripes (those of the second on
one PV), an encrypted one whose data begin inside an extent, and a hidden one below an encrypted volume."""
_KEY = bytes(range(64))


def make_volumes(folder: Path, areas: tuple[int, int, int] = (1, 1, 1)) -> Disks:
    """Three PVs /d0, /d1, /d2 of 240 extents of 64 KiB with vg0 of those volumes, filled; extents from 160 on are
    free. Encrypted volumes have the keystore of `old`. `areas` are the metadata areas of each PV."""
    disks = make_disks(folder, areas)
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        d0, d1, d2 = (pv.id for pv in group.vg.pvs)
        lvs = (
            _lv(
                "pieces",
                _striped(0, 3, (d0, 120)),
                _striped(3, 5, (d1, 100)),
                _striped(8, 4, (d0, 130)),
                _striped(12, 2, (d2, 100)),
            ),
            _lv("striped", _striped(0, 8, (d0, 140), (d1, 110)), _striped(8, 4, (d2, 110), (d0, 150))),
            _lv("wide", _striped(0, 6, (d0, 154), (d0, 123))),
            _lv("imported", _crypt(0, 5, PvArea(pv_id=d0, start_pe=110), 40, 7)),
            _lv("stacked", _crypt(0, 6, LvArea(lv_name="stacked_cryptdata", start_le=0), 41, 0)),
            _lv("stacked_cryptdata", _striped(0, 6, (d0, 144), (d2, 120))).replace(status=("READ", "WRITE")),
        )
        after = group.vg.replace(lvs=(*group.vg.lvs, *lvs))
        assert not check(after)
        commit_change(session, group, after)
    rng = random.Random(7)
    for name in NAMES:
        with stream(disks, name) as volume:
            volume.write(0, rng.randbytes(volume.size_bytes))
            volume.flush()
    return disks


def _lv(name: str, *segments: Segment) -> LogicalVolume:
    lv_id = f"lvlvlv-lvlv-lvlv-lvlv-lvlv-lvlv-{name[:6]:v<6}"
    if name == "stacked_cryptdata":
        lv_id = lv_id[:-1] + "0"
    return LogicalVolume(name=name, id=lv_id, creation_time=1, creation_host="test", segments=segments)


def _striped(start_le: int, length_le: int, *places: tuple[str, int]) -> StripedSegment:
    areas = tuple(PvArea(pv_id=pv_id, start_pe=start_pe) for pv_id, start_pe in places)
    size = 16 if len(areas) > 1 else 0
    return StripedSegment(start_le=start_le, length_le=length_le, areas=areas, stripe_size_sectors=size)


def _crypt(start_le: int, length_le: int, area: PvArea | LvArea, base: int, offset_sectors: int) -> CryptSegment:
    return CryptSegment(
        start_le=start_le,
        length_le=length_le,
        crypto_store="cryptostore1",
        areas=(area,),
        iv_base_sectors=base * 2**40,
        area_offset_sectors=offset_sectors,
    )


@contextmanager
def stream(disks: Disks, name: str, group: VolumeGroup | None = None) -> Iterator[VolumeStream]:
    """A volume as bytes; encrypted ones with a key that only the test knows. A hidden one is mapped as if it were
    seen. `group` is what is on the disks, when it is known already."""
    group = group or disks.group()
    assert group is not None
    lv = group.lv(name)
    if not lv.is_visible:
        lv = lv.replace(status=(*lv.status, "VISIBLE"))
        others = tuple(
            other for other in group.lvs if name not in {part for s in other.segments for _, part in s.parts()}
        )
        group = group.replace(lvs=others)
    mapping = map_volume(group.with_lv(lv), lv)
    devices = {pv.id: disks.devices[pv.device] for pv in group.pvs}
    with VolumeKey(_KEY) as key:
        cipher = open_sector_cipher("aes-xts-plain64", key)
        try:
            yield VolumeStream(mapping, devices, {"cryptostore1": cipher})
        finally:
            cipher.close()


def contents(disks: Disks, names: Sequence[str] = NAMES, group: VolumeGroup | None = None) -> dict[str, bytes]:
    """The bytes of volumes, of all of them where none are named; `group` is as in `stream`."""
    group = group or disks.group()
    found = {}
    for name in names:
        with stream(disks, name, group) as volume:
            found[name] = bytes(volume.read(0, volume.size_bytes))
    return found
