"""What several commands share about keys, and lvchange and vgchange about activation."""

from __future__ import annotations

from cryptlv.cli.options import Option
from cryptlv.errors import EXIT_FAILED, UsageError
from cryptlv.names import DM_CRYPT_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from cryptlv.cli.options import Arguments
    from cryptlv.cli.terminal import Terminal
    from cryptlv.ops.activation import Failed
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.keystore import KeystoreRequest
    from cryptlv.ops.session import Session

KEYFILE = Option(
    long="keyfile",
    takes="FILE|-",
    help="Take the passphrase or key from a file, whole; - is standard input.",
)
_KEYFILES = Option(
    long="keyfile",
    takes="FILE|DIRECTORY|-",
    help="The passphrase or key from a file, whole; a directory has one for each store: VG/cryptostoreN or LV UUID.",
)
CACHE_TIMEOUT = Option(
    long="cache-timeout",
    takes="SECONDS",
    help="Keep the volume key in the kernel's keyring for so long: nobody is asked for it meanwhile.",
)
KEYFILE_PART = (
    Option(long="keyfile-offset", takes="BYTES", help="Leave out so many bytes at the key file's beginning."),
    Option(long="keyfile-size", takes="BYTES", help="Take so many bytes of the key file only."),
)
PBKDF_OPTIONS = (
    Option(long="pbkdf", takes="argon2id|argon2i|pbkdf2", help="The passphrase's derivation; argon2id for luks2."),
    Option(long="pbkdf-memory", takes="KIB", help="The most memory that Argon2 may take; 1048576."),
    Option(long="pbkdf-parallel", takes="NUMBER", help="The most processors that Argon2 may use; 4."),
    Option(long="iter-time", takes="MS", help="How long unlocking may take here; 2000."),
    Option(long="pbkdf-force-iterations", takes="NUMBER", help="An exact count of iterations or passes instead."),
)
NO_KEYRING = Option(
    long="no-keyring",
    help="Give the kernel keys in its tables, not in its keyring, as for kernels that cannot take them from there.",
)
CRYPT_FLAGS = Option(
    long="crypt-flags",
    takes="FLAG[,FLAG...]|none",
    help="How the kernel's dm-crypt works on it, such as allow_discards; see below.",
)
ACTIVATION_OPTIONS = (
    Option(
        long="activate",
        short="a",
        takes="y|n|ay",
        help="Activate (y, also ey, sy), deactivate (n), or activate as at boot (ay).",
    ),
    Option(long="ignoreactivationskip", short="K", help="Activate also what is flagged to be skipped."),
    Option(
        long="backend",
        takes="auto|dm|fuse|nbd",
        help="Activate in the kernel, as a file or as an NBD export; auto is the first of them that works here.",
    ),
    NO_KEYRING,
    _KEYFILES,
    *KEYFILE_PART,
    CACHE_TIMEOUT,
)
EVENT = Option(
    long="autoactivation",
    takes="event",
    help="With -aay, as an event has it: groups whose physical volumes are not all there yet are left alone.",
)
_LONGEST_SECONDS = 2**31 - 1
FREEZE_OPTIONS = (
    Option(long="suspendkey", help="Freeze what the kernel has active and wipe its key, as before a machine sleeps."),
    Option(long="resumekey", help="Ask for the passphrase of what is frozen, and thaw it."),
)
_BACKENDS = ("auto", "dm", "fuse", "nbd")
_AUTOMATIC = frozenset(("a", "ay", "ya"))
"""Values of -a that pass over volumes with --setautoactivation n (tools/lvmcmdline.c:activation_arg)."""
_STATES = dict.fromkeys((*_AUTOMATIC, "y", "e", "ey", "ye", "s", "sy", "ys", "ly", "yl"), True) | dict.fromkeys(
    ("n", "en", "ne", "sn", "ns", "ln", "nl"), False
)


def derivation_of(arguments: Arguments) -> KeystoreRequest:
    """How a passphrase is to be derived, by PBKDF_OPTIONS."""
    from cryptlv.ops.keystore import KeystoreRequest

    return KeystoreRequest(
        iter_time_ms=arguments.number("iter-time", 2000),
        force_iterations=arguments.number("pbkdf-force-iterations"),
        pbkdf=arguments.text("pbkdf"),
        pbkdf_memory_kib=arguments.number("pbkdf-memory"),
        pbkdf_lanes=arguments.number("pbkdf-parallel"),
    )


def keystore_of(arguments: Arguments) -> KeystoreRequest:
    """What a keystore is to be: the derivation, and the cipher with its key, hash and sectors."""
    return derivation_of(arguments).replace(
        cipher=arguments.text("cipher"),
        key_size_bits=arguments.number("keysize"),
        key_hash=arguments.text("hash"),
        sector_size=arguments.number("sector-size"),
        has_large_ivs=arguments.has("iv-large-sectors"),
    )


def credentials_of(
    arguments: Arguments, warn: Callable[[str], None], *, for_stores: bool = False, only_people: bool = False
) -> AbstractContextManager[Credentials]:
    """The key file, or the part of it, that the options name, else the user; raises UsageError.

    With `for_stores` the file may be a directory of them; with `only_people` the user is asked on a terminal alone.
    """
    from cryptlv.ops.credentials import credential_source

    cache_seconds = arguments.number("cache-timeout")
    if cache_seconds > _LONGEST_SECONDS:
        raise UsageError(f"--cache-timeout {cache_seconds} is out of range (0 to {_LONGEST_SECONDS} seconds)")
    part = [option.long for option in KEYFILE_PART if arguments.has(option.long)]
    if part and not arguments.has("keyfile"):
        raise UsageError(f"--{part[0]} needs --keyfile")
    return credential_source(
        arguments.text("keyfile") if arguments.has("keyfile") else None,
        warn,
        skip_bytes=arguments.number("keyfile-offset"),
        size_bytes=arguments.number("keyfile-size") if arguments.has("keyfile-size") else None,
        cache_seconds=cache_seconds,
        for_stores=for_stores,
        only_people=only_people,
    )


