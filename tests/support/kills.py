"""Servers that are killed while clients write: a program, as it forks servers and so must have no threads of its own.

python -m support.kills IMAGE SOCKET CUTS prints one line of JSON: how many cuts, acknowledged writes, and lost ones.
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
SECTOR, SLOT, SLOTS = 512, 4096, 20
PLACE = 8
"""Where the volume begins on its device, in sectors."""
MAPPING = VolumeMapping(
    vg_name="vg0",
    vg_id="v",
    lv_name="lv0",
    lv_id="l",
    length_sectors=SLOTS * SLOT // SECTOR,
    targets=(
        CryptTarget(
            start_sectors=0,
            length_sectors=SLOTS * SLOT // SECTOR,
            pv_id="pv",
            offset_sectors=PLACE,
            crypto_store="ks",
            iv_offset_sectors=0,
        ),
    ),
)


def decrypted(raw: bytes) -> bytes:
    """The volume on a device, sector by sector by another library."""
    out = bytearray()
    for sector in range(MAPPING.length_sectors):
        cipher = Cipher(algorithms.AES(KEY), modes.XTS(sector.to_bytes(16, "little"))).decryptor()
        start = (PLACE + sector) * SECTOR
        out += cipher.update(raw[start : start + SECTOR])
    return bytes(out)


def serve(image: str, path: str, ready: int) -> None:
    """Serve until killed; a byte to `ready` says that clients can connect."""
    device = FileDevice(image, writable=True)
    with VolumeKey(KEY) as key:
        cipher = open_sector_cipher("aes-xts-plain64", key)
    server = NbdServer({"e": VolumeStream(MAPPING, {"pv": device}, {"ks": cipher})}, Address(path=path))
    server.start()
    os.write(ready, b"\0")
    signal.pause()


def cut(image: str, path: str, chance: random.Random) -> dict[int, tuple[int, bytes, bool]]:
    """Start a server, write to it, kill it at some moment. Gives (offset, data, whether it was acknowledged)
    by slot."""
    reading, writing = os.pipe()
    with suppress(FileNotFoundError):
        os.unlink(path)
    pid = os.fork()
    if pid == 0:
        serve(image, path, writing)
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
            skip = chance.choice((0, 0, chance.randrange(SLOT)))
            data = chance.randbytes(chance.randrange(1, SLOT - skip + 1) if skip else SLOT)
            offset = slot * SLOT + skip
            flags = chance.randrange(8) == 0
            batch += struct.pack(">IHHQQI", 0x25609513, flags, 1, slot, offset, len(data)) + data
            asked[slot] = offset, data, False
        client.sendall(batch)
        if chance.randrange(3):
            time.sleep(chance.random() * 0.001)
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


def main(image: str, path: str, cuts: int) -> None:
    """Cut so often; the contents of the volume are checked after each."""
    chance = random.Random(20260917)
    content = bytearray(decrypted(Path(image).read_bytes()))
    acknowledged = asked = lost = torn = 0
    for _ in range(cuts):
        writes = cut(image, path, chance)
        now = decrypted(Path(image).read_bytes())
        for offset, data, is_acknowledged in writes.values():
            slot = offset // SLOT * SLOT
            before = bytes(content[slot : slot + SLOT])
            after = bytearray(before)
            after[offset - slot : offset - slot + len(data)] = data
            found = now[slot : slot + SLOT]
            asked += 1
            acknowledged += is_acknowledged
            lost += is_acknowledged and found != after
            sectors = range(0, SLOT, SECTOR)
            torn += any(found[s : s + SECTOR] not in (before[s : s + SECTOR], after[s : s + SECTOR]) for s in sectors)
            content[slot : slot + SLOT] = found
        untouched = set(range(SLOTS)) - writes.keys()
        torn += sum(now[slot * SLOT :][:SLOT] != content[slot * SLOT :][:SLOT] for slot in untouched)
        content[:] = now
    said = {"cuts": cuts, "asked": asked, "acknowledged": acknowledged, "lost": lost, "torn": torn}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
