"""LUKS volumes that stock cryptsetup formatted, with data that another implementation encrypted, in a group."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cryptlv.activate.stream import VolumeStream
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.model.check import check
from cryptlv.model.mapping import map_volume
from cryptlv.model.vg import LogicalVolume, PvArea
from cryptlv.ops.commit import commit_change
from cryptlv.secret import VolumeKey
from cryptlv.segments.striped import StripedSegment
from support.disks import PASSPHRASE, make_disks
from support.machine import Machine, need
from support.volumes import open_volume

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.model.vg import VolumeGroup
    from support.disks import Disks

EXTENT = 64 * 1024
KEY = random.Random(1).randbytes(32)
"""The volume key: AES-XTS of 128 bits."""
HEADERS = {"luks1": 1032 * 1024, "luks2": 32 * 1024 + 256 * 1024}
"""Bytes of the smallest payload offset of each format."""
Pieces = tuple[tuple[int, int, int], ...]
"""(number of the PV, first extent, extents) for each segment."""


@cache
def _formatted(folder: Path, kind: str, payload_bytes: int) -> bytes:
    """The header that stock cryptsetup makes for `KEY` and PASSPHRASE, with the data so far from its start."""
    need("cryptsetup")
    machine = Machine(folder)
    image = machine.folder / "luks.img"
    image.write_bytes(bytes(payload_bytes + 1024 * 1024))
    key, passphrase = machine.key_file("vk", KEY), machine.key_file("pass", PASSPHRASE)
    words: list[str | Path] = [
        "--type",
        kind,
        "--cipher",
        "aes-xts-plain64",
        "--key-size",
        "256",
        "--volume-key-file",
        key,
    ]
    words += ["--pbkdf-force-iterations", "1000", "--pbkdf", "pbkdf2", "--offset", str(payload_bytes // 512)]
    if kind == "luks2":
        words += ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "256k"]
    machine.tool("cryptsetup", "luksFormat", "-q", "--key-file", passphrase, *words, image)
    return image.read_bytes()[:payload_bytes]


def formatted(folder: Path, kind: str, payload_bytes: int) -> bytes:
    """The header in front of a LUKS volume, as long as its payload offset."""
    return _formatted(folder, kind, payload_bytes)


def sectors(data: bytes, *, first: int = 0, key: bytes = KEY, encrypts: bool = True) -> bytes:
    """Whole sectors under a key, sector by sector, by another implementation than the project's."""
    done = bytearray()
    for number in range(len(data) // 512):
        tweak = (first + number).to_bytes(16, "little")
        cipher = Cipher(algorithms.AES(key), modes.XTS(tweak))
        step = cipher.encryptor() if encrypts else cipher.decryptor()
        done += step.update(data[512 * number : 512 * number + 512])
    return bytes(done)


def plaintext(length: int) -> bytes:
    """Random data, the same each time."""
    return random.Random(length).randbytes(length)


def put_volume(disks: Disks, pieces: Pieces, content: bytes, *, stripes: int = 1) -> VolumeGroup:
    """A volume "lv" of those pieces (those of a row of stripes one behind the other), with that content."""
    with disks.session() as session, session.locked("vg0", write=True):
        group = session.writable_group("vg0")
        pvs = [pv.id for pv in group.vg.pvs]
        segments: list[StripedSegment] = []
        for number in range(0, len(pieces), stripes):
            row = pieces[number : number + stripes]
            segments.append(
                StripedSegment(
                    start_le=segments[-1].end_le if segments else 0,
                    length_le=sum(length for _, _, length in row),
                    areas=tuple(PvArea(pv_id=pvs[pv], start_pe=start) for pv, start, _ in row),
                    stripe_size_sectors=16 if stripes > 1 else 0,
                )
            )
        lv = LogicalVolume(
            name="lv", id="lvlvlv-lvlv-lvlv-lvlv-lvlv-lvlv-lvlvlv", creation_time=1, segments=tuple(segments)
        )
        after = group.vg.replace(lvs=(*group.vg.lvs, lv))
        assert not check(after)
        commit_change(session, group, after)
    write_raw(disks, "lv", content)
    return after


def _raw(disks: Disks, name: str, group: VolumeGroup | None = None) -> VolumeStream:
    group = group or disks.group()
    assert group is not None
    return VolumeStream(map_volume(group, group.lv(name)), {pv.id: disks.devices[pv.device] for pv in group.pvs}, {})


def write_raw(disks: Disks, name: str, content: bytes) -> None:
    stream = _raw(disks, name)
    stream.write(0, content)
    stream.flush()


def read_raw(disks: Disks, name: str, group: VolumeGroup | None = None) -> bytes:
    """What a volume that is not encrypted holds; `group` is vg0 when it is not given."""
    stream = _raw(disks, name, group)
    return bytes(stream.read(0, stream.size_bytes))


def read_opened(disks: Disks, name: str = "lv") -> bytes:
    """What an encrypted volume reads as with PASSPHRASE."""
    with open_volume(disks, name, PASSPHRASE) as volume:
        return bytes(volume.read(0, volume.size_bytes))


def luks_disks(
    folder: Path, shared: Path, kind: str, payload_bytes: int, pieces: Pieces, *, stripes: int = 1, pvs: int = 2
) -> tuple[Disks, bytes]:
    """vg0 with a LUKS volume "lv" of those pieces, and what its data are. `shared` is a folder for headers."""
    disks = make_disks(folder, (1, *([0] * (pvs - 1))))
    size = sum(length for _, _, length in pieces) * EXTENT
    data = plaintext(size - payload_bytes)
    put_volume(disks, pieces, formatted(shared, kind, payload_bytes) + sectors(data), stripes=stripes)
    return disks, data


def stream_under(disks: Disks, group: VolumeGroup, name: str, store: str) -> bytes:
    """What an encrypted volume reads as with KEY, whatever its keystore holds."""
    devices = {pv.id: disks.devices[pv.device] for pv in group.pvs}
    with VolumeKey(KEY) as key:
        cipher = open_sector_cipher("aes-xts-plain64", key)
        stream = VolumeStream(map_volume(group, group.lv(name)), devices, {store: cipher})
        found = bytes(stream.read(0, stream.size_bytes))
        cipher.close()
    return found
