"""The NBD server: stock clients, a client by hand for the edges of the protocol, and clients that misbehave."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import stat
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptlv.activate.nbd import NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.errors import ActivationError
from support.machine import need
from support.nbd import (
    ABORT,
    ACK,
    DISC,
    EINVAL,
    EIO,
    ENOSPC,
    EOVERFLOW,
    EPERM,
    EXPORT_NAME,
    FLUSH,
    FUA,
    GO,
    INFO,
    INVALID,
    LIST,
    POLICY,
    READ,
    REP_INFO,
    SERVER,
    STARTTLS,
    TRIM,
    UNKNOWN,
    UNSUP,
    WRITE,
    ZEROES,
    Client,
    about,
    request,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from activate.conftest import Disks, MakeDisks
    from cryptlv.activate.stream import VolumeStream
    from cryptlv.model.mapping import VolumeMapping

    Mappings = dict[str, Callable[..., VolumeMapping]]
    Model = Callable[..., bytes]
    Start = Callable[..., NbdServer]

SIZE = 296 * 512
FLAGS = 0b10101101101


def run(*words: str, given: bytes = b"") -> bytes:
    """The output of a stock tool, which must not fail."""
    done = subprocess.run(words, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def uri(server: NbdServer, export: str = "") -> str:
    """The server as stock tools name it."""
    return f"nbd+unix:///{export}?socket={server.path}"


def server_at(stream: VolumeStream, path: str) -> NbdServer:
    """A server of one export on a unix socket."""
    return NbdServer({"vg0/lv0": stream}, Address(path=path))


@pytest.fixture
def served(disks: MakeDisks, mappings: Mappings, nbd: Start) -> tuple[NbdServer, Disks]:
    """A volume of every kind of target, and its server."""
    made = disks(mappings["every_target"]())
    return nbd(made.stream), made


@pytest.mark.compat
def test_nbdinfo_sees_size_flags_and_name(served: tuple[NbdServer, Disks]) -> None:
    need("nbdinfo")
    assert int(run("nbdinfo", "--size", uri(served[0]))) == SIZE
    said = json.loads(run("nbdinfo", "--json", uri(served[0], "vg0%2Flv0")))
    (export,) = said["exports"]
    assert export["export-size"] == SIZE
    able = {"can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero"}
    assert {name for name in able if export[name]} == able
    assert export["is_read_only"] is False
    assert export["block_size_minimum"] == 1
    assert said["protocol"] == "newstyle-fixed"
    listed = json.loads(run("nbdinfo", "--list", "--json", uri(served[0])))
    assert [one["export-name"] for one in listed["exports"]] == ["vg0/lv0"]


@pytest.mark.compat
def test_nbdinfo_sees_that_a_volume_is_read_only(disks: MakeDisks, mappings: Mappings, nbd: Start) -> None:
    need("nbdinfo")
    server = nbd(disks(mappings["every_target"](writable=False)).stream)
    (export,) = json.loads(run("nbdinfo", "--json", uri(server)))["exports"]
    assert export["is_read_only"] is True
    assert not export["can_trim"]
    assert not export["can_zero"]


@pytest.mark.compat
def test_nbdcopy_out_and_in_keeps_every_byte(
    disks: MakeDisks, mappings: Mappings, nbd: Start, read_by_model: Model, short_folder: Path
) -> None:
    need("nbdcopy")
    mapping = mappings["one_crypt"](32 * 2048)
    made = disks(mapping, device_bytes=33 * 2**20)
    server = nbd(made.stream)
    out = short_folder / "out"
    run("nbdcopy", uri(server), str(out))
    model = read_by_model(mapping, {"pv0": made.contents()["pv0"]})
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(model).digest()
    data = random.Random(5).randbytes(9 << 20) + bytes(10 << 20) + random.Random(6).randbytes(13 << 20)
    out.write_bytes(data)
    run("nbdcopy", "--flush", str(out), uri(server))
    model = read_by_model(mapping, made.contents())
    assert hashlib.sha256(model).digest() == hashlib.sha256(data).digest()
    assert made.devices["pv0"].flushes >= 1


@pytest.mark.compat
def test_qemu_io_writes_zeroes_discards_and_reads_its_patterns(
    served: tuple[NbdServer, Disks], mappings: Mappings, read_by_model: Model
) -> None:
    need("qemu-io")
    server, made = served
    model = bytearray(read_by_model(mappings["every_target"](), made.contents()))
    commands = ["write -P 0xa5 1024 70000", "write -f -P 0x3c 19990 1000", "write -z 30000 5000", "flush"]
    commands += ["read -P 0x3c 19990 1000", "read -P 0 30000 5000", "discard 65536 4096", "read -P 0xa5 35000 1000"]
    words = [word for command in commands for word in ("-c", command)]
    said = run("qemu-io", "-f", "raw", *words, uri(server))
    assert b"verification failed" not in said
    assert b"failed" not in said
    model[1024:71024] = b"\xa5" * 70000
    model[19990:20990] = b"\x3c" * 1000
    model[30000:35000] = bytes(5000)
    now = read_by_model(mappings["every_target"](), made.contents())
    assert now[:65536] == model[:65536]
    assert now[65536 + 4096 :] == model[65536 + 4096 :]
    assert sum(device.flushes for device in made.devices.values()) >= 3


@pytest.mark.compat
def test_qemu_io_is_refused_by_a_read_only_volume(disks: MakeDisks, mappings: Mappings, nbd: Start) -> None:
    need("qemu-io")
    made = disks(mappings["every_target"](writable=False))
    before = made.contents()
    server = nbd(made.stream)
    words = ["qemu-io", "-f", "raw", "-c", "write 0 512", uri(server)]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
    assert made.contents() == before
    run("qemu-io", "-r", "-f", "raw", "-c", "read 0 512", uri(server))


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_server(served: tuple[NbdServer, Disks]) -> None:
    server, _ = served
    mode = os.lstat(server.path).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    server.stop()
    assert not os.path.lexists(server.path)
    server.stop()


def test_a_socket_of_somebody_else_can_be_used_again_when_the_server_has_stopped(
    disks: MakeDisks, mappings: Mappings, short_folder: Path
) -> None:
    stream, path = disks(mappings["every_target"]()).stream, str(short_folder / "theirs")
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(path)
        theirs.listen()
        for _ in range(2):
            server = NbdServer({"e": stream}, Address(descriptors=(os.dup(theirs.fileno()),)))
            server.start()
            with Client(path).go() as client:
                assert len(client.read(0, 512)) == 512
            server.stop()
            assert os.path.lexists(path)


def test_a_path_that_no_socket_can_have_is_a_clear_error(
    disks: MakeDisks, mappings: Mappings, short_folder: Path
) -> None:
    stream = disks(mappings["every_target"]()).stream
    longest = str(short_folder) + "/" + "s" * (107 - len(str(short_folder)) - 1)
    server = server_at(stream, longest)
    server.start()
    server.stop()
    with pytest.raises(ActivationError, match="CRYPTLV_RUN_DIR"):
        server_at(stream, longest + "s").start()
    with pytest.raises(ActivationError, match="cannot listen: No such file or directory"):
        server_at(stream, str(short_folder / "no" / "s")).start()


def test_a_path_that_is_taken_is_an_error_and_stays(disks: MakeDisks, mappings: Mappings, short_folder: Path) -> None:
    path = short_folder / "taken"
    path.write_bytes(b"mine")
    with pytest.raises(ActivationError, match="taken"):
        server_at(disks(mappings["every_target"]()).stream, str(path)).start()
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("name", [b"", b"vg0/lv0"])
@pytest.mark.parametrize("option", [INFO, GO])
def test_info_and_go_tell_size_flags_and_block_sizes(
    served: tuple[NbdServer, Disks], option: int, name: bytes
) -> None:
    with Client(served[0].path) as client:
        *infos, last = client.option(option, about(name, 3, 0, 1, 2, 999))
        assert last == (ACK, b"")
        assert all(kind == REP_INFO for kind, _ in infos)
        by_type = {struct.unpack(">H", data[:2])[0]: data[2:] for _, data in infos}
        assert struct.unpack(">QH", by_type[0]) == (SIZE, FLAGS)
        smallest, liked, most = struct.unpack(">III", by_type[3])
        assert smallest == 1 <= liked <= most
        if option == INFO:
            client.go()
        assert len(client.read(0, 10)) == 10


def test_list_names_the_export_and_takes_no_data(served: tuple[NbdServer, Disks]) -> None:
    with Client(served[0].path) as client:
        assert client.option(LIST) == [(SERVER, b"\x00\x00\x00\x07vg0/lv0"), (ACK, b"")]
        assert client.option(LIST, b"x") == [(INVALID, b"")]
        client.go()


@pytest.mark.parametrize(("flags", "zeroes"), [(1, 124), (3, 0), (0, 124), (2, 0)])
def test_export_name_begins_transmission(
    served: tuple[NbdServer, Disks], mappings: Mappings, read_by_model: Model, flags: int, zeroes: int
) -> None:
    server, made = served
    with Client(server.path, flags) as client:
        client.send(b"IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 7) + b"vg0/lv0")
        assert client.take(10 + zeroes) == struct.pack(">QH", SIZE, FLAGS) + bytes(zeroes)
        model = read_by_model(mappings["every_target"](), made.contents())
        assert client.read(20000, 3000) == model[20000:23000]


def test_abort_is_acknowledged_and_ends_the_connection(served: tuple[NbdServer, Disks]) -> None:
    with Client(served[0].path) as client:
        assert client.option(ABORT) == [(ACK, b"")]
        assert client.at_end()


@pytest.mark.parametrize("option", [4, 11, 12, 0, 0xFFFFFFFF])
def test_an_unknown_option_is_unsupported_and_the_next_is_served(
    served: tuple[NbdServer, Disks], option: int
) -> None:
    with Client(served[0].path) as client:
        assert client.option(option, b"some data") == [(UNSUP, b"")]
        assert client.option(STARTTLS)[0][0] in (POLICY, UNSUP)
        client.go()


def test_an_unknown_export_is_said_to_be_unknown(served: tuple[NbdServer, Disks]) -> None:
    with Client(served[0].path) as client:
        for name in (b"lv0", b"vg0/lv1", b"\xff\xfe", b"vg0/lv0\x00", b"n" * 4096):
            for option in (INFO, GO):
                assert client.option(option, about(name))[-1][0] == UNKNOWN
        client.go()
    with Client(served[0].path) as client:
        client.send(b"IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 4) + b"nope")
        assert client.at_end()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 5, about(b"x" * 5000), about(b"vg0/lv0") + b"x", b"\xff\xff\xff\xff" + bytes(9), about(b"")[:-1]],
    ids=["empty", "short", "long name", "too much", "huge name", "cut off"],
)
def test_a_malformed_info_or_go_is_invalid_and_the_next_is_served(
    served: tuple[NbdServer, Disks], data: bytes
) -> None:
    with Client(served[0].path) as client:
        assert client.option(INFO, data) == [(INVALID, b"")]
        assert client.option(GO, data) == [(INVALID, b"")]
        client.go()


@pytest.mark.parametrize(
    "first",
    [
        struct.pack(">I", 4) + b"IHAVEOPT" + struct.pack(">II", GO, 6) + bytes(6),
        struct.pack(">I", 3) + b"IHAVEOPX" + struct.pack(">II", GO, 6) + bytes(6),
        struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", GO, 0x7FFFFFFF),
        struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 0x7FFFFFFF),
    ],
    ids=["flags", "magic", "huge option", "huge name"],
)
def test_a_handshake_that_cannot_be_followed_ends_the_connection_alone(
    served: tuple[NbdServer, Disks], first: bytes
) -> None:
    with Client(served[0].path).go() as other:
        with Client(served[0].path, flags=None) as client:
            client.take(18)
            client.send(first)
            assert client.at_end()
        assert len(other.read(0, 512)) == 512


def test_endless_options_end_the_connection(served: tuple[NbdServer, Disks]) -> None:
    with Client(served[0].path) as client, pytest.raises((EOFError, ConnectionError)):
        _list_for_ever(client)
    with Client(served[0].path) as client:
        client.go()


def _list_for_ever(client: Client) -> None:
    for _ in range(5000):
        client.option(LIST)


def test_requests_do_what_they_say_and_give_their_cookie_back(
    served: tuple[NbdServer, Disks], mappings: Mappings, read_by_model: Model
) -> None:
    server, made = served
    mapping = mappings["every_target"]()
    model = bytearray(read_by_model(mapping, made.contents()))
    with Client(server.path).go() as client:
        assert client.request(WRITE, 20001, data=b"hello" * 999) == 0
        model[20001 : 20001 + 4995] = b"hello" * 999
        assert client.request(ZEROES, 21000, 700) == 0
        assert client.request(ZEROES, 90000, 700, flags=2) == 0
        model[21000:21700] = model[90000:90700] = bytes(700)
        assert client.request(TRIM, 0, 4096) == 0
        assert read_by_model(mapping, made.contents()) == model
        assert client.read(0, SIZE) == model
        assert client.read(SIZE, 0) == b""
        for cookie in (0, 2**64 - 1):
            client.send(request(FLUSH, 0, 0, cookie=cookie))
            assert client.reply(cookie) == 0


def test_flush_and_fua_reach_the_device_before_the_reply(served: tuple[NbdServer, Disks]) -> None:
    server, made = served
    device = made.devices["pv1"]
    with Client(server.path).go() as client:
        assert client.request(WRITE, 0, data=b"x") == 0
        assert device.flushes == 0
        assert client.request(FLUSH) == 0
        assert device.flushes == 1
        assert client.request(WRITE, 0, data=b"y", flags=FUA) == 0
        assert device.flushes == 2
        assert client.request(ZEROES, 0, 512, flags=FUA) == 0
        assert device.flushes == 3
        assert client.request(TRIM, 0, 512, flags=FUA) == 0


def test_a_flush_covers_what_other_connections_wrote(served: tuple[NbdServer, Disks]) -> None:
    server, made = served
    with Client(server.path).go() as one, Client(server.path).go() as two:
        assert one.request(WRITE, 0, data=b"from one") == 0
        assert two.read(0, 8) == b"from one"
        assert two.request(FLUSH) == 0
        assert made.devices["pv1"].flushes == 1


def test_disconnecting_flushes(served: tuple[NbdServer, Disks], wait_until: Callable[..., bool]) -> None:
    server, made = served
    with Client(server.path).go() as client:
        assert client.request(WRITE, 0, data=b"x") == 0
        client.send(request(DISC, 0, 0))
        assert client.at_end()
    assert made.devices["pv1"].flushes == 1
    assert wait_until(lambda: server.users == 0)


@pytest.mark.parametrize(
    ("command", "offset", "length", "error"),
    [
        (READ, SIZE, 1, EINVAL),
        (READ, SIZE - 1, 2, EINVAL),
        (READ, 2**64 - 1, 1, EINVAL),
        (READ, 0, 32 * 2**20 + 1, EOVERFLOW),
        (READ, 0, 2**32 - 1, EOVERFLOW),
        (ZEROES, SIZE - 1, 2, ENOSPC),
        (ZEROES, 0, 2**32 - 1, ENOSPC),
        (TRIM, SIZE, 1, EINVAL),
        (TRIM, 2**64 - 1, 2**32 - 1, EINVAL),
        (5, SIZE - 4095, 4096, EINVAL),
        (7, 0, 4096, EINVAL),
        (8, 0, 0, EINVAL),
        (0xFFFF, 2**64 - 1, 2**32 - 1, EINVAL),
    ],
)
def test_a_request_that_cannot_be_done_gets_its_error_and_the_connection_goes_on(
    served: tuple[NbdServer, Disks], command: int, offset: int, length: int, error: int
) -> None:
    server, made = served
    before = made.contents()
    with Client(server.path).go() as client:
        assert client.request(command, offset, length) == error
        assert len(client.read(0, 512)) == 512
    assert made.contents() == before


@pytest.mark.parametrize(
    ("offset", "flags", "error"), [(SIZE - 3, 0, ENOSPC), (2**64 - 4, 0, ENOSPC), (0, 0x80, EINVAL)]
)
def test_a_write_that_is_refused_has_its_data_taken_from_the_line(
    served: tuple[NbdServer, Disks], offset: int, flags: int, error: int
) -> None:
    server, made = served
    before = made.contents()
    with Client(server.path).go() as client:
        assert client.request(WRITE, offset, data=b"data", flags=flags) == error
        assert len(client.read(0, 512)) == 512
    assert made.contents() == before


def test_an_oversized_write_ends_its_connection_alone(served: tuple[NbdServer, Disks]) -> None:
    server, made = served
    before = made.contents()
    with Client(server.path).go() as other:
        with Client(server.path).go() as client:
            client.send(request(WRITE, 0, 32 * 2**20 + 1))
            assert client.at_end()
        assert len(other.read(0, 512)) == 512
    assert made.contents() == before


def test_a_wrong_request_magic_ends_its_connection_alone(served: tuple[NbdServer, Disks]) -> None:
    with Client(served[0].path).go() as other:
        with Client(served[0].path).go() as client:
            client.send(b"\x00" * 28)
            assert client.at_end()
        assert len(other.read(0, 512)) == 512


def test_a_read_only_export_refuses_writes_with_eperm(disks: MakeDisks, mappings: Mappings, nbd: Start) -> None:
    made = disks(mappings["every_target"](writable=False))
    before = made.contents()
    with Client(nbd(made.stream).path).go() as client:
        assert client.request(WRITE, 0, data=b"data") == EPERM
        assert client.request(ZEROES, 0, 512) == EPERM
        assert client.request(TRIM, 0, 512) == EPERM
        assert client.request(FLUSH) == 0
        assert len(client.read(0, 512)) == 512
    assert made.contents() == before


def test_a_failing_device_gives_eio_and_the_connection_goes_on(served: tuple[NbdServer, Disks]) -> None:
    server, made = served
    device = made.devices["pv1"]
    with Client(server.path).go() as client:
        device.failing = frozenset(["read", "write", "flush"])
        assert client.request(READ, 0, 512) == EIO
        assert client.request(WRITE, 0, data=bytes(512)) == EIO
        device.failing = frozenset(["flush"])
        assert client.request(WRITE, 0, data=bytes(512)) == 0
        assert client.request(FLUSH) == EIO
        assert client.request(WRITE, 0, data=bytes(512), flags=FUA) == EIO
        device.failing = frozenset()
        assert client.request(FLUSH) == EIO, "what was lost stays lost"


def test_many_requests_sent_at_once_are_answered_in_order(
    served: tuple[NbdServer, Disks], mappings: Mappings, read_by_model: Model
) -> None:
    server, made = served
    model = bytearray(read_by_model(mappings["every_target"](), made.contents()))
    chance = random.Random(3)
    batch, expected = bytearray(), []
    for cookie in range(300):
        offset, length = chance.randrange(SIZE - 4000), chance.randrange(1, 4000)
        if cookie % 3:
            data = chance.randbytes(length)
            batch += request(WRITE, offset, length, cookie=cookie) + data
            model[offset : offset + length] = data
            expected.append(b"")
        else:
            batch += request(READ, offset, length, cookie=cookie)
            expected.append(bytes(model[offset : offset + length]))
    with Client(server.path).go() as client:
        sender = threading.Thread(target=client.send, args=(bytes(batch),), daemon=True)
        sender.start()
        for cookie, data in enumerate(expected):
            assert client.reply(cookie) == 0
            assert client.take(len(data)) == data
        sender.join(10)
    assert read_by_model(mappings["every_target"](), made.contents()) == model


def test_a_request_may_arrive_byte_by_byte(served: tuple[NbdServer, Disks]) -> None:
    with Client(served[0].path, flags=None) as client:
        client.take(18)
        data = struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", GO, 6) + bytes(6)
        data += request(WRITE, 7, 5) + b"bytes" + request(FLUSH, 0, 0)
        for byte in data:
            client.send(bytes([byte]))
        client.take(20 + 12 + 20 + 14 + 20)
        assert client.reply() == 0
        assert client.reply() == 0
        assert client.read(7, 5) == b"bytes"


@pytest.mark.parametrize(
    "last",
    [
        b"",
        request(WRITE, 0, 4096)[:13],
        request(WRITE, 0, 4096),
        request(WRITE, 0, 4096) + bytes(4095),
        request(READ, 0, SIZE) * 50,
    ],
    ids=["idle", "in a header", "before data", "in data", "with replies not taken"],
)
def test_a_client_that_vanishes_takes_nothing_with_it(
    served: tuple[NbdServer, Disks], wait_until: Callable[..., bool], last: bytes
) -> None:
    server, made = served
    before = made.contents()
    client = Client(server.path).go()
    client.send(last)
    client.socket.close()
    assert wait_until(lambda: server.users == 0)
    assert made.contents() == before
    with Client(server.path).go() as after:
        assert len(after.read(0, 512)) == 512


def test_a_client_that_vanishes_during_the_handshake_is_forgotten(
    served: tuple[NbdServer, Disks], wait_until: Callable[..., bool]
) -> None:
    server, _ = served
    for count in range(0, 26, 3):
        with Client(server.path, flags=None) as client:
            client.send((struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", GO, 6) + bytes(6))[:count])
    assert wait_until(lambda: server.users == 0)


def test_several_clients_at_once_each_see_their_own_writes(
    served: tuple[NbdServer, Disks], mappings: Mappings, read_by_model: Model
) -> None:
    server, made = served
    mapping = mappings["every_target"]()
    model = bytearray(read_by_model(mapping, made.contents()))
    share = SIZE // 6

    def work(mine: int) -> None:
        chance = random.Random(mine)
        with Client(server.path).go() as client:
            for _ in range(30):
                offset = mine * share + chance.randrange(share - 1)
                data = chance.randbytes(chance.randrange(1, (mine + 1) * share - offset + 1))
                assert client.request(WRITE, offset, data=data) == 0
                model[offset : offset + len(data)] = data
                assert client.read(offset, len(data)) == data

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, mine) for mine in range(6)]:
            done.result()
    assert read_by_model(mapping, made.contents()) == model


def test_more_clients_than_there_is_room_for_are_turned_away_and_room_comes_back(
    served: tuple[NbdServer, Disks], wait_until: Callable[..., bool]
) -> None:
    server, _ = served
    clients = []
    for _ in range(200):
        client = Client(server.path, flags=None)
        clients.append(client)
        try:
            client.take(18)
            client.send(struct.pack(">I", 3))
            client.go()
        except (EOFError, ConnectionError):
            break
    else:
        pytest.fail("a thread for each of 200 clients")
    assert len(clients) > 16
    assert len(clients[0].read(0, 512)) == 512
    for client in clients:
        client.socket.close()
    assert wait_until(lambda: server.users == 0)
    with Client(server.path) as client:
        client.go()


def test_clients_that_never_negotiate_do_not_keep_others_out(served: tuple[NbdServer, Disks]) -> None:
    server, _ = served
    with Client(server.path).go() as first:
        silent = [Client(server.path) for _ in range(200)]  # they say what they can do, and then nothing
        with Client(server.path).go() as last:
            assert len(last.read(0, 512)) == 512
        assert len(first.read(0, 512)) == 512
        assert server.users < 64
        for client in silent:
            client.socket.close()


def test_stop_disconnects_clients_and_waits_for_what_they_asked_for(served: tuple[NbdServer, Disks]) -> None:
    server, made = served
    device = made.devices["pv1"]
    device.gate.clear()
    with Client(server.path).go() as client:
        client.send(request(WRITE, 0, 3, flags=FUA) + b"abc")
        assert device.flushing.wait(10)
        stopping = threading.Thread(target=server.stop, daemon=True)
        stopping.start()
        stopping.join(0.2)
        assert stopping.is_alive()
        device.gate.set()
        stopping.join(10)
        assert not stopping.is_alive()
        assert server.users == 0
    assert device.flushes == 1
    with pytest.raises(OSError, match="No such file"):
        Client(server.path)


@pytest.mark.parametrize("begin", [b"", struct.pack(">I", 3), struct.pack(">I", 3) + b"IHAVEOPT"])
def test_no_handshake_makes_the_server_stop_serving(
    served: tuple[NbdServer, Disks], wait_until: Callable[..., bool], begin: bytes
) -> None:
    server, made = served
    before = made.contents()

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=80))
    def run_one(noise: bytes) -> None:
        with Client(server.path, flags=None) as client:
            client.take(18)
            client.say_all(begin + noise)

    run_one()
    assert wait_until(lambda: server.users == 0)
    assert made.contents() == before
    with Client(server.path).go() as client:
        assert len(client.read(0, 512)) == 512


def test_no_option_makes_the_server_stop_serving(
    served: tuple[NbdServer, Disks], wait_until: Callable[..., bool]
) -> None:
    """Well-formed heads with any data, one after another, and any requests behind them."""
    server, made = served
    before = made.contents()
    options = st.tuples(st.sampled_from([1, 2, 3, 5, 6, 7, 8, 10, 99]), st.binary(max_size=40))

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(options, max_size=6), st.binary(max_size=60))
    def run_one(said: list[tuple[int, bytes]], noise: bytes) -> None:
        data = b"".join(b"IHAVEOPT" + struct.pack(">II", kind, len(text)) + text for kind, text in said)
        with Client(server.path) as client:
            client.say_all(data + noise)

    run_one()
    assert wait_until(lambda: server.users == 0)
    assert made.contents() == before
    with Client(server.path).go() as client:
        assert len(client.read(0, 512)) == 512
