"""Ends that nobody asked the server for: a mount taken away, handles on a forced stop, descriptors run out."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.stream import VolumeStream
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.mapping import LinearTarget, VolumeMapping
from support.machine import need_root

if TYPE_CHECKING:
    from support.machine import Machine


@pytest.fixture
def server(machine: Machine) -> NbdServer:
    target = LinearTarget(start_sectors=0, length_sectors=8, pv_id="pv", offset_sectors=0)
    mapping = VolumeMapping(
        vg_name="vg", vg_id="vgid", lv_name="lv", lv_id="id", length_sectors=8, writable=True, targets=(target,)
    )
    stream = VolumeStream(mapping, {"pv": MemoryDevice(4096)}, {})
    return NbdServer({"vg0/lv0": stream}, Address(path=str(machine.folder / "s.nbd")))


def test_a_server_whose_mount_somebody_took_away_ends_and_its_file_goes(vg0: Machine) -> None:
    """Who wrote to a file that stayed would write plaintext to the disk that holds the run directory."""
    need_root()
    vg0.run("lvcreate", "-l1", "-nx", "vg0")
    path = Path(vg0.run("lvchange", "-ay", "--backend", "fuse", "vg0/x").lines[0])
    vg0.tool("umount", path)
    deadline = time.monotonic() + 10
    while path.exists() or vg0.server_pids():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert vg0.run("lvchange", "-ay", "--backend", "fuse", "vg0/x").lines == [str(path)]


def test_a_forced_stop_takes_the_file_from_under_its_users_at_once(vg0: Machine) -> None:
    need_root()
    vg0.run("lvcreate", "-l1", "-nx", "vg0")
    path = Path(vg0.run("lvchange", "-ay", "--backend", "fuse", "vg0/x").lines[0])
    with path.open("r+b", buffering=0) as handle:
        started = time.monotonic()
        vg0.run("lvchange", "-an", "-f", "vg0/x")
        assert time.monotonic() - started < 5
        with pytest.raises(OSError, match="not connected"):
            handle.read(512)


def test_stopping_while_clients_are_coming_in_is_not_an_error(server: NbdServer) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            server.start()
            clients = [socket.socket(socket.AF_UNIX) for _ in range(10)]
            for client in clients:
                client.connect(server.path)
            server.stop()
            for client in clients:
                client.close()
    finally:
        sys.setswitchinterval(interval)


def test_running_out_of_descriptors_is_not_the_end(server: NbdServer) -> None:
    """Connections wait in the listener's queue; this process has no descriptor left to accept them."""
    server.start()
    clients = [socket.socket(socket.AF_UNIX) for _ in range(10)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
    try:
        for client in clients:
            client.connect(server.path)
        time.sleep(0.3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for client in clients:
        client.settimeout(5)
        assert client.recv(8) == b"NBDMAGIC"
        client.close()
    server.stop()
