"""The NBD server: a thread for each connection, requests out of one receive buffer, replies sent in batches."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

from cryptlv.activate import nbd_protocol as protocol
from cryptlv.errors import ActivationError, CryptlvError, DeviceError, FormatError, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.activate.stream import VolumeStream

MAX_SOCKET_PATH_BYTES = 107
_NEGOTIATION_SECONDS = 30
_MAX_CONNECTIONS = 64
_MAX_OPTIONS = 64
_RECEIVE_BYTES = 256 * 1024
_BATCH_BYTES = 256 * 1024


class _Disconnected(Exception):  # noqa: N818 - the normal end of a connection
    """The client is gone, or must go."""


_RETRY_SECONDS = 0.1


class NbdServer:
    """Serves one volume on a unix socket until `stop`; `start` returns when clients can connect."""

    def __init__(self, stream: VolumeStream, path: str) -> None:
        self._stream = stream
        self.path = path
        mapping = stream.mapping
        name = f"{mapping.vg_name}/{mapping.lv_name}"
        self.export = protocol.Export(name=name, size_bytes=stream.size_bytes, writable=stream.writable)
        self._listener: socket.socket | None = None
        self._clients: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def start(self) -> None:
        """Create the socket, mode 0600, and serve it from a thread; raises ActivationError."""
        if len(os.fsencode(self.path)) > MAX_SOCKET_PATH_BYTES:
            raise ActivationError(
                f"{self.path}: longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path; "
                "set CRYPTLV_RUN_DIR to a shorter directory"
            )
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old_mask = os.umask(0o177)
        try:
            listener.bind(self.path)
            listener.listen(_MAX_CONNECTIONS)
        except OSError as error:
            listener.close()
            raise ActivationError(f"{self.path}: cannot listen: {error.strerror}") from None
        finally:
            os.umask(old_mask)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="nbd-accept", daemon=True).start()

    @property
    def users(self) -> int:
        """How many clients are connected."""
        with self._lock:
            return len(self._clients)

    def stop(self) -> None:
        """Take no more clients, disconnect those that are there, wait for what they asked for, remove the socket."""
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            clients, threads = list(self._clients.values()), list(self._threads)
        for client in clients:
            _shut(client)
        for thread in threads:
            thread.join(timeout=30)
        if os.path.exists(self.path):
            os.unlink(self.path)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # the end, or something that passes, such as too many open files
                if self._listener is None:
                    return
                time.sleep(_RETRY_SECONDS)
                continue
            with self._lock:
                if self._listener is None or len(self._clients) >= _MAX_CONNECTIONS:
                    client.close()
                    continue
                self._clients[client.fileno()] = client
                thread = threading.Thread(target=self._serve, args=(client,), name="nbd", daemon=True)
                self._threads.add(thread)
                thread.start()  # under the lock: stop() joins only what has started

    def _serve(self, client: socket.socket) -> None:
        number = client.fileno()
        try:
            _Connection(client, self._stream, self.export).run()
        except (_Disconnected, OSError, CryptlvError, struct.error):
            pass  # whatever a client does to its own connection ends that connection only
        finally:
            with self._lock:
                self._clients.pop(number, None)
                self._threads.discard(threading.current_thread())
            client.close()


def _shut(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Connection:
    """One client: negotiation, then requests until it goes."""

    def __init__(self, client: socket.socket, stream: VolumeStream, export: protocol.Export) -> None:
        self._client = client
        self._stream = stream
        self._export = export
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._start = self._end = 0  # what is received and not used yet
        self._zeroes = True
        self._replies: list[bytes | bytearray] = []
        self._reply_bytes = 0

    def run(self) -> None:
        self._client.settimeout(_NEGOTIATION_SECONDS)
        self._client.sendall(protocol.greeting())
        flags = protocol.decode_client_flags(self._exactly(4))
        self._zeroes = not flags & protocol.FLAG_NO_ZEROES
        if not self._negotiate():
            return
        self._client.settimeout(None)
        self._transmit()

    def _exactly(self, length: int) -> bytes:
        """The next bytes from the client, however they arrive."""
        out = bytearray(length)
        self._fill(memoryview(out))
        return bytes(out)

    def _fill(self, target: memoryview) -> None:
        """Fill a buffer from what was received, then straight from the socket."""
        have = min(self._end - self._start, len(target))
        target[:have] = memoryview(self._buffer)[self._start : self._start + have]
        self._start += have
        while have < len(target):
            self._send_replies()
            count = self._client.recv_into(target[have:])
            if not count:
                raise _Disconnected
            have += count

    def _receive_more(self, wanted: int) -> None:
        """Have at least `wanted` bytes in the buffer; replies go out before we wait."""
        if self._start and len(self._buffer) - self._start < wanted:
            left = self._end - self._start
            self._buffer[:left] = self._buffer[self._start : self._end]
            self._start, self._end = 0, left
        while self._end - self._start < wanted:
            if self._start == self._end:
                self._start = self._end = 0
            self._send_replies()
            count = self._client.recv_into(memoryview(self._buffer)[self._end :])
            if not count:
                raise _Disconnected
            self._end += count

    def _negotiate(self) -> bool:
        """Answer options until transmission begins; False when the client has enough."""
        for _ in range(_MAX_OPTIONS):
            option, length = protocol.decode_option_head(self._exactly(protocol.OPTION_HEAD_BYTES))
            data = self._exactly(length)
            if option == protocol.OPT_EXPORT_NAME:
                if not self._is_ours(data):
                    return False
                self._client.sendall(protocol.encode_export_name_reply(self._export, zeroes=self._zeroes))
                return True
            if option == protocol.OPT_ABORT:
                self._answer(option, protocol.REP_ACK)
                return False
            if option in (protocol.OPT_INFO, protocol.OPT_GO):
                if self._answer_info(option, data) and option == protocol.OPT_GO:
                    return True
            elif option == protocol.OPT_LIST:
                self._answer_list(option, data)
            elif option == protocol.OPT_STARTTLS:
                self._answer(option, protocol.REP_ERR_POLICY)
            else:
                self._answer(option, protocol.REP_ERR_UNSUP)
        return False

    def _is_ours(self, name: bytes) -> bool:
        return name in (b"", self._export.name.encode("utf-8", "surrogateescape"))

    def _answer(self, option: int, kind: int, data: bytes = b"") -> None:
        self._client.sendall(protocol.encode_option_reply(option, kind, data))

    def _answer_info(self, option: int, data: bytes) -> bool:
        try:
            name, _ = protocol.decode_info_request(data)
        except FormatError:
            self._answer(option, protocol.REP_ERR_INVALID)
            return False
        if not self._is_ours(name):
            self._answer(option, protocol.REP_ERR_UNKNOWN)
            return False
        self._answer(option, protocol.REP_INFO, protocol.encode_export_info(self._export))
        self._answer(option, protocol.REP_INFO, protocol.encode_block_size_info())
        self._answer(option, protocol.REP_ACK)
        return True

    def _answer_list(self, option: int, data: bytes) -> None:
        if data:
            self._answer(option, protocol.REP_ERR_INVALID)
            return
        self._answer(option, protocol.REP_SERVER, protocol.encode_server(self._export.name))
        self._answer(option, protocol.REP_ACK)

    def _transmit(self) -> None:
        while True:
            self._receive_more(protocol.REQUEST_BYTES)
            request = protocol.decode_request(self._buffer, self._start)
            self._start += protocol.REQUEST_BYTES
            if request.command == protocol.CMD_DISC:
                self._send_replies()
                self._stream.flush()
                return
            self._perform(request)

    def _perform(self, request: protocol.Request) -> None:
        """Do what a request asks for, and queue its reply."""
        if request.command == protocol.CMD_WRITE and request.length_bytes > protocol.MAX_REQUEST_BYTES:
            raise _Disconnected  # its data cannot be told from requests without reading them all
        data: bytes | bytearray = b""
        if request.command == protocol.CMD_WRITE:
            data = bytearray(request.length_bytes)
            self._fill(memoryview(data))
        error = protocol.check_request(request, self._export)
        if not error:
            try:
                data = self._execute(request, data)
            except (CryptlvError, MemoryError) as failure:
                error = _error_number(failure)
        self._queue(protocol.encode_reply(request.cookie, error))
        if request.command == protocol.CMD_READ and not error:
            self._queue(data)

    def _execute(self, request: protocol.Request, data: bytes | bytearray) -> bytes | bytearray:
        stream, offset, length = self._stream, request.offset_bytes, request.length_bytes
        if request.command == protocol.CMD_READ:
            return stream.read(offset, length)
        if request.command == protocol.CMD_WRITE:
            stream.write(offset, data)
        elif request.command == protocol.CMD_TRIM:
            stream.discard(offset, length)
        elif request.command == protocol.CMD_WRITE_ZEROES:
            stream.write_zeroes(offset, length)
        if request.command == protocol.CMD_FLUSH or request.flags & protocol.CMD_FLAG_FUA:
            stream.flush()
        return b""

    def _queue(self, data: bytes | bytearray) -> None:
        self._replies.append(data)
        self._reply_bytes += len(data)
        if self._reply_bytes >= _BATCH_BYTES:
            self._send_replies()

    def _send_replies(self) -> None:
        if self._replies:
            batch = self._replies[0] if len(self._replies) == 1 else b"".join(self._replies)
            self._replies, self._reply_bytes = [], 0
            self._client.sendall(batch)


def _error_number(failure: Exception) -> int:
    """The protocol's number for what went wrong."""
    if isinstance(failure, RefusedError):
        return protocol.EPERM
    if isinstance(failure, MemoryError):
        return protocol.ENOMEM
    if isinstance(failure, DeviceError) and failure.errno in (protocol.ENOSPC, protocol.EINVAL, protocol.ENOMEM):
        return failure.errno
    return protocol.EIO
