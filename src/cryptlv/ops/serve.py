"""Volumes served by the command itself for as long as it runs: as NBD exports of its own, or as FUSE files, each of
which has a process and so a key of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress

from cryptlv.activate.foreground import Foreground, end_signals, interrupted_by_signals
from cryptlv.activate.nbd import DEFAULT_INFLIGHT_BYTES, LEAST_INFLIGHT_BYTES, NbdOptions
from cryptlv.activate.nbd_address import Address, parse_address
from cryptlv.activate.process import PATIENCE_SECONDS, clean_stale, start_server, stop_server
from cryptlv.activate.systemd import inherited_descriptors, notify
from cryptlv.errors import ActivationError, CryptlvError, InUseError, UsageError
from cryptlv.host.system import forbid_dumps, make_private_directory
from cryptlv.names import printable
from cryptlv.ops.activation import KeyRing, open_one
from cryptlv.record import Record
from cryptlv.units import MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cryptlv.activate.nbd import NbdServer
    from cryptlv.activate.process import ServeRequest, ServerInfo
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session
    from cryptlv.secret import VolumeKey

DISCARD_WARNING = (
    "discards are passed to the devices: whoever sees those can tell which sectors of the volume are in use"
)
_ASK_AGAIN_SECONDS = 0.5


class ServeOptions(Record):
    """How volumes are served. `nbd` is an address as users write it, "" for the sockets that systemd has opened or
    else the volume's place in the run directory; with `fuse_directory` they are files under it instead.

    `export_names` stand for the volumes in their order, VG/LV where there are none.
    """

    nbd: str = ""
    fuse_directory: str = ""
    export_names: tuple[str, ...] = ()
    read_only: bool = False
    allow_discards: bool = False
    write_through: bool = False
    tls_directory: str = ""
    insecure: bool = False
    max_inflight_bytes: int = DEFAULT_INFLIGHT_BYTES


def serve(
    session: Session,
    names: Sequence[tuple[str, str]],
    credentials: Credentials,
    options: ServeOptions,
    ready: Callable[[str], None],
) -> None:
    """Serve volumes, (vg name, lv name) pairs, until SIGTERM or SIGINT; `ready` is told each one's URI or path.

    No lock of lvm2's is held meanwhile. What was written is flushed at the end; raises ActivationError when that
    fails. Raises UsageError, NotFoundError, RefusedError, InUseError, ActivationError, and what unlocking raises.
    """
    _check(names, options)
    if options.allow_discards and not options.fuse_directory:
        session.warn(DISCARD_WARNING)
    forbid_dumps()
    with interrupted_by_signals():
        if options.fuse_directory:
            _serve_files(session, names, credentials, options, ready)
        else:
            _serve_exports(session, names, credentials, options, ready)


def _check(names: Sequence[tuple[str, str]], options: ServeOptions) -> None:
    if (
        options.fuse_directory
        and options.replace(fuse_directory="", read_only=False, allow_discards=False) != ServeOptions()
    ):
        raise UsageError(
            "serve: --fuse goes with none of --nbd, --export-name, --tls, --insecure, --cache and --max-inflight"
        )
    if options.max_inflight_bytes < LEAST_INFLIGHT_BYTES:
        raise UsageError(f"serve: --max-inflight must be {-(-LEAST_INFLIGHT_BYTES // MIB)}m at least")
    if options.export_names and len(options.export_names) != len(names):
        raise UsageError("serve: give --export-name once for each volume, in the same order, or not at all")
    for name in options.export_names:
        if not name or len(name.encode("utf-8", "surrogateescape")) > 4096:
            raise UsageError("serve: an export's name has 1 to 4096 bytes")


def _started(
    session: Session,
    names: Sequence[tuple[str, str]],
    credentials: Credentials,
    start: Callable[[int, ServeRequest, Mapping[str, VolumeKey]], tuple[str, str]],
    options: ServeOptions,
) -> None:
    """Unlock the volumes one by one and start each; one that is active already is an error."""
    with KeyRing(credentials, session.warn) as keys:
        for number, (vg_name, lv_name) in enumerate(names):

            def begin(request: ServeRequest, keys: Mapping[str, VolumeKey], number: int = number) -> tuple[str, str]:
                mapping = request.mapping.replace(writable=request.mapping.writable and not options.read_only)
                return start(number, request.replace(mapping=mapping, allow_discards=options.allow_discards), keys)

            active = open_one(session, vg_name, lv_name, keys, begin)
            if active.already:
                where = f" at {active.path}" if active.path else ""
                raise InUseError(f"{vg_name}/{lv_name} is active already{where}; deactivate it first")


def _serve_exports(
    session: Session,
    names: Sequence[tuple[str, str]],
    credentials: Credentials,
    options: ServeOptions,
    ready: Callable[[str], None],
) -> None:
    exports = options.export_names or tuple(f"{vg_name}/{lv_name}" for vg_name, lv_name in names)
    address = _address(session, names, options)
    foreground = Foreground()
    try:

        def hold(number: int, request: ServeRequest, keys: Mapping[str, VolumeKey]) -> tuple[str, str]:
            make_private_directory(os.path.join(request.run_dir, "@servers"))
            clean_stale(request.run_dir, request.mapping.lv_id)
            foreground.hold(exports[number], request, keys)
            return "", "nbd"

        _started(session, names, credentials, hold, options)
        if session.test:
            return
        nbd = NbdOptions(
            read_only=options.read_only,
            write_through=options.write_through,
            tls_directory=options.tls_directory,
            insecure=options.insecure,
            max_inflight_bytes=options.max_inflight_bytes,
        )
        session.close()
        with end_signals() as ended:
            server = foreground.start(address, nbd, session.warn)
            for name in exports:
                ready(export_uri(server, name, is_secure=bool(options.tls_directory)))
            notify(os.environ, "READY=1")
            foreground.wait(ended)
            notify(os.environ, "STOPPING=1")
    finally:
        foreground.close()


def _address(session: Session, names: Sequence[tuple[str, str]], options: ServeOptions) -> Address:
    if options.nbd:
        return parse_address(options.nbd)
    descriptors = inherited_descriptors(os.environ)
    if descriptors:
        return Address(descriptors=descriptors)
    if len(names) > 1:
        raise UsageError("serve: several volumes need --nbd unix:PATH or --nbd tcp:HOST:PORT, or --fuse DIR")
    vg_name, lv_name = names[0]
    run_dir = session.directories.run_dir
    make_private_directory(run_dir)
    make_private_directory(os.path.join(run_dir, vg_name))
    return Address(path=os.path.join(run_dir, vg_name, f"{lv_name}.nbd"))


def export_uri(server: NbdServer, name: str, *, is_secure: bool) -> str:
    """Where clients find an export, as the NBD URI specification has it."""
    from urllib.parse import quote

    export = quote(name, safe="")
    if server.port:
        host = f"[{server.address.host}]" if ":" in server.address.host else server.address.host or "localhost"
        return f"nbd{'s' if is_secure else ''}://{host}:{server.port}/{export}"
    where = f"?socket={quote(server.path)}" if server.path else ""
    return f"nbd{'s' if is_secure else ''}+unix:///{export}{where}"


def _serve_files(
    session: Session,
    names: Sequence[tuple[str, str]],
    credentials: Credentials,
    options: ServeOptions,
    ready: Callable[[str], None],
) -> None:
    folder = os.path.abspath(options.fuse_directory)
    run_dir = session.directories.run_dir
    failures: list[str] = []
    started: list[ServerInfo] = []
    with ExitStack() as stack:

        def start(number: int, request: ServeRequest, keys: Mapping[str, VolumeKey]) -> tuple[str, str]:
            vg_name, lv_name = names[number]
            stack.enter_context(_folder(os.path.join(folder, vg_name)))
            path = os.path.join(folder, vg_name, lv_name)
            info = start_server(request.replace(backend="fuse", path=path, ends_with_starter=True), keys)
            stack.callback(_pull, run_dir, info.lv_id)
            started.append(info)
            return info.path, info.backend

        _started(session, names, credentials, start, options)
        if session.test:
            return
        session.close()
        with end_signals() as ended:
            for info in started:
                ready(info.path)
            notify(os.environ, "READY=1")
            failures += _wait_for_end(ended, started, session.warn)
            notify(os.environ, "STOPPING=1")
            failures += _stop_files(run_dir, started, ended, session.warn)
    if failures:
        raise ActivationError("; ".join(failures))


@contextmanager
def _folder(path: str) -> Iterator[None]:
    """A folder for files, which goes with them if it was not there before; raises ActivationError."""
    is_new = not os.path.isdir(path)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ActivationError(f"{printable(path)}: cannot make this directory: {error.strerror}") from None
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):  # something else is in it now
                os.rmdir(path)


def _pull(run_dir: str, lv_id: str) -> None:
    """End a server whatever becomes of it, when something else has failed."""
    with suppress(CryptlvError):
        stop_server(run_dir, lv_id, force=True)


def _stop_files(run_dir: str, started: Sequence[ServerInfo], ended: int, warn: Callable[[str], None]) -> list[str]:
    """End the servers: of a file that somebody has open when it is closed, or at a second signal. Gives what went
    wrong."""
    import select

    failures = []
    left, told, is_forced = list(started), set(), False
    with suppress(BlockingIOError):
        os.read(ended, 4096)  # what has brought us here; what comes when we have told of a file insists
    while left:
        for info in tuple(left):
            try:
                patience = 0 if info.lv_id in told else PATIENCE_SECONDS
                stop_server(run_dir, info.lv_id, force=is_forced, patience_seconds=patience)
            except InUseError as error:
                if info.lv_id not in told:
                    warn(f"{error}: it ends when nobody uses it, or at the next signal, which loses unsaved data")
                told.add(info.lv_id)
                continue
            except CryptlvError as error:
                failures.append(f"{info.vg_name}/{info.lv_name}: {error}")
            left.remove(info)
        is_forced = bool(left and select.select([ended], [], [], _ASK_AGAIN_SECONDS)[0])
    return failures


def _wait_for_end(ended: int, started: Sequence[ServerInfo], warn: Callable[[str], None]) -> list[str]:
    """Return when `ended` can be read, or when no volume is served any more: another command has deactivated the
    last, or its mount was taken away. Gives what went wrong with servers that have ended; each is told of at once."""
    import select

    failures = []
    with ExitStack() as stack:
        left: dict[int, str] = {}
        try:
            for info in started:  # they are our children, and stay for us to look at when they have ended
                process = os.pidfd_open(info.pid)
                stack.callback(os.close, process)
                left[process] = f"{info.vg_name}/{info.lv_name}"
        except OSError:  # a kernel or a container without: no end is noticed, then
            left = {}
        is_watching = bool(left)
        while left or not is_watching:
            ready, _, _ = select.select([ended, *left], [], [])
            if ended in ready:
                break
            for process in ready:
                name = left.pop(process)
                result = os.waitid(os.P_PIDFD, process, os.WEXITED)
                warn(f"{name} is not served any more")
                if result is None or result.si_code != os.CLD_EXITED or result.si_status:
                    failures.append(f"{name}: its server was killed or failed; what was not flushed may be lost")
    return failures
