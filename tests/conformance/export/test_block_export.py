"""What every way to export a volume must do, whatever its protocol: one suite, an adapter for each backend."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptlv.activate.fuse import FuseFile
from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.nbd_client import NbdClient
from cryptlv.activate.stream import VolumeStream
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.errors import DeviceError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.mapping import CryptTarget, LinearTarget, VolumeMapping
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = bytes(range(64))
SECTORS, PLAIN_SECTORS, PLACE = 205, 64, 24
SIZE = SECTORS * 512
OFFSETS = st.one_of(st.integers(0, SIZE), st.sampled_from([0, 511, 512, PLAIN_SECTORS * 512 - 1, SIZE - 1, SIZE]))
STEPS = st.lists(st.tuples(st.booleans(), OFFSETS, st.integers(0, 9000), st.integers(0, 255)), max_size=12)


class CountingDevice(MemoryDevice):
    """A device in memory that counts its flushes and fails on demand."""

    flushes = 0
    failing = False

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._fail()
        super().read_into(offset_bytes, buffer)

    def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
        self._fail()
        super().write(offset_bytes, data)

    def flush(self) -> None:
        self._fail()
        self.flushes += 1

    def _fail(self) -> None:
        if self.failing:
            raise DeviceError(f"{self.path}: Input/output error", errno=5)


class Volume:
    """The first part of a device linear, the rest encrypted, and how it must read."""

    def __init__(self, *, writable: bool = True) -> None:
        self.device = CountingDevice(content=random.Random(11).randbytes((SECTORS + 100) * 512))
        self.mapping = VolumeMapping(
            vg_name="vg0",
            vg_id="vgid",
            lv_name="lv0",
            lv_id="lvid",
            length_sectors=SECTORS,
            targets=(
                LinearTarget(start_sectors=0, length_sectors=PLAIN_SECTORS, pv_id="pv", offset_sectors=PLACE),
                CryptTarget(
                    start_sectors=PLAIN_SECTORS,
                    length_sectors=SECTORS - PLAIN_SECTORS,
                    pv_id="pv",
                    offset_sectors=PLACE + PLAIN_SECTORS,
                    crypto_store="ks",
                    iv_offset_sectors=5,
                ),
            ),
            writable=writable,
        )
        cipher = open_sector_cipher("aes-xts-plain64", VolumeKey(KEY))
        self.stream = VolumeStream(self.mapping, {"pv": self.device}, {"ks": cipher})

    def plain(self) -> bytes:
        """The volume's bytes, decrypted sector by sector by another library."""
        raw = bytes(self.device.content[PLACE * 512 : (PLACE + SECTORS) * 512])
        out = bytearray(raw[: PLAIN_SECTORS * 512])
        for sector in range(PLAIN_SECTORS, SECTORS):
            tweak = (sector - PLAIN_SECTORS + 5).to_bytes(16, "little")
            cipher = Cipher(algorithms.AES(KEY), modes.XTS(tweak))
            out += cipher.decryptor().update(raw[sector * 512 : (sector + 1) * 512])
        return bytes(out)


