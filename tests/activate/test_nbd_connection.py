"""Transmission: structured replies, block status, chunks, memory, and clients that do not keep up."""

from __future__ import annotations

import gc
import json
import random
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.nbd import LEAST_INFLIGHT_BYTES, NbdOptions, NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.nbd_connection import CHUNK_BYTES, Connection, Shared, error_number
from cryptlv.activate.stream import VolumeStream
from cryptlv.errors import DeviceError, FormatError, RefusedError
from cryptlv.host.devices import MemoryDevice
from cryptlv.model.mapping import CryptTarget, LinearTarget
from support.machine import need
from support.nbd import ACK, DISC, EIO, EOVERFLOW, FLUSH, FUA, READ, TRIM, WRITE, Client, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from activate.conftest import Disks, MakeDisks
    from cryptlv.model.mapping import VolumeMapping

    Mappings = dict[str, Callable[..., VolumeMapping]]
    Model = Callable[..., bytes]

STRUCTURED, SET_META, CACHE, BLOCK_STATUS, DF, REQ_ONE = 8, 10, 5, 7, 4, 8
DATA, STATUS, ERROR = 1, 5, 0x8001
SYSTEM_PATH = {"PATH": "/usr/bin:/bin"}
"""libnbd is a package of the system's Python, not of ours."""
HALF = 8192
SIZE = 2 * HALF * 512


class StructuredClient(Client):
    """A client that has asked for structured replies and block status."""

    def start(self) -> StructuredClient:
        assert self.option(STRUCTURED) == [(ACK, b"")]
        name = struct.pack(">III", 0, 1, 15) + b"base:allocation"
        assert self.option(SET_META, name)[-1] == (ACK, b"")
        self.go()
        return self

    def chunks(self, command: int, offset: int, length: int, flags: int = 0) -> list[tuple[int, int, bytes]]:
        """(flags, kind, data) of every chunk of a reply."""
        self.send(request(command, offset, length, flags=flags, cookie=5))
        return self.reply_chunks()

    def reply_chunks(self) -> list[tuple[int, int, bytes]]:
        """Those of a reply to a request that was sent before."""
        found = []
        while True:
            magic, done, kind, cookie, size = struct.unpack(">IHHQI", self.take(20))
            assert (magic, cookie) == (0x668E33EF, 5)
            found.append((done, kind, self.take(size)))
            if done:
                return found

    def states(self, offset: int, length: int, flags: int = 0) -> list[tuple[int, int]]:
        """Block status as (length, state)."""
        ((_, kind, data),) = self.chunks(BLOCK_STATUS, offset, length, flags)
        assert kind == STATUS
        numbers = struct.unpack(f">{len(data) // 4 - 1}I", data[4:])
        return list(zip(numbers[::2], numbers[1::2], strict=True))


class Made:
    """A volume of 2 MiB, half linear, half encrypted, served; the encrypted half is on a device of its own."""

    def __init__(self, disks: Disks, mapping: VolumeMapping, path: str, options: NbdOptions) -> None:
        self.disks, self.mapping = disks, mapping
        self.server = NbdServer({"vg0/lv0": disks.stream}, Address(path=path), options)
        self.server.start()

    def is_idle(self) -> bool:
        """Whether no client and no thread is left but the test's and the acceptor's."""
        return not self.server.users and threading.active_count() <= 2


@pytest.fixture
def make(disks: MakeDisks, mappings: Mappings, short_folder: Path) -> Iterator[Callable[..., Made]]:
    """Serves the volume with options."""
    made: list[Made] = []

    def start(**options: object) -> Made:
        mapping = mappings["of"](
            LinearTarget(start_sectors=0, length_sectors=HALF, pv_id="pv0", offset_sectors=8),
            CryptTarget(
                start_sectors=HALF, length_sectors=HALF, pv_id="pv1", offset_sectors=16, crypto_store="ks0",
                iv_offset_sectors=HALF,
            ),
        )  # fmt: skip
        found = disks(mapping, device_bytes=HALF * 512 + 65536, allow_discards=True)
        made.append(Made(found, mapping, str(short_folder / f"c{len(made)}"), NbdOptions(**options)))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for one in made:
        one.server.stop()


