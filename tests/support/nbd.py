"""A client of NBD that says exactly what a test wants."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Self

OPTION_REPLY = 0x3E889045565A9
EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED, META = 1, 2, 3, 5, 6, 7, 8, 10
ACK, SERVER, REP_INFO = 1, 2, 3
UNSUP, POLICY, INVALID, UNKNOWN = 0x80000001, 0x80000002, 0x80000003, 0x80000006
READ, WRITE, DISC, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
FUA = 1
EPERM, EIO, EINVAL, ENOSPC, EOVERFLOW = 1, 5, 22, 28, 75


class Client:
    """A client that says exactly what a test wants."""

    def __init__(self, where: str | tuple[str, int], flags: int | None = 3) -> None:
        family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        try:
            self.socket.connect(where)
        except OSError:
            self.socket.close()
            raise
        if flags is not None:
            assert self.take(18) == b"NBDMAGICIHAVEOPT\x00\x03"
            self.send(struct.pack(">I", flags))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say_all(self, data: bytes) -> None:
        """Send what there is, say that no more comes, and hear the server out, which may hang up at any moment."""
        with suppress(ConnectionError):
            self.send(data)
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(65536):
                pass

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def at_end(self) -> bool:
        """Whether the server has closed the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def option(self, option: int, data: bytes = b"") -> list[tuple[int, bytes]]:
        """All replies to an option, up to the one that ends it: (kind, data)."""
        self.send(b"IHAVEOPT" + struct.pack(">II", option, len(data)) + data)
        replies = []
        while True:
            magic, about, kind, length = struct.unpack(">QIII", self.take(20))
            assert (magic, about) == (OPTION_REPLY, option)
            replies.append((kind, self.take(length)))
            if kind == ACK or kind & 0x80000000:
                return replies

    def go(self, name: bytes = b"") -> Self:
        assert self.option(GO, about(name))[-1] == (ACK, b"")
        return self

    def request(self, command: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> int:
        """The error number of a request without data in its reply."""
        self.send(request(command, offset, length or len(data), flags=flags) + data)
        return self.reply()

    def reply(self, cookie: int = 77) -> int:
        magic, error, back = struct.unpack(">IIQ", self.take(16))
        assert (magic, back) == (0x67446698, cookie)
        return int(error)

    def read(self, offset: int, length: int) -> bytes:
        assert self.request(READ, offset, length) == 0
        return self.take(length)


def about(name: bytes, *informations: int) -> bytes:
    """The data of an INFO or GO option."""
    return (
        struct.pack(">I", len(name)) + name + struct.pack(f">H{len(informations)}H", len(informations), *informations)
    )


def request(command: int, offset: int, length: int, *, flags: int = 0, cookie: int = 77) -> bytes:
    """A request's header."""
    return struct.pack(">IHHQQI", 0x25609513, flags, command, cookie, offset, length)
