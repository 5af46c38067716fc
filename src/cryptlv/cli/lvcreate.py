"""lvcreate."""

from __future__ import annotations

from cryptlv.cli.activation import KEYFILE, key_file_of
from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command, split_lv
from cryptlv.errors import UsageError
from cryptlv.ops import lv

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments

_CRYPT_ONLY = ("handler", "cipher", "keysize", "hash", "keyfile", "iter-time", "pbkdf-force-iterations")


def parse_extents(text: str) -> lv.ExtentsSpec:
    """`-l`: `N`, `N%VG` or `N%FREE`; raises UsageError."""
    number, percent, of = text.partition("%")
    if not number.isascii() or not number.isdigit() or len(number) > 10:
        raise UsageError(f"--extents {text!r} cannot be read; write for example 25, 50%VG or 100%FREE")
    if percent and of.upper() not in ("VG", "FREE"):
        raise UsageError(f"--extents {text!r}: a percentage is of VG or FREE")
    if percent and int(number) > 100:
        raise UsageError(f"--extents {text!r}: more than 100%")
    return lv.ExtentsSpec(number=int(number), percent_of=of.upper())


def _names(arguments: Arguments) -> tuple[str, str, tuple[str, ...]]:
    """The volume group, the new volume's name ("" for the next free one), and the devices."""
    name = arguments.text("name")
    words = [word.removeprefix("/dev/") for word in arguments.words[:1]] + list(arguments.words[1:])
    if "/" in name:
        vg_name, name = split_lv(name)
        if words and words[0] == vg_name:
            words = words[1:]
        return vg_name, name, tuple(words)
    if not words:
        raise UsageError("lvcreate: name the volume group")
    return words[0], name, tuple(words[1:])


def _request(arguments: Arguments, name: str, paths: tuple[str, ...]) -> lv.LvRequest:
    import os.path

    if arguments.has("size") == arguments.has("extents"):
        raise UsageError("lvcreate needs one of -L SIZE and -l EXTENTS")
    size_bytes = arguments.size_bytes("size")
    if size_bytes == 0:
        raise UsageError("--size must not be zero")
    if arguments.has("activate") and arguments.yes_no("activate"):
        raise UsageError("lvcreate does not activate; use lvchange -ay afterwards")
    segment_type = arguments.choice("type", ("linear", "crypt"), "linear")
    given = [option for option in _CRYPT_ONLY if arguments.has(option)]
    if segment_type != "crypt" and given:
        raise UsageError(f"--{given[0]} is for encrypted volumes: add --type crypt")
    return lv.LvRequest(
        name=name,
        size_bytes=size_bytes,
        extents=parse_extents(arguments.text("extents")) if arguments.has("extents") else None,
        segment_type=segment_type,
        handler=arguments.text("handler", lv.DEFAULT_HANDLER),
        cipher=arguments.text("cipher"),
        key_size_bits=arguments.number("keysize"),
        key_hash=arguments.text("hash"),
        iter_time_ms=arguments.number("iter-time", 2000),
        force_iterations=arguments.number("pbkdf-force-iterations"),
        pv_paths=tuple(os.path.abspath(path) for path in paths),
    )


def _lvcreate(arguments: Arguments) -> int:
    from cryptlv.ops.credentials import credential_source

    vg_name, name, paths = _names(arguments)
    request = _request(arguments, name, paths)
    key_file = key_file_of(arguments)
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session, credential_source(key_file, session.warn) as credentials:
        made = lv.create(session, vg_name, request, credentials)
    terminal.say(f'Logical volume "{made.name}" created.')
    return 0


LVCREATE = Command(
    name="lvcreate",
    summary="Make a logical volume, encrypted or not.",
    usage=(
        "-L Size|-l Extents[%VG|%FREE] [-n LV] VG [PATH ...]",
        "--type crypt [--handler plain|luks1] -L Size|-l Extents[%VG|%FREE] [-n LV] VG [PATH ...]",
    ),
    options=(
        Option(long="size", short="L", takes="Size[m|UNIT]", help="Size; rounded up to whole extents."),
        Option(long="extents", short="l", takes="Number[%VG|%FREE]", help="Size in extents or as a percentage."),
        Option(long="name", short="n", takes="LV", help="Name; the next free lvolN without it."),
        Option(long="type", takes="linear|crypt", help="crypt encrypts; linear is the default."),
        Option(long="handler", takes="NAME", help="How the key is obtained; luks1 is the default."),
        Option(long="cipher", takes="SPEC", help="dm-crypt's specification; aes-xts-plain64."),
        Option(long="keysize", takes="BITS", help="Size of the volume key; 512."),
        Option(long="hash", takes="NAME", help="Hash of the passphrase's derivation; sha256."),
        KEYFILE,
        Option(long="iter-time", takes="MS", help="How long unlocking may take here; 2000."),
        Option(long="pbkdf-force-iterations", takes="NUMBER", help="An exact count of iterations instead."),
        Option(long="activate", short="a", takes="n", help="Accepted for lvm2's sake: a new volume is not active."),
        Option(long="zero", short="Z", takes="y|n", help="Accepted for lvm2's sake: the first 4 KiB are zeroed."),
        Option(long="wipesignatures", short="W", takes="y|n", help="Accepted for lvm2's sake, likewise."),
    ),
    run=_lvcreate,
    notes="""
Handler luks1 makes a random volume key and keeps it in a LUKS1 header, in the hidden volume cryptostoreN; the
passphrase opens slot 0. Handler plain stores nothing: the user gives the volume key itself, raw in a key file or
typed as hexadecimal digits.

Without --keyfile the passphrase is asked for twice on a terminal, or is the first line of standard input.
""",
)