def crypt_flags_of(arguments: Arguments) -> tuple[str, ...]:
    """dm-crypt's flags that --crypt-flags names, in the kernel's order; raises UsageError."""
    words = [word for word in arguments.text("crypt-flags").split(",") if word]
    if words == ["none"]:
        return ()
    for word in words:
        if word not in DM_CRYPT_FLAGS:
            raise UsageError(f"--crypt-flags {word!r} is not one of {', '.join(DM_CRYPT_FLAGS)}, or none")
    return tuple(flag for flag in DM_CRYPT_FLAGS if flag in words)


def wanted_state(arguments: Arguments) -> bool:
    """Whether -a says active; raises UsageError without -a or for another value."""
    word = arguments.text("activate").lower()
    if word not in _STATES:
        raise UsageError(f"{arguments.command.name} needs -a y or -a n; see: cryptlv {arguments.command.name} --help")
    if not _STATES[word] and arguments.has("keyfile"):
        raise UsageError("no key is needed to deactivate; leave --keyfile out")
    if arguments.choice(EVENT.long, ("", "event"), "") and word not in _AUTOMATIC:
        raise UsageError(f"--{EVENT.long} is for -aay")
    arguments.choice("backend", _BACKENDS, "auto")
    return _STATES[word]


def wants_new_active(arguments: Arguments) -> bool | None:
    """What -a says of a new volume, None for what can be done here; raises UsageError."""
    if not arguments.has("activate"):
        return None
    word = arguments.text("activate").lower()
    if word not in _STATES:
        raise UsageError("lvcreate: -a needs y, n or ay")
    return _STATES[word] and (word not in _AUTOMATIC or arguments.yes_no("setautoactivation") is not False)


def refresh_active(
    session: Session, terminal: Terminal, arguments: Arguments, vg_name: str, lv_names: tuple[str, ...]
) -> int:
    """Load the tables of active volumes anew; gives the exit status."""
    from cryptlv.ops import activation

    with credentials_of(arguments, session.warn) as credentials:
        done, failed = activation.refresh_active(session, vg_name, lv_names, credentials)
    for name in done:
        terminal.detail(f'Logical volume "{vg_name}/{name}" refreshed.')
    _tell_failures(terminal, vg_name, failed)
    return EXIT_FAILED if failed else 0


def freeze_keys(
    session: Session, terminal: Terminal, arguments: Arguments, vg_name: str, lv_names: tuple[str, ...]
) -> int:
    """Freeze volumes and wipe their keys (--suspendkey), or thaw them (--resumekey); gives the exit status."""
    from cryptlv.ops import freeze

    if arguments.has("suspendkey"):
        done, failed = freeze.suspend_keys(session, vg_name, lv_names)
        what = "is frozen, its key is wiped"
    else:
        with credentials_of(arguments, session.warn) as credentials:
            by_keyring = not arguments.has("no-keyring")
            done, failed = freeze.resume_keys(session, vg_name, lv_names, credentials, by_keyring=by_keyring)
        what = "is thawed"
    for name in done:
        terminal.say(f'Logical volume "{vg_name}/{name}" {what}.')
    _tell_failures(terminal, vg_name, failed)
    return EXIT_FAILED if failed else 0


def key_freezing(arguments: Arguments) -> bool:
    """Whether --suspendkey or --resumekey is given; raises UsageError for both, or with another change."""
    given = [name for name in ("suspendkey", "resumekey") if arguments.has(name)]
    if len(given) > 1 or (given and (arguments.has("activate") or arguments.has("refresh"))):
        raise UsageError(f"--{given[0]} goes with no other change")
    return bool(given)


def _tell_failures(terminal: Terminal, vg_name: str, failed: Iterable[Failed]) -> None:
    for failure in failed:
        name = f"{vg_name}/{failure.name}: "
        terminal.error(name + str(failure.error).removeprefix(name))


def set_active(
    session: Session,
    terminal: Terminal,
    arguments: Arguments,
    vg_name: str,
    lv_names: tuple[str, ...],
    *,
    active: bool,
) -> int:
    """(De)activate the named volumes of a group, or all; says what came of it and gives the exit status."""
    from cryptlv.ops import activation

    if not active:
        ended, failed = activation.deactivate(session, vg_name, lv_names)
        for name in ended:
            terminal.detail(f'Logical volume "{vg_name}/{name}" is no longer active.')
    else:
        backend = arguments.choice("backend", _BACKENDS, "auto")
        automatic = arguments.text("activate").lower() in _AUTOMATIC
        with credentials_of(arguments, session.warn, for_stores=True, only_people=automatic) as credentials:
            done, failed = activation.activate(
                session,
                vg_name,
                lv_names,
                backend,
                credentials,
                ignore_skip=arguments.has("ignoreactivationskip"),
                automatic=automatic,
                by_event=arguments.has(EVENT.long),
                by_keyring=not arguments.has("no-keyring"),
            )
        for volume in done:
            if volume.already and not automatic:
                terminal.error(f'Logical volume "{vg_name}/{volume.name}" is active already.')
            if volume.path:
                terminal.give(volume.path)
    _tell_failures(terminal, vg_name, failed)
    if not lv_names:
        count = activation.count_active(session, vg_name)
        terminal.say(f'{count} logical volume(s) in volume group "{vg_name}" now active')
    return EXIT_FAILED if failed else 0
