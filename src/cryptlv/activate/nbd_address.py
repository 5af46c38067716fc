"""Where an NBD server listens: a unix socket, TCP, or sockets that systemd has opened (sd_listen_fds(3))."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress

from cryptlv.errors import ActivationError, UsageError
from cryptlv.record import Record

MAX_SOCKET_PATH_BYTES = 107
DEFAULT_PORT = 10809
_BACKLOG = 64
INHERITED_SECONDS = 0.2
"""How often an inherited socket is left to look whether the server ends: it cannot be shut down, as it is shared with
who has opened it, and will be used again."""


class Address(Record):
    """One of: the `path` of a unix socket, `host` and `port` of TCP, open `descriptors` that listen already."""

    path: str = ""
    host: str = ""
    port: int = 0
    descriptors: tuple[int, ...] = ()


def parse_address(text: str) -> Address:
    """`unix:PATH`, `tcp:HOST[:PORT]` (an IPv6 address in brackets) or `fd:N[,N...]`; raises UsageError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        return Address(path=os.path.abspath(rest))
    if kind == "fd" and rest and all(word.isascii() and word.isdigit() for word in rest.split(",")):
        return Address(descriptors=tuple(int(word) for word in rest.split(",")))
    if kind == "tcp" and rest:
        host, port = rest, str(DEFAULT_PORT)
        if not rest.endswith("]") and (rest.startswith("[") or rest.count(":") == 1):
            host, _, port = rest.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if host and port.isascii() and port.isdigit() and int(port) < 65536:
            return Address(host=host, port=int(port))
    raise UsageError(f"--nbd {text!r} is neither unix:PATH nor tcp:HOST[:PORT] with a port up to 65535")


def listen(address: Address) -> list[socket.socket]:
    """Sockets that listen; that of a path is for its owner alone. Raises ActivationError."""
    if address.path:
        return [_listen_unix(address.path)]
    if address.descriptors:
        return [_inherited(descriptor) for descriptor in address.descriptors]
    return _listen_tcp(address.host, address.port)


def _listen_unix(path: str) -> socket.socket:
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ActivationError(
            f"{path}: longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path; "
            "give a shorter one (for volumes in the background set CRYPTLV_RUN_DIR)"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        _remove_dead(path)
        listener.bind(path)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ActivationError(f"{path}: cannot listen: {_reason(error)}") from None
    finally:
        os.umask(old_mask)
    return listener


def _reason(error: OSError) -> str:
    """What the system says, and what to do about the most frequent."""
    taken = error.errno == errno.EADDRINUSE
    return f"{error.strerror}; end or remove what is there, or choose another" if taken else str(error.strerror)


def _remove_dead(path: str) -> None:
    """Take away a socket at which nobody listens, as a server that was killed leaves it."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with suppress(FileNotFoundError):
                os.unlink(path)
        except OSError:
            return


def _listen_tcp(host: str, port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, where in found:
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(where)
            listener.listen(_BACKLOG)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise ActivationError(f"tcp:{host}:{port}: cannot listen: {_reason(error)}") from None
    return listeners


def _inherited(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ActivationError(f"descriptor {descriptor} is no socket: {error.strerror}") from None
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise ActivationError(f"descriptor {descriptor} does not listen")
    listener.set_inheritable(False)
    listener.settimeout(INHERITED_SECONDS)
    return listener


def is_private(listener: socket.socket) -> bool:
    """Whether only this machine can connect: a unix socket, or a loopback address."""
    if listener.family == socket.AF_UNIX:
        return True
    host = str(listener.getsockname()[0])
    if listener.family == socket.AF_INET:
        return host.startswith("127.")
    return host == "::1"
