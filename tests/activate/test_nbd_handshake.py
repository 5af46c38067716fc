"""The negotiation: several exports, structured replies, contexts, TLS, and a client that takes its time."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from cryptlv.activate.nbd import NbdOptions, NbdServer
from cryptlv.activate.nbd_address import Address
from cryptlv.activate.nbd_handshake import Disconnected, Handshake
from cryptlv.activate.nbd_protocol import Export
from cryptlv.errors import ActivationError, CryptlvError
from support.machine import need
from support.nbd import ACK, EXPORT_NAME, GO, INFO, INVALID, LIST, SERVER, STARTTLS, UNKNOWN, Client, about

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from activate.conftest import MakeDisks
    from cryptlv.activate.stream import VolumeStream
    from cryptlv.model.mapping import VolumeMapping

    Mappings = dict[str, Callable[..., VolumeMapping]]

STRUCTURED, LIST_META, SET_META, CONTEXT, TLS_REQUIRED = 8, 9, 10, 4, 0x80000005
ALLOCATION = b"base:allocation"


def contexts(name: bytes, *queries: bytes) -> bytes:
    """The data of an option about contexts."""
    strings = [struct.pack(">I", len(text)) + text for text in (name, *queries)]
    return strings[0] + struct.pack(">I", len(queries)) + b"".join(strings[1:])


@pytest.fixture
def streams(disks: MakeDisks, mappings: Mappings) -> dict[str, VolumeStream]:
    """Two volumes of different sizes."""
    return {"vg0/lv0": disks(mappings["every_target"]()).stream, "b": disks(mappings["one_crypt"](64)).stream}


@pytest.fixture
def two(streams: dict[str, VolumeStream], short_folder: Path) -> Iterator[NbdServer]:
    """A server of two volumes."""
    server = NbdServer(streams, Address(path=str(short_folder / "two")))
    server.start()
    yield server
    server.stop()


def test_each_of_several_exports_is_found_by_its_name_and_none_without(
    two: NbdServer, streams: dict[str, VolumeStream]
) -> None:
    with Client(two.path) as client:
        assert client.option(LIST) == [
            (SERVER, b"\x00\x00\x00\x07vg0/lv0"), (SERVER, b"\x00\x00\x00\x01b"), (ACK, b""),
        ]  # fmt: skip
        assert client.option(GO, about(b""))[-1][0] == UNKNOWN
        client.go(b"b")
        assert client.read(0, 64 * 512) == streams["b"].read(0, 64 * 512)
    with Client(two.path) as client:
        client.go(b"vg0/lv0")
        assert client.read(0, 4000) == streams["vg0/lv0"].read(0, 4000)
    with Client(two.path) as client:
        client.send(b"IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 0))
        assert client.at_end()


@pytest.mark.compat
def test_nbdinfo_lists_several_exports(two: NbdServer) -> None:
    need("nbdinfo")
    words = ["nbdinfo", "--list", "--json", f"nbd+unix:///?socket={two.path}"]
    said = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert {one["export-name"]: one["export-size"] for one in said["exports"]} == {
        "vg0/lv0": 296 * 512,
        "b": 64 * 512,
    }
    assert all(one["contexts"] == ["base:allocation"] for one in said["exports"])


def test_contexts_need_structured_replies_and_a_known_export(two: NbdServer) -> None:
    with Client(two.path) as client:
        assert client.option(SET_META, contexts(b"b", ALLOCATION)) == [(INVALID, b"")]
        assert client.option(STRUCTURED, b"x") == [(INVALID, b"")]
        assert client.option(STRUCTURED) == [(ACK, b"")]
        assert client.option(SET_META, contexts(b"no", ALLOCATION)) == [(UNKNOWN, b"")]
        assert client.option(SET_META, contexts(b"b", b"other:thing")) == [(ACK, b"")]
        assert client.option(LIST_META, contexts(b"b")) == [(CONTEXT, bytes(4) + ALLOCATION), (ACK, b"")]
        for wrong in (b"", contexts(b"b", ALLOCATION)[:-1], contexts(b"b") + b"x", b"\xff" * 12):
            assert client.option(SET_META, wrong) == [(INVALID, b"")]
        (kind, data), last = client.option(SET_META, contexts(b"b", ALLOCATION))
        assert (kind, data[4:], last) == (CONTEXT, ALLOCATION, (ACK, b""))


@pytest.mark.parametrize(("chosen", "error"), [(b"b", 0), (b"vg0/lv0", 22)])
def test_a_context_is_for_the_export_that_it_was_set_for(two: NbdServer, chosen: bytes, error: int) -> None:
    with Client(two.path) as client:
        client.option(STRUCTURED)
        client.option(SET_META, contexts(b"b", ALLOCATION))
        client.go(chosen)
        client.send(struct.pack(">IHHQQI", 0x25609513, 0, 7, 1, 0, 4096))
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", client.take(20))
        assert (magic, flags, cookie) == (0x668E33EF, 1, 1)
        assert kind == (0x8001 if error else 5)
        body = client.take(length)
        if error:
            assert struct.unpack(">I", body[:4]) == (error,)


def run(options: bytes) -> tuple[list[BaseException], bytes]:
    """What a handshake makes of a client's bytes: its exception, and what it said."""
    ours, theirs = socket.socketpair()
    failures: list[BaseException] = []

    def negotiate() -> None:
        export = Export(name="e", size_bytes=512, writable=True)
        try:
            Handshake(ours, {"e": (export, None)}).run()  # type: ignore[dict-item]
        except (Disconnected, OSError, CryptlvError) as error:
            failures.append(error)
        ours.close()

    with ours, theirs:
        theirs.sendall(options)
        theirs.shutdown(socket.SHUT_WR)
        thread = threading.Thread(target=negotiate)
        thread.start()
        said = b""
        with suppress(ConnectionError):  # what it did not read
            while more := theirs.recv(65536):
                said += more
        thread.join()
    return failures, said


