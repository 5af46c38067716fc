"""A client of NBD, for copying: one connection, one request at a time. What a server says is checked before use.

URIs are those of the NBD URI specification, with libnbd's `tls-certificates` (a directory with ca-cert.pem,
client-cert.pem and client-key.pem) for nbds.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

from cryptlv.activate import nbd_protocol as protocol
from cryptlv.activate.nbd_address import DEFAULT_PORT
from cryptlv.errors import DeviceError, RefusedError, UsageError
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

SCHEMES = ("nbd://", "nbds://", "nbd+unix://", "nbds+unix://")
_TIMEOUT_SECONDS = 60
_CHUNK_HOLE = 2
_STATUS_BYTES = 1 << 30
"""How much is asked about at once: a length has 32 bits."""
_MAX_REPLY_BYTES = 1 << 20
_ERROR_KIND = 1 << 15


class Place(Record):
    """What a URI names: a unix socket's `path` or `host` and `port`, and the export there."""

    export: str
    path: str = ""
    host: str = ""
    port: int = DEFAULT_PORT
    tls: bool = False
    certificates: str = ""


def parse_uri(uri: str) -> Place:
    """The place that a URI names; raises UsageError."""
    from urllib.parse import parse_qs, unquote, urlsplit

    try:
        parts = urlsplit(uri)
        query = parse_qs(parts.query)
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise UsageError(f"{uri!r} is no NBD URI: {error}") from None
    place = Place(
        export=unquote(parts.path.removeprefix("/")),
        path=query.get("socket", [""])[0],
        host=parts.hostname or "",
        port=port,
        tls=parts.scheme.startswith("nbds"),
        certificates=query.get("tls-certificates", [""])[0],
    )
    is_unix = parts.scheme.endswith("+unix")
    if is_unix != bool(place.path) or is_unix == bool(place.host):
        raise UsageError(f"{uri!r} is no NBD URI: nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH")
    return place


