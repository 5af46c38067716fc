"""Sizes as lvm2 reads and shows them (lib/misc/lvm-string.c, lib/display/display.c, man page lvcreate(8))."""

from __future__ import annotations

from cryptlv.errors import UsageError

SECTOR_SIZE = 512
"""Bytes in a sector, the unit of all sizes in LVM2 metadata and device-mapper tables."""

MAX_STRIPES = 128
"""On how many devices dm-stripe is used by lvm2 (lib/metadata/metadata-exported.h)."""
KIB = 1024
MIB = 1024 * KIB

_INPUT_UNITS: dict[str, int] = {"b": 1, "s": SECTOR_SIZE}
_INPUT_UNITS |= {unit: 1024**power for power, unit in enumerate("kmgtpe", 1)}
MAX_SIZE_BYTES = 2**63 - 1


def parse_size(text: str, default_unit: str = "m") -> int:
    """Bytes of a size such as `10g`, `512K`, `2048s` or `1.5t`; a bare number counts `default_unit`.

    Case does not matter on input (lvcreate(8)). Raises UsageError for anything else, for a negative size, and for one
    of 2^63 bytes or more.
    """
    unit = text[-1:].lower()
    number = text[:-1] if unit in _INPUT_UNITS else text
    if unit in ("b", "s") and not number:
        raise UsageError(f"size {text!r}: no number; write for example 512m, 10g or 2048s")
    factor = _INPUT_UNITS.get(unit) or _INPUT_UNITS[default_unit]
    whole, dot, fraction = number.partition(".")
    digits = whole + fraction
    if not digits or not digits.isascii() or not digits.isdigit() or (dot and not fraction):
        raise UsageError(f"size {text!r} cannot be read; write for example 512m, 10g or 2048s")
    scale: int = 10 ** len(fraction)
    size_bytes = int(digits) * factor // scale
    if size_bytes > MAX_SIZE_BYTES:
        raise UsageError(f"size {text!r} is too large")
    return size_bytes


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return -(-value // multiple) * multiple


def format_size(size_bytes: int, units: str = "r", *, suffix: bool = True) -> str:
    """A size as lvm2's reports show it.

    `units` is one of lvm2's --units letters: `h` and `r` choose a unit (`r` marks a rounded-down figure with `<` and
    a rounded-up one with `>`, as lvm2's display_size does), `b s k m g t p e` fix it, capitals count by 1000. Without
    `suffix` a unit that was chosen here is shown all the same, as with lvm2: nobody could tell it else.
    """
    letter = units.lower()
    tail = _tail(units) if suffix else ""
    if not size_bytes:
        return f"0{tail}"
    if letter in "hr":
        base = 1000 if units in "HR" else 1024
        return _format_human(size_bytes, base, mark=letter == "r", upper=units in "HR")
    if letter == "b":
        return f"{size_bytes}{tail}"
    if letter == "s":
        return f"{size_bytes // SECTOR_SIZE}{tail}"
    base = 1000 if units.isupper() else 1024
    return f"{size_bytes / base ** ('kmgtpe'.index(letter) + 1):.2f}{tail}"


def format_long_size(size_bytes: int, units: str = "r", *, suffix: bool = True) -> str:
    """A size as lvm2's display commands show it: the figure of `format_size`, and the unit as a word (`4.00 MiB`)."""
    letter = units.lower()
    if letter in "bs" or not size_bytes:
        word = {"b": " B ", "s": " Se", "h": "   ", "r": "   "}.get(letter) or _word(units)
        return format_size(size_bytes, units, suffix=False) + (word if suffix else "")
    shown = format_size(size_bytes, units)
    if letter not in "hr":
        return shown[:-1] + (_word(units) if suffix else "")
    if shown[-1] == "B":
        return shown[:-1] + (" B " if units in "HR" else " B")
    return shown[:-1] + _word(shown[-1])


def _word(unit: str) -> str:
    """`k` is 1024 bytes, KiB; `K` is 1000, kB."""
    return f" {unit.upper()}iB" if unit.islower() else " kB" if unit == "K" else f" {unit}B"


def _tail(units: str) -> str:
    """What stands behind a number: lvm2 shows bytes and sectors in capitals, and a zero without a unit as `0 `."""
    if units in "hHrR":
        return " "
    return units.upper() if units in "bs" else units


def _format_human(size_bytes: int, base: int, *, mark: bool, upper: bool) -> str:
    power = 0
    while power < 6 and size_bytes >= base ** (power + 1):
        power += 1
    unit = "Bkmgtpe"[power]
    tail = unit.upper() if upper else unit
    if power == 0:
        return f"{size_bytes}{tail}"
    scale = base**power
    hundredths = (size_bytes * 100 + scale // 2) // scale
    sign = "<" if mark and hundredths * scale > size_bytes * 100 else ""
    return f"{sign}{hundredths // 100}.{hundredths % 100:02d}{tail}"
