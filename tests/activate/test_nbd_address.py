"""Where an NBD server listens."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.nbd_address import Address, is_private, listen, parse_address
from cryptlv.errors import ActivationError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/x.sock", Address(path="/run/x.sock")),
        ("unix:/a:b", Address(path="/a:b")),
        ("tcp:localhost", Address(host="localhost", port=10809)),
        ("tcp:10.0.0.1:7", Address(host="10.0.0.1", port=7)),
        ("tcp:[::1]:7", Address(host="::1", port=7)),
        ("tcp:[::1]", Address(host="::1", port=10809)),
        ("tcp:::1", Address(host="::1", port=10809)),
        ("tcp:h:0", Address(host="h", port=0)),
        ("fd:3,4", Address(descriptors=(3, 4))),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


def test_a_relative_path_is_where_the_command_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_address("unix:s") == Address(path=str(tmp_path / "s"))


@pytest.mark.parametrize(
    "text",
    ["", "unix:", "tcp:", "tcp::1", "tcp:h:", "tcp:h:x", "tcp:h:65536", "fd:", "fd:x", "fd:3,", "udp:h:1", "/s"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither unix:PATH nor tcp:HOST"):
        parse_address(text)


def test_tcp_listens_at_every_address_of_a_host_and_says_who_may_come() -> None:
    for host, private in (("127.0.0.1", True), ("0.0.0.0", False)):  # noqa: S104 - to be refused by the server
        (listener,) = listen(Address(host=host, port=0))
        with listener:
            assert is_private(listener) is private
            with socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=10):
                pass
    with pytest.raises(ActivationError, match="cannot listen"):
        listen(Address(host="no-such-host.invalid", port=1))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ActivationError, match="in use"):
        listen(Address(host="127.0.0.1", port=taken.getsockname()[1]))


def test_a_dead_socket_is_replaced_and_a_living_one_or_anything_else_is_not(short_folder: Path) -> None:
    path = short_folder / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (listener,) = listen(Address(path=str(path)))
    with listener:
        assert is_private(listener)
        with pytest.raises(ActivationError, match="in use"):
            listen(Address(path=str(path)))
    path.unlink()
    path.write_bytes(b"mine")
    with pytest.raises(ActivationError, match="in use"):
        listen(Address(path=str(path)))
    assert path.read_bytes() == b"mine"


def test_descriptors_must_be_sockets_that_listen(short_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_folder / "s"))
        with pytest.raises(ActivationError, match="does not listen"):
            listen(Address(descriptors=(listener.fileno(),)))
        listener.listen()
        (inherited,) = listen(Address(descriptors=(os.dup(listener.fileno()),)))
        inherited.close()
    with (short_folder / "file").open("wb") as file, pytest.raises(ActivationError, match="no socket"):
        listen(Address(descriptors=(file.fileno(),)))
