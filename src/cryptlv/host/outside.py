"""A question to code of others, answered in a process of its own: it may hang, crash or print, and hurts nobody.

Question and answer are frames over a socket pair: eight bytes of length, big endian, then as many bytes; their count
goes before them, one byte.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_BYTES = 64 * 1024 * 1024
_LENGTH = struct.Struct(">Q")


def ask_process(
    module: str, frames: Sequence[bytes | bytearray | memoryview], limit_seconds: float
) -> list[bytearray]:
    """Run `python -m MODULE FD` and give it frames at that descriptor; gives the frames that it answers.

    Raises TimeoutError when that takes longer than the limit, EOFError when the process ends without an answer or
    answers too much. The process is gone when this returns.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
        try:
            theirs.close()
            deadline = time.monotonic() + limit_seconds
            ours.settimeout(limit_seconds)
            send_frames(ours, frames)
            return receive_frames(ours, deadline)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise EOFError(str(error)) from None
        finally:
            process.kill()
            process.wait()


def send_frames(connection: socket.socket, frames: Sequence[bytes | bytearray | memoryview]) -> None:
    """Send frames; raises OSError, TimeoutError among them."""
    connection.sendall(bytes([len(frames)]))
    for frame in frames:
        connection.sendall(_LENGTH.pack(len(frame)))
        connection.sendall(frame)


def receive_frames(connection: socket.socket, deadline: float | None = None) -> list[bytearray]:
    """Receive frames, until `deadline` (a time of time.monotonic) if there is one.

    Raises TimeoutError; EOFError when the other side is gone, or wants to send more than 64 MiB; OSError.
    """
    (count,) = _receive(connection, 1, deadline)
    frames, total = [], 0
    for _ in range(count):
        (length,) = _LENGTH.unpack(_receive(connection, _LENGTH.size, deadline))
        total += length
        if total > _MOST_BYTES:
            raise EOFError("the answer is too long")
        frames.append(_receive(connection, length, deadline))
    return frames


def _receive(connection: socket.socket, length: int, deadline: float | None) -> bytearray:
    data = bytearray(length)
    done = 0
    while done < length:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
        count = connection.recv_into(memoryview(data)[done:])
        if not count:
            raise EOFError("the process ended without an answer")
        done += count
    return data
