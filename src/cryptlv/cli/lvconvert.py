"""lvconvert."""

from __future__ import annotations

from cryptlv.cli.activation import KEYFILE, KEYFILE_PART, credentials_of, keystore_of
from cryptlv.cli.options import Command, Option
from cryptlv.cli.terminal import Terminal, open_command, split_lv
from cryptlv.errors import UsageError
from cryptlv.ops.candidates import parse_pv_argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments
    from cryptlv.ops.convert import Converted
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session

_IMPORT, _SPLIT, _KEEP = "import", "splitcrypto", "keep-encrypted"
_OF_HANDLER = ("cipher", "keysize", "hash", "sector-size", "iv-large-sectors")
_TYPES = {_IMPORT: "crypt", _SPLIT: "", _KEEP: "linear"}


def _way(arguments: Arguments) -> str:
    """Which conversion is meant; raises UsageError for options that do not go together."""
    ways = [way for way in _TYPES if arguments.has(way)]
    if len(ways) != 1:
        raise UsageError("lvconvert: give one of --import, --splitcrypto and --keep-encrypted")
    (way,) = ways
    wanted = _TYPES[way]
    if arguments.has("type") and arguments.text("type") != wanted:
        raise UsageError(f"lvconvert: --{way} " + (f"goes with --type {wanted}" if wanted else "takes no --type"))
    for option in ("handler", *_OF_HANDLER):
        if arguments.has(option) and way != _IMPORT:
            raise UsageError(f"lvconvert: --{option} needs --import")
    for option in _OF_HANDLER:
        if arguments.has(option) and not arguments.has("handler"):
            raise UsageError(f"lvconvert: --{option} needs --handler; what has a LUKS header says it there")
    if arguments.has("handler") and arguments.has("header"):
        raise UsageError("lvconvert: --handler is for volumes without a header: leave --header out")
    if way == _SPLIT and not arguments.text("header"):
        raise UsageError("lvconvert: --splitcrypto needs --header FILE, a new file")
    if way == _KEEP and arguments.has("header"):
        raise UsageError("lvconvert: --keep-encrypted has the header in the volume; --header goes with --splitcrypto")
    return way


def _convert(session: Session, arguments: Arguments, way: str, credentials: Credentials | None) -> Converted:
    from cryptlv.ops.convert import ImportRequest, import_volume
    from cryptlv.ops.convert_export import keep_encrypted, split_header

    vg_name, lv_name = split_lv(arguments.words[0])
    pvs = tuple(parse_pv_argument(word) for word in arguments.words[1:])
    if way == _SPLIT:
        return split_header(session, vg_name, lv_name, arguments.text("header"), pvs, credentials)
    if way == _KEEP:
        return keep_encrypted(session, vg_name, lv_name, pvs, credentials)
    request = ImportRequest(
        handler=arguments.text("handler"),
        keystore=keystore_of(arguments),
        header_path=arguments.text("header"),
        pvs=pvs,
    )
    return import_volume(session, vg_name, lv_name, request, credentials)


def _lvconvert(arguments: Arguments) -> int:
    way = _way(arguments)
    if not arguments.words:
        raise UsageError("lvconvert: name the volume, VG/LV")
    terminal = Terminal(arguments)
    with open_command(arguments, terminal) as session, credentials_of(arguments, session.warn) as credentials:
        done = _convert(session, arguments, way, credentials if arguments.has("keyfile") else None)
    for step in done.steps:
        if arguments.has("test"):
            terminal.say(f"Would {step}.")
        else:
            terminal.detail(f"Done: {step}.")
    if not arguments.has("test"):
        terminal.say(f"Logical volume {'/'.join(split_lv(arguments.words[0]))} converted.")
    return 0


LVCONVERT = Command(
    name="lvconvert",
    summary="Make LUKS volumes encrypted volumes of their group, and ordinary ones again.",
    usage=(
        "--type crypt --import [--keyfile FILE] [--header FILE] VG/LV [PV ...]",
        "--type crypt --import --handler plain|hashed [--cipher SPEC] [--keysize BITS] [--hash NAME] VG/LV",
        "--splitcrypto --header FILE [--keyfile FILE] VG/LV [PV ...]",
        "--type linear --keep-encrypted [--keyfile FILE] VG/LV [PV ...]",
    ),
    options=(
        Option(long="type", takes="crypt|linear", help="What the volume is to be."),
        Option(long=_IMPORT, help="The volume holds what is encrypted already: LUKS, or data of a key you have."),
        Option(long=_SPLIT, help="Take the header out, to a file, and leave a volume of ciphertext."),
        Option(long=_KEEP, help="Leave an ordinary LUKS volume, with the header in front of the data."),
        Option(long="header", takes="FILE", help="The file of the header: a new one, or with --import the one."),
        Option(
            long="handler", takes="plain|hashed", help="The volume has no header, and this is how its key is had."
        ),
        Option(long="cipher", takes="SPEC", help="dm-crypt's specification, with --handler; aes-xts-plain64."),
        Option(long="keysize", takes="BITS", help="Size of the volume key, with --handler; 512."),
        Option(long="hash", takes="NAME", help="Hash of the passphrase, with --handler hashed; sha512."),
        Option(long="sector-size", takes="BYTES", help="What is encrypted at a time, with --handler; 512."),
        Option(long="iv-large-sectors", help="IVs count sectors of that size."),
        KEYFILE,
        *KEYFILE_PART,
    ),
    run=_lvconvert,
    notes="""
The volume must not be active. Its data stay where they are and as they are: of an LV that holds LUKS the header
becomes the keystore, and what is behind it the encrypted volume, with the same passphrases. Data that do not begin
with an extent need free extents: one for the last, and one for each place where extents do not follow each other.
The old place of a header that was copied is overwritten. With -t the plan is shown, and nothing is done.

No passphrase is needed. One that is given with --keyfile must open the header, and a file system that is known must
fit into the volume; nothing is done otherwise.

What --splitcrypto leaves is opened by: cryptsetup open --header FILE /dev/VG/LV NAME
""",
)
