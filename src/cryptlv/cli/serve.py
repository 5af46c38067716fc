"""serve."""

from __future__ import annotations

import gc
import sys

from cryptlv.cli.activation import KEYFILE, KEYFILE_PART, credentials_of
from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command, split_lv
from cryptlv.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments

DISCARDS = Option(
    long="allow-discards", help="Pass discards on as holes, which shows which sectors of the volume are in use."
)


def _serve(arguments: Arguments) -> int:
    from cryptlv.ops.serve import ServeOptions, serve

    gc.enable()  # a command that goes on for as long as somebody wants it to
    names = tuple(dict.fromkeys(split_lv(word) for word in arguments.words))
    if not names:
        raise UsageError("serve: name the volumes, VG/LV")
    for name in ("nbd", "fuse", "tls"):  # as from a variable that is not set
        if arguments.has(name) and not arguments.text(name):
            raise UsageError(f"serve: --{name} is empty")
    options = ServeOptions(
        nbd=arguments.text("nbd"),
        fuse_directory=arguments.text("fuse"),
        export_names=arguments.all("export-name"),
        read_only=arguments.has("read-only"),
        allow_discards=arguments.has("allow-discards"),
        write_through=arguments.choice("cache", ("writeback", "writethrough"), "writeback") == "writethrough",
        tls_directory=arguments.text("tls"),
        insecure=arguments.has("insecure"),
    )
    limit = arguments.size_bytes("max-inflight")
    if limit is not None:
        options = options.replace(max_inflight_bytes=limit)
    terminal = Terminal(arguments)

    def ready(place: str) -> None:
        terminal.give(place)
        sys.stdout.flush()

    with open_command(arguments, terminal) as session, credentials_of(arguments, session.warn) as credentials:
        serve(session, names, credentials, options, ready)
    return 0


SERVE = Command(
    name="serve",
    summary="Serve volumes without device-mapper for as long as the command runs.",
    usage=(
        "[--nbd unix:PATH|tcp:HOST[:PORT]] [--export-name NAME ...] [--tls DIR] VG/LV ...",
        "--fuse DIR VG/LV ...",
    ),
    options=(
        Option(long="nbd", takes="unix:PATH|tcp:HOST[:PORT]", help="Where NBD clients connect."),
        Option(long="fuse", takes="DIR", help="Serve files instead, DIR/VG/LV, each from a process of its own."),
        Option(long="export-name", takes="NAME", help="The name of the export, VG/LV if not given; one a volume."),
        Option(long="read-only", short="r", help="Take no writes."),
        Option(long="tls", takes="DIR", help="TLS with DIR's ca-cert.pem, server-cert.pem and server-key.pem."),
        Option(long="insecure", help="Serve over TCP without TLS to others than this machine."),
        DISCARDS,
        Option(long="cache", takes="writeback|writethrough", help="With writethrough every write is flushed."),
        Option(long="max-inflight", takes="SIZE", help="The memory for requests in progress; 256m."),
        KEYFILE,
        *KEYFILE_PART,
    ),
    run=_serve,
    notes="""
The URI of each export or the path of each file is printed when it can be used. SIGTERM and SIGINT end the command
after everything is flushed; a file that somebody has open is waited for, until the second signal. A volume that is
served is active: no other command opens it. With --fuse, which goes with one process for each volume, the command
also ends when the last of the files has gone.

Discards of encrypted volumes are passed on over NBD only: through FUSE nobody could rely on the zeros that a hole
promises.

Each NBD client takes 4.2 MiB of --max-inflight, and 33 MiB are kept for the largest requests.

With --tls clients need a certificate of the authority in ca-cert.pem. A unix socket is for its owner alone. Sockets
that systemd has opened (LISTEN_FDS) are used when --nbd is not given, and systemd is told when all is ready.
""",
)
