"""lvcreate."""

from __future__ import annotations

from cryptlv.cli.activation import (
    CACHE_TIMEOUT,
    CRYPT_FLAGS,
    KEYFILE,
    KEYFILE_PART,
    NO_KEYRING,
    PBKDF_OPTIONS,
    credentials_of,
    crypt_flags_of,
    keystore_of,
    wants_new_active,
)
from cryptlv.cli.options import Command, Option
from cryptlv.cli.sizes import (
    ALLOCATION,
    minor_of,
    policy_of,
    read_ahead_of,
    size_of,
    stripe_size_of,
    tags_of,
)
from cryptlv.cli.terminal import Terminal, open_command, split_lv
from cryptlv.errors import UsageError
from cryptlv.ops.candidates import parse_pv_argument
from cryptlv.ops.lv import create
from cryptlv.ops.lv_plan import DEFAULT_HANDLER, LvRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments

_KEYSTORE = (
    Option(long="handler", takes="NAME", help="How the key is obtained; luks2 is the default."),
    Option(long="cipher", takes="SPEC", help="dm-crypt's specification; aes-xts-plain64."),
    Option(long="keysize", takes="BITS", help="Size of the volume key; 512."),
    Option(long="hash", takes="NAME", help="Hash of the passphrase's derivation; sha256, for handler hashed sha512."),
    Option(long="sector-size", takes="BYTES", help="What is encrypted at a time: 512, 1024, 2048 or 4096; 512."),
    Option(long="iv-large-sectors", help="IVs count sectors of that size; for handlers plain and hashed."),
    *PBKDF_OPTIONS,
    Option(long="luks2-metadata-size", takes="Size[m|UNIT]", help="Size of a copy of the LUKS2 header; 16k."),
    Option(long="luks2-keyslots-size", takes="Size[m|UNIT]", help="Room for keyslots; 8 of them, and what is left."),
)
_STORE_ONLY = tuple(option.long for option in _KEYSTORE)
_KEY_ONLY = ("cryptostore", CRYPT_FLAGS.long, "keyfile", "cache-timeout")
_CRYPT_ONLY = (*_KEY_ONLY, *(option.long for option in KEYFILE_PART), *_STORE_ONLY)


def _names(arguments: Arguments) -> tuple[str, str, tuple[str, ...]]:
    """The volume group, the new volume's name ("" for the next free one), and the words for physical volumes."""
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


def _segment_type(arguments: Arguments) -> str:
    """The type that is meant; raises UsageError for options that do not go with it."""
    striped = arguments.number("stripes", 1) > 1
    segment_type = arguments.choice("type", ("linear", "striped", "crypt"), "striped" if striped else "linear")
    for options, other in ((_CRYPT_ONLY, "--type crypt"), (_STORE_ONLY, "no --cryptostore")):
        given = [option for option in options if arguments.has(option)]
        fits = segment_type == "crypt" if options is _CRYPT_ONLY else not arguments.has("cryptostore")
        if given and not fits:
            raise UsageError(f"--{given[0]} needs {other}")
    return segment_type


def _request(arguments: Arguments, name: str, words: tuple[str, ...]) -> LvRequest:
    size = size_of(arguments, signs="")
    return LvRequest(
        name=name,
        size_bytes=size.size_bytes,
        extents=size.extents,
        percent_of=size.percent_of,
        segment_type=_segment_type(arguments),
        stripes=arguments.number("stripes", 1),
        stripe_size_sectors=stripe_size_of(arguments),
        policy=policy_of(arguments),
        pvs=tuple(parse_pv_argument(word) for word in words),
        tags=tags_of(arguments, "addtag"),
        is_writable=arguments.choice("permission", ("rw", "r"), "rw") == "rw",
        is_zeroed=arguments.yes_no("zero") is not False,
        read_ahead=read_ahead_of(arguments),
        minor=minor_of(arguments),
        skips_activation=arguments.yes_no("setactivationskip") is True,
        autoactivates=arguments.yes_no("setautoactivation") is not False,
        activates=wants_new_active(arguments),
        crypt_flags=crypt_flags_of(arguments),
        keys_in_keyring=not arguments.has("no-keyring"),
        crypto_store=arguments.text("cryptostore").strip("[]"),
        handler=arguments.text("handler", DEFAULT_HANDLER),
        keystore=keystore_of(arguments).replace(
            metadata_bytes=arguments.size_bytes("luks2-metadata-size") or 0,
            keyslots_bytes=arguments.size_bytes("luks2-keyslots-size") or 0,
        ),
    )


