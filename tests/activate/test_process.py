"""Server processes from outside: started, found, stopped, killed, and what is left of them."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptlv.activate.process import (
    ServeRequest,
    ServerInfo,
    WaitingServer,
    active_lv_ids,
    clean_stale,
    decode_request,
    encode_request,
    find_server,
    load_engine,
    public_path,
    start_server,
    stop_server,
)
from cryptlv.errors import ActivationError, CryptlvError, InUseError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, VolumeMapping
from cryptlv.secret import VolumeKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activate.conftest import Serve, VolumeIo

    Mappings = dict[str, Callable[..., VolumeMapping]]
    Model = Callable[..., bytes]
    Request = Callable[..., ServeRequest]
    Open = Callable[[ServerInfo], VolumeIo]

UUID = "AbCdEf-0123-4567-89ab-cdef-GhIj-KlMnOp"
NAMES = st.text(st.characters(codec="utf-8"), max_size=8) | st.just("bytes \udcff\udc80")
NUMBERS = st.integers(0, 2**63)
SPANS = {"start_sectors": NUMBERS, "length_sectors": NUMBERS}
TARGETS = st.one_of(
    st.builds(LinearTarget, pv_id=NAMES, offset_sectors=NUMBERS, **SPANS),
    st.builds(
        CryptTarget, pv_id=NAMES, offset_sectors=NUMBERS, crypto_store=NAMES, iv_offset_sectors=NUMBERS, **SPANS
    ),
    st.builds(
        StripedTarget,
        chunk_sectors=NUMBERS,
        stripes=st.lists(st.tuples(NAMES, NUMBERS), max_size=3).map(tuple),
        **SPANS,
    ),
)
MAPPINGS = st.builds(
    VolumeMapping,
    vg_name=NAMES,
    vg_id=NAMES,
    lv_name=NAMES,
    lv_id=NAMES,
    length_sectors=NUMBERS,
    targets=st.lists(TARGETS, max_size=5).map(tuple),
    writable=st.booleans(),
)


@given(
    st.builds(
        ServeRequest,
        mapping=MAPPINGS,
        device_paths=st.dictionaries(NAMES, NAMES, max_size=3),
        ciphers=st.dictionaries(NAMES, st.tuples(NAMES, st.sampled_from([512, 4096]), st.booleans()), max_size=3),
        backend=st.sampled_from(["auto", "fuse", "nbd"]),
        run_dir=NAMES,
    )
)
def test_a_request_is_the_same_on_the_other_side(sent: ServeRequest) -> None:
    assert decode_request(encode_request(sent)) == sent


def test_a_volumes_path_is_group_and_name_with_an_ending_for_sockets(mappings: Mappings) -> None:
    mapping = mappings["one_crypt"](8)
    assert public_path("/run/x", mapping, "fuse") == "/run/x/vg0/lv0"
    assert public_path("/run/x", mapping, "nbd") == "/run/x/vg0/lv0.nbd"


def test_nobody_is_found_where_there_is_nothing(short_folder: Path) -> None:
    run_dir = str(short_folder / "run")
    assert find_server(run_dir, UUID) is None
    assert active_lv_ids(run_dir) == frozenset()
    clean_stale(run_dir, UUID)
    assert not os.path.exists(run_dir)


def test_a_server_is_found_serves_and_ends_without_a_trace(
    serve: Serve, server_request: Request, volume_io: Open, mappings: Mappings, read_by_model: Model, backend: str
) -> None:
    mapping = mappings["every_target"]()
    request = server_request(mapping, backend=backend)
    info = serve(request)
    assert info.path == request.run_dir + "/vg0/lv0" + (".nbd" if backend == "nbd" else "")
    assert (info.vg_name, info.lv_name, info.lv_id, info.backend) == ("vg0", "lv0", "id0", backend)
    assert find_server(request.run_dir, "id0") == info
    assert find_server(request.run_dir, "id1") is None
    assert active_lv_ids(request.run_dir) == {"id0"}

    def contents() -> dict[str, bytes]:
        return {pv_id: Path(path).read_bytes() for pv_id, path in request.device_paths.items()}

    model = bytearray(read_by_model(mapping, contents()))
    volume = volume_io(info)
    assert volume.read(20_000, 4000) == model[20_000:24_000]
    volume.write(19_999, b"data of a user" * 300)
    model[19_999 : 19_999 + 4200] = b"data of a user" * 300
    volume.flush()
    assert read_by_model(mapping, contents()) == model
    volume.close()
    _stop(request)
    assert find_server(request.run_dir, "id0") is None
    assert active_lv_ids(request.run_dir) == frozenset()
    assert _left(request.run_dir) == {"@servers", "@servers/id0.lock"}
    assert os.waitpid(info.pid, 0) == (info.pid, 0)
    assert read_by_model(mapping, contents()) == model


def _stop(request: ServeRequest, *, tries: int = 100) -> None:
    """Stop a server whose last user has just gone, which it notices a moment later."""
    for left in range(tries, 0, -1):
        try:
            stop_server(request.run_dir, request.mapping.lv_id)
        except InUseError:
            if left == 1:
                raise
            threading.Event().wait(0.05)
        else:
            return


def _left(run_dir: str) -> set[str]:
    return {str(path.relative_to(run_dir)) for path in Path(run_dir).rglob("*")}


def test_a_server_chooses_a_backend_that_works(serve: Serve, server_request: Request, fuse_works: None) -> None:
    request = server_request(backend="auto")
    assert serve(request).backend == "fuse"
    _stop(request)


def test_the_run_directory_and_all_in_it_are_for_their_owner_alone(
    serve: Serve, server_request: Request, backend: str
) -> None:
    request = server_request(backend=backend)
    serve(request)
    for path in [Path(request.run_dir), *Path(request.run_dir).rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
    _stop(request)


def test_starting_twice_is_refused_as_in_use(serve: Serve, server_request: Request, backend: str) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    for again in (request, request.replace(backend="nbd" if backend == "fuse" else "fuse")):
        with pytest.raises(InUseError, match="vg0/lv0"):
            serve(again)
    assert find_server(request.run_dir, "id0") == info
    _stop(request)


def test_of_several_that_start_at_once_one_wins_and_serves(
    serve: Serve, server_request: Request, volume_io: Open
) -> None:
    request = server_request()
    infos: list[ServerInfo] = []
    errors: list[Exception] = []

    def start() -> None:
        try:
            infos.append(serve(request))
        except (ActivationError, InUseError) as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(infos), len(errors)) == (1, 3)
    assert all("vg0/lv0 is active already" in str(error) for error in errors), errors
    assert find_server(request.run_dir, "id0") == infos[0]
    volume = volume_io(infos[0])
    assert len(volume.read(0, 512)) == 512
    volume.close()
    _stop(request)


def test_two_volumes_are_served_side_by_side(
    serve: Serve, server_request: Request, mappings: Mappings, volume_io: Open, backend: str
) -> None:
    one = server_request(backend=backend)
    target = LinearTarget(start_sectors=0, length_sectors=64, pv_id="pv1", offset_sectors=8)
    two = server_request(mappings["of"](target, lv_name="lv1", lv_id="id1"), backend=backend)
    serve(one)
    second = serve(two)
    assert active_lv_ids(one.run_dir) == {"id0", "id1"}
    _stop(one)
    assert active_lv_ids(one.run_dir) == {"id1"}
    volume = volume_io(second)
    assert volume.read(0, 1000) == Path(two.device_paths["pv1"]).read_bytes()[4096:5096]
    volume.close()
    _stop(two)


def test_segments_with_keys_of_their_own_are_right_across_every_border(
    serve: Serve,
    server_request: Request,
    mappings: Mappings,
    read_by_model: Callable[..., bytes],
    volume_io: Open,
    backend: str,
) -> None:
    """Row S14, served: what is read and what was written are as the model decrypts the images."""
    mapping = mappings["every_target"]()
    request = server_request(mapping, backend=backend)

    def by_model() -> bytes:
        return read_by_model(mapping, {pv: Path(path).read_bytes() for pv, path in request.device_paths.items()})

    volume = volume_io(serve(request))
    size = mapping.length_sectors * 512
    expected = bytearray(by_model())
    assert volume.read(0, size) == expected
    for target in mapping.targets[1:]:
        border = target.start_sectors * 512
        for offset, length in ((border - 700, 1500), (border - 1, 2), (border - 5000, 9001)):
            data = random.Random(offset).randbytes(length)
            volume.write(offset, data)
            expected[offset : offset + length] = data
            assert volume.read(offset - 3, length + 6) == expected[offset - 3 : offset + length + 3]
    volume.flush()
    volume.close()
    _stop(request)
    assert by_model() == expected


def test_a_missing_device_is_named_and_nothing_stays(serve: Serve, server_request: Request, backend: str) -> None:
    request = server_request(backend=backend)
    gone = Path(request.device_paths["pv0"])
    gone.unlink()
    with pytest.raises(ActivationError, match=r"pv0\.img: no such file"):
        serve(request)
    assert find_server(request.run_dir, "id0") is None
    assert _left(request.run_dir) <= {"@servers", "@servers/id0.lock"}
    gone.write_bytes(bytes(2 * 1024 * 1024))
    serve(request)
    _stop(request)


def test_a_device_that_is_too_small_fails_only_where_it_ends(
    serve: Serve, server_request: Request, volume_io: Open
) -> None:
    request = server_request()
    path = Path(request.device_paths["pv0"])
    path.write_bytes(path.read_bytes()[: 64 * 512 + 4096])
    volume = volume_io(serve(request))
    assert len(volume.read(0, 4096)) == 4096
    with pytest.raises(AssertionError):
        volume.read(4096, 512)
    volume.close()
    _stop(request)


def test_an_unusable_cipher_is_said(serve: Serve, server_request: Request) -> None:
    request = server_request().replace(ciphers={"ks0": ("aes-nonsense-plain64", 512, False)})
    with pytest.raises(ActivationError, match="nonsense"):
        serve(request)
    assert find_server(request.run_dir, "id0") is None


def test_what_is_at_the_path_already_is_an_error_and_stays(
    serve: Serve, server_request: Request, backend: str
) -> None:
    request = server_request(backend=backend)
    path = Path(public_path(request.run_dir, request.mapping, backend))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    with pytest.raises(ActivationError, match="is there already"):
        serve(request)
    assert path.read_bytes() == b"mine"
    assert find_server(request.run_dir, "id0") is None


def test_stopping_a_volume_in_use_is_refused_and_it_goes_on(
    serve: Serve, server_request: Request, volume_io: Open, backend: str
) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    volume = volume_io(info)
    with pytest.raises(InUseError, match="vg0/lv0 is in use"):
        stop_server(request.run_dir, "id0")
    assert find_server(request.run_dir, "id0") == info
    volume.write(3, b"still there")
    assert volume.read(3, 11) == b"still there"
    volume.close()
    _stop(request)
    assert not os.path.lexists(info.path)


def test_force_ends_a_volume_in_use_with_its_data_kept(
    serve: Serve, server_request: Request, volume_io: Open, read_by_model: Model, backend: str
) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    volume = volume_io(info)
    volume.write(1000, b"written before")
    stop_server(request.run_dir, "id0", force=True)
    assert find_server(request.run_dir, "id0") is None
    assert not os.path.lexists(info.path)
    assert os.waitpid(info.pid, 0) == (info.pid, 0)
    with pytest.raises(OSError, match=r".*"):
        volume.read(0, 512)
    volume.close()
    content = {"pv0": Path(request.device_paths["pv0"]).read_bytes()}
    assert read_by_model(request.mapping, content)[1000:1014] == b"written before"


def test_a_killed_server_is_not_found_cleaned_up_and_started_again(
    serve: Serve, server_request: Request, volume_io: Open, backend: str
) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    volume = volume_io(info)
    volume.write(777, b"flushed before the end")
    volume.flush()
    os.kill(info.pid, signal.SIGKILL)
    os.waitpid(info.pid, 0)
    volume.close()
    assert find_server(request.run_dir, "id0") is None
    assert active_lv_ids(request.run_dir) == frozenset()
    assert os.path.basename(info.path) in os.listdir(os.path.dirname(info.path)), "what is to be cleaned is there"
    clean_stale(request.run_dir, "id0")
    assert os.listdir(os.path.dirname(info.path)) == []
    assert _left(request.run_dir) == {"@servers", "@servers/id0.lock", "vg0"}
    volume = volume_io(serve(request))
    assert volume.read(777, 22) == b"flushed before the end"
    volume.close()
    _stop(request)


def test_starting_after_a_kill_needs_no_cleaning_by_hand(
    serve: Serve, server_request: Request, volume_io: Open, backend: str
) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    os.kill(info.pid, signal.SIGKILL)
    os.waitpid(info.pid, 0)
    volume = volume_io(serve(request))
    assert len(volume.read(0, 512)) == 512
    volume.close()
    _stop(request)


def test_stopping_a_killed_server_cleans_up(serve: Serve, server_request: Request, backend: str) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    os.kill(info.pid, signal.SIGKILL)
    os.waitpid(info.pid, 0)
    stop_server(request.run_dir, "id0")
    assert _left(request.run_dir) <= {"@servers", "@servers/id0.lock", "vg0"}


def test_stopping_what_never_ran_does_nothing(short_folder: Path) -> None:
    stop_server(str(short_folder / "run"), UUID)


def test_cleaning_does_nothing_while_a_server_lives(
    serve: Serve, server_request: Request, volume_io: Open, backend: str
) -> None:
    request = server_request(backend=backend)
    info = serve(request)
    before = _left(request.run_dir)
    clean_stale(request.run_dir, "id0")
    assert _left(request.run_dir) == before
    volume = volume_io(info)
    assert len(volume.read(0, 512)) == 512
    volume.close()
    _stop(request)


@pytest.mark.parametrize("where", ["outside", "full"])
def test_cleaning_removes_nothing_but_what_servers_make(short_folder: Path, where: str) -> None:
    """A state file that names a path outside of the run directory, or a file with content."""
    run_dir = short_folder / "run"
    (run_dir / "@servers").mkdir(parents=True)
    path = short_folder / "precious" if where == "outside" else run_dir / "vg0" / "lv0"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"" if where == "outside" else b"precious")
    (run_dir / "@servers" / "id0.lock").touch()
    state = run_dir / "@servers" / "id0.json"
    state.write_text(json.dumps({"pid": 1, "path": str(path)}))
    clean_stale(str(run_dir), "id0")
    assert path.exists()
    assert not state.exists()


@pytest.mark.parametrize("state", ["", "{", "[1]", '{"pid": "x"}', "\x00"])
def test_a_damaged_state_file_does_not_stop_cleaning(short_folder: Path, state: str) -> None:
    servers = short_folder / "run" / "@servers"
    servers.mkdir(parents=True)
    (servers / "id0.lock").touch()
    (servers / "id0.json").write_text(state)
    assert find_server(str(short_folder / "run"), "id0") is None
    clean_stale(str(short_folder / "run"), "id0")
    assert not (servers / "id0.json").exists()


def _long(folder: Path, length: int) -> str:
    """A path of this many bytes below a folder."""
    path = str(folder) + "/" + "r" * (length - len(str(folder)) - 1)
    assert len(path) == length
    return path


def test_a_control_socket_whose_path_is_too_long_for_a_socket_works(
    serve: Serve, server_request: Request, mappings: Mappings, short_folder: Path
) -> None:
    """The public socket just fits; the control socket's path has 147 bytes."""
    mapping = mappings["one_crypt"](64).replace(lv_id=UUID)
    request = server_request(mapping, run_dir=_long(short_folder, 95))
    info = serve(request)
    assert len(info.path) == 107
    assert find_server(request.run_dir, UUID) == info
    _stop(request)
    assert find_server(request.run_dir, UUID) is None


