"""Volumes served by this process; the command is in cli/test_serve.py."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.foreground import Foreground, end_signals, interrupted_by_signals
from cryptlv.activate.nbd import NbdOptions
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.process import find_server, stop_server
from cryptlv.errors import ActivationError, CryptlvError, InUseError
from cryptlv.secret import VolumeKey
from support.nbd import WRITE, Client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cryptlv.activate.process import ServeRequest


def held(request: ServeRequest, volume_keys: Mapping[str, bytes]) -> Foreground:
    """One volume held under the name `e`."""
    os.makedirs(f"{request.run_dir}/@servers", exist_ok=True)
    foreground = Foreground()
    foreground.hold("e", request, {name: VolumeKey(volume_keys[name]) for name in request.ciphers})
    return foreground


def test_it_serves_until_it_is_told_to_end_and_only_force_ends_it_from_outside(
    server_request: Callable[..., ServeRequest], volume_keys: Mapping[str, bytes], short_folder: Path
) -> None:
    request = server_request()
    foreground = held(request, volume_keys)
    with pytest.raises(ActivationError, match="two volumes"):
        foreground.hold("e", request, {})
    path = str(short_folder / "fg")
    foreground.start(Address(path=path), NbdOptions())
    reading, writing = os.pipe()
    thread = threading.Thread(target=foreground.wait, args=(reading,))
    thread.start()
    try:
        with Client(path).go(b"e") as client:
            assert client.request(WRITE, 0, data=b"x" * 512) == 0
            with pytest.raises(InUseError, match=f"served by cryptlv serve, process {os.getpid()}"):
                stop_server(request.run_dir, "id0", patience_seconds=0.1)
            assert client.request(WRITE, 0, data=b"y" * 512) == 0
        stop_server(request.run_dir, "id0", force=True)
        thread.join(30)
        assert not thread.is_alive()
    finally:
        os.write(writing, b"\0")
        thread.join(30)
        os.close(reading)
        os.close(writing)
    assert find_server(request.run_dir, "id0") is None
    assert not os.path.lexists(path)
    assert foreground.close() == []


def test_a_volume_that_cannot_be_opened_is_let_go(
    server_request: Callable[..., ServeRequest], volume_keys: Mapping[str, bytes]
) -> None:
    request = server_request()
    (pv_id,) = request.device_paths
    with pytest.raises(CryptlvError):
        held(request.replace(device_paths={pv_id: "/no/such"}), volume_keys)
    held(request, volume_keys).close()


def test_sigterm_interrupts_where_it_should_and_its_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interrupted_by_signals():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_signals_become_readable_and_their_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with end_signals() as ended:
        os.kill(os.getpid(), signal.SIGTERM)
        assert os.read(ended, 10) == bytes([signal.SIGTERM])
    assert signal.getsignal(signal.SIGTERM) is before