def _lvcreate(arguments: Arguments) -> int:
    vg_name, name, words = _names(arguments)
    request = _request(arguments, name, words)
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session:
        if request.segment_type != "crypt":
            made = create(session, vg_name, request)
        else:
            with credentials_of(arguments, session.warn) as credentials:
                made = create(session, vg_name, request, credentials)
    terminal.say(f'Logical volume "{made.name}" created.')
    return 0


LVCREATE = Command(
    name="lvcreate",
    summary="Make a logical volume, encrypted or not.",
    usage=(
        "-L Size|-l Extents[%VG|%FREE|%PVS] [-i Stripes] [-n LV] VG [PATH[:PE[-PE]]|@TAG ...]",
        "--type crypt [--handler NAME|--cryptostore NAME] -L Size|-l Extents[%VG|%FREE|%PVS] [-n LV] VG [PATH ...]",
    ),
    options=(
        Option(long="size", short="L", takes="Size[m|UNIT]", help="Size; rounded up to whole extents."),
        Option(long="extents", short="l", takes="Number[%VG|%FREE|%PVS]", help="Size in extents or as a percentage."),
        Option(long="name", short="n", takes="LV", help="Name; the next free lvolN without it."),
        Option(long="type", takes="linear|striped|crypt", help="crypt encrypts; linear is the default."),
        *ALLOCATION,
        Option(long="addtag", takes="TAG", help="A tag for the volume; may be given several times."),
        Option(long="permission", short="p", takes="rw|r", help="Read and write, or read only."),
        Option(long="readahead", short="r", takes="auto|none|Sectors", help="Read ahead."),
        Option(long="persistent", short="M", takes="y|n", help="Keep the device number; needs --minor."),
        Option(long="major", takes="NUMBER", help="Accepted for lvm2's sake: the kernel chooses major numbers."),
        Option(long="minor", takes="NUMBER", help="Minor device number, with -My."),
        Option(long="setactivationskip", short="k", takes="y|n", help="Leave it out when volumes are activated."),
        Option(long="setautoactivation", takes="y|n", help="Whether it is activated at boot."),
        Option(long="cryptostore", takes="NAME", help="Share the key of this keystore instead of making one."),
        *_KEYSTORE,
        CRYPT_FLAGS,
        KEYFILE,
        *KEYFILE_PART,
        CACHE_TIMEOUT,
        Option(
            long="activate",
            short="a",
            takes="y|n|ay",
            help="Activate it in the kernel, or not; y where root has device-mapper and block devices.",
        ),
        NO_KEYRING,
        Option(long="zero", short="Z", takes="y|n", help="Whether the first 4 KiB are zeroed; y."),
        Option(long="wipesignatures", short="W", takes="y|n", help="Accepted for lvm2's sake: see --zero."),
    ),
    run=_lvcreate,
    notes="""
Handler luks2 makes a random volume key and keeps it in a LUKS2 header, in the hidden volume cryptostoreN; the
passphrase opens slot 0. Handler luks1 does so with a LUKS1 header. Handlers plain and hashed store nothing, and do
not notice a wrong key: for plain the user gives the volume key itself, raw in a key file or typed as hexadecimal
digits; for hashed it is the hash of a passphrase, as cryptsetup open --type plain makes it.

With --cryptostore the volume has the key of the others of that keystore, and sectors of its own in the numbering of
the cipher, so that no two sectors are ever encrypted alike; their passphrase is asked for. With -i an encrypted
volume lies over a hidden striped one, NAME_cryptdata.

Flags of dm-crypt's are kept with a volume: allow_discards passes discards down, which shows who sees the disk what is
free; same_cpu_crypt, submit_from_crypt_cpus, no_read_workqueue and no_write_workqueue are for speed.

Without --keyfile the passphrase is asked for twice on a terminal, or is the first line of standard input.
""",
)
