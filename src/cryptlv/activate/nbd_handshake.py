"""The server's side of NBD's negotiation with one client: options, until transmission begins or one has enough."""

from __future__ import annotations

import time

from cryptlv.activate import nbd_protocol as protocol
from cryptlv.errors import FormatError
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

    from cryptlv.activate.stream import VolumeStream

NEGOTIATION_SECONDS = 30
"""How long a client may take from its connection to the first request."""
_MAX_OPTIONS = 256


class Disconnected(Exception):  # noqa: N818 - the normal end of a connection
    """The client is gone, or must go."""


class Negotiated(Record):
    """What client and server have agreed on. `client` is the socket to go on with, which TLS makes another one."""

    client: socket.socket
    export: protocol.Export
    stream: VolumeStream
    structured: bool
    contexts: bool


class Handshake:
    """A negotiation. `exports` are all that there are, by name; with one alone clients need not name it.

    With `tls` a client must start TLS before it is told or given anything; `on_tls` is given the socket that it is
    under from then on. All of it must be done within `patience_seconds`.
    """

    def __init__(
        self,
        client: socket.socket,
        exports: Mapping[str, tuple[protocol.Export, VolumeStream]],
        tls: ssl.SSLContext | None = None,
        *,
        on_tls: Callable[[socket.socket], None] = lambda _: None,
        patience_seconds: float = NEGOTIATION_SECONDS,
    ) -> None:
        self._client = client
        self._exports = {name.encode("utf-8", "surrogateescape"): found for name, found in exports.items()}
        if len(exports) == 1:
            self._exports[b""] = next(iter(exports.values()))
        self._names = tuple(exports)
        self._tls = tls
        self._on_tls = on_tls
        self._is_open = tls is None
        self._structured = False
        self._contexts_of: bytes | None = None
        self._zeroes = True
        self._deadline = time.monotonic() + patience_seconds

    def run(self) -> Negotiated | None:
        """Negotiate; None when the client has enough. Raises Disconnected, FormatError or OSError at what cannot be
        followed, and TimeoutError when it takes too long."""
        self._patience()
        self._client.sendall(protocol.greeting())
        flags = protocol.decode_client_flags(self._exactly(4))
        self._zeroes = not flags & protocol.FLAG_NO_ZEROES
        for _ in range(_MAX_OPTIONS):
            option, length = protocol.decode_option_head(self._exactly(protocol.OPTION_HEAD_BYTES))
            data = self._exactly(length)
            if option == protocol.OPT_ABORT:
                self._answer(option, protocol.REP_ACK)
                return None
            chosen = self._export_name(data) if option == protocol.OPT_EXPORT_NAME else self._option(option, data)
            if chosen is not None:
                export, stream = self._exports[chosen]
                self._client.settimeout(None)
                return Negotiated(
                    client=self._client,
                    export=export,
                    stream=stream,
                    structured=self._structured,
                    contexts=self._contexts_of is not None
                    and self._exports.get(self._contexts_of) == self._exports[chosen],
                )
        return None

    def _patience(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._client.settimeout(left)

    def _exactly(self, length: int) -> bytes:
        """The next bytes from the client, and no more: what follows STARTTLS must not be taken for its own."""
        out = bytearray(length)
        view = memoryview(out)
        while view:
            self._patience()
            count = self._client.recv_into(view)
            if not count:
                raise Disconnected
            view = view[count:]
        return bytes(out)

    def _answer(self, option: int, kind: int, data: bytes = b"") -> None:
        self._patience()
        self._client.sendall(protocol.encode_option_reply(option, kind, data))

    def _export_name(self, name: bytes) -> bytes:
        """EXPORT_NAME has no reply that says no."""
        if not self._is_open or name not in self._exports:
            raise Disconnected
        export, _ = self._exports[name]
        self._client.sendall(
            protocol.encode_export_name_reply(export, zeroes=self._zeroes, structured=self._structured)
        )
        return name

    def _option(self, option: int, data: bytes) -> bytes | None:
        """Answer an option; gives the name of the export with which transmission begins now."""
        if option == protocol.OPT_STARTTLS:
            self._start_tls(data)
        elif not self._is_open:
            self._answer(option, protocol.REP_ERR_TLS_REQD)
        elif option in (protocol.OPT_INFO, protocol.OPT_GO):
            name = self._answer_info(option, data)
            return name if option == protocol.OPT_GO else None
        elif option == protocol.OPT_LIST:
            self._answer_list(option, data)
        elif option == protocol.OPT_STRUCTURED_REPLY:
            self._structured = self._structured or not data
            self._answer(option, protocol.REP_ERR_INVALID if data else protocol.REP_ACK)
        elif option in (protocol.OPT_LIST_META_CONTEXT, protocol.OPT_SET_META_CONTEXT):
            self._answer_contexts(option, data)
        else:
            self._answer(option, protocol.REP_ERR_UNSUP)
        return None

    def _start_tls(self, data: bytes) -> None:
        """Go on under TLS; what was negotiated before it is forgotten, and there was nothing."""
        option = protocol.OPT_STARTTLS
        if self._tls is None:
            self._answer(option, protocol.REP_ERR_POLICY)
        elif data or self._is_open:
            self._answer(option, protocol.REP_ERR_INVALID)
        else:
            self._answer(option, protocol.REP_ACK)
            self._patience()
            self._client = self._tls.wrap_socket(self._client, server_side=True, do_handshake_on_connect=False)
            self._on_tls(self._client)
            self._client.do_handshake()
            self._is_open = True

    def _answer_info(self, option: int, data: bytes) -> bytes | None:
        """The name of the export that the client was told about."""
        try:
            name, _ = protocol.decode_info_request(data)
        except FormatError:
            self._answer(option, protocol.REP_ERR_INVALID)
            return None
        if name not in self._exports:
            self._answer(option, protocol.REP_ERR_UNKNOWN)
            return None
        export, _ = self._exports[name]
        self._answer(option, protocol.REP_INFO, protocol.encode_export_info(export, structured=self._structured))
        self._answer(option, protocol.REP_INFO, protocol.encode_block_size_info())
        self._answer(option, protocol.REP_ACK)
        return name

    def _answer_list(self, option: int, data: bytes) -> None:
        if data:
            self._answer(option, protocol.REP_ERR_INVALID)
            return
        for name in self._names:
            self._answer(option, protocol.REP_SERVER, protocol.encode_server(name))
        self._answer(option, protocol.REP_ACK)

    def _answer_contexts(self, option: int, data: bytes) -> None:
        listing = option == protocol.OPT_LIST_META_CONTEXT
        if not listing:
            self._contexts_of = None  # a second one replaces the first, also when it fails
        try:
            name, queries = protocol.decode_meta_request(data)
        except FormatError:
            self._answer(option, protocol.REP_ERR_INVALID)
            return
        if not self._structured:
            self._answer(option, protocol.REP_ERR_INVALID)
        elif name not in self._exports:
            self._answer(option, protocol.REP_ERR_UNKNOWN)
        else:
            if protocol.is_allocation_wanted(queries, listing=listing):
                self._answer(option, protocol.REP_META_CONTEXT, protocol.encode_meta_context(listing=listing))
                if not listing:
                    self._contexts_of = name
            self._answer(option, protocol.REP_ACK)
