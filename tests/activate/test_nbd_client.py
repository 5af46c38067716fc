"""The client, against our server, servers that know less, and servers that lie."""

from __future__ import annotations

import random
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptlv.activate.nbd_client import NbdClient, Place, parse_uri
from cryptlv.errors import DeviceError, RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from activate.conftest import MakeDisks
    from cryptlv.activate.nbd import NbdServer
    from cryptlv.model.mapping import VolumeMapping

    Mappings = dict[str, Callable[..., VolumeMapping]]
    Start = Callable[..., NbdServer]

SIZE = 296 * 512
REPLY = 0x3E889045565A9
GREETING = b"NBDMAGICIHAVEOPT\x00\x03"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("nbd://h", Place(export="", host="h")),
        ("nbd://h:7/a%2Fb", Place(export="a/b", host="h", port=7)),
        ("nbds://[::1]/x?tls-certificates=/t", Place(export="x", host="::1", tls=True, certificates="/t")),
        ("nbd+unix:///?socket=/s%20s", Place(export="", path="/s s")),
        ("nbds+unix:///vg0/lv?socket=/s", Place(export="vg0/lv", path="/s", tls=True)),
    ],
)
def test_uris_are_read(uri: str, place: Place) -> None:
    assert parse_uri(uri) == place


@pytest.mark.parametrize(
    "uri", ["nbd://", "nbd:///x", "nbd+unix:///x", "nbd+unix://h/x?socket=/s", "nbd://h:x/", "nbd://h?socket=/s"]
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="NBD URI"):
        parse_uri(uri)


def test_it_reads_writes_zeroes_flushes_and_tells_what_is_stored(
    disks: MakeDisks, mappings: Mappings, nbd: Start
) -> None:
    made = disks(mappings["every_target"](), allow_discards=True)
    client = NbdClient(f"nbd+unix:///?socket={nbd(made.stream).path}")
    assert client.size_bytes == SIZE
    assert client.writable
    buffer = bytearray(SIZE)
    client.read_into(0, memoryview(buffer))
    assert buffer == made.stream.read(0, SIZE)
    data = random.Random(1).randbytes(100_000)
    client.write(77, memoryview(data))
    client.write_zeroes(50_000, 1000)
    assert made.stream.read(77, 100_000) == data[:49_923] + bytes(1000) + data[50_923:]
    client.flush()
    assert made.devices["pv1"].flushes == 1
    made.devices["pv1"].content[:] = bytes(len(made.devices["pv1"].content))
    assert list(client.extents(0, SIZE)) == list(made.stream.extents(0, SIZE))
    made.devices["pv0"].failing = frozenset(["read"])
    with pytest.raises(DeviceError, match="cannot read 512 bytes at 20480: Input/output error") as caught:
        client.read_into(40 * 512, memoryview(bytearray(512)))
    assert caught.value.errno == 5
    client.read_into(0, memoryview(bytearray(512)))
    client.close()


def test_an_export_that_is_read_only_refuses(disks: MakeDisks, mappings: Mappings, nbd: Start) -> None:
    client = NbdClient(f"nbd+unix:///?socket={nbd(disks(mappings['every_target'](writable=False)).stream).path}")
    assert not client.writable
    with pytest.raises(RefusedError, match="read-only"):
        client.write(0, memoryview(b"x"))
    client.close()
    with pytest.raises(DeviceError, match="no export 'other'"):
        NbdClient(client.uri.replace("///", "///other"))


class Script:
    """A server that answers what it is told to, whatever the client says: bytes after each so many received."""

    def __init__(self, path: Path, says: list[tuple[int, bytes]]) -> None:
        self.uri = f"nbd+unix:///?socket={path}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._says = says
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        client.settimeout(10)
        with client:
            for count, data in self._says:
                while count:
                    more = client.recv(count)
                    if not more:
                        return
                    count -= len(more)  # noqa: PLW2901 - what is left of it
                client.sendall(data)

    def close(self) -> None:
        """Have it end."""
        self._thread.join(10)
        self._listener.close()


def option_reply(option: int, kind: int, data: bytes = b"") -> bytes:
    """A reply to an option."""
    return struct.pack(">QIII", REPLY, option, kind, len(data)) + data


PLAIN = [
    (0, GREETING),
    (4 + 16, option_reply(8, 0x80000001)),
    (16 + 6, option_reply(7, 3, struct.pack(">HQH", 0, 4096, 1)) + option_reply(7, 1)),
]
"""A server without structured replies, flush or zeroes."""


def test_a_server_that_knows_little_is_enough(short_folder: Path) -> None:
    says = [
        *PLAIN,
        (28, struct.pack(">IIQ", 0x67446698, 0, 1) + b"d" * 16),
        (28 + 8, struct.pack(">IIQ", 0x67446698, 0, 2)),
    ]
    server = Script(short_folder / "s", says)
    client = NbdClient(server.uri)
    assert list(client.extents(0, 4096)) == [(4096, True, False)]
    buffer = bytearray(16)
    client.read_into(0, memoryview(buffer))
    assert buffer == b"d" * 16
    client.flush()
    client.write_zeroes(0, 8)
    client.close()
    server.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "the server has gone"),
        (b"\0" * 16, "not a reply"),
        (struct.pack(">IIQ", 0x67446698, 0, 9), "another question"),
        (struct.pack(">IIQ", 0x67446698, 28, 1), "No space left"),
        (struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, 1, 8 + 17, 0), "not asked for"),
        (struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, 1, 4, 0), "not asked for"),
        (struct.pack(">IHHQIQ", 0x668E33EF, 1, 1, 1, 8 + 16, 2**63), "not asked for"),
        (struct.pack(">IHHQIQI", 0x668E33EF, 1, 2, 1, 12, 0, 2**32 - 1), "not asked for"),
        (struct.pack(">IHHQI", 0x668E33EF, 1, 5, 1, 2**32 - 1), "too long"),
        (struct.pack(">IHHQI", 0x668E33EF, 1, 7, 1, 0), "kind 7"),
        (struct.pack(">IHHQIIH", 0x668E33EF, 1, 0x8001, 1, 6, 0, 0), "Input/output"),
    ],
)
def test_a_server_that_lies_is_an_error(short_folder: Path, answer: bytes, told: str) -> None:
    server = Script(short_folder / "s", [*PLAIN, (28, answer)])
    client = NbdClient(server.uri)
    with pytest.raises(DeviceError, match=told) as caught:
        client.read_into(0, memoryview(bytearray(16)))
    assert str(caught.value).isprintable()
    client.close()
    server.close()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=120), st.integers(0, 2))
def test_no_handshake_of_a_server_is_worse_than_an_error(short_folder: Path, noise: bytes, whole: int) -> None:
    path = short_folder / "fuzz"
    path.unlink(missing_ok=True)
    server = Script(path, [*PLAIN[:whole], (0, noise)])
    with pytest.raises(DeviceError, match="nbd"):
        NbdClient(server.uri).read_into(0, memoryview(bytearray(4096)))
    server.close()
