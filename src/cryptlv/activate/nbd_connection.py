"""NBD's transmission with one client: requests out of one large receive buffer, replies batched into one send.

Data are received into the buffer in which they are encrypted, and decrypted in the buffer from which they are sent. A
request that is larger than a chunk is served chunk by chunk, so a connection needs no more memory than its buffers.
Large chunks are sent, or written, by a second thread while the next is read or received: there are two of each buffer
for that, and chunks are as large as makes up for waking a thread for each.
"""

from __future__ import annotations

import mmap
import os
import socket
import threading
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic, perf_counter

from cryptlv.activate import nbd_protocol as protocol
from cryptlv.activate.lane import Lane
from cryptlv.activate.nbd_handshake import Disconnected
from cryptlv.errors import CryptlvError, DeviceError, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptlv.activate.nbd_handshake import Negotiated

CHUNK_BYTES = 1024 * 1024
_BATCH_BYTES = 64 * 1024
_IN_BYTES = CHUNK_BYTES + 4096
_OUT_BYTES = CHUNK_BYTES + _BATCH_BYTES + 4096
CONNECTION_BYTES = 2 * (_IN_BYTES + _OUT_BYTES)
"""The memory of a connection's buffers."""
_LARGE_BYTES = 64 * 1024
"""After a write of more the next header is received by itself, so that data behind it need not be moved; and for more
than this the second thread is worth its waking."""
_MOST_MOVED_BYTES = 16 * 1024
_MAX_EXTENTS = 1024
_REPLY_BYTES = protocol.REPLY_HEAD.size
_PATIENCE_SECONDS = 5
_TELL_SECONDS = 30
_SLOW_SECONDS = 100e-6
_LOOKS_AHEAD = 256
"""A read that takes longer than from the page cache has so many of the next batches be read ahead."""
_MOST_AHEAD_BYTES = 1024 * 1024
_POLL_SECONDS = 50e-6
_PROMPT_SECONDS = 70e-6
"""What is within a poll, and the time to be woken."""
_EDQUOT = 122
_unpack, _pack_reply, _pack_data = (
    protocol.unpack_request, protocol.REPLY_HEAD.pack_into, protocol.DATA_HEAD.pack_into,
)  # fmt: skip
_MAGIC, _READ, _WRITE, _HEADER_BYTES = (
    protocol.REQUEST_MAGIC, protocol.CMD_READ, protocol.CMD_WRITE, protocol.REQUEST_BYTES,
)  # fmt: skip
"""What every request needs, where it is found fastest."""
_TOO_LARGE = "no memory is free for a read of this size"