def test_a_fuse_file_may_lie_as_deep_as_it_likes(
    serve: Serve, server_request: Request, short_folder: Path, volume_io: Open, fuse_works: None
) -> None:
    request = server_request(backend="fuse", run_dir=_long(short_folder, 240))
    volume = volume_io(serve(request))
    assert len(volume.read(0, 512)) == 512
    volume.close()
    _stop(request)


def test_a_public_socket_whose_path_is_too_long_is_a_clear_error(
    serve: Serve, server_request: Request, short_folder: Path
) -> None:
    request = server_request(run_dir=_long(short_folder, 96))
    with pytest.raises(ActivationError, match=r"lv0\.nbd: longer than .*CRYPTLV_RUN_DIR"):
        serve(request)
    assert find_server(request.run_dir, "id0") is None
    assert _left(request.run_dir) <= {"@servers", "@servers/id0.lock"}


@pytest.mark.parametrize("name", ["run dir", "ümlaut", "back\\slash"])
def test_the_run_directory_may_have_any_name(
    serve: Serve, server_request: Request, short_folder: Path, backend: str, name: str
) -> None:
    request = server_request(backend=backend, run_dir=str(short_folder / name))
    info = serve(request)
    os.kill(info.pid, signal.SIGKILL)
    os.waitpid(info.pid, 0)
    clean_stale(request.run_dir, "id0")
    assert os.listdir(os.path.dirname(info.path)) == []


