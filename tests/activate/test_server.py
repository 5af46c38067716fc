"""The server process from inside and at its sockets: signals, the control socket, a starter that goes wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.activate.process import ServeRequest, ServerInfo, encode_request, find_server, stop_server
from support.machine import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from activate.conftest import Serve, VolumeIo

    Model = Callable[..., bytes]
    Request = Callable[..., ServeRequest]
    Open = Callable[[ServerInfo], VolumeIo]
    Raw = Callable[[], tuple[socket.socket, subprocess.Popen[bytes]]]


def ended(pid: int) -> int:
    """The exit status of a child, waited for."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def plain(request: ServeRequest, read_by_model: Model) -> bytes:
    """What the volume must read as, by the independent model."""
    contents = {pv_id: Path(path).read_bytes() for pv_id, path in request.device_paths.items()}
    return read_by_model(request.mapping, contents)


class Control:
    """A connection to a server's control socket."""

    def __init__(self, request: ServeRequest) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(f"{request.run_dir}/@servers/{request.mapping.lv_id}.ctl")

    def ask(self, words: bytes) -> dict[str, Any]:
        """The answer to a line."""
        with self.socket:
            self.socket.sendall(words)
            answer: dict[str, Any] = json.loads(self.socket.makefile("rb").readline())
            return answer


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_sigterm_ends_the_server_with_its_data_written_and_nothing_left(
    serve: Serve, server_request: Request, volume_io: Open, read_by_model: Model, used: bool
) -> None:
    request = server_request(backend="nbd")
    info = serve(request)
    volume = volume_io(info)
    volume.write(1234, b"written before the signal")
    if not used:
        volume.close()
    os.kill(info.pid, signal.SIGTERM)
    assert ended(info.pid) == 0
    assert find_server(request.run_dir, "id0") is None
    assert [path.name for path in Path(request.run_dir).rglob("*")] == ["@servers", "id0.lock"]
    assert plain(request, read_by_model)[1234:1259] == b"written before the signal"


def test_sigterm_takes_a_fuse_file_away(
    serve: Serve, server_request: Request, volume_io: Open, read_by_model: Model, fuse_works: None
) -> None:
    request = server_request(backend="fuse")
    info = serve(request)
    volume = volume_io(info)
    volume.write(1234, b"written before the signal")
    volume.close()
    os.kill(info.pid, signal.SIGTERM)
    assert ended(info.pid) == 0
    assert [path.name for path in Path(request.run_dir).rglob("*")] == ["@servers", "id0.lock"]
    assert plain(request, read_by_model)[1234:1259] == b"written before the signal"


@pytest.mark.compat
@pytest.mark.parametrize("how", ["SIGTERM", "stop"])
def test_the_devices_are_synced_before_the_server_ends(
    serve: Serve, server_request: Request, volume_io: Open, short_folder: Path, how: str
) -> None:
    need("strace")
    request = server_request()
    info = serve(request)
    volume = volume_io(info)
    volume.write(0, b"not flushed by its writer")
    record = short_folder / "calls"
    words = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(record), "-p", str(info.pid)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        first = tracer.stderr.readline()
        if b"attached" not in first:
            tracer.wait(10)
            pytest.skip(f"processes cannot be traced here: {first.decode().strip()}")
        if how == "SIGTERM":
            os.kill(info.pid, signal.SIGTERM)
        else:
            stop_server(request.run_dir, "id0", force=True)
        assert ended(info.pid) == 0
        tracer.wait(10)
    volume.close()
    calls = record.read_text()
    assert f"<{request.device_paths['pv0']}>" in calls
    begun = re.findall(r"\bf(?:data)?sync\(", calls)
    ended_well = re.findall(r"\bf(?:data)?sync(?:\(.*>\)| resumed>\))\s*= 0$", calls, re.MULTILINE)
    assert len(ended_well) == len(begun) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_end_of_a_terminal_does_not_end_the_server(
    serve: Serve, server_request: Request, volume_io: Open, number: int
) -> None:
    info = serve(server_request())
    assert os.getsid(info.pid) == info.pid
    os.kill(info.pid, number)
    volume = volume_io(info)
    assert len(volume.read(0, 512)) == 512