class Shared:
    """What a server's connections share: how many of them there are, the memory that may be used for replies which do
    not fit into a connection's buffer, and `tell`, to which a disk's failures are told now and then."""

    def __init__(
        self,
        limit_bytes: int,
        patience_seconds: float = _PATIENCE_SECONDS,
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.connections = 0
        self._tell = tell
        self._told_at = float("-inf")
        self._patience_seconds = patience_seconds
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._changed = threading.Condition()

    def report(self, name: str, failure: Exception) -> None:
        """Tell of a device's failure, which else the client alone would hear of; not of each of very many."""
        if isinstance(failure, DeviceError) and monotonic() - self._told_at >= _TELL_SECONDS:
            self._told_at = monotonic()
            self._tell(f"{name}: {failure}")

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One connection more."""
        with self._changed:
            self.connections += 1
        try:
            yield
        finally:
            with self._changed:
                self.connections -= 1

    @contextmanager
    def held(self, length_bytes: int) -> Iterator[mmap.mmap]:
        """So much memory, as soon as it is free; raises MemoryError when it is not within some seconds."""
        with self._changed:
            fits = self._changed.wait_for(
                lambda: self._used_bytes + length_bytes <= self._limit_bytes, self._patience_seconds
            )
            if not fits:
                raise MemoryError(_TOO_LARGE)
            self._used_bytes += length_bytes
        try:
            try:
                memory = mmap.mmap(-1, length_bytes)
            except OSError:
                raise MemoryError(_TOO_LARGE) from None
            yield memory
        finally:
            with self._changed:
                self._used_bytes -= length_bytes
                self._changed.notify_all()


def shut(client: socket.socket) -> None:
    """End a connection under the thread that waits for the client. TLS is left out: its own shutdown would first make
    the socket a plain one, to which that thread might be sending."""
    with suppress(OSError):
        socket.socket.shutdown(client, socket.SHUT_RDWR)


class _Write:
    """A write whose parts arrive one by one, and what has gone wrong with them."""

    def __init__(self, request: protocol.Request, error: int) -> None:
        self.request = request
        self.error = error


class Connection:
    """A client that has negotiated. With `write_through` every write is on stable storage when it is answered."""

    def __init__(self, negotiated: Negotiated, shared: Shared, *, write_through: bool = False) -> None:
        self._client = negotiated.client
        self._export = negotiated.export
        self._stream = negotiated.stream
        self._read_into, self._write_in_place = negotiated.stream.read_into, negotiated.stream.write_in_place
        self._structured = negotiated.structured
        self._contexts = negotiated.contexts
        self._shared = shared
        self._write_through = write_through
        self._in, self._other_in = (memoryview(mmap.mmap(-1, _IN_BYTES)) for _ in range(2))
        self._out, self._other_out = (memoryview(mmap.mmap(-1, _OUT_BYTES)) for _ in range(2))
        # TLS is for one thread at a time: what is received and what is sent share its state
        self._lane = Lane(partial(shut, self._client)) if type(self._client) is socket.socket else None
        self._start = self._end = 0  # what is received and not used yet
        self._filled = 0  # what is to be sent
        self._spares = False
        self._served = 0  # since something was received
        self._is_prompt = False  # the client's next request comes soon after our reply
        self._processors = len(os.sched_getaffinity(0))
        self._polls = self._lane is not None and self._processors > 1
        self._looks_ahead = 0
        self._head = protocol.DATA_HEAD.size if self._structured else protocol.REPLY_HEAD.size

    def run(self) -> None:
        """Serve requests until the client says good-bye; raises Disconnected or OSError when it just goes, and
        CryptlvError when its last flush failed."""
        try:
            with self._shared.counted():
                self._serve()
        finally:
            if self._lane is not None:
                self._lane.close()

    def _serve(self) -> None:
        size = self._export.size_bytes
        takes_writes = self._export.writable and not self._write_through
        while True:
            if self._end - self._start < _HEADER_BYTES:
                self._receive(_HEADER_BYTES, _HEADER_BYTES if self._spares else _IN_BYTES)
                self._served = 0
                if self._looks_ahead:
                    self._look_ahead()
            magic, flags, command, cookie, offset, length = _unpack(self._in, self._start)
            self._served += 1
            if magic != _MAGIC:
                raise Disconnected
            self._start += _HEADER_BYTES
            if not flags and length <= CHUNK_BYTES and offset + length <= size:
                if command == _READ:
                    self._spares = False
                    self._read(cookie, offset, length)
                    continue
                if command == _WRITE and takes_writes and self._end - self._start >= length:
                    self._write_received(cookie, offset, length)
                    continue
            if length > _LARGE_BYTES:
                self._served += 1  # what has to be copied for longer than it takes to wake us is not polled for
            request = protocol.Request(
                flags=flags, command=command, cookie=cookie, offset_bytes=offset, length_bytes=length
            )
            if command == _WRITE:
                self._write(request)
            elif command == protocol.CMD_DISC:
                self._send()
                self._wait()
                self._stream.flush()
                return
            else:
                self._perform(request)

    def _receive(self, wanted: int, most: int) -> None:
        """Have `wanted` bytes in the buffer, and no more than `most` of them; replies go out before we wait."""
        self._send()
        start, end = self._start, self._end
        if start == end:
            start = end = 0
        elif start + wanted > _IN_BYTES or (start > _IN_BYTES // 2 and end - start < _MOST_MOVED_BYTES):
            left = bytes(self._in[start:end])
            self._in[: len(left)] = left
            start, end = 0, len(left)
        stop = min(start + most, _IN_BYTES)
        recv_into: Callable[[memoryview], int] = self._client.recv_into
        if self._served < 2 and self._polls and self._shared.connections < 2:
            recv_into = self._poll
        while end - start < wanted:
            count = recv_into(self._in[end:stop])
            if not count:
                raise Disconnected
            end += count
        self._start, self._end = start, end

    def _poll(self, buffer: memoryview) -> int:
        """Receive from a client that waits for each reply. When it is prompt we do not sleep for an instant: to fall
        asleep and be woken takes longer than most requests, here and, as it has to wake us, there."""
        began = perf_counter()
        if self._is_prompt:
            while perf_counter() - began < _POLL_SECONDS:
                try:
                    return self._client.recv_into(buffer, 0, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass
        count = self._client.recv_into(buffer)
        self._is_prompt = perf_counter() - began < _PROMPT_SECONDS
        return count

    def _look_ahead(self) -> None:
        """Have the disk begin with all reads that have arrived, as they are served one after the other."""
        self._looks_ahead -= 1
        start = self._start
        while self._end - start >= _HEADER_BYTES:
            magic, _, command, _, offset, length = _unpack(self._in, start)
            start += _HEADER_BYTES
            if magic != _MAGIC or length > _MOST_AHEAD_BYTES or offset + length > self._export.size_bytes:
                return
            if command == _READ:
                self._stream.start_reading(offset, length)
            elif command == _WRITE:
                start += length

    def _send(self) -> None:
        if self._filled:
            self._wait()
            filled, self._filled = self._filled, 0
            self._client.sendall(self._out[:filled])

    def _send_aside(self, lane: Lane) -> None:
        """Have the second thread send, and go on with the other buffer."""
        filled, self._filled = self._filled, 0
        lane.give(self._client.sendall, self._out[:filled])
        self._out, self._other_out = self._other_out, self._out

    def _helper(self) -> Lane | None:
        """The second thread, unless the first threads of all connections keep all processors busy."""
        if self._lane is None or self._shared.connections >= self._processors:
            return None
        if not self._lane.begin():
            self._lane = None
        return self._lane

    def _wait(self) -> None:
        """Have the second thread finish, if it has anything to do: it may be sending, too."""
        if self._lane is not None and self._lane.is_busy:
            self._lane.wait()

    def _queue(self, data: bytes) -> None:
        """Have a short reply sent, with others."""
        self._out[self._filled : self._filled + len(data)] = data
        self._filled += len(data)
        if self._filled >= _BATCH_BYTES:
            self._send()

    def _read(self, cookie: int, offset: int, length: int, flags: int = protocol.CHUNK_DONE) -> bool:
        """Queue a reply to a read, or one chunk of it; whether it worked."""
        at = self._filled
        body = at + self._head
        try:
            began = perf_counter()
            self._read_into(offset, self._out[body : body + length])
            if perf_counter() - began > _SLOW_SECONDS:
                self._looks_ahead = _LOOKS_AHEAD
        except (CryptlvError, MemoryError) as failure:
            self._fail_read(cookie, self._fault(failure))
            return False
        if not self._structured:
            _pack_reply(self._out, at, protocol.SIMPLE_REPLY_MAGIC, 0, cookie)
        elif length:
            _pack_data(self._out, at, protocol.CHUNK_MAGIC, flags, protocol.CHUNK_DATA, cookie, length + 8, offset)
        else:  # a chunk of data may not be empty
            self._queue(protocol.encode_chunk(cookie, protocol.CHUNK_NONE))
            return True
        self._filled = body + length
        if self._filled >= _BATCH_BYTES:
            lane = self._helper() if length > _LARGE_BYTES and (not flags or self._end > self._start) else None
            if lane is not None:
                self._send_aside(lane)
            else:
                self._send()
        return True

    def _fail_read(self, cookie: int, error: int) -> None:
        encode = protocol.encode_error_chunk if self._structured else protocol.encode_reply
        self._queue(encode(cookie, error))

    def _read_large(self, request: protocol.Request) -> None:
        if self._structured and not request.flags & protocol.CMD_FLAG_DF:
            end = request.offset_bytes + request.length_bytes
            for offset in range(request.offset_bytes, end, CHUNK_BYTES):
                length = min(CHUNK_BYTES, end - offset)
                flags = protocol.CHUNK_DONE if offset + length == end else 0
                if not self._read(request.cookie, offset, length, flags):
                    return
            return
        length = self._head + request.length_bytes
        self._send()
        with self._shared.held(length) as memory:
            view = memoryview(memory)
            for done in range(0, request.length_bytes, CHUNK_BYTES):
                stop = min(done + CHUNK_BYTES, request.length_bytes)
                self._stream.read_into(request.offset_bytes + done, view[self._head + done : self._head + stop])
            if self._structured:
                numbers = (request.cookie, request.length_bytes + 8, request.offset_bytes)
                _pack_data(view, 0, protocol.CHUNK_MAGIC, protocol.CHUNK_DONE, protocol.CHUNK_DATA, *numbers)
            else:
                _pack_reply(view, 0, protocol.SIMPLE_REPLY_MAGIC, 0, request.cookie)
            self._wait()
            self._client.sendall(view)

    def _write_received(self, cookie: int, offset: int, length: int) -> None:
        """A write whose data have all arrived, which is the most there is to say of most of them."""
        data = self._in[self._start : self._start + length]
        self._start += length
        error = 0
        try:
            self._write_in_place(offset, data)
        except (CryptlvError, MemoryError) as failure:
            error = self._fault(failure)
        _pack_reply(self._out, self._filled, protocol.SIMPLE_REPLY_MAGIC, error, cookie)
        self._filled += _REPLY_BYTES
        if self._filled >= _BATCH_BYTES:
            self._send()

    def _write(self, request: protocol.Request) -> None:
        """Take a write's data chunk by chunk, whether they are wanted or not, and write them."""
        length, offset = request.length_bytes, request.offset_bytes
        if length > protocol.MAX_REQUEST_BYTES:
            raise Disconnected  # its data cannot be told from requests without reading them all
        write = _Write(request, protocol.check_request(request, self._export))
        self._spares = length > _LARGE_BYTES
        done = 0
        while done < length:
            part = length - done
            if part > CHUNK_BYTES:  # all chunks but the first begin at a whole page
                part = CHUNK_BYTES - (offset + done) % protocol.PREFERRED_BLOCK_BYTES
            if self._end - self._start < part:
                behind = protocol.REQUEST_BYTES if self._spares else _IN_BYTES
                self._receive(part, part + behind if done + part == length else part)
            data = self._in[self._start : self._start + part]
            self._start += part
            at, done = offset + done, done + part
            left = self._end - self._start
            is_worth_it = part > _LARGE_BYTES and left <= _MOST_MOVED_BYTES and (done < length or left)
            lane = self._helper() if is_worth_it else None
            if lane is None:
                self._wait()  # what came before may be on its way to the disk
                self._write_part(write, at, data)
                continue
            lane.give(self._write_last if done == length else self._write_part, write, at, data)
            self._other_in[:left] = self._in[self._start : self._end]
            self._in, self._other_in = self._other_in, self._in
            self._start, self._end = 0, left
            if done == length:
                return
        self._finish(write)
        self._queue(protocol.encode_reply(request.cookie, write.error))

    def _write_part(self, write: _Write, offset: int, data: memoryview) -> None:
        """Write a part, unless one before has failed."""
        if not write.error:
            try:
                self._write_in_place(offset, data)
            except (CryptlvError, MemoryError) as failure:
                write.error = self._fault(failure)

    def _write_last(self, write: _Write, offset: int, data: memoryview) -> None:
        """Write the last part, and answer the client from the second thread."""
        self._write_part(write, offset, data)
        self._finish(write)
        self._client.sendall(protocol.encode_reply(write.request.cookie, write.error))

    def _finish(self, write: _Write) -> None:
        """Put a write on stable storage where that is wanted."""
        if not write.error and (self._write_through or write.request.flags & protocol.CMD_FLAG_FUA):
            try:
                self._stream.flush()
            except CryptlvError as failure:
                write.error = self._fault(failure)

    def _fault(self, failure: Exception) -> int:
        """A failure as the protocol's number; whoever serves is told, too."""
        self._shared.report(self._export.name, failure)
        return error_number(failure)

    def _perform(self, request: protocol.Request) -> None:
        """Do what a request asks for that has no data, and queue its reply."""
        error = protocol.check_request(request, self._export, structured=self._structured, contexts=self._contexts)
        if not error:
            try:
                if self._execute(request):
                    return
            except (CryptlvError, MemoryError) as failure:
                error = self._fault(failure)
        if request.command in (protocol.CMD_READ, protocol.CMD_BLOCK_STATUS):
            self._fail_read(request.cookie, error)
        else:
            self._queue(protocol.encode_reply(request.cookie, error))

    def _execute(self, request: protocol.Request) -> bool:
        """Whether the reply is on its way already."""
        command, offset, length = request.command, request.offset_bytes, request.length_bytes
        if command == protocol.CMD_READ:
            if length <= CHUNK_BYTES:
                self._read(request.cookie, offset, length)
            else:
                self._read_large(request)
            return True
        if command == protocol.CMD_BLOCK_STATUS:
            self._queue(protocol.encode_status_chunk(request.cookie, self._states(request)))
            return True
        if command == protocol.CMD_TRIM:
            self._stream.discard(offset, length)
        elif command == protocol.CMD_CACHE:
            self._stream.start_reading(offset, length)
        elif command == protocol.CMD_WRITE_ZEROES and (
            request.flags & protocol.CMD_FLAG_NO_HOLE or not self._stream.punch(offset, length)
        ):
            self._stream.write_zeroes(offset, length)
        writes = command in (protocol.CMD_TRIM, protocol.CMD_WRITE_ZEROES)
        if command == protocol.CMD_FLUSH or request.flags & protocol.CMD_FLAG_FUA or (writes and self._write_through):
            self._wait()  # a write that is answered before this is flushed with it
            self._stream.flush()
        return False

    def _states(self, request: protocol.Request) -> list[tuple[int, int]]:
        limit = 1 if request.flags & protocol.CMD_FLAG_REQ_ONE else _MAX_EXTENTS
        states = []
        for length, has_storage, is_zero in self._stream.extents(request.offset_bytes, request.length_bytes):
            state = (0 if has_storage else protocol.STATE_HOLE) | (protocol.STATE_ZERO if is_zero else 0)
            states.append((length, state))
            if len(states) == limit:
                break
        return states


def error_number(failure: Exception) -> int:
    """The protocol's number for what went wrong."""
    if isinstance(failure, RefusedError):
        return protocol.EPERM
    if isinstance(failure, MemoryError):
        return protocol.ENOMEM
    if isinstance(failure, DeviceError) and failure.errno == _EDQUOT:
        return protocol.ENOSPC
    if isinstance(failure, DeviceError) and failure.errno in (protocol.ENOSPC, protocol.EINVAL, protocol.ENOMEM):
        return failure.errno
    return protocol.EIO
