"""A volume that a process has opened to serve it: the lock that says it is active, its devices, ciphers and stream,
and what others find of it in the run directory."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import suppress

from cryptlv.activate.process import ServerFiles
from cryptlv.activate.stream import VolumeStream
from cryptlv.errors import ActivationError, CryptlvError
from cryptlv.model.mapping import CryptTarget
from cryptlv.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from cryptlv.activate.process import ServeRequest
    from cryptlv.ciphers.engine import SectorCipher
    from cryptlv.device import Device
    from cryptlv.model.mapping import VolumeMapping
    from cryptlv.secret import VolumeKey

_LOCK_TRIES = 100


class HeldVolume:
    """A volume, locked for this process when it is made; raises ActivationError when another has it."""

    def __init__(self, request: ServeRequest) -> None:
        self.request = request
        mapping = request.mapping
        self.name = f"{printable(mapping.vg_name)}/{printable(mapping.lv_name)}"
        self.keeps_log = False
        self._files = ServerFiles(request.run_dir, mapping.lv_id)
        self._devices: dict[str, Device] = {}
        self._ciphers: dict[str, SectorCipher] = {}
        self._control: socket.socket | None = None
        self._lock = self._take_lock()

    def _take_lock(self) -> int:
        """The lock that says the volume is active. Commands that look hold it for an instant: it is tried again.

        The file stays when the server ends: a lock on a file that is no longer at its path would keep nobody out.
        """
        descriptor = os.open(self._files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
            else:
                return descriptor
        os.close(descriptor)
        raise ActivationError(f"logical volume {self.name} is active already")

    def open(self, keys: Mapping[str, VolumeKey]) -> VolumeStream:
        """Open devices and ciphers; the keys stay the caller's. Raises DeviceError, NotFoundError, CipherError."""
        from cryptlv.ciphers.engine import open_sector_cipher
        from cryptlv.host.devices import FileDevice

        request = self.request
        for pv_id, path in request.device_paths.items():
            self._devices[pv_id] = FileDevice(path, writable=request.mapping.writable)
        for name, (spec, sector_size, large) in request.ciphers.items():
            self._ciphers[name] = open_sector_cipher(spec, keys[name], sector_size, iv_large_sectors=large)
        allowed = request.allow_discards or _allows_discards(request.mapping)
        self.stream = VolumeStream(request.mapping, self._devices, self._ciphers, allow_discards=allowed)
        return self.stream

    def announce(self, backend: str, path: str) -> socket.socket:
        """Say to others where the volume is served, and listen for what they ask; raises OSError."""
        directory_fd = os.open(self._files.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._control.bind(self._files.control_address(directory_fd))
            self._control.listen(8)
        finally:
            os.close(directory_fd)
        mapping = self.request.mapping
        state = {
            "pid": os.getpid(),
            "vg_name": mapping.vg_name,
            "lv_name": mapping.lv_name,
            "lv_id": mapping.lv_id,
            "backend": backend,
            "path": path,
        }
        temporary = f"{self._files.state}.new"
        with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(state, file)
        os.rename(temporary, self._files.state)
        return self._control

    def flush(self) -> None:
        """Put everything on stable storage before the end; raises ActivationError."""
        try:
            self.stream.flush()
        except CryptlvError as error:
            raise ActivationError(f"{self.name} is closed, but its last writes may be lost: {error}") from None

    def close(self) -> None:
        """Forget the keys, remove what others found, and last of all let the lock go."""
        for cipher in self._ciphers.values():
            cipher.close()
        for device in self._devices.values():
            device.close()
        if self._control is not None:
            self._control.close()
        for path in (self._files.state, self._files.control, self._files.log):
            if os.path.lexists(path) and not (self.keeps_log and path == self._files.log):
                os.unlink(path)
        with suppress(OSError):  # other volumes of the group are active
            os.rmdir(os.path.join(self.request.run_dir, self.request.mapping.vg_name))
        os.close(self._lock)


def _allows_discards(mapping: VolumeMapping) -> bool:
    """Whether the metadata allow discards (--crypt-flags) for all of a volume that is encrypted."""
    crypts = [target for target in mapping.targets if isinstance(target, CryptTarget)]
    return bool(crypts) and all("allow_discards" in target.flags for target in crypts)


def reply(connection: socket.socket, answer: dict[str, Any]) -> None:
    """Answer what came over a control socket; raises OSError."""
    connection.sendall(json.dumps(answer).encode() + b"\n")
