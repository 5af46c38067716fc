"""The values of a selection (-S): what a field has and what a text means, in a form that can be compared."""

from __future__ import annotations

import re

from cryptlv.errors import UsageError
from cryptlv.report.field import FLAG, LIST, SIZE, TEXT, TIME
from cryptlv.units import MIB, SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from cryptlv.report.field import Field
    from cryptlv.report.rows import Row

    Measure: TypeAlias = "int | float | Undefined"
    Span: TypeAlias = tuple[Measure, Measure]
    Seen: TypeAlias = "str | tuple[str, ...] | Measure"


class Undefined:
    """A number that there is none of."""


UNDEFINED = Undefined()
_TINY = 1e-9
_MOST = 2**64 - 1
_UNITS = {"b": 1, "s": SECTOR_SIZE} | {unit: 1024**power for power, unit in enumerate("kmgtpe", 1)}

_WRITEABLE = {"rw": "writeable", "read-write": "writeable", "r": "read-only", "ro": "read-only"}
SYNONYMS: dict[str, dict[str, str | int | Undefined]] = {
    "vg_permissions": {**_WRITEABLE},
    "lv_permissions": {**_WRITEABLE, "ro-override": "read-only-override", "r-override": "read-only-override"},
    "vg_mda_copies": {"unmanaged": UNDEFINED},
    "lv_read_ahead": {"auto": UNDEFINED},
    "lv_when_full": {
        "error when full": "error", "error if no space": "error", "queue when full": "queue",
        "queue if no space": "queue", "undefined": "",
    },
    "cache_policy": {"undefined": ""}, "seg_monitor": {"undefined": ""}, "lv_health_status": {"undefined": ""},
    "vdo_write_policy": {"undefined": ""},
    "pv_allocatable": {"allocatable": 1}, "pv_exported": {"exported": 1}, "pv_missing": {"missing": 1},
    "pv_in_use": {"used": 1, "in use": 1}, "pv_duplicate": {"duplicate": 1},
    "vg_extendable": {"extendable": 1}, "vg_exported": {"exported": 1}, "vg_partial": {"partial": 1},
    "vg_clustered": {"clustered": 1}, "vg_shared": {"shared": 1}, "vg_autoactivation": {"enabled": 1},
    "lv_autoactivation": {"enabled": 1}, "lv_active": {"active": 1}, "zero": {"zero": 1},
    "lv_skip_activation": {"skip activation": 1, "skip": 1},
    "lv_merging": {"merging": 1}, "lv_converting": {"converting": 1},
    "lv_allocation_locked": {"allocation locked": 1, "locked": 1}, "lv_fixed_minor": {"fixed minor": 1, "fixed": 1},
    "lv_initial_image_sync": {"initial image sync": 1, "sync": 1},
    "vdo_compression": {"enabled": 1}, "vdo_deduplication": {"enabled": 1}, "vdo_use_sparse_index": {"enabled": 1},
    "vdo_use_metadata_hints": {"enabled": 1},
}  # fmt: skip
"""Further words for a field's values (lib/report/values.h)."""


def seen_value(field: Field, row: Row) -> Seen:
    """A field's value of a row, to be compared: text, the items of a list, or a number (sizes in sectors)."""
    value = field.value(row)
    if field.kind == LIST:
        return tuple(str(value).split(field.joiner)) if value else ()
    if field.kind == TEXT:
        return "" if value is None else str(value)
    if field.kind == FLAG:
        return UNDEFINED if value == "unknown" else 1 if value else 0
    if field.kind == TIME:
        return _seconds(str(value)) if value else 0
    if not isinstance(value, int) or value < 0:
        return UNDEFINED
    return value / SECTOR_SIZE if field.kind == SIZE else value


def compile_pattern(text: str) -> re.Pattern[str]:
    """A regular expression of libdm's dialect (libdm/regex/parse_rx.c): braces stand for themselves, and so does
    what a backslash quotes. Raises UsageError."""
    escapes = {"n": "\n", "r": "\r", "t": "\t"}
    translated = re.sub(
        r"\\(.)|([{}])", lambda found: re.escape(escapes.get(found[1], found[1]) if found[1] else found[2]), text
    )
    try:
        return re.compile(translated)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"selection: {text!r} is no regular expression: {error}") from None


def read_number(text: str, *, percent: bool) -> Span:
    """A number, or with `percent` one from 0 to 100; raises UsageError."""
    found = re.fullmatch(r"(\d*(?:\.\d*)?)(%?)", text, re.ASCII)
    if found is None or found[1] in ("", ".") or (found[2] and not percent):
        raise UsageError(f"selection: {text!r} is no {'percentage' if percent else 'number'}")
    value = float(found[1]) if percent else int(found[1].partition(".")[0] or 0)
    if value > (100 if percent else _MOST):
        raise UsageError(f"selection: {text} is too large")
    return value, value


def read_size(text: str) -> Span:
    """A size in sectors; raises UsageError."""
    found = re.fullmatch(r"(\d*\.?\d*)([a-zA-Z]?)", text, re.ASCII)
    if found is None or found[1] in ("", ".") or len(found[1]) > 40 or (found[2] and found[2].lower() not in _UNITS):
        raise UsageError(f"selection: {text!r} is no size; write for example 512m or 10g")
    factor = _UNITS[found[2].lower()] if found[2] else MIB
    if found[2].isupper() and found[2] not in "BS":
        factor = 1000 ** ("KMGTPE".index(found[2]) + 1)
    sectors = float(found[1]) * factor / SECTOR_SIZE
    return sectors - _TINY, sectors + _TINY


def _seconds(text: str) -> int:
    """A time as a report shows it, in seconds since 1970."""
    from datetime import datetime

    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z").timestamp())