def assembled(chunks: list[tuple[int, int, bytes]], offset: int, length: int) -> bytes:
    """What chunks of data say, every byte once."""
    out, seen = bytearray(length), 0
    for _, kind, data in chunks:
        assert kind == DATA
        place = struct.unpack(">Q", data[:8])[0] - offset
        out[place : place + len(data) - 8] = data[8:]
        seen += len(data) - 8
    assert seen == length
    return bytes(out)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (0, 4096), (513, CHUNK_BYTES), (0, SIZE), (77, SIZE - 99), (SIZE - 1, 1)]
)
@pytest.mark.parametrize("flags", [0, DF])
def test_structured_reads_give_every_byte_once_and_df_gives_one_chunk(
    make: Callable[..., Made], read_by_model: Model, offset: int, length: int, flags: int
) -> None:
    made = make()
    plain = read_by_model(made.mapping, made.disks.contents())
    with StructuredClient(made.server.path).start() as client:
        chunks = client.chunks(READ, offset, length, flags)
        assert [done for done, _, _ in chunks] == [0] * (len(chunks) - 1) + [1]
        assert not flags or len(chunks) == 1
        assert assembled(chunks, offset, length) == plain[offset : offset + length]
        assert client.chunks(READ, offset, 0) == [(1, 0, b"")]
    with Client(made.server.path).go() as simple:
        assert simple.read(offset, length) == plain[offset : offset + length]


