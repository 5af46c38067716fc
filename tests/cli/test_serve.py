"""`cryptlv serve`, whole processes and real clients."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.machine import FAST, need, need_root
from support.nbd import FUA, READ, TRIM, WRITE, Client
from support.serving import serving

if TYPE_CHECKING:
    from support.machine import Machine


@pytest.fixture
def volumes(vg0: Machine) -> Machine:
    """vg0/s, encrypted, and vg0/p, both of 8 MiB; the key file is `key`."""
    key = vg0.key_file("key", b"secret")
    vg0.run("lvcreate", "--type", "crypt", "-L8m", "-ns", "vg0", "--keyfile", key, *FAST)
    vg0.run("lvcreate", "-L8m", "-np", "vg0")
    return vg0


def test_one_volume_is_served_at_its_place_and_keeps_what_is_written(volumes: Machine) -> None:
    with serving(volumes, "--keyfile", "key", "vg0/s") as served:
        assert served.places == [f"nbd+unix:///vg0%2Fs?socket={volumes.folder}/run/vg0/s.nbd"]
        assert stat.S_IMODE(os.stat(served.socket).st_mode) == 0o600
        with Client(served.socket).go(b"vg0/s") as client:
            assert client.request(WRITE, 12345, data=b"kept") == 0
        (row,) = [line for line in volumes.run("lvs", "--noheadings", "-olv_name,lv_attr").lines if line[0] == "s"]
        assert row.split()[1][4] == "a"
    assert not list((volumes.folder / "run" / "vg0").glob("*") if (volumes.folder / "run" / "vg0").exists() else ())
    assert volumes.server_pids() == []
    path = Path(volumes.run("lvchange", "-ay", "--backend", "nbd", "--keyfile", "key", "vg0/s").lines[0])
    with Client(str(path)).go() as client:
        assert client.read(12345, 4) == b"kept"
    volumes.run("lvchange", "-an", "vg0/s")


@pytest.mark.compat
def test_several_volumes_have_one_server_and_the_names_that_are_wished(volumes: Machine) -> None:
    need("nbdinfo")
    words = ["--nbd", f"unix:{volumes.folder}/all", "--export-name", "first one", "--export-name", "b"]
    with serving(volumes, *words, "--keyfile", "key", "vg0/s", "vg0/p", count=2) as served:
        assert served.places[0] == f"nbd+unix:///first%20one?socket={volumes.folder}/all"
        for place in served.places:
            said = subprocess.run(["nbdinfo", "--size", place], capture_output=True, text=True, check=True)
            assert int(said.stdout) == 8 * 2**20
        assert volumes.fail("serve", "--keyfile", "key", "vg0/s").endswith("deactivate it first")
        told = volumes.fail("lvchange", "-an", "vg0/p")
        assert f"is served by cryptlv serve, process {served.process.pid}" in told
        assert served.process.poll() is None
        volumes.run("lvchange", "-an", "-f", "vg0/p")
        assert served.process.wait(30) == 0
    assert not (volumes.folder / "all").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_flushes_and_ends_it(volumes: Machine, number: int) -> None:
    with serving(volumes, "--nbd", "tcp:127.0.0.1:0", "--keyfile", "key", "vg0/s") as served:
        place, _, name = served.places[0].removeprefix("nbd://127.0.0.1:").partition("/")
        assert name == "vg0%2Fs"
        with Client(("127.0.0.1", int(place))).go() as client:
            assert client.request(WRITE, 0, data=b"x" * 4096) == 0
            assert served.end(number) == (0, "")
            assert client.at_end()


def test_read_only_and_discards_are_as_the_options_say(volumes: Machine) -> None:
    image = volumes.folder / "a.img"
    with serving(volumes, "--read-only", "vg0/p") as served, Client(served.socket).go() as client:
        assert client.request(WRITE, 0, data=b"x") == 1
    process = volumes.start("serve", "--allow-discards", "vg0/p")
    assert process.stdout is not None
    path = process.stdout.readline().decode().partition("socket=")[2].strip()
    with Client(path).go() as client:
        assert client.request(WRITE, 0, data=os.urandom(1 << 20), flags=FUA) == 0
        before = image.stat().st_blocks
        assert client.request(TRIM, 0, 1 << 20, flags=FUA) == 0
        assert image.stat().st_blocks < before
        assert client.read(0, 1 << 20) == bytes(1 << 20)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert "WARNING: discards are passed to the devices" in said.decode()
    with serving(volumes, "vg0/p") as served, Client(served.socket).go() as client:
        assert client.request(WRITE, 0, data=b"y" * 4096, flags=FUA) == 0
        assert client.request(TRIM, 0, 4096) == 0
        assert client.read(0, 4096) == b"y" * 4096


def test_what_cannot_be_served_is_said_in_one_line_and_leaves_nothing_active(volumes: Machine) -> None:
    for words, status, told in (
        ((), 3, "name the volumes"),
        (("vg0",), 3, "write VG/LV"),
        (("vg0/p", "vg0/s"), 3, "several volumes need --nbd"),
        (("--nbd", "x", "vg0/p"), 3, "neither unix:PATH nor tcp:HOST"),
        (("--nbd", "", "vg0/p"), 3, "--nbd is empty"),
        (("--tls", "", "--nbd", "tcp:127.0.0.1", "vg0/p"), 3, "--tls is empty"),
        (("--fuse", "", "vg0/p"), 3, "--fuse is empty"),
        (("--fuse", "d", "--cache", "writethrough", "vg0/p"), 3, "--fuse goes with none of"),
        (("--fuse", "a.img", "vg0/p"), 5, "a.img/vg0: cannot make this directory: Not a directory"),
        (("--fuse", "d", "--nbd", "unix:x", "vg0/p"), 3, "--fuse goes with none of"),
        (("--export-name", "a", "--export-name", "b", "vg0/p"), 3, "once for each volume"),
        (("--export-name", "", "vg0/p"), 3, "1 to 4096 bytes"),
        (("--cache", "none", "vg0/p"), 3, "not one of writeback, writethrough"),
        (("--max-inflight", "1m", "vg0/p"), 3, "--max-inflight must be 38m at least"),
        (("--nbd", "tcp:0.0.0.0:0", "vg0/p"), 5, "insist with --insecure"),
        (("--tls", "nowhere", "vg0/p"), 5, "ca-cert.pem"),
        (("vg0/none",), 5, "none"),
    ):
        assert told in volumes.fail("serve", *words, "--keyfile", "key", status=status)
    volumes.key_file("bad", b"wrong")
    for command, rest in (("serve", ()), ("copy", ("out",))):
        assert (
            volumes.fail(command, "--keyfile", "bad", "vg0/s", *rest)
            == "vg0/s: no keyslot opens with this passphrase"
        )
    assert volumes.server_pids() == []
    assert "a" not in {line.split()[2][4] for line in volumes.run("lvs", "--noheadings").lines}


def test_insecure_means_everybody_on_the_network(volumes: Machine) -> None:
    with serving(volumes, "--nbd", "tcp:0.0.0.0:0", "--insecure", "vg0/p") as served:
        assert served.places[0].startswith("nbd://0.0.0.0:")


def test_systemd_gives_the_socket_and_is_told_when_all_is_ready(volumes: Machine) -> None:
    activated, notified = str(volumes.folder / "activated"), str(volumes.folder / "notify")
    code = (
        "import os, socket, sys\n"
        f"s = socket.socket(socket.AF_UNIX); s.bind({activated!r}); s.listen()\n"
        "s.set_inheritable(True); os.dup2(s.fileno(), 3)\n"
        f"os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET={notified!r})\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'cryptlv', 'serve', 'vg0/p'])\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(notified)
        manager.settimeout(30)
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=volumes.folder, env=volumes.environ, close_fds=False
        )
        try:
            assert manager.recv(100) == b"READY=1"
            with Client(activated).go(b"vg0/p") as client:
                assert client.request(READ, 0, 512) == 0
            process.terminate()
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.root
def test_files_through_fuse_have_a_process_each_and_go_with_the_command(volumes: Machine) -> None:
    need_root()
    with serving(volumes, "--fuse", "files", "--keyfile", "key", "vg0/s", "vg0/p", count=2) as served:
        paths = [Path(place) for place in served.places]
        assert paths == [volumes.folder / "files" / "vg0" / name for name in ("s", "p")]
        for path in paths:
            with path.open("r+b", buffering=0) as file:
                assert file.seek(0, os.SEEK_END) == 8 * 2**20
                file.seek(4096)
                file.write(b"through fuse")
        assert len(set(volumes.server_pids())) == 2
        assert served.process.pid not in volumes.server_pids()
    assert [path.exists() for path in paths] == [False, False]
    assert volumes.server_pids() == []


@pytest.mark.root
@pytest.mark.parametrize("is_killed", [False, True])
def test_files_whose_servers_end_are_told_of_and_the_last_of_them_ends_the_command(
    volumes: Machine, is_killed: bool
) -> None:
    need_root()
    with serving(volumes, "--fuse", "files", "--keyfile", "key", "vg0/s", "vg0/p", count=2) as served:
        if is_killed:
            volumes.run("lvchange", "-an", "vg0/s")
            (pid,) = volumes.server_pids()
            os.kill(pid, signal.SIGKILL)
        else:
            volumes.tool("umount", served.places[0])
            volumes.run("lvchange", "-an", "vg0/p")
        served.process.wait(20)
        status, told = served.end()
    assert status == (5 if is_killed else 0)
    lines = [line.strip() for line in told.splitlines()]
    assert lines[:2] == [f"WARNING: vg0/{name} is not served any more" for name in ("s", "p")]
    assert lines[2:] == ["vg0/p: its server was killed or failed; what was not flushed may be lost"] * is_killed
    assert not [place for place in served.places if os.path.lexists(place)]


def test_a_volume_whose_server_was_killed_is_served_again(volumes: Machine) -> None:
    path = f"unix:{volumes.folder}/all"
    with serving(volumes, "--nbd", path, "vg0/p") as served:
        os.kill(served.process.pid, signal.SIGKILL)
        served.end()
    with serving(volumes, "--nbd", path, "vg0/p") as served, Client(served.socket).go() as client:
        assert len(client.read(0, 512)) == 512


def wait_for_none(pids: list[int]) -> None:
    """Return when these processes have ended."""
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.root
def test_files_end_with_a_command_that_is_killed_and_what_was_written_stays(volumes: Machine) -> None:
    need_root()
    with serving(volumes, "--fuse", "files", "--keyfile", "key", "vg0/s", "vg0/p", count=2) as served:
        for place in served.places:
            with open(place, "r+b", buffering=0) as file:
                file.write(b"written")
        pids = volumes.server_pids()
        assert len(pids) == 2
        os.kill(served.process.pid, signal.SIGKILL)
        served.end()
        wait_for_none(pids)
        assert not [place for place in served.places if os.path.lexists(place)]
    for name in ("s", "p"):
        volumes.run("copy", "-y", "--keyfile", "key", f"vg0/{name}", "out")
        assert (volumes.folder / "out").read_bytes().startswith(b"written")


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_while_it_starts_leaves_no_file_and_no_server(volumes: Machine, number: int) -> None:
    need_root()
    words = ("serve", "--fuse", "files", "--keyfile", "key", "vg0/s")
    began = time.monotonic()
    with serving(volumes, *words[1:]):
        took = time.monotonic() - began
    for part in range(1, 9):
        process = volumes.start(*words)
        time.sleep(took * (0.4 + part * 0.08))
        process.send_signal(number)
        process.communicate(timeout=30)
        wait_for_none(volumes.server_pids())
    path = volumes.folder / "files/vg0/s"
    deadline = time.monotonic() + 20
    while os.path.lexists(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    with serving(volumes, *words[1:]) as served:
        assert served.places == [str(path)]


@pytest.mark.root
@pytest.mark.parametrize("is_insisted", [False, True])
def test_a_file_that_is_open_is_waited_for_until_it_is_closed_or_somebody_insists(
    volumes: Machine, is_insisted: bool
) -> None:
    need_root()
    with serving(volumes, "--fuse", "files", "vg0/p") as served:
        file = os.open(served.places[0], os.O_RDWR)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.stderr is not None
        told = served.process.stderr.readline().decode()
        assert told.strip().startswith(
            "WARNING: logical volume vg0/p is in use (1 open): it ends when nobody uses it"
        )
        os.write(file, b"still there")
        if is_insisted:
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(20) == 0
            with pytest.raises(OSError, match="Transport endpoint"):
                os.write(file, b"too late")
        with suppress(OSError):
            os.close(file)
        assert served.process.wait(20) == 0
    assert not (volumes.folder / "files/vg0").exists()
    volumes.run("copy", "-y", "vg0/p", "out")
    assert (volumes.folder / "out").read_bytes().startswith(b"still there")


@pytest.mark.root
def test_a_killed_server_of_files_is_cleaned_up_after(volumes: Machine) -> None:
    need_root()
    with serving(volumes, "--fuse", "files", "vg0/p") as served:
        path = served.places[0]
        os.kill(served.process.pid, signal.SIGSTOP)  # it would clean up itself
        (pid,) = volumes.server_pids()
        os.kill(pid, signal.SIGKILL)
        os.kill(served.process.pid, signal.SIGKILL)
        served.end()
        wait_for_none([pid])
        volumes.run("lvchange", "-an", "vg0/p")
        assert not os.path.lexists(path)
        state = volumes.folder / "run" / "@servers"
        assert [json.loads(file.read_text()) for file in state.glob("*.json")] == []
