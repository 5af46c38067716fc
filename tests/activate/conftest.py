"""Volumes of every kind of target, and an independent view of them: each sector decrypted by `cryptography`."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from cryptlv.activate.fuse import FuseFile
from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.process import ServeRequest, ServerInfo, find_server, start_server
from cryptlv.activate.stream import VolumeStream
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.errors import ActivationError, DeviceError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, Target, VolumeMapping
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SECTOR = 512
KEYS = {"ks0": bytes(range(100, 164)), "ks1": bytes(range(7, 71))}


class WatchedDevice(MemoryDevice):
    """A device in memory that counts flushes, fails when told to, and flushes no faster than `gate` lets it."""

    def __init__(self, path: str, content: bytes) -> None:
        super().__init__(path=path, content=content)
        self.flushes = 0
        self.failing: frozenset[str] = frozenset()
        self.gate = threading.Event()
        self.gate.set()
        self.flushing = threading.Event()

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise DeviceError(f"{self.path}: cannot {what}: Input/output error", errno=5)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._fail("read")
        super().read_into(offset_bytes, buffer)

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        self._fail("write")
        super().write(offset_bytes, data)

    def flush(self) -> None:
        self.flushing.set()
        assert self.gate.wait(10)
        self._fail("flush")
        self.flushes += 1


class Disks(NamedTuple):
    """A stream over devices in memory."""

    stream: VolumeStream
    devices: dict[str, WatchedDevice]

    def contents(self) -> dict[str, bytes]:
        """The bytes of every device."""
        return {pv_id: bytes(device.content) for pv_id, device in self.devices.items()}


class MakeDisks(Protocol):
    """Devices full of noise for a mapping."""

    def __call__(
        self,
        mapping: VolumeMapping,
        *,
        sector_size: int = 512,
        allow_discards: bool = False,
        device_bytes: int = 256 * 1024,
    ) -> Disks: ...


class VolumeIo:
    """An active volume opened by its path, as FUSE file or over NBD: read, write, flush, close."""

    def __init__(self, info: ServerInfo) -> None:
        self._file = -1
        self._socket: socket.socket | None = None
        if info.backend == "fuse":
            self._file = os.open(info.path, os.O_RDWR | os.O_CLOEXEC)
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(20)
        self._socket.connect(info.path)
        self._take(18)
        self._socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        self._take(10)

    def _take(self, length: int) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(length, socket.MSG_WAITALL)
        if len(data) < length:
            raise ConnectionResetError
        return data

    def _ask(self, command: int, offset: int, length: int, data: bytes = b"") -> bytes:
        assert self._socket is not None
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, command, 1, offset, length) + data)
        assert self._take(16) == struct.pack(">IIQ", 0x67446698, 0, 1)
        return self._take(length) if command == 0 else b""

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the volume."""
        return os.pread(self._file, length, offset) if self._socket is None else self._ask(0, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        """Write all of `data`."""
        if self._socket is None:
            assert os.pwrite(self._file, data, offset) == len(data)
        else:
            self._ask(1, offset, len(data), data)

    def flush(self) -> None:
        """Put what was written on stable storage."""
        if self._socket is None:
            os.fsync(self._file)
        else:
            self._ask(3, 0, 0)

    def close(self) -> None:
        """Let go of the volume."""
        if self._socket is not None:
            self._socket.close()
        elif self._file >= 0:
            number, self._file = self._file, -1
            with suppress(OSError):  # the server is gone
                os.close(number)


class Serve(Protocol):
    """Start a server process."""

    def __call__(self, request: ServeRequest) -> ServerInfo: ...


def make_mapping(*targets: Target, writable: bool = True, lv_name: str = "lv0", lv_id: str = "id0") -> VolumeMapping:
    """The mapping of a volume with these targets."""
    return VolumeMapping(
        vg_name="vg0",
        vg_id="vgid",
        lv_name=lv_name,
        lv_id=lv_id,
        length_sectors=targets[-1].end_sectors,
        targets=targets,
        writable=writable,
    )


def every_target(*, writable: bool = True) -> VolumeMapping:
    """Linear, striped over two and three places, encrypted with two keys; 296 sectors on three devices."""
    return make_mapping(
        LinearTarget(start_sectors=0, length_sectors=40, pv_id="pv1", offset_sectors=16),
        CryptTarget(
            start_sectors=40,
            length_sectors=72,
            pv_id="pv0",
            offset_sectors=8,
            crypto_store="ks0",
            iv_offset_sectors=0,
        ),
        StripedTarget(start_sectors=112, length_sectors=64, chunk_sectors=8, stripes=(("pv0", 200), ("pv2", 96))),
        CryptTarget(
            start_sectors=176,
            length_sectors=48,
            pv_id="pv2",
            offset_sectors=0,
            crypto_store="ks1",
            iv_offset_sectors=2**32 - 16,
        ),
        StripedTarget(
            start_sectors=224, length_sectors=72, chunk_sectors=8, stripes=(("pv2", 160), ("pv1", 80), ("pv0", 320))
        ),
        writable=writable,
    )


def one_crypt(sectors: int, *, writable: bool = True) -> VolumeMapping:
    """A volume that is encrypted as a whole, on one device."""
    return make_mapping(
        CryptTarget(
            start_sectors=0,
            length_sectors=sectors,
            pv_id="pv0",
            offset_sectors=64,
            crypto_store="ks0",
            iv_offset_sectors=32,
        ),
        writable=writable,
    )


def place_of(target: Target, sector: int) -> tuple[str, int]:
    """Where a sector of a target lies, from the definition of the device-mapper's targets."""
    if isinstance(target, StripedTarget):
        count, chunk = len(target.stripes), target.chunk_sectors
        pv_id, base = target.stripes[(sector // chunk) % count]
        return pv_id, base + (sector // (chunk * count)) * chunk + sector % chunk
    assert isinstance(target, LinearTarget | CryptTarget)
    return target.pv_id, target.offset_sectors + sector


def decrypted(mapping: VolumeMapping, contents: Mapping[str, bytes], sector_size: int = SECTOR) -> bytes:
    """What a volume must read as, sector by sector."""
    out = bytearray()
    for target in mapping.targets:
        size = sector_size if isinstance(target, CryptTarget) else SECTOR
        for sector in range(0, target.length_sectors, size // SECTOR):
            pv_id, place = place_of(target, sector)
            data = contents[pv_id][place * SECTOR : place * SECTOR + size]
            if isinstance(target, CryptTarget):
                tweak = (target.iv_offset_sectors + sector).to_bytes(16, "little")
                cipher = Cipher(algorithms.AES(KEYS[target.crypto_store]), modes.XTS(tweak))
                data = cipher.decryptor().update(data)
            out += data
    return bytes(out)


def foreign(mapping: VolumeMapping, contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The devices' bytes with the volume's own blanked: what no operation on the volume may change."""
    left = {pv_id: bytearray(content) for pv_id, content in contents.items()}
    for target in mapping.targets:
        for sector in range(target.length_sectors):
            pv_id, place = place_of(target, sector)
            left[pv_id][place * SECTOR : (place + 1) * SECTOR] = bytes(SECTOR)
    return {pv_id: bytes(content) for pv_id, content in left.items()}


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether a condition comes true in time: clients' ends are noticed a moment later."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(scope="session")
def mappings() -> dict[str, Callable[..., VolumeMapping]]:
    """The ways to make a mapping, by name: of, every_target, one_crypt."""
    return {"of": make_mapping, "every_target": every_target, "one_crypt": one_crypt}


@pytest.fixture(scope="session")
def read_by_model() -> Callable[..., bytes]:
    """`decrypted`: the independent model's view of the devices."""
    return decrypted


@pytest.fixture(scope="session")
def foreign_bytes() -> Callable[[VolumeMapping, Mapping[str, bytes]], dict[str, bytes]]:
    """`foreign`: what does not belong to the volume."""
    return foreign


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., bool]:
    """`eventually`."""
    return eventually


@pytest.fixture(scope="session")
def volume_keys() -> Mapping[str, bytes]:
    """The volume key of each keystore."""
    return KEYS


@pytest.fixture(scope="session")
def disks() -> MakeDisks:
    """Makes devices full of noise and a stream over them."""

    def make(
        mapping: VolumeMapping,
        *,
        sector_size: int = 512,
        allow_discards: bool = False,
        device_bytes: int = 256 * 1024,
    ) -> Disks:
        noise = random.Random(20240917)
        names = sorted(mapping.pv_ids | {"pv9"})
        devices = {name: WatchedDevice(f"dev-{name}", noise.randbytes(device_bytes)) for name in names}
        ciphers = {
            name: open_sector_cipher("aes-xts-plain64", VolumeKey(KEYS[name]), sector_size)
            for name in mapping.keystores
        }
        return Disks(VolumeStream(mapping, devices, ciphers, allow_discards=allow_discards), devices)

    return make


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="clv-"))
    yield folder
    for path in [*folder.rglob("*")]:
        _unmount(path)
    shutil.rmtree(folder, ignore_errors=True)


def _unmount(path: Path) -> None:
    try:
        mounted = stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_dev != path.parent.lstat().st_dev
    except OSError:
        mounted = True  # what a killed server left cannot even be looked at
    if mounted:
        words = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
        subprocess.run([*words, str(path)], capture_output=True, check=False)


@pytest.fixture(scope="session")
def fuse_works() -> None:
    """Leaves a test out where FUSE cannot be used; fails instead in CI."""
    reason = ""
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        reason = f"mfusepy cannot be used: {error}"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        reason = "/dev/fuse cannot be used"
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def nbd(short_folder: Path) -> Iterator[Callable[..., NbdServer]]:
    """Starts NBD servers in this process; they are stopped after the test."""
    servers: list[NbdServer] = []

    def start(stream: VolumeStream, path: str = "") -> NbdServer:
        server = NbdServer({"vg0/lv0": stream}, Address(path=path or str(short_folder / f"s{len(servers)}.nbd")))
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def fuse(short_folder: Path, fuse_works: None) -> Iterator[Callable[..., FuseFile]]:
    """Starts FUSE files in this process; they are taken away after the test."""
    files: list[FuseFile] = []

    def start(stream: VolumeStream, path: str = "") -> FuseFile:
        file = FuseFile(stream, path or str(short_folder / f"f{len(files)}"))
        file.start()
        files.append(file)
        return file

    yield start
    for file in files:
        try:
            file.stop(force=True)
        except ActivationError:
            _unmount(Path(file.path))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts server processes with the keys of `volume_keys`; each is ended by its pid after the test."""
    pids: list[int] = []

    def start(request: ServeRequest) -> ServerInfo:
        secrets = {name: VolumeKey(KEYS[name]) for name in request.ciphers}
        try:
            info = start_server(request, secrets)
        except BaseException:
            left = find_server(request.run_dir, request.mapping.lv_id)
            if left is not None and left.pid and left.pid not in pids:
                pids.append(left.pid)
            raise
        finally:
            for secret in secrets.values():
                secret.close()
        pids.append(info.pid)
        return info

    yield start
    for pid in pids:
        end_process(pid)


def end_process(pid: int) -> None:
    """Kill a child and wait for it; one that has been waited for is left alone."""
    try:
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):
        return


@pytest.fixture
def volume_io() -> Iterator[Callable[[ServerInfo], VolumeIo]]:
    """Opens active volumes; each is closed after the test."""
    made: list[VolumeIo] = []

    def use(info: ServerInfo) -> VolumeIo:
        made.append(VolumeIo(info))
        return made[-1]

    yield use
    for one in made:
        one.close()


@pytest.fixture(params=["nbd", "fuse"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend in turn."""
    name = str(request.param)
    if name == "fuse":
        request.getfixturevalue("fuse_works")
    return name


@pytest.fixture
def server_request(
    short_folder: Path, mappings: dict[str, Callable[..., VolumeMapping]]
) -> Callable[..., ServeRequest]:
    """Requests for volumes on image files, which are made here full of noise."""

    def make(mapping: VolumeMapping | None = None, *, backend: str = "nbd", run_dir: str = "") -> ServeRequest:
        mapping = mapping or one_crypt(2048)
        noise = random.Random(7)
        paths: dict[str, str] = {}
        for pv_id in sorted(mapping.pv_ids):
            path = short_folder / f"{pv_id}.img"
            if not path.exists():
                path.write_bytes(noise.randbytes(2 * 1024 * 1024))
            paths[pv_id] = str(path)
        return ServeRequest(
            mapping=mapping,
            device_paths=paths,
            ciphers=dict.fromkeys(mapping.keystores, ("aes-xts-plain64", 512, False)),
            backend=backend,
            run_dir=run_dir or str(short_folder / "run"),
        )

    return make
