"""Every field of the reports, and the choice among them."""

from __future__ import annotations

from cryptlv.errors import RefusedError, UsageError
from cryptlv.report.history import PAST
from cryptlv.report.kind_fields import KIND_LV_FIELDS, KIND_SEG_FIELDS
from cryptlv.report.lv_fields import LV_FIELDS
from cryptlv.report.pv_fields import PV_FIELDS
from cryptlv.report.pvseg_fields import PVSEG_FIELDS, run_rows
from cryptlv.report.raid_fields import RAID_LV_FIELDS, RAID_SEG_FIELDS
from cryptlv.report.rows import in_metadata_order, lv_rows, pv_rows_as_found, segment_rows
from cryptlv.report.seg_fields import SEG_FIELDS
from cryptlv.report.state_fields import STATE_FIELDS
from cryptlv.report.vdo_fields import VDO_FIELDS
from cryptlv.report.vg_fields import VG_FIELDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptlv.report.field import Field
    from cryptlv.report.rows import Row
    from cryptlv.report.select import Selection

_LV = (*LV_FIELDS, *KIND_LV_FIELDS, *RAID_LV_FIELDS, *STATE_FIELDS)
_SEG = (*SEG_FIELDS, *KIND_SEG_FIELDS, *RAID_SEG_FIELDS, *VDO_FIELDS)
FIELDS: dict[str, Field] = {field.name: field for field in (*_LV, *VG_FIELDS, *PV_FIELDS, *PVSEG_FIELDS, *_SEG)}

DEFAULT_FIELDS = {
    "pv": "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free",
    "pvseg": "pv_name,vg_name,pv_fmt,pv_attr,pv_size,pv_free,pvseg_start,pvseg_size",
    "vg": "vg_name,pv_count,lv_count,snap_count,vg_attr,vg_size,vg_free",
    "lv": "lv_name,vg_name,lv_attr,lv_size,pool_lv,origin,data_percent,metadata_percent,move_pv,mirror_log,"
    "copy_percent,convert_lv",
    "seg": "lv_name,vg_name,lv_attr,stripes,segtype,seg_size",
}
_OF_KIND = {
    "pv": (*PV_FIELDS, *VG_FIELDS, *PVSEG_FIELDS, *_LV, *_SEG),
    "pvseg": (*PVSEG_FIELDS, *PV_FIELDS, *VG_FIELDS, *_LV, *_SEG),
    "vg": (*VG_FIELDS, *_LV, *_SEG, *PV_FIELDS, *PVSEG_FIELDS),
    "lv": (*_LV, *VG_FIELDS, *_SEG),
    "seg": (*_SEG, *_LV, *VG_FIELDS),
}
_PREFIXES = {
    "pv": ("pv_", "vg_", "pvseg_", "lv_", "crypt_", "seg_"),
    "pvseg": ("pvseg_", "pv_", "vg_", "lv_", "crypt_", "seg_"),
    "vg": ("vg_", "lv_", "crypt_", "seg_", "pv_", "pvseg_"),
    "lv": ("lv_", "crypt_", "seg_", "vg_"),
    "seg": ("seg_", "lv_", "crypt_", "vg_"),
}
_OF_LVS = ("lv_", "crypt_", "seg_")
_OF_RUNS = ("pvseg_", *_OF_LVS)
_WHOLE = {"pv": ("pv_", "vg_"), "pvseg": ("pvseg_", "pv_", "vg_"), "vg": ("vg_",), "lv": ("lv_", "crypt_", "vg_")}
_OF_LABELS = frozenset(
    (
        "pv_fmt", "pv_uuid", "dev_size", "pv_name", "pv_major", "pv_minor", "pv_mda_free", "pv_mda_size",
        "pv_ext_vsn",
    )
)  # fmt: skip
_COMMANDS = {"pv": "pvs", "pvseg": "pvs", "vg": "vgs", "lv": "lvs", "seg": "lvs"}


def usable_fields(kind: str) -> tuple[Field, ...]:
    """The fields that a report (`pv`, `pvseg`, `vg`, `lv`, `seg`) can show."""
    return _OF_KIND[kind]


def only_labels(fields: Iterable[Field]) -> bool:
    """Whether every field can be told from labels and metadata areas, whosever the physical volume is."""
    return all(field.name in _OF_LABELS for field in fields)


