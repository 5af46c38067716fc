"""The NBD server: where it listens, and a thread for each connection."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

from cryptlv.activate import nbd_protocol as protocol
from cryptlv.activate.nbd_address import Address, is_private, listen
from cryptlv.activate.nbd_connection import CONNECTION_BYTES, Connection, Shared, shut
from cryptlv.activate.nbd_handshake import Disconnected, Handshake
from cryptlv.errors import ActivationError, CryptlvError, RefusedError
from cryptlv.names import printable
from cryptlv.record import Record
from cryptlv.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from cryptlv.activate.stream import VolumeStream

DEFAULT_INFLIGHT_BYTES = 256 * MIB
LEAST_INFLIGHT_BYTES = protocol.MAX_REQUEST_BYTES + MIB + CONNECTION_BYTES
_MAX_CONNECTIONS = 64
_MAX_NEGOTIATING = 32
_SEND_BYTES = 512 * 1024
"""So much may be on its way to a client while the next chunk is read."""
_RETRY_SECONDS = 0.1
_STOP_SECONDS = 30


class NbdOptions(Record):
    """How exports are served. `tls_directory` has ca-cert.pem, server-cert.pem and server-key.pem; without it TCP is
    for this machine alone, unless `insecure`. `max_inflight_bytes` bounds the memory of all requests together."""

    read_only: bool = False
    write_through: bool = False
    tls_directory: str = ""
    insecure: bool = False
    max_inflight_bytes: int = DEFAULT_INFLIGHT_BYTES


class NbdServer:
    """Serves volumes by their exports' names until `stop`; `start` returns when clients can connect."""

    def __init__(
        self,
        exports: Mapping[str, VolumeStream],
        address: Address,
        options: NbdOptions | None = None,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`tell` hears of failing disks."""
        self.address = address
        self._options = options or NbdOptions()
        self.exports = {
            name: (
                protocol.Export(
                    name=name,
                    size_bytes=stream.size_bytes,
                    writable=stream.writable and not self._options.read_only,
                ),
                stream,
            )
            for name, stream in exports.items()
        }
        if self._options.max_inflight_bytes < LEAST_INFLIGHT_BYTES:
            raise RefusedError(f"requests in progress need {LEAST_INFLIGHT_BYTES} bytes at least")
        room = self._options.max_inflight_bytes - protocol.MAX_REQUEST_BYTES - MIB
        self._max_clients = min(room // CONNECTION_BYTES, _MAX_CONNECTIONS)
        self._shared = Shared(self._options.max_inflight_bytes - self._max_clients * CONNECTION_BYTES, tell=tell)
        self._tls = _tls_context(self._options.tls_directory) if self._options.tls_directory else None
        self._listeners: list[socket.socket] = []
        self._acceptors: list[threading.Thread] = []
        self._is_open = False
        self._clients: dict[int, socket.socket] = {}
        self._negotiating: dict[int, socket.socket] = {}  # those of them that have not been let in yet
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    @property
    def path(self) -> str:
        """The path of its unix socket, "" when there is none."""
        return self.address.path

    def start(self) -> None:
        """Listen, and serve from threads; raises ActivationError, RefusedError for TCP that is neither private nor
        TLS."""
        listeners = listen(self.address)
        if not (self._tls or self._options.insecure or all(map(is_private, listeners))):
            for listener in listeners:
                listener.close()
            raise RefusedError(
                "over TCP everybody on the network could read the volume: give --tls, listen at 127.0.0.1, or insist "
                "with --insecure"
            )
        self._is_open = True
        self._listeners = listeners
        self._acceptors = [
            threading.Thread(target=self._accept, args=(listener,), name="nbd-accept", daemon=True)
            for listener in listeners
        ]
        for thread in self._acceptors:
            thread.start()

    @property
    def port(self) -> int:
        """The TCP port, also when the system has chosen it; 0 without TCP."""
        names = [listener.getsockname() for listener in self._listeners if listener.family != socket.AF_UNIX]
        return int(names[0][1]) if names else 0

    @property
    def users(self) -> int:
        """How many clients are connected."""
        with self._lock:
            return len(self._clients)

    def stop(self) -> None:
        """Take no more clients, disconnect those that are there, wait for what they asked for, remove the socket."""
        with self._lock:
            self._is_open = False
            listeners, self._listeners = self._listeners, []
        for listener in listeners if not self.address.descriptors else ():
            shut(listener)
        for thread in self._acceptors:
            thread.join(timeout=_STOP_SECONDS)
        for listener in listeners:
            listener.close()
        with self._lock:
            clients, threads = list(self._clients.values()), list(self._threads)
        for client in clients:
            shut(client)
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in threads:
            thread.join(timeout=max(deadline - time.monotonic(), 0))
        if listeners and self.path and os.path.exists(self.path):
            os.unlink(self.path)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                if not self._is_open:
                    return
                continue
            except OSError:  # the end, or something that passes, such as too many open files
                if not self._is_open:
                    return
                time.sleep(_RETRY_SECONDS)
                continue
            with self._lock:
                if not self._is_open or len(self._clients) - len(self._negotiating) >= self._max_clients:
                    client.close()
                    continue
                if len(self._negotiating) >= _MAX_NEGOTIATING:  # the oldest goes: who is in earnest is quick
                    shut(self._negotiating.pop(next(iter(self._negotiating))))
                self._clients[client.fileno()] = self._negotiating[client.fileno()] = client
                thread = threading.Thread(target=self._serve, args=(client,), name="nbd", daemon=True)
                try:
                    thread.start()  # under the lock: stop() joins only what has started
                except RuntimeError:  # the system's limit of threads
                    del self._clients[client.fileno()], self._negotiating[client.fileno()]
                    client.close()
                else:
                    self._threads.add(thread)

    def _serve(self, client: socket.socket) -> None:
        number = client.fileno()
        try:
            self._tune(client)
            handshake = Handshake(client, self.exports, self._tls, on_tls=lambda under: self._replace(number, under))
            negotiated = handshake.run()
            if negotiated is not None:
                with self._lock:
                    self._negotiating.pop(number, None)
                    if len(self._clients) - len(self._negotiating) > self._max_clients:
                        return
                Connection(negotiated, self._shared, write_through=self._options.write_through).run()
        except (Disconnected, OSError, CryptlvError, MemoryError, struct.error):
            pass  # whatever a client does to its own connection ends that connection only
        finally:
            with self._lock:
                client = self._clients.pop(number)
                self._negotiating.pop(number, None)
                self._threads.discard(threading.current_thread())
            client.close()

    def _replace(self, number: int, client: socket.socket) -> None:
        """The socket that a client is under TLS with, as soon as its old one is of no use any more: it is what ends a
        client who never gets through the handshake. Raises Disconnected for one that was to go just now."""
        with self._lock:
            self._clients[number] = client
            if not self._is_open or number not in self._negotiating:
                raise Disconnected
            self._negotiating[number] = client

    @staticmethod
    def _tune(client: socket.socket) -> None:
        """Have replies go out at once, and clients that have vanished be noticed."""
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _tls_context(directory: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, for clients with a certificate of our authority; raises ActivationError."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    names = ("ca-cert.pem", "server-cert.pem", "server-key.pem")
    authority, certificate, key = paths = [os.path.join(directory, name) for name in names]
    for path in paths:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise ActivationError(f"{printable(path)}: cannot read what TLS needs: {error.strerror}") from None

    def refuse() -> str:
        raise ActivationError(f"{printable(key)}: has a passphrase; TLS needs a key without, for its owner alone")

    try:
        context.load_verify_locations(authority)
    except OSError:
        raise ActivationError(f"{printable(authority)}: has no certificate in PEM form") from None
    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except OSError:
        raise ActivationError(
            f"{printable(certificate)}: no certificate in PEM form, or {names[2]} is not its key"
        ) from None
    return context
