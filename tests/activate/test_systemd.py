"""systemd's sockets and its notifications."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.systemd import inherited_descriptors, notify

if TYPE_CHECKING:
    from pathlib import Path

ME = str(os.getpid())


@pytest.mark.parametrize(
    ("environ", "descriptors"),
    [
        ({}, ()),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "2"}, (3, 4)),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "0"}, ()),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, ()),
        ({"LISTEN_FDS": "2"}, ()),
        ({"LISTEN_PID": ME, "LISTEN_FDS": "-1"}, ()),
        ({"LISTEN_PID": ME}, ()),
    ],
)
def test_sockets_are_taken_when_they_are_for_this_process(environ: dict[str, str], descriptors: tuple[int]) -> None:
    assert inherited_descriptors(environ) == descriptors


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_reach_who_listens_by_path_or_by_abstract_name(short_folder: Path, abstract: bool) -> None:
    place = f"@cryptlv-test-{ME}" if abstract else str(short_folder / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + place[1:] if abstract else place)
        notify({"NOTIFY_SOCKET": place}, "READY=1")
        manager.settimeout(10)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("place", ["", "relative", "/no/such/socket"])
def test_nobody_who_listens_is_no_error(place: str) -> None:
    notify({"NOTIFY_SOCKET": place}, "READY=1")