def test_a_structured_read_gives_what_lies_before_an_error_and_then_the_error(
    make: Callable[..., Made], read_by_model: Model
) -> None:
    made = make()
    plain = read_by_model(made.mapping, made.disks.contents())
    made.disks.devices["pv1"].failing = frozenset(["read"])
    with StructuredClient(made.server.path).start() as client, Client(made.server.path).go() as simple:
        *before, (done, kind, data) = client.chunks(READ, 0, SIZE)
        assert (done, kind, data) == (1, ERROR, struct.pack(">IH", EIO, 0))
        assert assembled(before, 0, SIZE // 2) == plain[: SIZE // 2]
        for flags in (0, DF):
            assert client.chunks(READ, SIZE - 4096, 4096, flags)[0][1] == ERROR
        assert simple.request(READ, 0, SIZE) == EIO
        assert simple.read(0, SIZE // 2) == plain[: SIZE // 2], "the other device's ranges are served"
        assert client.chunks(READ, 0, 32 * 2**20 + 1) == [(1, ERROR, struct.pack(">IH", EOVERFLOW, 0))]


def test_block_status_tells_holes_and_that_only_those_of_a_linear_target_are_zeros(make: Callable[..., Made]) -> None:
    made = make()
    half = SIZE // 2
    with StructuredClient(made.server.path).start() as client:
        assert client.states(0, SIZE) == [(SIZE, 0)]
        for start in (65536, half + 65536):
            assert client.request(TRIM, start, 65536) == 0
        assert client.request(CACHE, 0, SIZE) == 0
        expected = [(65536, 0), (65536, 3), (half - 65536, 0), (65536, 1), (half - 131072, 0)]
        assert client.states(0, SIZE) == expected
        assert client.states(65536 + 100, SIZE - 65636, REQ_ONE) == [(65436, 3)]
        assert client.states(7, 1) == [(1, 0)]
        assert client.chunks(BLOCK_STATUS, SIZE - 1, 2)[0][1] == ERROR
        made.disks.devices["pv1"].failing = frozenset(["read"])
        assert client.states(0, 4096) == [(4096, 0)]


def test_a_status_of_very_many_extents_is_cut_off_and_goes_on_where_it_ended(make: Callable[..., Made]) -> None:
    made = make()
    content = made.disks.devices["pv0"].content
    for start in range(4096, HALF * 512, 8192):
        content[start : start + 4096] = bytes(4096)
    with StructuredClient(made.server.path).start() as client:
        found, position = [], 0
        while position < SIZE // 2:
            states = client.states(position, SIZE // 2 - position)
            found += states
            position += sum(length for length, _ in states)
        assert position == SIZE // 2
        assert len(found) == SIZE // 2 // 4096


@pytest.mark.compat
def test_stock_clients_use_what_is_offered(make: Callable[..., Made], read_by_model: Model, tmp_path: Path) -> None:
    need("nbdinfo", "qemu-img", "nbdsh")
    made = make()
    where = f"nbd+unix:///?socket={made.server.path}"
    script = f"""
import nbd
h.add_meta_context("base:allocation")
h.connect_uri("{where}")
assert h.get_structured_replies_negotiated() and h.can_df() and h.can_cache() and h.can_multi_conn()
assert h.can_meta_context("base:allocation")
h.trim(65536, 0)
h.trim(65536, {SIZE // 2})
found = []
h.block_status({SIZE}, 0, lambda name, offset, entries, error: found.extend(entries))
assert found[:4] == [65536, 3, {SIZE // 2 - 65536}, 0], found
h.cache(4096, 0)
chunks = []
data = h.pread_structured({SIZE}, 0, lambda part, offset, status, error: chunks.append((offset, len(part))))
assert sum(length for _, length in chunks) == {SIZE}
assert data == h.pread({SIZE}, 0)
h.pwrite(b"x" * 300000, 77, nbd.CMD_FLAG_FUA)
assert h.pread(300000, 77) == b"x" * 300000
h.flush()
try:
    h.pread(10, {SIZE - 5}, 0)
    raise SystemExit("read beyond the end")
except nbd.Error:
    pass
h.shutdown()
"""
    done = subprocess.run(
        ["/usr/bin/nbdsh", "-c", script], env=SYSTEM_PATH, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(subprocess.run(["nbdinfo", "--map", "--json", where], capture_output=True, check=True).stdout)
    assert {one["type"] for one in said} == {0, 1}
    out = tmp_path / "out"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", where, str(out)], check=True, timeout=60)
    assert out.read_bytes() == read_by_model(made.mapping, made.disks.contents())


def places(chance: random.Random, skew: int) -> list[tuple[int, int]]:
    """All of the volume but some gaps, as (offset, bytes) in any order: what is on its way may not overlap."""
    found, offset = [], chance.choice([0, 0, skew])
    lengths = [
        7,
        512,
        4096,
        65536,
        65537,
        100_000,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        2 * CHUNK_BYTES - skew,
        3 * CHUNK_BYTES,
    ]
    while offset < SIZE:
        length = min(chance.choice(lengths), SIZE - offset)
        found.append((offset, length))
        offset += length + chance.choice([0, 0, 1, skew])
    chance.shuffle(found)
    return found


@pytest.mark.parametrize("skew", [0, 1, 511, 512, 4095, 65537])
def test_requests_of_all_sizes_on_their_way_together_read_and_write_what_they_should(
    make: Callable[..., Made], read_by_model: Model, skew: int
) -> None:
    made = make()
    model = bytearray(read_by_model(made.mapping, made.disks.contents()))
    chance = random.Random(skew)
    with Client(made.server.path).go() as client:
        for _ in range(12):
            wanted = dict(enumerate(places(chance, skew)))
            reads = {cookie for cookie in wanted if chance.random() < chance.choice([0, 0.5, 1])}
            batch, before = bytearray(), bytes(model)
            for cookie, (offset, length) in wanted.items():
                if cookie in reads:
                    batch += request(READ, offset, length, cookie=cookie)
                    continue
                data = chance.randbytes(length)
                batch += request(WRITE, offset, length, flags=chance.choice([0, FUA]), cookie=cookie) + data
                model[offset : offset + length] = data
            sender = threading.Thread(target=client.send, args=(bytes(batch),))
            sender.start()
            while wanted:
                magic, error, cookie = struct.unpack(">IIQ", client.take(16))
                assert (magic, error) == (0x67446698, 0)
                offset, length = wanted.pop(cookie)
                if cookie in reads:
                    assert client.take(length) == before[offset : offset + length]
            sender.join()
    assert read_by_model(made.mapping, made.disks.contents()) == model


@pytest.mark.parametrize("skew", [0, 511])
def test_structured_reads_on_their_way_together_give_every_byte_once(
    make: Callable[..., Made], read_by_model: Model, skew: int
) -> None:
    made = make()
    model = read_by_model(made.mapping, made.disks.contents())
    wanted = dict(enumerate(places(random.Random(skew), skew) * 5))
    with StructuredClient(made.server.path).start() as client:
        client.send(b"".join(request(READ, *place, cookie=cookie) for cookie, place in wanted.items()))
        found: dict[int, list[tuple[int, int, bytes]]] = {}
        while wanted:
            _, done, kind, cookie, size = struct.unpack(">IHHQI", client.take(20))
            found.setdefault(cookie, []).append((done, kind, client.take(size)))
            if done:
                offset, length = wanted.pop(cookie)
                assert assembled(found[cookie], offset, length) == model[offset : offset + length]


def test_what_a_client_has_sent_before_it_went_away_is_written(
    make: Callable[..., Made], wait_until: Callable[..., bool]
) -> None:
    """It may hear of none of it: its last write is given to the second thread just as it goes."""
    made = make()
    for number in range(20):
        data = bytes([number]) * (4 * CHUNK_BYTES)
        client = Client(made.server.path).go()
        client.send(request(WRITE, 0, len(data)) + data + request(READ, 0, SIZE)[: number % 2 * 28])
        client.socket.close()
        assert wait_until(made.is_idle)
        assert bytes(made.disks.devices["pv0"].content[8 * 512 :][: HALF * 512]) == data[: HALF * 512]


def test_a_large_write_that_fails_in_the_middle_says_so_and_the_next_request_is_understood(
    make: Callable[..., Made],
) -> None:
    made = make()
    made.disks.devices["pv1"].failing = frozenset(["write"])
    with Client(made.server.path).go() as client:
        assert client.request(WRITE, 4096, data=b"y" * (SIZE - 4096)) == EIO
        assert client.read(4096, SIZE // 2 - 4096) == b"y" * (SIZE // 2 - 4096)
        assert client.request(WRITE, 0, data=b"z") == 0


def test_a_failing_disk_is_told_of_once_for_many_failures(
    disks: MakeDisks, mappings: Mappings, short_folder: Path
) -> None:
    mapping = mappings["of"](LinearTarget(start_sectors=0, length_sectors=HALF, pv_id="pv0", offset_sectors=8))
    found = disks(mapping, device_bytes=HALF * 512 + 65536)
    told: list[str] = []
    server = NbdServer({"vg0/lv0": found.stream}, Address(path=str(short_folder / "t")), tell=told.append)
    server.start()
    try:
        with Client(server.path).go() as client:
            found.devices["pv0"].failing = frozenset(["read", "write"])
            for command, data in ((READ, b""), (WRITE, bytes(512)), (READ, b"")):
                assert client.request(command, 0, 512, data) == EIO
    finally:
        server.stop()
    assert told == [f"vg0/lv0: {found.devices['pv0'].path}: cannot read: Input/output error"]


def test_a_write_that_fails_on_its_way_with_others_fails_alone(make: Callable[..., Made]) -> None:
    made = make()
    made.disks.devices["pv1"].failing = frozenset(["write"])
    half = SIZE // 2
    batch = b""
    for cookie, (offset, length) in enumerate(
        [(0, half // 2), (half // 2, half), (half // 2 + 4096, 4096), (half, half)]
    ):
        batch += request(WRITE, offset, length, cookie=cookie) + bytes([cookie + 1]) * length
    with Client(made.server.path).go() as client:
        sender = threading.Thread(target=client.send, args=(batch + request(READ, 0, 1024, cookie=9),))
        sender.start()
        errors: dict[int, int] = {}
        for _ in range(5):
            _, error, cookie = struct.unpack(">IIQ", client.take(16))
            errors[cookie] = error
            if cookie == 9:
                assert client.take(1024) in (b"\x01" * 1024, bytes(1024))
        sender.join()
        assert errors == {0: 0, 1: EIO, 2: 0, 3: EIO, 9: 0}
        assert client.read(0, half // 2) == b"\x01" * (half // 2)


def connections() -> int:
    return sum(isinstance(found, Connection) for found in gc.get_objects())


def test_nothing_of_a_connection_is_left_though_nobody_collects_garbage(
    make: Callable[..., Made], wait_until: Callable[..., bool]
) -> None:
    """Clients that end well, and that go away before or in the midst of what either thread does for them."""
    made = make()
    gc.collect()
    gc.disable()
    try:
        for number in range(24):
            client = Client(made.server.path).go()
            if number % 2:
                client.send(request(WRITE, 0, SIZE) + bytes(SIZE // (1 + number % 3)))
            else:
                client.send(request(READ, 0, CHUNK_BYTES) * 2 + request(READ, 0, SIZE))
                time.sleep(0.01 * (number % 3))
            client.socket.close()
        with Client(made.server.path).go() as client:
            assert len(client.read(0, SIZE)) == SIZE
            client.send(request(DISC, 0, 0))
            assert client.at_end()
        assert wait_until(made.is_idle)
        assert connections() == 0
    finally:
        gc.enable()


def test_a_connection_does_without_a_second_thread_where_there_is_none(
    make: Callable[..., Made], read_by_model: Model
) -> None:
    made = make()
    model = bytearray(read_by_model(made.mapping, made.disks.contents()))
    with StructuredClient(made.server.path).start() as client:
        old = threading.stack_size(1 << 46)
        try:
            client.send(request(WRITE, 0, 512, cookie=77) + b"x" * 512 + request(READ, 512, SIZE - 512, cookie=5))
            assert client.reply() == 0
            model[:512] = b"x" * 512
            assert assembled(client.reply_chunks(), 512, SIZE - 512) == model[512:]
        finally:
            threading.stack_size(old)


def test_a_flush_that_is_answered_after_a_write_flushes_it(mappings: Mappings, short_folder: Path) -> None:
    """The second thread still writes when the flush is there."""
    seen: list[str] = []

    class Device(MemoryDevice):
        def write(self, offset_bytes: int, data: bytes | bytearray | memoryview) -> None:
            time.sleep(0.05)
            super().write(offset_bytes, data)
            seen.append("written")

        def flush(self) -> None:
            seen.append("flushed")

    mapping = mappings["of"](LinearTarget(start_sectors=0, length_sectors=HALF, pv_id="pv", offset_sectors=0))
    stream = VolumeStream(mapping, {"pv": Device(content=bytes(HALF * 512))}, {})
    server = NbdServer({"e": stream}, Address(path=str(short_folder / "order")))
    server.start()
    try:
        with Client(server.path).go() as client:
            batch = request(WRITE, 0, 100_000, cookie=1) + bytes(100_000) + request(FLUSH, 0, 0, cookie=2)
            client.send(batch[:50_000])
            time.sleep(0.1)
            client.send(batch[50_000:])
            assert [client.reply(1), client.reply(2)] == [0, 0]
    finally:
        server.stop()
    assert seen == ["written", "flushed"]


def test_write_through_flushes_every_write(make: Callable[..., Made]) -> None:
    made = make(write_through=True)
    device = made.disks.devices["pv0"]
    with Client(made.server.path).go() as client:
        for count in (1, 2):
            assert client.request(WRITE, 0, data=b"x") == 0
            assert device.flushes == count
        assert client.request(FLUSH) == 0
        assert client.request(WRITE, 0, data=b"x", flags=FUA) == 0
        assert device.flushes == 3


def test_a_read_only_server_takes_no_writes_of_a_writable_volume(make: Callable[..., Made]) -> None:
    made = make(read_only=True)
    before = made.disks.contents()
    with Client(made.server.path).go() as client:
        assert client.request(WRITE, 0, data=b"x") == 1
        assert client.request(TRIM, 0, 4096) == 1
    assert made.disks.contents() == before


def use(client: Client) -> None:
    """Negotiate and read a byte."""
    client.take(18)
    client.send(bytes((0, 0, 0, 3)))
    client.go().read(0, 1)


def test_clients_that_stop_reading_hold_no_memory_but_their_own_and_others_are_served(
    make: Callable[..., Made],
) -> None:
    """Simple replies of 2 MiB that nobody takes: the memory for them is bounded, and who finds none left hears so.

    One client too many is turned away at once, or as soon as the others are known to have negotiated.
    """
    made = make(max_inflight_bytes=LEAST_INFLIGHT_BYTES)
    with (
        Client(made.server.path).go(),
        Client(made.server.path, flags=None) as turned_away,
        pytest.raises((EOFError, ConnectionError)),
    ):
        use(turned_away)
    made = make()
    idle = [Client(made.server.path).go() for _ in range(40)]
    for client in idle:
        client.send(request(READ, 0, SIZE))
    time.sleep(0.3)
    with Client(made.server.path).go() as busy:
        assert len(busy.read(0, CHUNK_BYTES)) == CHUNK_BYTES
    with StructuredClient(made.server.path).start() as structured:
        assert len(structured.chunks(READ, 0, SIZE)) == SIZE // CHUNK_BYTES
    assert made.server.users >= 40
    for client in idle:
        client.socket.close()


def test_memory_for_requests_is_bounded_and_comes_back() -> None:
    memory = Shared(100)
    with memory.held(60) as one, memory.held(40) as two:
        assert (len(one), len(two)) == (60, 40)
        entered = threading.Event()

        def third() -> None:
            with memory.held(1):
                entered.set()

        thread = threading.Thread(target=third)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(10)
    thread.join()
    with pytest.raises(MemoryError), Shared(10, 0.1).held(11):
        pass
    with memory.held(100):
        pass


def test_too_little_memory_is_refused(make: Callable[..., Made]) -> None:
    with pytest.raises(RefusedError, match=str(LEAST_INFLIGHT_BYTES)):
        make(max_inflight_bytes=LEAST_INFLIGHT_BYTES - 1)


@pytest.mark.parametrize(
    ("failure", "number"),
    [
        (RefusedError("read-only"), 1), (MemoryError(), 12), (DeviceError("full", errno=28), 28),
        (DeviceError("quota", errno=122), 28), (DeviceError("gone", errno=6), 5), (FormatError("x", field="y"), 5),
    ],
)  # fmt: skip
def test_every_failure_has_a_number_of_the_protocol(failure: Exception, number: int) -> None:
    assert error_number(failure) == number


class SlowDevice(MemoryDevice):
    """A disk that takes its time, and keeps in which order it is read and told what is read soon."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content=content)
        self.calls: list[tuple[str, int]] = []

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self.calls.append(("read", offset_bytes))
        time.sleep(0.001)
        super().read_into(offset_bytes, buffer)

    def start_reading(self, offset_bytes: int, length_bytes: int) -> None:
        self.calls.append(("soon", offset_bytes))


def test_a_slow_disk_is_told_of_all_reads_that_wait_before_the_first_of_them_is_served(
    mappings: Mappings, short_folder: Path
) -> None:
    mapping = mappings["of"](LinearTarget(start_sectors=0, length_sectors=HALF, pv_id="pv", offset_sectors=0))
    device = SlowDevice(random.Random(1).randbytes(HALF * 512))
    server = NbdServer({"e": VolumeStream(mapping, {"pv": device}, {})}, Address(path=str(short_folder / "slow")))
    server.start()
    try:
        with Client(server.path).go() as client:
            client.read(0, 512)
            device.calls.clear()
            waiting = [request(READ, place, 4096, cookie=place) for place in (8192, 4096, 65536)]
            client.send(b"".join([waiting[0], request(WRITE, 0, 512, cookie=1), b"x" * 512, *waiting[1:]]))
            for place, length in ((8192, 4096), (1, 0), (4096, 4096), (65536, 4096)):
                assert client.reply(place) == 0
                assert client.take(length) == device.content[place : place + length]
    finally:
        server.stop()
    places = [8192, 4096, 65536]
    assert device.calls == [("soon", place) for place in places] + [("read", place) for place in places]
