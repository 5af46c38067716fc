"""A volume held by a process: its lock, and what it leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.process import find_server
from cryptlv.activate.volume import HeldVolume
from cryptlv.errors import ActivationError, NotFoundError
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptlv.activate.process import ServeRequest


@pytest.fixture
def request_(server_request: Callable[..., ServeRequest]) -> ServeRequest:
    """A request, with the server's directory made."""
    request = server_request()
    os.makedirs(f"{request.run_dir}/@servers")
    return request


def keys_of(request: ServeRequest, volume_keys: Mapping[str, bytes]) -> dict[str, VolumeKey]:
    """The keys that a request needs."""
    return {name: VolumeKey(volume_keys[name]) for name in request.ciphers}


def test_a_volume_is_held_once_announced_to_others_and_gone_when_closed(
    request_: ServeRequest, volume_keys: Mapping[str, bytes], read_by_model: Callable[..., bytes]
) -> None:
    volume = HeldVolume(request_)
    with pytest.raises(ActivationError, match="vg0/lv0 is active already"):
        HeldVolume(request_)
    stream = volume.open(keys_of(request_, volume_keys))
    contents = {pv_id: Path(path).read_bytes() for pv_id, path in request_.device_paths.items()}
    assert stream.read(0, stream.size_bytes) == read_by_model(request_.mapping, contents)
    volume.announce("nbd", "/some/where")
    info = find_server(request_.run_dir, "id0")
    assert info is not None
    assert (info.pid, info.path, info.backend) == (os.getpid(), "/some/where", "nbd")
    stream.write(0, b"x")
    volume.flush()
    volume.close()
    assert find_server(request_.run_dir, "id0") is None
    assert [path.name for path in Path(request_.run_dir, "@servers").iterdir()] == ["id0.lock"]
    HeldVolume(request_).close()


def test_a_device_that_is_not_there_is_an_error_and_closing_lets_go(
    request_: ServeRequest, volume_keys: Mapping[str, bytes]
) -> None:
    (pv_id,) = request_.device_paths
    volume = HeldVolume(request_.replace(device_paths={pv_id: "/no/such"}))
    with pytest.raises(NotFoundError):
        volume.open(keys_of(request_, volume_keys))
    volume.close()
    assert find_server(request_.run_dir, "id0") is None


def test_discards_reach_the_image_when_they_are_allowed(
    request_: ServeRequest, volume_keys: Mapping[str, bytes]
) -> None:
    (path,) = request_.device_paths.values()
    (target,) = request_.mapping.targets
    flagged = request_.mapping.replace(targets=(target.replace(flags=("allow_discards",)),))
    for allowed, mapping in ((False, request_.mapping), (True, request_.mapping), (True, flagged)):
        with open(path, "r+b") as file:
            file.write(b"x" * (1 << 20))
        volume = HeldVolume(request_.replace(allow_discards=allowed and mapping is not flagged, mapping=mapping))
        stream = volume.open(keys_of(request_, volume_keys))
        before = os.stat(path).st_blocks
        stream.discard(0, 512 * 1024)
        assert (os.stat(path).st_blocks < before) is allowed
        volume.close()