def test_the_key_is_in_no_argument_variable_or_file(
    serve: Serve,
    server_request: Request,
    volume_io: Open,
    mappings: Mappings,
    volume_keys: Mapping[str, bytes],
    backend: str,
) -> None:
    request = server_request(mappings["every_target"](), backend=backend)
    info = serve(request)
    volume = volume_io(info)
    volume.write(50 * 512, bytes(4096))
    volume.close()
    process = Path(f"/proc/{info.pid}")
    seen = ("cmdline", "environ") if os.geteuid() == 0 else ("cmdline",)  # a server's environment is for root alone
    places = [(process / name).read_bytes() for name in seen]
    places += [path.read_bytes() for path in (Path(request.run_dir) / "@servers").iterdir() if path.is_file()]
    assert len(places) >= 2 + len(seen)
    for key in volume_keys.values():
        for part in (key[:32], key[32:]):
            for form in (part, part.hex().encode(), part.hex().upper().encode()):
                assert not any(form in place for place in places)
    _stop(request)


def test_the_callers_key_stays_the_callers(
    server_request: Request, serve: Serve, volume_keys: Mapping[str, bytes]
) -> None:
    request = server_request()
    serve(request)
    with VolumeKey(volume_keys["ks0"]) as key:
        with pytest.raises(InUseError):
            start_server(request, {"ks0": key})
        with key.reveal() as view:
            assert view == volume_keys["ks0"]
    _stop(request)


