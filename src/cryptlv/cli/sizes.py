"""Sizes, stripes, policies and other properties of volumes as several commands take them."""

from __future__ import annotations

from cryptlv.cli.options import Option
from cryptlv.errors import UsageError
from cryptlv.names import POLICY_WORDS, check_tag
from cryptlv.ops.lv_plan import LvSize
from cryptlv.units import SECTOR_SIZE, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments

ALLOCATION = (
    Option(long="stripes", short="i", takes="NUMBER", help="Spread over so many physical volumes."),
    Option(long="stripesize", short="I", takes="Size[k|UNIT]", help="How much on each in turn; 64k."),
    Option(long="alloc", takes="contiguous|cling|normal|anywhere|inherit", help="Where extents are taken; inherit."),
    Option(long="contiguous", short="C", takes="y|n", help="Short for --alloc contiguous."),
)
_PERCENT_OF = {
    "V": "VG", "VG": "VG", "L": "LV", "LV": "LV", "PV": "PVS", "PVS": "PVS",
    "F": "FREE", "FR": "FREE", "FREE": "FREE",
}  # fmt: skip
"""Whatever lvm2 takes for each (tools/lvmcmdline.c)."""
_NO_READ_AHEAD = -1
_MAX_MINOR = 2**20 - 1


def size_of(arguments: Arguments, signs: str) -> LvSize:
    """-L or -l, of which one must be given; `signs` are those that are allowed in front. Raises UsageError."""
    if arguments.has("size") and arguments.has("extents"):
        raise UsageError("-L and -l do not go together: give one size")
    if not arguments.has("size") and not arguments.has("extents"):
        raise UsageError(f"{arguments.command.name} needs a size: -L SIZE or -l EXTENTS")
    option = "size" if arguments.has("size") else "extents"
    text = arguments.text(option)
    sign = text[:1] if text[:1] in ("+", "-") else ""
    if sign and sign not in signs:
        raise UsageError(f"--{option} {text!r} may not begin with {sign}")
    number = text.removeprefix(sign)
    size = parse_extents(number) if option == "extents" else LvSize(size_bytes=parse_size(number))
    if not size.size_bytes and not size.extents:
        raise UsageError(f"--{option} must not be zero")
    return size.replace(sign=sign)


def parse_extents(text: str) -> LvSize:
    """`N`, `N%VG`, `N%FREE`, `N%PVS` or `N%LV`; raises UsageError."""
    number, percent, of = text.partition("%")
    if not number.isascii() or not number.isdigit() or len(number) > 10:
        raise UsageError(f"--extents {text!r} cannot be read; write for example 25, 50%VG or 100%FREE")
    whole = _PERCENT_OF.get(of.upper(), "")
    if percent and not whole:
        raise UsageError(f"--extents {text!r}: a percentage is of VG, FREE, PVS or LV")
    if percent and whole != "LV" and int(number) > 100:
        raise UsageError(f"--extents {text!r}: more than 100%")
    return LvSize(extents=int(number), percent_of=whole)


def stripe_size_of(arguments: Arguments) -> int:
    """-I in sectors, 0 when it is not given; raises UsageError."""
    size_bytes = arguments.size_bytes("stripesize", "k")
    if size_bytes is None:
        return 0
    if not size_bytes or size_bytes % SECTOR_SIZE:
        raise UsageError(f"--stripesize {arguments.text('stripesize')!r} is not a whole number of sectors")
    return size_bytes // SECTOR_SIZE


def policy_of(arguments: Arguments) -> str:
    """--alloc, or what -C says; "" when neither is given. Raises UsageError."""
    policy = arguments.choice("alloc", POLICY_WORDS, "") if arguments.has("alloc") else ""
    contiguous = arguments.yes_no("contiguous")
    if contiguous is not None and policy:
        raise UsageError("-C and --alloc do not go together")
    if contiguous is not None:
        return "contiguous" if contiguous else "inherit"
    return "cling" if policy == "cling_by_tags" else policy


def tags_of(arguments: Arguments, option: str) -> tuple[str, ...]:
    """The tags of an option, each once, with or without the @ in front; raises UsageError."""
    return tuple(dict.fromkeys(check_tag(word) for word in arguments.all(option)))


def read_ahead_of(arguments: Arguments) -> int | None:
    """-r in sectors: None for auto, -1 for none, as the metadata have them. Raises UsageError."""
    text = arguments.text("readahead", "auto").lower()
    if text == "auto":
        return None
    if text == "none":
        return _NO_READ_AHEAD
    sectors = parse_size(text, "s") // SECTOR_SIZE
    return sectors or _NO_READ_AHEAD


def minor_of(arguments: Arguments) -> int | None:
    """The minor device number that -My keeps, None without it; raises UsageError."""
    wanted = arguments.yes_no("persistent")
    if not wanted:
        if arguments.has("minor") or arguments.has("major"):
            raise UsageError("--major and --minor need -My")
        return None
    if not arguments.has("minor"):
        raise UsageError("-My needs --minor")
    minor = arguments.number("minor")
    if minor > _MAX_MINOR:
        raise UsageError(f"--minor {minor} is more than {_MAX_MINOR}")
    return minor
