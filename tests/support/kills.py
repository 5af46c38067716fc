"""Servers that are killed while clients write: a program, as it forks servers and so must have no threads of its own.

python -m support.kills IMAGE SOCKET CUTS SLOT prints one line of JSON: how many cuts, acknowledged writes, and lost
ones. Writes are within slots of so many bytes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.stream import VolumeStream
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.host.devices import FileDevice
from cryptlv.model.mapping import CryptTarget, VolumeMapping
from cryptlv.secret import VolumeKey

KEY = bytes(range(64))
SECTOR, SMALL, LARGE, SLOTS = 512, 4096, 96 * 1024, 20
"""Large slots are what the server writes with a second thread, when more requests have come."""
PLACE = 8
"""Where the volume begins on its device, in sectors."""


def mapping_of(slot_bytes: int) -> VolumeMapping:
    """A volume of the slots."""
    sectors = SLOTS * slot_bytes // SECTOR
    target = CryptTarget(
        start_sectors=0,
        length_sectors=sectors,
        pv_id="pv",
        offset_sectors=PLACE,
        crypto_store="ks",
        iv_offset_sectors=0,
    )
    return VolumeMapping(
        vg_name="vg0", vg_id="v", lv_name="lv0", lv_id="l", length_sectors=sectors, targets=(target,)
    )


MAPPING = mapping_of(SMALL)


def decrypted(raw: bytes) -> bytes:
    """The volume on a device, sector by sector by another library."""
    out = bytearray()
    for sector in range(len(raw) // SECTOR - PLACE):
        cipher = Cipher(algorithms.AES(KEY), modes.XTS(sector.to_bytes(16, "little"))).decryptor()
        start = (PLACE + sector) * SECTOR
        out += cipher.update(raw[start : start + SECTOR])
    return bytes(out)


def serve(image: str, path: str, ready: int, slot_bytes: int) -> None:
    """Serve until killed; a byte to `ready` says that clients can connect."""
    device = FileDevice(image, writable=True)
    with VolumeKey(KEY) as key:
        cipher = open_sector_cipher("aes-xts-plain64", key)
    server = NbdServer(
        {"e": VolumeStream(mapping_of(slot_bytes), {"pv": device}, {"ks": cipher})}, Address(path=path)
    )
    server.start()
    os.write(ready, b"\0")
    signal.pause()


def cut(image: str, path: str, slot_bytes: int, chance: random.Random) -> dict[int, tuple[int, bytes, bool]]:
    """Start a server, write to it, kill it at some moment. Gives (offset, data, whether it was acknowledged)
    by slot."""
    reading, writing = os.pipe()
    with suppress(FileNotFoundError):
        os.unlink(path)
    pid = os.fork()
    if pid == 0:
        serve(image, path, writing, slot_bytes)
        os._exit(1)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    asked: dict[int, tuple[int, bytes, bool]] = {}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        client.recv(18 + 10, socket.MSG_WAITALL)
        batch = bytearray()
        for slot in chance.sample(range(SLOTS), chance.randrange(1, 16)):
            skip = chance.choice((0, 0, chance.randrange(slot_bytes)))
            data = chance.randbytes(chance.randrange(1, slot_bytes - skip + 1) if skip else slot_bytes)
            offset = slot * slot_bytes + skip
            flags = chance.randrange(8) == 0
            batch += struct.pack(">IHHQQI", 0x25609513, flags, 1, slot, offset, len(data)) + data
            asked[slot] = offset, data, False
        is_whole = slot_bytes == SMALL  # what does not fit into the socket is on its way for as long as it is sent
        client.sendall(batch if is_whole else batch[: chance.randrange(1, len(batch))])
        if chance.randrange(3) or not is_whole:
            time.sleep(chance.random() * (0.001 if is_whole else 0.01))
        else:  # after some answers
            client.recv(16 * chance.randrange(1, len(asked) + 1), socket.MSG_WAITALL | socket.MSG_PEEK)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        answers = b""
        with suppress(ConnectionError):
            while more := client.recv(65536):
                answers += more
    for magic, error, slot in struct.iter_unpack(">IIQ", answers[: len(answers) // 16 * 16]):
        if (magic, error) == (0x67446698, 0):
            asked[slot] = (*asked[slot][:2], True)
    return asked


def main(image: str, path: str, cuts: int, size: int) -> None:
    """Cut so often; the contents of the volume are checked after each."""
    chance = random.Random(20260917)
    content = bytearray(decrypted(Path(image).read_bytes()))
    acknowledged = asked = lost = torn = 0
    for _ in range(cuts):
        writes = cut(image, path, size, chance)
        now = decrypted(Path(image).read_bytes())
        for offset, data, is_acknowledged in writes.values():
            slot = offset // size * size
            before = bytes(content[slot : slot + size])
            after = bytearray(before)
            after[offset - slot : offset - slot + len(data)] = data
            found = now[slot : slot + size]
            asked += 1
            acknowledged += is_acknowledged
            lost += is_acknowledged and found != after
            sectors = range(0, size, SECTOR)
            torn += any(found[s : s + SECTOR] not in (before[s : s + SECTOR], after[s : s + SECTOR]) for s in sectors)
            content[slot : slot + size] = found
        untouched = set(range(SLOTS)) - writes.keys()
        torn += sum(now[slot * size :][:size] != content[slot * size :][:size] for slot in untouched)
        content[:] = now
    said = {"cuts": cuts, "asked": asked, "acknowledged": acknowledged, "lost": lost, "torn": torn}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