@pytest.mark.root
def test_a_run_directory_of_another_user_is_refused(
    serve: Serve, server_request: Request, short_folder: Path
) -> None:
    """Its owner could put a socket or file of his own where the volume's is expected."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    (short_folder / "run").mkdir(mode=0o777)
    os.chown(short_folder / "run", 65534, 65534)
    request = server_request()
    with pytest.raises(CryptlvError, match="65534"):
        serve(request)
    assert find_server(request.run_dir, "id0") is None


def test_a_server_that_waits_serves_what_it_is_given(
    server_request: Request, volume_keys: Mapping[str, bytes]
) -> None:
    request = server_request()
    with WaitingServer(request.run_dir, request.mapping.lv_id, is_crypt=True) as waiting:
        assert find_server(request.run_dir, request.mapping.lv_id) is None, "it is not active yet"
        with VolumeKey(volume_keys["ks0"]) as key:
            info = start_server(request, {"ks0": key}, waiting)
    assert info.pid == waiting.process.pid
    assert find_server(request.run_dir, request.mapping.lv_id) == info
    _stop(request)


def test_a_server_that_is_given_nothing_ends_and_leaves_nothing(server_request: Request) -> None:
    request = server_request()
    with WaitingServer(request.run_dir, request.mapping.lv_id, is_crypt=True) as waiting:
        pid = waiting.process.pid
        waiting.close()
    assert not os.path.exists(f"/proc/{pid}")
    assert os.listdir(os.path.join(request.run_dir, "@servers")) == []


def test_a_server_whose_command_is_killed_ends_by_itself(server_request: Request) -> None:
    request = server_request()
    waiting = WaitingServer(request.run_dir, request.mapping.lv_id, is_crypt=False)
    waiting.connection.close()  # as the kernel does it for a process that is no more
    assert waiting.process.wait(timeout=60) == CryptlvError.exit_code
    waiting.close()


def test_one_that_waits_beside_an_active_volume_does_it_no_harm(serve: Serve, server_request: Request) -> None:
    request = server_request()
    info = serve(request)
    with (
        WaitingServer(request.run_dir, request.mapping.lv_id, is_crypt=True) as waiting,
        pytest.raises(InUseError),
    ):
        start_server(request, {}, waiting)
    assert find_server(request.run_dir, request.mapping.lv_id) == info
    _stop(request)


def test_loading_the_engine_may_be_done_twice() -> None:
    load_engine()
    load_engine()