def test_a_client_that_hangs_up_is_disconnected_and_one_that_never_ends_is_let_go() -> None:
    for begin in (b"", struct.pack(">I", 3) + b"IHAVEOPT"):
        failures, _ = run(begin)
        assert [type(failure) for failure in failures] == [Disconnected]
    failures, said = run(struct.pack(">I", 3) + (b"IHAVEOPT" + struct.pack(">II", LIST, 0)) * 400)
    assert failures == []
    assert said.count(struct.pack(">QI", 0x3E889045565A9, LIST)) == 512, "256 options, two replies each"


def test_the_whole_negotiation_has_one_deadline() -> None:
    """A byte now and then does not keep a connection alive: 0.4 seconds are all, however often it says something."""
    ours, theirs = socket.socketpair()
    ended: list[BaseException] = []

    def negotiate() -> None:
        try:
            Handshake(ours, {}, patience_seconds=0.4).run()
        except OSError as error:
            ended.append(error)

    with ours, theirs:
        thread = threading.Thread(target=negotiate, daemon=True)
        thread.start()
        for byte in struct.pack(">I", 3) + b"IHAVEOPT" * 20:
            thread.join(0.05)
            if not thread.is_alive():
                break
            theirs.send(bytes([byte]))
        thread.join(10)
    assert [type(error) for error in ended] == [TimeoutError]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's and a client's certificate, and a stranger's, made by openssl."""
    need("openssl")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=True)

    for name in ("ca", "other"):
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            f"/CN={name}", "-keyout", f"{name}-key.pem", "-out", f"{name}-cert.pem",
        )  # fmt: skip
    for name, by in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}-key.pem", "-out", f"{name}.csr",
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}-cert.pem", "-CAkey", f"{by}-key.pem",
            "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}-cert.pem",
        )  # fmt: skip
    return folder


@pytest.fixture
def secured(streams: dict[str, VolumeStream], certificates: Path) -> Iterator[NbdServer]:
    """A server over TCP with TLS."""
    options = NbdOptions(tls_directory=str(certificates))
    server = NbdServer({"b": streams["b"]}, Address(host="127.0.0.1", port=0), options)
    server.start()
    yield server
    server.stop()


@pytest.mark.compat
def test_stock_clients_read_over_tls_with_a_certificate_and_not_without(
    secured: NbdServer, streams: dict[str, VolumeStream], certificates: Path, tmp_path: Path
) -> None:
    need("nbdcopy")
    out = tmp_path / "out"
    place = f"127.0.0.1:{secured.port}/"
    pki = tmp_path / "pki"
    pki.mkdir()
    for theirs, ours in (("ca-cert", "ca-cert"), ("client-cert", "client-cert"), ("client-key", "client-key")):
        (pki / f"{theirs}.pem").write_bytes((certificates / f"{ours}.pem").read_bytes())
    subprocess.run(["nbdcopy", f"nbds://{place}?tls-certificates={pki}", str(out)], check=True, timeout=60)
    assert out.read_bytes() == streams["b"].read(0, 64 * 512)
    plain = subprocess.run(["nbdcopy", f"nbd://{place}", str(out)], capture_output=True, timeout=60, check=False)
    assert plain.returncode != 0


