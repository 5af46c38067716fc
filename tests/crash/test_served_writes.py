"""What clients were told is safe is there after the server of a volume is killed, and after the power fails."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.stream import VolumeStream
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.secret import VolumeKey
from support.crash import Event, RecordingDevice
from support.kills import KEY, LARGE, MAPPING, PLACE, SECTOR, SMALL, decrypted, mapping_of
from support.nbd import FLUSH, FUA, WRITE, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

CUTS = 1000
SIZE = MAPPING.length_sectors * SECTOR
SLOT, SLOTS, CLIENTS = 700, 45, 3
"""Slots share sectors with their neighbours, which belong to other clients."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name."""
    path = Path(tempfile.mkdtemp(prefix="clv-"))
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(("slot_bytes", "cuts"), [(SMALL, CUTS), (LARGE, 200)])
def test_no_acknowledged_write_is_lost_by_kill_9_and_no_neighbour_is_torn(
    folder: Path, slot_bytes: int, cuts: int
) -> None:
    image = folder / "image"
    image.write_bytes(random.Random(1).randbytes(PLACE * SECTOR + mapping_of(slot_bytes).length_sectors * SECTOR))
    words = [sys.executable, "-m", "support.kills", str(image), str(folder / "s"), str(cuts), str(slot_bytes)]
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["cuts"] == cuts
    assert 0.1 * said["asked"] < said["acknowledged"] < 0.9 * said["asked"], "cuts come in the midst of the writes"
    assert (said["lost"], said["torn"]) == (0, 0)


class Ack(NamedTuple):
    """That a slot was durable in a version by the time that so many events had happened."""

    events: int
    slot: int
    version: int


def write_slots(path: str, mine: int, timeline: list[Event], acks: list[Ack]) -> None:
    """Write this client's slots over and over, version after version, with FUA or a flush behind some writes."""
    chance = random.Random(mine)
    pending: dict[int, int] = {}
    with Client(path).go() as client:
        for version in range(1, 120):
            slot = chance.randrange(SLOTS // CLIENTS) * CLIENTS + mine
            is_durable = chance.randrange(4) == 0
            data = bytes([version]) * SLOT
            assert client.request(WRITE, slot * SLOT, data=data, flags=FUA * is_durable) == 0
            pending[slot] = version
            if not is_durable and chance.randrange(4) == 0:
                assert client.request(FLUSH) == 0
                is_durable = True
            if is_durable:  # every flush is of all that was answered before
                now = len(timeline)
                acks += [Ack(now, one, of) for one, of in pending.items()]
                pending.clear()


def test_nothing_that_was_flushed_is_lost_when_the_power_fails_at_any_of_1000_moments(folder: Path) -> None:
    timeline: list[Event] = []
    acks: list[Ack] = []
    before = bytes(PLACE * SECTOR + SIZE)
    device = RecordingDevice("pv", before, timeline)
    cipher = open_sector_cipher("aes-xts-plain64", VolumeKey(KEY))
    stream = VolumeStream(MAPPING, {"pv": device}, {"ks": cipher})
    stream.write_zeroes(0, SIZE)
    timeline.clear()
    start = bytes(device.content)
    server = NbdServer({"e": stream}, Address(path=str(folder / "s")))
    server.start()
    threads = [
        threading.Thread(target=write_slots, args=(server.path, mine, timeline, acks)) for mine in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    server.stop()
    assert len(acks) > 50
    chance = random.Random(3)
    lost = 0
    for _ in range(CUTS):
        moment = chance.randrange(len(timeline) + 1)
        plain = decrypted(state_after(start, timeline, moment, chance))
        durable: dict[int, int] = {}
        for ack in acks:
            if ack.events <= moment:
                durable[ack.slot] = max(ack.version, durable.get(ack.slot, 0))
        for slot, version in durable.items():
            lost += min(plain[slot * SLOT : (slot + 1) * SLOT]) < version
    assert lost == 0


def state_after(start: bytes, timeline: list[Event], moment: int, chance: random.Random) -> bytes:
    """The device when the power fails: what was flushed by then, and of later writes any sectors."""
    flushes = [number for number, event in enumerate(timeline[:moment]) if event.data is None]
    safe = flushes[-1] if flushes else 0
    content = bytearray(start)
    for number, event in enumerate(timeline[:moment]):
        data = event.data or b""
        for at in range(0, len(data), SECTOR):
            if number < safe or chance.randrange(2):
                content[event.offset_bytes + at : event.offset_bytes + at + SECTOR] = data[at : at + SECTOR]
    return bytes(content)