def test_the_server_keeps_no_core_and_cannot_be_read_by_others_of_its_user(
    server_request: Request, volume_keys: Mapping[str, bytes], short_folder: Path
) -> None:
    """Without capabilities for it, a user sees into processes of their own, but not into those not dumpable."""
    need("setpriv")
    request = server_request()
    (short_folder / "request").write_bytes(encode_request(request))
    (short_folder / "key").write_bytes(volume_keys["ks0"])
    script = """
        import subprocess, sys
        from pathlib import Path
        from cryptlv.activate.process import decode_request, start_server, stop_server
        from cryptlv.secret import VolumeKey

        def can_read(pid):
            try:
                Path(f"/proc/{pid}/mem").open("rb").close()
            except PermissionError:
                return False
            return True

        folder = Path(sys.argv[1])
        request = decode_request((folder / "request").read_bytes())
        with subprocess.Popen(["sleep", "60"]) as other:
            info = start_server(request, {"ks0": VolumeKey((folder / "key").read_bytes())})
            limits = Path(f"/proc/{info.pid}/limits").read_text()
            core = next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4:6]
            print(can_read(other.pid), can_read(info.pid), *core)
            stop_server(request.run_dir, "id0")
            other.kill()
    """
    words = [sys.executable, "-c", textwrap.dedent(script), str(short_folder)]
    if os.geteuid() == 0:
        without = "-sys_ptrace,-sys_admin,-perfmon"  # each of them lets root read what others may not
        words = ["setpriv", "--bounding-set", without, "--inh-caps", without, *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["True", "False", "0", "0"], done.stderr


def test_the_server_keeps_no_descriptor_of_its_starter(serve: Serve, server_request: Request) -> None:
    """A pipe that the command's caller waits on must not stay open for as long as the volume is active."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        info = serve(server_request())
    finally:
        os.close(writing)
    assert os.read(reading, 1) == b"", "end of file: nobody has the other end"
    os.close(reading)
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            os.listdir(f"/proc/{info.pid}/fd")
        return
    for number in (0, 1):
        assert os.readlink(f"/proc/{info.pid}/fd/{number}") == "/dev/null"
    assert os.readlink(f"/proc/{info.pid}/cwd") == "/"


def test_the_control_socket_says_how_many_use_the_volume(
    serve: Serve, server_request: Request, volume_io: Open, wait_until: Callable[..., bool], backend: str
) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    assert Control(request).ask(b"status\n") == {"users": 0, "path": info.path}
    one, two = volume_io(info), volume_io(info)
    assert Control(request).ask(b"status\n")["users"] == 2
    one.close()
    two.close()
    assert wait_until(lambda: Control(request).ask(b"status\n")["users"] == 0)


@pytest.mark.parametrize("words", [b"\n", b"STOP\n", b"stopx\n", b"\xff\xfe\x00", b"x" * 64])
def test_what_the_control_socket_does_not_know_changes_nothing(
    serve: Serve, server_request: Request, words: bytes
) -> None:
    request = server_request()
    info = serve(request)
    assert Control(request).ask(words)["users"] == 0
    assert find_server(request.run_dir, "id0") == info


@pytest.mark.parametrize("said", [b"", b"status\n", b"x" * 100_000])
def test_a_control_client_that_goes_away_harms_nobody(serve: Serve, server_request: Request, said: bytes) -> None:
    request = server_request()
    info = serve(request)
    control = Control(request)
    control.socket.setblocking(False)
    with suppress(BlockingIOError):
        control.socket.send(said)
    control.socket.close()
    assert Control(request).ask(b"status\n") == {"users": 0, "path": info.path}
    stop_server(request.run_dir, "id0")


def test_stop_ends_the_server_even_if_the_command_has_gone(
    serve: Serve, server_request: Request, wait_until: Callable[..., bool]
) -> None:
    """The path is away by then: a server that stayed would make the volume active without a path."""
    request = server_request()
    serve(request)
    control = Control(request)
    control.socket.sendall(b"stop\n")
    control.socket.close()
    assert wait_until(lambda: find_server(request.run_dir, "id0") is None, 5)


@pytest.fixture
def raw_server() -> Iterator[Callable[[], tuple[socket.socket, subprocess.Popen[bytes]]]]:
    """Starts the server program by hand: (its starter's socket, the process)."""
    made: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []

    def start() -> tuple[socket.socket, subprocess.Popen[bytes]]:
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        with theirs:
            words = [sys.executable, "-m", "cryptlv.activate.server", str(theirs.fileno())]
            process = subprocess.Popen(words, pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE)
        made.append((ours, process))
        return ours, process

    yield start
    for ours, process in made:
        ours.close()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("cut", ["at once", "in the length", "in the request", "before the key", "in the key"])
def test_a_starter_that_goes_away_leaves_no_server(
    raw_server: Raw, server_request: Request, volume_keys: Mapping[str, bytes], cut: str
) -> None:
    request = server_request()
    os.makedirs(request.run_dir + "/@servers")
    os.makedirs(request.run_dir + "/vg0")
    data = encode_request(request)
    whole = len(data).to_bytes(4, "big") + data + (64).to_bytes(2, "big") + volume_keys["ks0"]
    ends = {"at once": 0, "in the length": 3, "in the request": 50, "before the key": 4 + len(data)}
    ours, process = raw_server()
    ours.sendall(whole[: ends.get(cut, len(whole) - 1)])
    ours.close()
    assert process.wait(20) != 0
    assert find_server(request.run_dir, "id0") is None
    assert not os.path.lexists(request.run_dir + "/vg0/lv0.nbd")


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", (3).to_bytes(4, "big") + b"{}x", (2).to_bytes(4, "big") + b"{}"]
)
def test_a_request_that_cannot_be_read_is_answered_with_an_error(raw_server: Raw, data: bytes) -> None:
    ours, process = raw_server()
    ours.sendall(data)
    answer = json.loads(ours.makefile("rb").readline())
    assert answer["error"]
    assert process.wait(20) != 0


def test_a_request_by_hand_is_served(
    raw_server: Raw, server_request: Request, volume_keys: Mapping[str, bytes], volume_io: Open, read_by_model: Model
) -> None:
    """The way the request and key go is: length and JSON, then length and key for each keystore."""
    request = server_request()
    os.makedirs(request.run_dir + "/@servers")
    os.makedirs(request.run_dir + "/vg0")
    data = encode_request(request)
    ours, process = raw_server()
    for byte in len(data).to_bytes(4, "big") + data[:20]:
        ours.sendall(bytes([byte]))
    ours.sendall(data[20:] + (64).to_bytes(2, "big") + volume_keys["ks0"])
    answer = json.loads(ours.makefile("rb").readline())
    assert answer == {"path": request.run_dir + "/vg0/lv0.nbd", "backend": "nbd"}
    found = find_server(request.run_dir, "id0")
    assert found is not None
    assert found.pid == process.pid
    volume = volume_io(found)
    assert volume.read(5000, 3000) == plain(request, read_by_model)[5000:8000]
    volume.close()
    process.terminate()
    assert process.wait(20) == 0
