"""The NBD server's target: what a client sends, from its first byte on or behind a negotiation that went well."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from cryptlv.activate import nbd_protocol as protocol
from cryptlv.activate.nbd_connection import Connection, Shared
from cryptlv.activate.nbd_handshake import Disconnected, Handshake
from cryptlv.activate.stream import VolumeStream
from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.mapping import LinearTarget, VolumeMapping

SECTORS, PLACE = 320, 16
_MOST_BYTES = 128 * 1024
_MAPPING = VolumeMapping(
    vg_name="vg0",
    vg_id="v",
    lv_name="lv0",
    lv_id="l",
    length_sectors=SECTORS,
    targets=(LinearTarget(start_sectors=0, length_sectors=SECTORS, pv_id="pv", offset_sectors=PLACE),),
)


def _option(number: int, data: bytes = b"") -> bytes:
    return protocol.OPTION_MAGIC + struct.pack(">II", number, len(data)) + data


_FLAGS = struct.pack(">I", 3)
_CONTEXT = struct.pack(">III", 0, 1, len(protocol.ALLOCATION)) + protocol.ALLOCATION
_SIMPLE = _FLAGS + _option(protocol.OPT_GO, bytes(6))
_STRUCTURED = (
    _FLAGS
    + _option(protocol.OPT_STRUCTURED_REPLY)
    + _option(protocol.OPT_SET_META_CONTEXT, _CONTEXT)
    + _option(protocol.OPT_GO, bytes(6))
)
_BEGINNINGS = (b"", _SIMPLE, _STRUCTURED, _FLAGS)


def one_nbd(data: bytes) -> None:
    """A connection: the first byte says how it begins, the others are what the client says then."""
    content = bytes(range(256)) * ((SECTORS + 2 * PLACE) * 2)
    device = MemoryDevice(content=content)
    stream = VolumeStream(_MAPPING, {"pv": device}, {}, allow_discards=True)
    begins = _BEGINNINGS[data[0] % len(_BEGINNINGS)] if data else b""
    said = _talk(stream, begins + data[1:_MOST_BYTES])
    assert device.content[: PLACE * 512] == content[: PLACE * 512]
    assert device.content[(PLACE + SECTORS) * 512 :] == content[(PLACE + SECTORS) * 512 :]
    assert not said or said.startswith(protocol.GREETING_MAGIC)
    stream.flush()


def _talk(stream: VolumeStream, asked: bytes) -> bytes:
    """What the server says to a client that says so much and listens to the end."""
    export = protocol.Export(name="e", size_bytes=stream.size_bytes, writable=True)
    ours, theirs = socket.socketpair()
    said = bytearray()

    def listen() -> None:
        with suppress(ConnectionError):
            while more := theirs.recv(65536):
                said.extend(more)

    with ours, theirs:
        theirs.sendall(asked)
        theirs.shutdown(socket.SHUT_WR)
        listener = threading.Thread(target=listen)
        listener.start()
        try:
            negotiated = Handshake(ours, {"e": (export, stream)}).run()
            if negotiated is not None:
                Connection(negotiated, Shared(1 << 20)).run()
        except (Disconnected, OSError, CryptlvError):
            pass  # the ends of a connection that there are
        finally:
            ours.close()
            listener.join()
    return bytes(said)


def nbd_seeds() -> list[bytes]:
    """Negotiations and requests of every kind."""
    request = struct.Struct(">IHHQQI").pack
    commands = [
        request(protocol.REQUEST_MAGIC, flags, command, 5, offset, length) + b"d" * (length if command == 1 else 0)
        for flags, command, offset, length in (
            (0, 0, 0, 4096), (4, 0, 100, 32768), (1, 1, 511, 1000), (0, 1, 0, 512), (0, 1, 7, 66000),
            (0, 0, 9, 99999), (0, 3, 0, 0), (0, 4, 0, 8192),
            (0, 5, 0, 512), (2, 6, 4096, 4096), (0, 7, 0, 32768), (8, 7, 5, 1), (0, 2, 0, 0),
            (0, 0, 2**63, 2**32 - 1),
        )
    ]  # fmt: skip
    info = struct.pack(">I", 1) + b"e" + struct.pack(">HHH", 2, 0, 3)
    options = b"".join(
        _option(number, data)
        for number, data in ((3, b""), (6, info), (8, b""), (9, _CONTEXT), (10, _CONTEXT), (5, b""), (99, b"x"))
    )
    everything = b"".join(commands)
    return [
        b"\0" + _FLAGS + options + _option(protocol.OPT_EXPORT_NAME, b"e") + everything,
        b"\3" + options + _option(protocol.OPT_ABORT),
        *(bytes([how]) + one for how in (1, 2) for one in (*commands, everything)),
    ]
