"""Names and identifiers: what lvm2 allows, UUID text, device-mapper names (lvm2-on-disk facts: lib/misc/lvm-string.c,
lib/uuid/uuid.c, libdm-string.c)."""

from __future__ import annotations

from cryptlv.errors import UsageError

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-")
KEYSTORE_PREFIX = "cryptostore"
DATA_SUFFIX = "_cryptdata"
"""Behind a volume's name: the hidden volume below it that has its ciphertext."""
_TAG_CHARACTERS = _NAME_CHARACTERS | frozenset("/=!:&#")
_RESERVED_PREFIXES = ("pvmove", "snapshot")
_RESERVED_PARTS = (
    "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_wcorig", "_mimage", "_mlog", "_rimage", "_rmeta",
    "_tdata", "_tmeta", "_vdata", "_imeta", "_iorig", "_pmspare", "_vorigin", DATA_SUFFIX,
)  # fmt: skip
POLICY_WORDS = ("contiguous", "cling", "cling_by_tags", "normal", "anywhere", "inherit")
"""Words for --alloc; a volume group cannot inherit."""
DM_CRYPT_FLAGS = (
    "allow_discards", "same_cpu_crypt", "submit_from_crypt_cpus", "no_read_workqueue", "no_write_workqueue",
)  # fmt: skip
"""dm-crypt's optional words that say nothing of the bytes, in the order in which the kernel shows them."""
_MAX_DM_NAME = 127
_MAX_TAG = 1024
_DOTS = frozenset((".", ".."))

UUID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The characters of new UUIDs; `!` and `#` are valid too (lib/uuid/uuid.c)."""
_UUID_CHARACTERS = frozenset(UUID_ALPHABET + "!#")
_UUID_GROUPS = (6, 4, 4, 4, 4, 4, 6)


def _check_characters(kind: str, name: str) -> None:
    if not name:
        raise UsageError(f"{kind} name is empty")
    if name.startswith("-") or name in _DOTS:
        raise UsageError(
            f"{kind} name {printable(name[:64])!r} is not allowed: it starts with a hyphen or is a dot name"
        )
    if len(name) > _MAX_DM_NAME or not _NAME_CHARACTERS.issuperset(name):
        raise UsageError(
            f"{kind} name {printable(name[:200])!r} is not allowed: use up to 127 of A-Z a-z 0-9 . _ + -"
        )


def is_name(name: str) -> bool:
    """Whether lvm2 would take it for a volume or a volume group; such a name is also safe in a path."""
    return (
        _NAME_CHARACTERS.issuperset(name) and 0 < len(name) <= _MAX_DM_NAME and name[0] != "-" and name not in _DOTS
    )


def check_vg_name(name: str) -> str:
    """The name itself when lvm2 would take it for a volume group; raises UsageError else."""
    _check_characters("volume group", name)
    return name


def check_lv_name(vg_name: str, name: str, suffix: str = "") -> str:
    """The name when a user may give it to a logical volume of `vg_name`; raises UsageError else.

    `suffix` will stand behind it in the name of a hidden part. `cryptostoreN` belongs to keystores, the other
    reserved words to hidden volumes.
    """
    _check_characters("logical volume", name)
    if len(vg_name) + len(name) + len(suffix) + 3 >= _MAX_DM_NAME + 1:
        raise UsageError(f"logical volume name {name!r} is too long for volume group {vg_name!r}")
    if is_keystore_name(name):
        raise UsageError(f"name {name!r} is reserved for the keystores of encrypted volumes; choose another")
    for prefix in _RESERVED_PREFIXES:
        if name.startswith(prefix):
            raise UsageError(f"names starting {prefix!r} are reserved; choose another than {name!r}")
    for part in _RESERVED_PARTS:
        if part in name:
            raise UsageError(f"names including {part!r} are reserved; choose another than {name!r}")
    return name


def check_tag(text: str) -> str:
    """A tag without the `@` that may stand before it; raises UsageError (lib/misc/lvm-string.c:validate_tag)."""
    tag = text.removeprefix("@")
    if not tag or len(tag) > _MAX_TAG or not _TAG_CHARACTERS.issuperset(tag):
        raise UsageError(f"tag {printable(text[:64])!r} is not allowed: use A-Z a-z 0-9 . _ + - / = ! : & #")
    return tag


def is_keystore_name(name: str) -> bool:
    """Whether `name` is `cryptostoreN`, N a number."""
    tail = name.removeprefix(KEYSTORE_PREFIX)
    return tail != name and tail.isascii() and tail.isdigit()


def parse_uuid(text: str) -> str:
    """The 32 characters of a hyphenated UUID; raises ValueError when it is not one."""
    groups = text.split("-", len(_UUID_GROUPS))
    if tuple(map(len, groups)) != _UUID_GROUPS:
        raise ValueError(f"{printable(text[:64])!r} is not an LVM2 UUID")
    plain = "".join(groups)
    if not _UUID_CHARACTERS.issuperset(plain):
        raise ValueError(f"{printable(text[:64])!r} is not an LVM2 UUID")
    return plain


def render_uuid(plain: str) -> str:
    """`6-4-4-4-4-4-6` groups of 32 characters."""
    groups, start = [], 0
    for length in _UUID_GROUPS:
        groups.append(plain[start : start + length])
        start += length
    return "-".join(groups)


def is_plain_uuid(plain: str) -> bool:
    """Whether `plain` is 32 UUID characters without hyphens, as a label holds them."""
    return len(plain) == 32 and _UUID_CHARACTERS.issuperset(plain)


def dm_name(vg_name: str, lv_name: str) -> str:
    """`vg-lv`, hyphens doubled (libdm-string.c:dm_build_dm_name)."""
    return f"{vg_name.replace('-', '--')}-{lv_name.replace('-', '--')}"


def split_dm_name(name: str) -> tuple[str, str]:
    """The volume group and the volume of a device-mapper name; ("", name) when it is none of two such names."""
    plain = name.replace("--", "\0")
    vg_name, hyphen, lv_name = plain.partition("-")
    return (vg_name.replace("\0", "-"), lv_name.replace("\0", "-")) if hyphen else ("", name)


def printable(text: str, keep: str = "") -> str:
    """Text from a disk or a user made safe for a terminal: escapes for control characters, but for those to keep."""
    if text.isprintable():
        return text
    shown = set(text).difference(keep)
    return text.translate({ord(c): c.encode("unicode_escape").decode("ascii") for c in shown if not c.isprintable()})
