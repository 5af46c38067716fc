"""The server process of one active volume: `python -m cryptlv.activate.server FD`, started by `process.start_server`.

It takes the request and the keys from the socket FD, serves the volume, answers on its control socket, and on `stop`
or SIGTERM flushes, removes its path and ends. The key is in this process alone.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from contextlib import ExitStack, suppress

from cryptlv.activate.fuse import FuseFile, check_usable
from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.process import decode_request, load_engine, public_path
from cryptlv.activate.volume import HeldVolume, reply
from cryptlv.errors import EXIT_FAILED, ActivationError, CryptlvError
from cryptlv.host.system import end_with_parent, forbid_dumps
from cryptlv.secret import VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cryptlv.activate.process import ServeRequest

_MAX_REQUEST_BYTES = 256 * 1024 * 1024


def _harden() -> None:
    """No core dumps, no tracing by others of the same user, files for us alone."""
    forbid_dumps()
    os.umask(0o077)


def _receive(connection: socket.socket) -> tuple[ServeRequest, dict[str, VolumeKey]]:
    length = int.from_bytes(_exactly(connection, 4), "big")
    if length > _MAX_REQUEST_BYTES:
        raise ActivationError("the request is too long")
    request = decode_request(bytes(_exactly(connection, length)))
    keys: dict[str, VolumeKey] = {}
    for name in request.ciphers:
        size = int.from_bytes(_exactly(connection, 2), "big")
        keys[name] = VolumeKey(_exactly(connection, size))
    return request, keys


def _exactly(connection: socket.socket, length: int) -> bytearray:
    out = bytearray(length)
    view = memoryview(out)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise ActivationError("the command that started the server has gone")
        view = view[count:]
    return out


class Server:
    """One volume being served. A byte written to `wakeup` ends it: a signal's, or that of a mount that has gone."""

    def __init__(self, request: ServeRequest, wakeup: int) -> None:
        self.request = request
        self._wakeup = wakeup
        self._volume = HeldVolume(request)

    def open(self, keys: dict[str, VolumeKey]) -> None:
        """Open devices and ciphers and start the backend; the keys are closed."""
        request, mapping = self.request, self.request.mapping
        with ExitStack() as stack:
            for key in keys.values():
                stack.enter_context(key)
            stream = self._volume.open(keys)
        self.backend = self._choose_backend()
        self.path = request.path or public_path(request.run_dir, mapping, self.backend)
        if os.path.lexists(self.path):
            raise ActivationError(f"{self.path}: is there already; it belongs to another volume or must be removed")
        self._control = self._volume.announce(self.backend, self.path)
        self._export: NbdServer | FuseFile = (
            NbdServer({f"{mapping.vg_name}/{mapping.lv_name}": stream}, Address(path=self.path))
            if self.backend == "nbd"
            else FuseFile(stream, self.path, lambda: os.write(self._wakeup, b"\0"))
        )
        self._export.start()

    def _choose_backend(self) -> str:
        if self.request.backend != "auto":
            return self.request.backend
        try:
            check_usable()
        except ActivationError:
            return "nbd"
        return "fuse"

    def wait(self, woken: int) -> None:
        """Answer on the control socket until the server is to end, or `woken` can be read.

        Raises ActivationError, which the log keeps, when the last flush failed and nobody is there to be told.
        """
        while True:
            ready, _, _ = select.select([self._control.fileno(), woken], [], [])
            if woken in ready:
                self._volume.keeps_log = True
                self._end(force=True)
                self._volume.keeps_log = False
                return
            connection, _ = self._control.accept()
            with connection:
                connection.settimeout(5)
                try:
                    if self._answer(connection):
                        return
                except OSError:
                    continue

    def _answer(self, connection: socket.socket) -> bool:
        """Do what one control connection asks; whether the server is at its end."""
        words = connection.recv(64).decode("ascii", "replace").split()
        if words[:1] != ["stop"]:
            reply(connection, {"users": self._export.users, "path": self.path})
            return False
        force = "force" in words
        if self._export.users and not force:
            reply(connection, {"in_use": f"logical volume {self._volume.name} is in use ({self._export.users} open)"})
            return False
        try:
            self._end(force=force)
            answer: dict[str, Any] = {}
        except ActivationError as error:
            if "cannot unmount" in str(error):
                reply(connection, {"in_use": f"logical volume {self._volume.name} is in use: {error}"})
                return False
            answer = {"error": str(error)}
        with suppress(OSError):  # the command has gone; the path has too, so this is the end all the same
            reply(connection, answer)
        return True

    def _end(self, *, force: bool) -> None:
        """Take the path away, flush, forget the keys. Raises ActivationError when the flush failed."""
        if isinstance(self._export, FuseFile):
            self._export.stop(force=force)
        else:
            self._export.stop()
        self._volume.flush()

    def abandon(self) -> None:
        """End what has just begun, as nobody wants it any more."""
        with suppress(CryptlvError):
            self._end(force=True)
        self.close()

    def close(self) -> None:
        """Forget the keys, remove the server's files, and last of all let the lock go."""
        self._volume.close()


def _load() -> None:
    """Have at hand what an encrypted volume needs, while the command still asks for its keys; what is missing is told
    when it is used."""
    load_engine()
    with suppress(CryptlvError):
        check_usable()


def _hears(starter: socket.socket, answer: dict[str, Any]) -> bool:
    """Whether the command is still there to be told; one that was killed meanwhile leaves nobody who knows of us."""
    try:
        reply(starter, answer)
    except OSError:
        return False
    return True


def main(descriptor: int, *, is_crypt: bool = False) -> int:
    """Serve the volume that the command at the other end of `descriptor` asks for; the process's exit status."""
    _harden()
    if is_crypt:
        _load()
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server: Server | None = None
    with socket.socket(fileno=descriptor) as starter:
        starter.set_inheritable(False)
        try:
            request, keys = _receive(starter)
            if request.ends_with_starter:
                end_with_parent(signal.SIGTERM)
            server = Server(request, writing)
            server.open(keys)
            if not _hears(starter, {"path": server.path, "backend": server.backend}):
                server.abandon()
                return EXIT_FAILED
        except CryptlvError as error:
            if server is not None:
                server.close()
            with suppress(OSError):  # the command may have gone
                reply(starter, {"error": str(error)})
            return error.exit_code
        except Exception as error:
            if server is not None:
                server.close()
            reply(starter, {"error": f"internal error in the server process: {type(error).__name__}: {error}"})
            raise
    try:
        server.wait(reading)
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), is_crypt="crypt" in sys.argv[2:]))
