"""Server processes: one for each active volume, found by the lock that it holds for its life.

RUN_DIR/VG/LV is the FUSE file, RUN_DIR/VG/LV.nbd the NBD socket; RUN_DIR/@servers/LV_ID.{lock,json,ctl,log} belong to
the server. `@` is in no volume group's name, so the two never meet. The volume key goes to the server over a socket
pair, never by argument, environment or file.
"""

from __future__ import annotations

import fcntl
import os
import sys

from cryptlv.errors import ActivationError, InUseError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, VolumeMapping
from cryptlv.names import printable
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from typing import Any, Self

    from cryptlv.model.mapping import Target
    from cryptlv.secret import VolumeKey

PATIENCE_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 0.05
_STOP_SECONDS = 120
_START_SECONDS = 60
_TARGETS: dict[str, type[Target]] = {"linear": LinearTarget, "striped": StripedTarget, "crypt": CryptTarget}


class ServeRequest(Record):
    """What a server process needs besides the keys: `device_paths` by PV id, `ciphers` by keystore as (dm-crypt
    specification, sector size, whether IVs count such sectors). `path` is where users shall find it, "" for its place
    in the run directory. With `ends_with_starter` it is closed when the process that started it ends."""

    mapping: VolumeMapping
    device_paths: Mapping[str, str]
    ciphers: Mapping[str, tuple[str, int, bool]]
    backend: str
    run_dir: str
    path: str = ""
    allow_discards: bool = False
    ends_with_starter: bool = False


class ServerInfo(Record):
    """A running server; `path` is "" while it is still starting."""

    vg_name: str
    lv_name: str
    lv_id: str
    pid: int
    backend: str
    path: str


class ServerFiles:
    """The paths that belong to a volume's server."""

    def __init__(self, run_dir: str, lv_id: str) -> None:
        self.directory = os.path.join(run_dir, "@servers")
        base = os.path.join(self.directory, lv_id)
        self.lock, self.state, self.log = f"{base}.lock", f"{base}.json", f"{base}.log"
        self.control_name = f"{lv_id}.ctl"
        self.control = f"{base}.ctl"

    def control_address(self, directory_fd: int) -> str:
        """The control socket through an open directory, as a socket's path is limited to 107 bytes."""
        return f"/proc/self/fd/{directory_fd}/{self.control_name}"


def public_path(run_dir: str, mapping: VolumeMapping, backend: str) -> str:
    """Where users find the volume."""
    tail = ".nbd" if backend == "nbd" else ""
    return os.path.join(run_dir, mapping.vg_name, mapping.lv_name + tail)


def encode_request(request: ServeRequest) -> bytes:
    """A request as JSON, for the way to the server."""
    import json

    return json.dumps(
        {
            "mapping": _mapping_fields(request.mapping),
            "device_paths": dict(request.device_paths),
            "ciphers": {name: list(cipher) for name, cipher in request.ciphers.items()},
            "backend": request.backend,
            "run_dir": request.run_dir,
            "path": request.path,
            "allow_discards": request.allow_discards,
            "ends_with_starter": request.ends_with_starter,
        }
    ).encode("utf-8", "surrogateescape")


def _mapping_fields(mapping: VolumeMapping) -> dict[str, Any]:
    names = {kind: name for name, kind in _TARGETS.items()}
    fields = {field: getattr(mapping, field) for field in VolumeMapping.__fields__}
    fields["targets"] = [
        {"kind": names[type(target)], **{field: getattr(target, field) for field in type(target).__fields__}}
        for target in mapping.targets
    ]
    fields["layers"] = [_mapping_fields(layer) for layer in mapping.layers]
    return fields


def decode_request(data: bytes) -> ServeRequest:
    """The request again."""
    import json

    raw: dict[str, Any] = json.loads(data.decode("utf-8", "surrogateescape"))
    return ServeRequest(
        mapping=_mapping(raw["mapping"]),
        device_paths=raw["device_paths"],
        ciphers={name: (cipher[0], cipher[1], cipher[2]) for name, cipher in raw["ciphers"].items()},
        backend=raw["backend"],
        run_dir=raw["run_dir"],
        path=raw["path"],
        allow_discards=raw["allow_discards"],
        ends_with_starter=raw["ends_with_starter"],
    )


