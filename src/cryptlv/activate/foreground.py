"""Volumes that this process serves itself until it is told to end: one NBD server for all of them."""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager, suppress

from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.volume import HeldVolume, reply
from cryptlv.errors import ActivationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cryptlv.activate.nbd import NbdOptions
    from cryptlv.activate.nbd_address import Address
    from cryptlv.activate.process import ServeRequest
    from cryptlv.secret import VolumeKey


@contextmanager
def _handled(numbers: Iterable[int], handler: Callable[..., object]) -> Iterator[None]:
    """Signals go to a handler, and afterwards to those before."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


@contextmanager
def end_signals() -> Iterator[int]:
    """A descriptor that can be read when SIGTERM or SIGINT has come; SIGHUP too."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        with _handled((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), lambda *_: None):
            yield reading
    finally:
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP do what Ctrl-C does, so that what was begun is taken back."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with _handled((signal.SIGTERM, signal.SIGHUP), interrupt):
        yield


class Foreground:
    """Volumes in this process: held one after the other, then served together."""

    def __init__(self) -> None:
        self._volumes: dict[str, HeldVolume] = {}
        self._controls: dict[socket.socket, HeldVolume] = {}
        self._server: NbdServer | None = None

    def hold(self, export_name: str, request: ServeRequest, keys: Mapping[str, VolumeKey]) -> None:
        """Lock and open a volume that is to be served by this name; the keys stay the caller's.

        Raises ActivationError, DeviceError, CipherError, and leaves nothing behind then.
        """
        if export_name in self._volumes:
            raise ActivationError(f"two volumes cannot both be served as {export_name!r}")
        volume = HeldVolume(request)
        try:
            volume.open(keys)
        except BaseException:
            volume.close()
            raise
        self._volumes[export_name] = volume

    def start(
        self, address: Address, options: NbdOptions, tell: Callable[[str], object] = lambda _: None
    ) -> NbdServer:
        """Serve what is held, and `tell` of failing disks; raises ActivationError or RefusedError."""
        server = NbdServer({name: volume.stream for name, volume in self._volumes.items()}, address, options, tell)
        server.start()
        self._server = server
        for volume in self._volumes.values():
            self._controls[volume.announce("nbd", server.path)] = volume
        return server

    def wait(self, ended: int) -> None:
        """Serve until `ended` can be read or a command insists on the end, then flush and close everything.

        Raises ActivationError when the last flush of a volume failed.
        """
        asked: socket.socket | None = None
        while asked is None:
            numbers = {control.fileno(): control for control in self._controls}
            ready, _, _ = select.select([ended, *numbers], [], [])
            if ended in ready:
                break
            asked = self._answer(numbers[ready[0]])
        failures = self.close()
        if asked is not None:
            with asked, suppress(OSError):
                reply(asked, {"error": failures[0]} if failures else {})
        if failures:
            raise ActivationError("; ".join(failures))

    def _answer(self, control: socket.socket) -> socket.socket | None:
        """Answer a command; the connection of one that wants the end, and is answered when that is done."""
        volume = self._controls[control]
        connection, _ = control.accept()
        try:
            connection.settimeout(5)
            words = connection.recv(64).decode("ascii", "replace").split()
            if words == ["stop", "force"]:
                return connection
            if words[:1] == ["stop"]:
                told = f"logical volume {volume.name} is served by cryptlv serve, process {os.getpid()}: end that"
                reply(connection, {"in_use": told})
            else:
                reply(connection, {"users": self._server.users if self._server else 0})
        except OSError:
            pass
        connection.close()
        return None

    def close(self) -> list[str]:
        """Disconnect clients, flush, forget the keys; gives what went wrong. Closing twice does no harm."""
        failures = []
        if self._server is not None:
            self._server.stop()
            self._server = None
        while self._volumes:
            _, volume = self._volumes.popitem()
            try:
                volume.flush()
            except ActivationError as error:
                failures.append(str(error))
            volume.close()
        self._controls = {}
        return failures