def test_nothing_is_told_before_tls_and_nobody_is_let_in_without_a_certificate(
    secured: NbdServer, certificates: Path
) -> None:
    def connect() -> Client:
        client = Client(("127.0.0.1", secured.port))
        assert client.option(LIST) == [(TLS_REQUIRED, b"")]
        assert client.option(INFO, about(b"b")) == [(TLS_REQUIRED, b"")]
        assert client.option(STARTTLS, b"x") == [(INVALID, b"")]
        assert client.option(STARTTLS) == [(ACK, b"")]
        return client

    context = ssl.create_default_context(cafile=str(certificates / "ca-cert.pem"))
    for name in ("", "stranger"):
        if name:
            context.load_cert_chain(certificates / f"{name}-cert.pem", certificates / f"{name}-key.pem")
        with connect() as client, pytest.raises((OSError, EOFError)):  # noqa: PT012 - either may fail
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            client.option(LIST)
    context.load_cert_chain(certificates / "client-cert.pem", certificates / "client-key.pem")
    with connect() as client:
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        assert client.option(STARTTLS) == [(INVALID, b"")]
        assert len(client.go().read(0, 512)) == 512
    with Client(("127.0.0.1", secured.port)) as client:
        client.send(b"IHAVEOPT" + struct.pack(">II", EXPORT_NAME, 0))
        assert client.at_end()


def test_what_is_sent_behind_starttls_in_the_clear_is_not_taken_for_the_clients(secured: NbdServer) -> None:
    with Client(("127.0.0.1", secured.port)) as client:
        listing = b"IHAVEOPT" + struct.pack(">II", LIST, 0)
        client.send(b"IHAVEOPT" + struct.pack(">II", STARTTLS, 0) + listing)
        assert client.take(20)[12:16] == struct.pack(">I", ACK)
        rest = b""
        try:
            while more := client.socket.recv(4096):
                rest += more
        except OSError:
            pass
        assert b"\x00\x03\xe8\x89\x04\x55\x65\xa9" not in rest, "an option was answered"


def test_certificates_that_are_not_there_are_a_clear_error(streams: dict[str, VolumeStream], tmp_path: Path) -> None:
    with pytest.raises(ActivationError, match=r"ca-cert\.pem"):
        NbdServer(streams, Address(host="127.0.0.1"), NbdOptions(tls_directory=str(tmp_path)))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("server-key.pem", r"server-key\.pem: has a passphrase"),
        ("ca-cert.pem", r"ca-cert\.pem: has no certificate"),
        ("server-cert.pem", r"server-cert\.pem: no certificate in PEM form"),
    ],
)
def test_what_is_wrong_with_certificates_is_named(
    streams: dict[str, VolumeStream], certificates: Path, tmp_path: Path, broken: str, told: str
) -> None:
    for name in ("ca-cert.pem", "server-cert.pem", "server-key.pem"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    (tmp_path / broken).write_bytes(b"nothing\n")
    if "key" in broken:
        words = [
            "openssl",
            "pkcs8",
            "-topk8",
            "-v2",
            "aes-256-cbc",
            "-passout",
            "pass:x",
            "-out",
            str(tmp_path / broken),
        ]
        subprocess.run([*words, "-in", str(certificates / broken)], check=True, capture_output=True)
    with pytest.raises(ActivationError, match=told):
        NbdServer(streams, Address(host="127.0.0.1"), NbdOptions(tls_directory=str(tmp_path)))


def test_stopping_ends_clients_under_tls(secured: NbdServer, certificates: Path) -> None:
    context = ssl.create_default_context(cafile=str(certificates / "ca-cert.pem"))
    context.load_cert_chain(certificates / "client-cert.pem", certificates / "client-key.pem")
    with Client(("127.0.0.1", secured.port)) as client:
        assert client.option(STARTTLS) == [(ACK, b"")]
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost", suppress_ragged_eofs=True)
        client.go()
        assert len(client.read(0, 512)) == 512
        secured.stop()
        assert client.at_end()
    assert secured.users == 0


def test_clients_that_never_finish_the_tls_handshake_keep_nobody_out_and_end_with_the_server(
    secured: NbdServer, certificates: Path
) -> None:
    context = ssl.create_default_context(cafile=str(certificates / "ca-cert.pem"))
    context.load_cert_chain(certificates / "client-cert.pem", certificates / "client-key.pem")
    stalled = []
    try:
        for _ in range(110):
            stalled.append(Client(("127.0.0.1", secured.port)))
            assert stalled[-1].option(STARTTLS) == [(ACK, b"")]
        with Client(("127.0.0.1", secured.port)) as client:
            assert client.option(STARTTLS) == [(ACK, b"")]
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
            assert len(client.go().read(0, 512)) == 512
        began = time.monotonic()
        secured.stop()
        assert time.monotonic() - began < 5
        assert secured.users == 0
    finally:
        for client in stalled:
            client.socket.close()