def _mapping(fields: dict[str, Any]) -> VolumeMapping:
    targets = []
    for target in fields["targets"]:
        kind = _TARGETS[target.pop("kind")]
        if "stripes" in target:
            target["stripes"] = tuple((pv_id, offset) for pv_id, offset in target["stripes"])
        if "flags" in target:
            target["flags"] = tuple(target["flags"])
        targets.append(kind(**target))
    layers = tuple(_mapping(layer) for layer in fields["layers"])
    return VolumeMapping(**{**fields, "targets": tuple(targets), "layers": layers})


def _is_locked(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ActivationError(f"{path}: cannot look at: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read_state(path: str) -> dict[str, Any]:
    import json

    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            state = json.load(file)
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def find_server(run_dir: str, lv_id: str) -> ServerInfo | None:
    """The server of a volume, None when there is none; raises ActivationError when that cannot be known."""
    files = ServerFiles(run_dir, lv_id)
    if not _is_locked(files.lock):
        return None
    state = _read_state(files.state)
    return ServerInfo(
        vg_name=str(state.get("vg_name", "")),
        lv_name=str(state.get("lv_name", "")),
        lv_id=lv_id,
        pid=int(state.get("pid", 0)),
        backend=str(state.get("backend", "")),
        path=str(state.get("path", "")),
    )


def active_lv_ids(run_dir: str) -> frozenset[str]:
    """The ids of all volumes that have a server."""
    directory = ServerFiles(run_dir, "").directory
    try:
        names = os.listdir(directory)
    except OSError:
        return frozenset()
    ids = (name.removesuffix(".lock") for name in names if name.endswith(".lock"))
    return frozenset(lv_id for lv_id in ids if _is_locked(ServerFiles(run_dir, lv_id).lock))


def clean_stale(run_dir: str, lv_id: str, *, keep_log: bool = False) -> None:
    """Remove what a killed server left: a dead mount, a socket, its files. Does nothing while a server lives.

    Raises ActivationError when a dead mount cannot be taken away.
    """
    files = ServerFiles(run_dir, lv_id)
    if _is_locked(files.lock):
        return
    state = _read_state(files.state)
    path = str(state.get("path", ""))
    if path.startswith(run_dir + os.sep) or (os.path.isabs(path) and _is_left_mounted(path)):
        _remove_public(path)
    for name in (files.state, files.control, *(() if keep_log else (files.log,))):
        _unlink(name)


def _is_left_mounted(path: str) -> bool:
    """Whether a path that a user has chosen is still the mount of a server; anything else there is not ours."""
    from cryptlv.activate.fuse import is_mounted

    return is_mounted(path)


def _remove_public(path: str) -> None:
    """A dead server's path: unmounted, and removed if it is what a server makes (a socket or an empty file)."""
    import stat

    from cryptlv.activate.fuse import is_mounted, unmount

    if is_mounted(path):
        unmount(path, lazily=True)
    try:
        found = os.lstat(path)
    except OSError:
        return
    if stat.S_ISSOCK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_size == 0):
        _unlink(path)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def load_engine() -> None:
    """Load the cipher libraries, which takes longer than their use: done by those who wait for something else."""
    from contextlib import suppress

    from cryptlv.ciphers.engine import open_sector_cipher
    from cryptlv.errors import CryptlvError
    from cryptlv.secret import VolumeKey

    with suppress(CryptlvError), VolumeKey(bytes(range(64))) as key:
        open_sector_cipher("aes-xts-plain64", key).close()


class WaitingServer:
    """A server process that has loaded what it needs and waits for its request: started while keys are still asked
    for. Closed without one, it ends and leaves nothing behind."""

    def __init__(self, run_dir: str, lv_id: str, *, is_crypt: bool) -> None:
        import socket
        import subprocess

        from cryptlv.host.system import make_private_directory

        self.files = ServerFiles(run_dir, lv_id)
        make_private_directory(run_dir)
        make_private_directory(self.files.directory)
        self._is_used = False
        self.connection, theirs = socket.socketpair()
        with theirs, open(self.files.log, "ab", opener=_private) as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cryptlv.activate.server", str(theirs.fileno()), *["crypt"] * is_crypt],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def serve(self, request: ServeRequest, keys: Mapping[str, VolumeKey]) -> dict[str, Any]:
        """The server's answer to a request; it lives on unless that holds an error."""
        self._is_used = True
        try:
            answer = _hand_over(self.connection, request, keys)
        except (OSError, TimeoutError, ValueError):
            self.process.kill()
            answer = {"error": f"the server process ended with status {self.process.wait()}; see {self.files.log}"}
        if "error" in answer:
            self.process.wait()
        self.process.returncode = 0  # it lives on; there is nothing for us to wait for
        return answer

    def close(self) -> None:
        """End a server that was given nothing."""
        self.connection.close()
        if not self._is_used:
            self._is_used = True
            self.process.kill()
            self.process.wait()
            if not _is_locked(self.files.lock):
                _unlink(self.files.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start_server(
    request: ServeRequest, keys: Mapping[str, VolumeKey], waiting: WaitingServer | None = None
) -> ServerInfo:
    """Start the server of a volume, or have one that waits serve it, and wait until it can be used.

    The keys are copied to the server; the caller closes its own. Raises InUseError when the volume is active,
    ActivationError with the server's reason when it cannot be served.
    """
    from cryptlv.host.system import make_private_directory

    mapping = request.mapping
    if find_server(request.run_dir, mapping.lv_id) is not None:
        raise InUseError(f"logical volume {mapping.vg_name}/{printable(mapping.lv_name)} is active already")
    clean_stale(request.run_dir, mapping.lv_id, keep_log=waiting is not None)
    with waiting or WaitingServer(request.run_dir, mapping.lv_id, is_crypt=bool(request.ciphers)) as server:
        make_private_directory(os.path.join(request.run_dir, mapping.vg_name))
        answer = server.serve(request, keys)
    if "error" in answer:
        raise ActivationError(str(answer["error"]))
    return ServerInfo(
        vg_name=mapping.vg_name,
        lv_name=mapping.lv_name,
        lv_id=mapping.lv_id,
        pid=server.process.pid,
        backend=str(answer["backend"]),
        path=str(answer["path"]),
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _hand_over(ours: socket.socket, request: ServeRequest, keys: Mapping[str, VolumeKey]) -> dict[str, Any]:
    """Send the request, then each key in the order of the request's ciphers; gives the server's answer."""
    ours.settimeout(_START_SECONDS)
    data = encode_request(request)
    ours.sendall(len(data).to_bytes(4, "big") + data)
    for name in request.ciphers:
        with keys[name].reveal() as view:
            ours.sendall(len(view).to_bytes(2, "big"))
            ours.sendall(view)
    return _receive_answer(ours)


def _receive_answer(connection: socket.socket) -> dict[str, Any]:
    import json

    data = b""
    while not data.endswith(b"\n"):
        more = connection.recv(4096)
        if not more:
            raise ValueError("no answer")
        data += more
    answer: dict[str, Any] = json.loads(data)
    return answer


def stop_server(run_dir: str, lv_id: str, *, force: bool = False, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Have a volume's server flush, end, and remove its path; returns when it is gone.

    The kernel tells a file's server of its closing some time after the program that had it open has ended, so one in
    use is asked again for a while. Raises InUseError when somebody uses the volume (unless `force`),
    ActivationError when the last flush failed.
    """
    import time

    files = ServerFiles(run_dir, lv_id)
    deadline = time.monotonic() + patience_seconds
    while _is_locked(files.lock):
        answer = _ask_to_stop(files, force=force)
        if answer is None:
            continue
        if not answer.get("in_use"):
            break
        if time.monotonic() > deadline:
            raise InUseError(str(answer["in_use"]))
        time.sleep(_ASK_AGAIN_SECONDS)
    else:
        clean_stale(run_dir, lv_id)
        return
    _wait_for_end(files)
    if answer.get("error"):
        raise ActivationError(str(answer["error"]))


def _ask_to_stop(files: ServerFiles, *, force: bool) -> dict[str, Any] | None:
    """What a server says when it is told to end; None when it is gone."""
    import socket

    directory_fd = os.open(files.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(_STOP_SECONDS)
            control.connect(files.control_address(directory_fd))
            control.sendall(b"stop force\n" if force else b"stop\n")
            return _receive_answer(control)
    except (OSError, ValueError) as error:
        if not _is_locked(files.lock):
            return None
        raise ActivationError(f"the server of this volume does not answer ({error}); end it by its pid") from None
    finally:
        os.close(directory_fd)


def _wait_for_end(files: ServerFiles) -> None:
    """Return when the server has let go of its lock, which is the last thing it does."""
    import time

    deadline = time.monotonic() + _STOP_SECONDS
    while _is_locked(files.lock):
        if time.monotonic() > deadline:
            raise ActivationError("the server of this volume does not end; end it by its pid")
        time.sleep(0.01)