def fitting_rows(kind: str, rows: list[Row], fields: Iterable[Field]) -> list[Row]:
    """Rows of what the fields are of, from those of a report.

    Those of volumes become segments for a field of segments, physical volumes runs of extents for one of runs or of
    volumes, and volume groups what a field is of. Raises RefusedError for fields that are not in one kind of row.
    """
    prefixes = {field.prefix for field in fields}
    if kind == "vg":
        of_lvs, of_pvs = not prefixes.isdisjoint(_OF_LVS), not prefixes.isdisjoint(("pv_", "pvseg_"))
        if of_lvs and of_pvs:
            raise RefusedError("fields of logical and of physical volumes are not shown at the same time by vgs")
        groups = [row.group for row in rows if row.group is not None]
        if of_lvs:
            kind, rows = "lv", lv_rows(groups, hidden=False)
        elif of_pvs:
            kind, rows = "pvseg" if "pvseg_" in prefixes else "pv", pv_rows_as_found(groups)
    if kind == "pvseg" or (kind == "pv" and not prefixes.isdisjoint(_OF_RUNS)):
        return run_rows(rows)
    return segment_rows(rows) if kind in ("lv", "seg") and (kind == "seg" or "seg_" in prefixes) else rows


def _find(kind: str, word: str) -> tuple[Field, ...]:
    """Fields by a word of -o: a name with or without its prefix, underscores or not; `all`; `pv_all` and so on."""
    usable = usable_fields(kind)
    if word == "all":
        return tuple(field for field in usable if field.prefix in _WHOLE.get(kind, _PREFIXES[kind]))
    wanted = word.replace("_", "")
    for prefix in ("", *_PREFIXES[kind]):
        for field in usable:
            if field.name.replace("_", "") == (prefix + wanted).replace("_", ""):
                return (field,)
    if word.endswith("_all") and (named := tuple(field for field in usable if field.prefix == word[:-3])):
        return named
    raise UsageError(f"unrecognised field {word!r}; see: cryptlv {_COMMANDS[kind]} -o help")


def choose_fields(kind: str, options: Iterable[str]) -> tuple[Field, ...]:
    """The columns of a report: the default ones, changed by each -o in turn (`+` adds, `-` takes away).

    Raises UsageError for an unknown field, and when no field is left.
    """
    chosen = {field.name: field for word in DEFAULT_FIELDS[kind].split(",") for field in _find(kind, word)}
    for option in options:
        sign = option[:1] if option[:1] in ("+", "-") else ""
        found = [field for word in option[len(sign) :].split(",") if word for field in _find(kind, word)]
        if sign == "":
            chosen = {}
        for field in found:
            if sign == "-":
                chosen.pop(field.name, None)
            else:
                chosen.setdefault(field.name, field)
    if not chosen:
        raise UsageError("no field is left to show")
    return tuple(chosen.values())


def choose_rows(kind: str, text: str, now: int) -> Selection:
    """Read the text of -S for a report, `now` being in seconds since 1970; raises UsageError."""
    from cryptlv.report.select import parse_selection

    def find(word: str) -> Field:
        fields = _find(kind, word)
        if len(fields) != 1:
            raise UsageError(f"selection: {word!r} is not one field")
        return fields[0]

    return parse_selection(text, find, now)


def choose_order(kind: str, option: str) -> list[tuple[Field, bool]]:
    """The fields of -O, each with whether it is descending, as one with a `-` before it is; raises UsageError."""
    words = [word for word in option.split(",") if word]
    return [(field, word.startswith("-")) for word in words for field in _find(kind, word.lstrip("+-"))]


def sort_rows(rows: Sequence[Row], order: Sequence[tuple[Field, bool]]) -> list[Row]:
    """Rows by fields. Where they are equal, volumes come as they stand in the metadata, as with stock."""
    ordered = in_metadata_order(rows)
    for field, descending in reversed(order):
        ordered.sort(key=lambda row, field=field: _sort_key(field, row), reverse=descending)  # type: ignore[misc]
    return ordered


def _sort_key(field: Field, row: Row) -> tuple[int, str]:
    """Numbers by their size, words by their bytes; what has no value comes first."""
    if field.name == "lv_name":
        return -1, row.lv.name.removeprefix(PAST) if row.lv is not None else ""
    value = field.value(row)
    if isinstance(value, int):
        return value, ""
    return -1, value or ""
