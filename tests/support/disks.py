"""Devices in memory with a volume group on them, and sessions that see them and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.errors import CryptlvError
from cryptlv.host.devices import MemoryDevice
from cryptlv.host.system import make_environment, observe_directories
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.keys.registry import find_handler
from cryptlv.ops import lv as lvs
from cryptlv.ops import pv, vg
from cryptlv.ops.keystore import attributes_of, keystore_segment, read_image
from cryptlv.ops.session import Session
from cryptlv.secret import Passphrase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cryptlv.activate.dm_fake import FakeDeviceMapper
    from cryptlv.device import Device
    from cryptlv.host.lvmconf import HostSettings
    from cryptlv.model.vg import VolumeGroup

MIB = 1024 * 1024
PASSPHRASE = b"correct horse"


class Known:
    """A credential that needs nobody."""

    may_retry = False
    cache_seconds = 0

    def __init__(self, secret: bytes = PASSPHRASE) -> None:
        self._secret = secret

    def get(self, purpose: str, what: str, kind: str, names: tuple[str, ...] = ()) -> Passphrase:
        return Passphrase(self._secret)


class Disks:
    """Devices in memory by path, and sessions on them."""

    def __init__(self, folder: Path, devices: Mapping[str, Device]) -> None:
        self.devices = dict(devices)
        self._folder = folder

    def session(
        self,
        warn: Callable[[str], None] = lambda _: None,
        settings: HostSettings | None = None,
        kernel: FakeDeviceMapper | None = None,
    ) -> Session:
        """A session that sees these devices; `warn` is told its warnings, `settings` are stock's on this host, and
        `kernel` stands in for its device-mapper."""
        environ = {"CRYPTLV_SYSTEM_DIR": str(self._folder / "system"), "CRYPTLV_RUN_DIR": str(self._folder / "run")}
        return Session(
            observe_directories(environ, 1000),
            make_environment("test", settings.system_id if settings is not None else ""),
            settings=settings,
            devices=tuple(self.devices),
            open_device=lambda path, _: self.devices[path],
            warn=warn,
            kernel=kernel,
        )

    def group(self) -> VolumeGroup | None:
        with self.session() as session:
            found = session.world().find_group("vg0")
        return None if found is None else found.vg

    def opens(self, volume: str) -> bool:
        """Whether the volume's keystore gives a key for the passphrase."""
        with self.session() as session:
            group = session.world().group("vg0")
            (name,) = {store for segment in group.vg.lv(volume).segments for store in segment.keystores}
            image = read_image(session, group.vg, name, group.pv_paths)
            attributes = attributes_of(keystore_segment(group.vg, name))
        try:
            find_handler(attributes.handler).unlock(attributes, image, Passphrase(PASSPHRASE)).close()
        except CryptlvError:
            return False
        return True


REQUEST = lvs.LvRequest(
    name="new",
    size_bytes=3 * MIB,
    segment_type="crypt",
    keystore=KeystoreRequest(pbkdf="pbkdf2", force_iterations=1000),
)
PLAIN_REQUEST = REQUEST.replace(handler="plain", keystore=KeystoreRequest())


def make_disks(folder: Path, areas: tuple[int, ...], contents: Mapping[str, bytes] | None = None) -> Disks:
    """PVs of 16 MiB with so many metadata areas each, vg0 on them with two linear volumes and an encrypted one."""
    devices = {f"/d{number}": MemoryDevice(16 * MIB, path=f"/d{number}") for number in range(len(areas))}
    disks = Disks(folder, devices)
    with disks.session() as session:
        for path, copies in zip(devices, areas, strict=True):
            pv.create(session, (path,), pv.PvOptions(metadata_copies=copies))
        vg.create(session, "vg0", tuple(devices), 64 * 1024)
        lvs.create(session, "vg0", lvs.LvRequest(name="first", size_bytes=MIB))
        lvs.create(session, "vg0", REQUEST.replace(name="old"), Known())
    return disks