class Handle(ABC):
    """An exported volume opened by a user. Every method raises OSError when it is refused or fails."""

    @abstractmethod
    def size(self) -> int: ...

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes: ...

    @abstractmethod
    def write(self, offset: int, data: bytes) -> None: ...

    @abstractmethod
    def zero(self, offset: int, length: int) -> None:
        """Have a range read as zeros."""

    @abstractmethod
    def flush(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class Adapter(ABC):
    """A backend: the volume exported at a path."""

    @abstractmethod
    def start(self, stream: VolumeStream, path: str) -> None: ...

    @abstractmethod
    def open(self, *, writable: bool = True) -> Handle: ...

    @abstractmethod
    def users(self) -> int: ...

    @abstractmethod
    def stop(self) -> None: ...


class FileHandle(Handle):
    """A file opened by the system's calls."""

    def __init__(self, path: str, flags: int) -> None:
        self._descriptor = os.open(path, flags | os.O_CLOEXEC)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, offset)
        if len(data) < length:
            raise OSError("beyond the end")
        return data

    def write(self, offset: int, data: bytes) -> None:
        while data:
            done = os.pwrite(self._descriptor, data, offset)
            data, offset = data[done:], offset + done

    def zero(self, offset: int, length: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.fallocate(self._descriptor, 0x11, ctypes.c_int64(offset), ctypes.c_int64(length)):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def flush(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class NbdHandle(Handle):
    """A connection that was opened by NBD_OPT_EXPORT_NAME."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(20)
        self._socket.connect(path)
        self._take(18)
        self._socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        self._size, _ = struct.unpack(">QH", self._take(10))

    def _take(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                raise ConnectionResetError
            data += more
        return data

    def _ask(self, command: int, offset: int, length: int, data: bytes = b"") -> bytes:
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, command, 9, offset, length) + data)
        magic, error, cookie = struct.unpack(">IIQ", self._take(16))
        assert (magic, cookie) == (0x67446698, 9)
        if error:
            raise OSError(error, os.strerror(error))
        return self._take(length) if command == 0 else b""

    def size(self) -> int:
        return int(self._size)

    def read(self, offset: int, length: int) -> bytes:
        return self._ask(0, offset, length)

    def write(self, offset: int, data: bytes) -> None:
        self._ask(1, offset, len(data), data)

    def zero(self, offset: int, length: int) -> None:
        self._ask(6, offset, length)

    def flush(self) -> None:
        self._ask(3, 0, 0)

    def close(self) -> None:
        self._socket.close()


class OurNbdHandle(Handle):
    """A connection of the client that copies use, which asks for structured replies."""

    def __init__(self, path: str) -> None:
        self._client = NbdClient(f"nbd+unix:///?socket={path}")

    def size(self) -> int:
        return self._client.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        buffer = bytearray(length)
        self._try(lambda: self._client.read_into(offset, memoryview(buffer)))
        return bytes(buffer)

    def write(self, offset: int, data: bytes) -> None:
        self._try(lambda: self._client.write(offset, memoryview(data)))

    def zero(self, offset: int, length: int) -> None:
        self._try(lambda: self._client.write_zeroes(offset, length))

    def flush(self) -> None:
        self._try(self._client.flush)

    @staticmethod
    def _try(act: Callable[[], object]) -> None:
        try:
            act()
        except DeviceError as error:
            raise OSError(error.errno, str(error)) from error
        except RefusedError as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        self._client.close()


class FuseAdapter(Adapter):
    """FUSE: a file."""

    def __init__(self) -> None:
        self._file: FuseFile | None = None

    def start(self, stream: VolumeStream, path: str) -> None:
        self._file = FuseFile(stream, path)
        self._file.start()

    def open(self, *, writable: bool = True) -> Handle:
        assert self._file is not None
        return FileHandle(self._file.path, os.O_RDWR if writable else os.O_RDONLY)

    def users(self) -> int:
        assert self._file is not None
        return self._file.users

    def stop(self) -> None:
        assert self._file is not None
        self._file.stop()


class NbdAdapter(Adapter):
    """NBD: a unix socket."""

    def __init__(self) -> None:
        self._server: NbdServer | None = None

    def start(self, stream: VolumeStream, path: str) -> None:
        self._server = NbdServer({"vg0/lv0": stream}, Address(path=path))
        self._server.start()

    def open(self, *, writable: bool = True) -> Handle:
        assert self._server is not None
        return NbdHandle(self._server.path)

    def users(self) -> int:
        assert self._server is not None
        return self._server.users

    def stop(self) -> None:
        assert self._server is not None
        self._server.stop()


class OurNbdAdapter(NbdAdapter):
    """NBD by our own client."""

    def open(self, *, writable: bool = True) -> Handle:
        assert self._server is not None
        return OurNbdHandle(self._server.path)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within some seconds."""
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


class BlockExportConformance(ABC):
    """Subclass it with an adapter; a new backend is done when this passes."""

    @abstractmethod
    def adapter(self) -> Adapter:
        """A backend that has not been started."""

    @pytest.fixture
    def path(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(prefix="clv-"))
        yield folder / "export"
        shutil.rmtree(folder, ignore_errors=True)

    @pytest.fixture
    def export(self, path: Path) -> Iterator[Callable[[Volume], Adapter]]:
        started: list[Adapter] = []

        def start(volume: Volume) -> Adapter:
            adapter = self.adapter()
            adapter.start(volume.stream, str(path))
            started.append(adapter)
            return adapter

        yield start
        for adapter in started:
            adapter.stop()
        subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)

    @pytest.fixture
    def volume(self) -> Volume:
        return Volume()

    @pytest.fixture
    def handle(self, export: Callable[[Volume], Adapter], volume: Volume) -> Iterator[Handle]:
        handle = export(volume).open()
        yield handle
        handle.close()

    def test_the_size_is_the_volumes(self, handle: Handle) -> None:
        assert handle.size() == SIZE

    def test_every_byte_can_be_read(self, handle: Handle, volume: Volume) -> None:
        assert handle.read(0, SIZE) == volume.plain()

    def test_reads_and_writes_of_any_place_are_those_of_a_bytearray(self, handle: Handle, volume: Volume) -> None:
        model = bytearray(volume.plain())

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(STEPS)
        def run(steps: list[tuple[bool, int, int, int]]) -> None:
            for writes, offset, wanted, seed in steps:
                length = min(wanted, SIZE - offset)
                if writes:
                    data = random.Random(seed).randbytes(length)
                    handle.write(offset, data)
                    model[offset : offset + length] = data
                else:
                    assert handle.read(offset, length) == model[offset : offset + length]
            assert volume.plain() == model

        run()

    def test_what_does_not_belong_to_the_volume_stays(self, handle: Handle, volume: Volume) -> None:
        before = bytes(volume.device.content)
        handle.write(0, bytes(SIZE))
        assert volume.plain() == bytes(SIZE)
        after = bytes(volume.device.content)
        assert after[: PLACE * 512] == before[: PLACE * 512]
        assert after[(PLACE + SECTORS) * 512 :] == before[(PLACE + SECTORS) * 512 :]
        assert after[(PLACE + PLAIN_SECTORS) * 512 :].count(bytes(512)) == 0, "zeros are encrypted, too"

    @pytest.mark.parametrize("offset", [SIZE, SIZE + 1, SIZE + 4096, 2 * SIZE])
    def test_nothing_can_be_written_or_read_behind_the_end(self, handle: Handle, volume: Volume, offset: int) -> None:
        before = bytes(volume.device.content)
        with pytest.raises(OSError, match=r".*"):
            handle.write(offset, b"x")
        with pytest.raises(OSError, match=r".*"):
            handle.read(offset, 1)
        assert bytes(volume.device.content) == before
        assert handle.size() == SIZE

    @pytest.mark.parametrize(
        ("offset", "length"), [(0, SIZE), (40 * 512, 50 * 512), (63 * 512 + 7, 1030), (SIZE - 1, 1)]
    )
    def test_zeroed_ranges_read_as_zeros_and_their_neighbours_stay(
        self, handle: Handle, volume: Volume, offset: int, length: int
    ) -> None:
        model = bytearray(volume.plain())
        handle.zero(offset, length)
        model[offset : offset + length] = bytes(length)
        assert handle.read(0, SIZE) == model
        assert volume.plain() == model
        with pytest.raises(OSError, match=r".*"):
            handle.zero(SIZE - 1, 2)
        assert volume.plain() == model

    def test_the_last_byte_can_be_written(self, handle: Handle, volume: Volume) -> None:
        model = volume.plain()
        last = bytes([model[-1] ^ 0xFF])
        handle.write(SIZE - 1, last)
        assert handle.read(SIZE - 1, 1) == last
        assert volume.plain() == model[:-1] + last

    def test_a_flush_reaches_the_device_and_only_when_it_must(self, handle: Handle, volume: Volume) -> None:
        handle.write(0, b"x")
        assert volume.device.flushes == 0
        handle.flush()
        assert volume.device.flushes == 1

    def test_errors_of_the_device_are_told_and_only_that_of_a_flush_lasts(
        self, handle: Handle, volume: Volume
    ) -> None:
        model = bytearray(volume.plain())
        handle.write(0, b"before")
        model[:6] = b"before"
        volume.device.failing = True
        with pytest.raises(OSError, match=r"Input/output"):
            handle.write(SIZE - 5000, b"lost")
        with pytest.raises(OSError, match=r"Input/output"):
            handle.read(90 * 512, 512)
        with pytest.raises(OSError, match=r"Input/output"):
            handle.flush()
        volume.device.failing = False
        with pytest.raises(OSError, match=r"Input/output"):
            handle.flush()
        assert handle.read(90 * 512, 512) == model[90 * 512 : 91 * 512]
        assert volume.plain() == model

    def test_a_read_only_volume_cannot_be_written(self, export: Callable[[Volume], Adapter]) -> None:
        volume = Volume(writable=False)
        before = bytes(volume.device.content)
        adapter = export(volume)
        reader = adapter.open(writable=False)
        assert reader.read(0, SIZE) == volume.plain()
        reader.close()
        with pytest.raises(OSError, match=r".*"):
            self._write_once(adapter)
        assert bytes(volume.device.content) == before

    @staticmethod
    def _write_once(adapter: Adapter) -> None:
        writer = adapter.open()
        try:
            writer.write(0, b"x")
        finally:
            writer.close()

    def test_handles_see_each_others_writes_at_once(
        self, export: Callable[[Volume], Adapter], volume: Volume
    ) -> None:
        adapter = export(volume)
        one, two = adapter.open(), adapter.open()
        assert one.read(0, SIZE) == two.read(0, SIZE)
        one.write(40_000, b"of one")
        assert two.read(40_000, 6) == b"of one"
        two.flush()
        assert volume.device.flushes == 1
        one.close()
        two.close()

    def test_neighbouring_writers_lose_nothing(self, export: Callable[[Volume], Adapter], volume: Volume) -> None:
        adapter = export(volume)
        start, count = 70 * 512 + 100, 4
        model = bytearray(volume.plain())
        errors: list[BaseException] = []

        def write(mine: int) -> None:
            handle = adapter.open()
            try:
                for place in range(start + mine, start + 300, count):
                    handle.write(place, bytes([mine + 65]))
            except BaseException as error:
                errors.append(error)
            finally:
                handle.close()

        threads = [threading.Thread(target=write, args=(mine,)) for mine in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for place in range(start, start + 300):
            model[place] = (place - start) % count + 65
        assert not errors
        assert volume.plain() == model

    def test_users_are_counted(self, export: Callable[[Volume], Adapter], volume: Volume) -> None:
        adapter = export(volume)
        assert adapter.users() == 0
        handles = [adapter.open() for _ in range(3)]
        assert adapter.users() == 3
        for handle in handles:
            handle.close()
        assert eventually(lambda: adapter.users() == 0)

    def test_stop_takes_the_path_away_and_the_volume_can_be_exported_again(self, volume: Volume, path: Path) -> None:
        for round_ in range(2):
            adapter = self.adapter()
            adapter.start(volume.stream, str(path))
            handle = adapter.open()
            handle.write(10, b"round %d" % round_)
            handle.close()
            assert eventually(lambda adapter=adapter: adapter.users() == 0)  # type: ignore[misc]
            adapter.stop()
            assert not os.path.lexists(path)
        assert volume.plain()[10:17] == b"round 1"


class TestNbd(BlockExportConformance):
    """NBD."""

    def adapter(self) -> Adapter:
        return NbdAdapter()


class TestNbdByOurClient(BlockExportConformance):
    """NBD with structured replies."""

    def adapter(self) -> Adapter:
        return OurNbdAdapter()


class TestFuse(BlockExportConformance):
    """FUSE; left out where it cannot be used, unless everything must be (CI)."""

    def adapter(self) -> Adapter:
        reason = "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "/dev/fuse cannot be used"
        try:
            import mfusepy  # noqa: F401
        except (ImportError, OSError) as error:
            reason = f"mfusepy cannot be used: {error}"
        if reason and os.environ.get("CI"):
            pytest.fail(reason)
        if reason:
            pytest.skip(reason)
        return FuseAdapter()
