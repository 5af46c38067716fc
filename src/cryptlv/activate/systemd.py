"""What a service is told by systemd and tells it: sockets that are open already (sd_listen_fds(3)), and its state
(sd_notify(3))."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST_DESCRIPTOR = 3


def inherited_descriptors(environ: Mapping[str, str]) -> tuple[int, ...]:
    """The sockets that were opened for this process, () when there are none or they are for another process."""
    pid, count = environ.get("LISTEN_PID", ""), environ.get("LISTEN_FDS", "")
    if pid != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return ()
    return tuple(range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)))


def notify(environ: Mapping[str, str], message: str) -> None:
    """Tell whoever started the service, such as READY=1; nothing where nobody wants to know."""
    place = environ.get("NOTIFY_SOCKET", "")
    if not place.startswith(("/", "@")):
        return
    address = "\0" + place[1:] if place.startswith("@") else place
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(message.encode(), address)