class NbdClient:
    """An export of another server. Raises DeviceError at everything that does not work, named by the URI."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        place = parse_uri(uri)
        self._structured = self._knows_states = False
        self.size_bytes = self._flags = 0
        self._cookie = 0
        try:
            self._socket = self._connect(place)
        except OSError as error:
            self._fail(f"cannot connect: {_reason(error)}")
        try:
            self._greet(place)
        except (OSError, struct.error) as error:
            self._socket.close()
            self._fail(f"cannot connect: {_reason(error)}")
        except DeviceError:
            self._socket.close()
            raise

    def _fail(self, reason: str, number: int = 0) -> NoReturn:
        raise DeviceError(f"{printable(self.uri)}: {printable(reason)}", errno=number) from None

    def _connect(self, place: Place) -> socket.socket:
        if place.path:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(_TIMEOUT_SECONDS)
            try:
                connection.connect(place.path)
            except OSError:
                connection.close()
                raise
            return connection
        connection = socket.create_connection((place.host, place.port), timeout=_TIMEOUT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _greet(self, place: Place) -> None:
        magic, option_magic, flags = struct.unpack(">8s8sH", self._exactly(18))
        if (magic, option_magic) != (protocol.GREETING_MAGIC, protocol.OPTION_MAGIC):
            self._fail("is no NBD server of today's protocol")
        if not flags & protocol.FLAG_FIXED_NEWSTYLE:
            self._fail("is too old an NBD server")
        self._socket.sendall(struct.pack(">I", flags & (protocol.FLAG_FIXED_NEWSTYLE | protocol.FLAG_NO_ZEROES)))
        if place.tls:
            self._start_tls(place)
        name = place.export.encode("utf-8", "surrogateescape")
        self._structured = self._option(protocol.OPT_STRUCTURED_REPLY)[0] == protocol.REP_ACK
        if self._structured:
            query = _string(name) + struct.pack(">I", 1) + _string(protocol.ALLOCATION)
            kind, replies = self._option(protocol.OPT_SET_META_CONTEXT, query)
            contexts = [data for one, data in replies if one == protocol.REP_META_CONTEXT and len(data) > 4]
            self._knows_states = kind == protocol.REP_ACK and len(contexts) == 1
            self._context = contexts[0][:4] if self._knows_states else b""
        kind, replies = self._option(protocol.OPT_GO, _string(name) + struct.pack(">H", 0))
        if kind != protocol.REP_ACK:
            self._fail(f"there is no export {place.export!r}, or it is refused (0x{kind:x})")
        infos = [data for one, data in replies if one == protocol.REP_INFO and len(data) == 12]
        found = [struct.unpack(">HQH", data) for data in infos if data[:2] == b"\0\0"]
        if not found:
            self._fail("does not say how large its export is")
        _, self.size_bytes, self._flags = found[-1]

    def _start_tls(self, place: Place) -> None:
        import ssl

        if self._option(protocol.OPT_STARTTLS)[0] != protocol.REP_ACK:
            self._fail("does not do TLS")
        names = [os.path.join(place.certificates, name) for name in ("client-cert.pem", "client-key.pem")]
        authority = os.path.join(place.certificates, "ca-cert.pem") if place.certificates else None
        context = ssl.create_default_context(cafile=authority)
        if place.certificates and os.path.exists(names[0]):
            context.load_cert_chain(*names)
        context.check_hostname = bool(place.host)
        self._socket = context.wrap_socket(self._socket, server_hostname=place.host or None)

    def _option(self, option: int, data: bytes = b"") -> tuple[int, list[tuple[int, bytes]]]:
        """The last reply's kind, and all replies before it."""
        self._socket.sendall(protocol.OPTION_MAGIC + struct.pack(">II", option, len(data)) + data)
        replies: list[tuple[int, bytes]] = []
        while True:
            magic, about, kind, length = struct.unpack(">QIII", self._exactly(20))
            if (magic, about) != (protocol.OPTION_REPLY_MAGIC, option) or length > _MAX_REPLY_BYTES:
                self._fail("says what is no reply to an option")
            reply = self._exactly(length)
            if kind == protocol.REP_ACK or kind & 0x80000000:
                return kind, replies
            replies.append((kind, reply))
            if len(replies) > 1000:
                self._fail("has no end of replies")

    def _exactly(self, length: int) -> bytes:
        out = bytearray(length)
        self._fill(memoryview(out))
        return bytes(out)

    def _fill(self, view: memoryview) -> None:
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionResetError("the server has gone")
            view = view[count:]

    @property
    def writable(self) -> bool:
        """Whether the export takes writes."""
        return not self._flags & protocol.READ_ONLY

    def _ask(self, command: int, offset: int, length: int, data: bytes | memoryview = b"") -> int:
        self._cookie += 1
        request = struct.pack(">IHHQQI", protocol.REQUEST_MAGIC, 0, command, self._cookie, offset, length)
        self._socket.sendall(request)
        if data:
            self._socket.sendall(data)
        return self._cookie

    def _done(self, what: str, command: int, offset: int, length: int, data: bytes | memoryview = b"") -> None:
        """A request without data in its reply."""
        try:
            cookie = self._ask(command, offset, length, data)
            for kind, _ in self._chunks(what, cookie, memoryview(b""), offset):
                self._fail(f"cannot {what}: a reply of kind {kind} was not expected")
        except (OSError, struct.error) as error:
            self._fail(f"cannot {what}: {_reason(error)}")

    def _chunks(self, what: str, cookie: int, view: memoryview, start: int) -> Iterator[tuple[int, bytes]]:
        """Take a reply, its data into `view`; gives (kind, payload) of what is neither data nor an error."""
        failed, last = 0, False
        while not last:
            (magic,) = struct.unpack(">I", self._exactly(4))
            if magic == protocol.SIMPLE_REPLY_MAGIC:
                failed, about = struct.unpack(">IQ", self._exactly(12))
                last, kind, length = True, protocol.CHUNK_NONE, 0
            elif magic == protocol.CHUNK_MAGIC:
                flags, kind, about, length = struct.unpack(">HHQI", self._exactly(16))
                last = bool(flags & protocol.CHUNK_DONE)
            else:
                self._fail(f"cannot {what}: not a reply")
            if about != cookie:
                self._fail(f"cannot {what}: an answer to another question")
            if magic == protocol.SIMPLE_REPLY_MAGIC:
                self._fill(view[: 0 if failed else len(view)])
            elif kind == protocol.CHUNK_DATA:
                self._take(view, start, length)
            else:
                payload = self._payload(what, length)
                if kind & _ERROR_KIND:
                    failed = struct.unpack_from(">I", payload)[0] or protocol.EIO
                elif kind == _CHUNK_HOLE:
                    self._take_hole(view, start, payload)
                elif kind != protocol.CHUNK_NONE:
                    yield kind, payload
        if failed:
            self._fail(f"cannot {what}: {os.strerror(failed)}", failed)

    def _payload(self, what: str, length: int) -> bytes:
        if length > _MAX_REPLY_BYTES:
            self._fail(f"cannot {what}: too long a reply")
        return self._exactly(length)

    def _take(self, view: memoryview, start: int, length: int) -> None:
        (offset,) = struct.unpack(">Q", self._exactly(8))
        self._fill(self._part(view, offset - start, length - 8))

    def _take_hole(self, view: memoryview, start: int, payload: bytes) -> None:
        offset, size = struct.unpack(">QI", payload)
        part = self._part(view, offset - start, size)
        part[:] = bytes(len(part))

    def _part(self, view: memoryview, skip: int, length: int) -> memoryview:
        if skip < 0 or length < 0 or skip + length > len(view):
            self._fail("sends data that were not asked for")
        return view[skip : skip + length]

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill a buffer; raises DeviceError."""
        what = f"read {len(buffer)} bytes at {offset_bytes}"
        try:
            cookie = self._ask(protocol.CMD_READ, offset_bytes, len(buffer))
            for kind, _ in self._chunks(what, cookie, buffer, offset_bytes):
                self._fail(f"cannot {what}: a reply of kind {kind} was not expected")
        except (OSError, struct.error) as error:
            self._fail(f"cannot {what}: {_reason(error)}")

    def write(self, offset_bytes: int, data: memoryview) -> None:
        """Write all of it; raises DeviceError, RefusedError for an export that is read-only."""
        if not self.writable:
            raise RefusedError(f"{printable(self.uri)} is read-only")
        self._done(f"write {len(data)} bytes at {offset_bytes}", protocol.CMD_WRITE, offset_bytes, len(data), data)

    def write_zeroes(self, offset_bytes: int, length_bytes: int) -> None:
        """Have a range read as zeros; raises DeviceError."""
        if self._flags & protocol.SEND_WRITE_ZEROES:
            what = f"write zeros at {offset_bytes}"
            self._done(what, protocol.CMD_WRITE_ZEROES, offset_bytes, length_bytes)
        else:
            self.write(offset_bytes, memoryview(bytes(length_bytes)))

    def flush(self) -> None:
        """Return when everything is on stable storage; raises DeviceError."""
        if self._flags & protocol.SEND_FLUSH:
            self._done("flush", protocol.CMD_FLUSH, 0, 0)

    def extents(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, bool, bool]]:
        """A range as (bytes, whether they have storage, whether they read as zeros), in order; raises DeviceError."""
        position, end = offset_bytes, offset_bytes + length_bytes
        while position < end:
            length = min(end - position, _STATUS_BYTES)
            if not self._knows_states:
                yield length, True, False
                position += length
                continue
            for told, state in self._states(position, length):
                size = min(told, end - position)
                yield size, not state & protocol.STATE_HOLE, bool(state & protocol.STATE_ZERO)
                position += size

    def _states(self, offset: int, length: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        try:
            cookie = self._ask(protocol.CMD_BLOCK_STATUS, offset, length)
            for kind, data in self._chunks("tell what is stored", cookie, memoryview(b""), offset):
                if kind == protocol.CHUNK_BLOCK_STATUS and data[:4] == self._context:
                    found = list(struct.iter_unpack(">II", data[4:]))
        except (OSError, struct.error) as error:
            self._fail(f"cannot tell what is stored: {_reason(error)}")
        if not found or any(size == 0 for size, _ in found):
            self._fail("does not tell what is stored")
        return found

    def close(self) -> None:
        """Say good-bye."""
        with suppress(OSError):
            self._ask(protocol.CMD_DISC, 0, 0)
        self._socket.close()


def _string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
