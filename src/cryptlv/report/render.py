"""A report's rows as aligned text, separated text or JSON, as stock lvm2 shows them (libdm/libdm-report.c)."""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.record import Record
from cryptlv.report.field import FLAG, LIST, NUMBER, PERCENT, SIZE, TEXT, TIME
from cryptlv.units import MIB, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptlv.report.field import Field, Value
    from cryptlv.report.rows import Row


_NARROW = 64
MAX_REPORT_CHARACTERS = 48 * MIB
"""A report that is longer is not made: what is on a disk may say the same long things in every line."""


class ReportOptions(Record):
    """`units` as --units takes them; `separator` is None for aligned columns; `standard_json` is json_std."""

    units: str = "r"
    suffix: bool = True
    headings: bool = True
    separator: str | None = None
    standard_json: bool = False


def _shown(field: Field, value: Value, options: ReportOptions) -> str:
    if value is None:
        return ""
    if field.kind == SIZE and isinstance(value, int):
        return format_size(value, options.units, suffix=options.suffix)
    return str(value)


def _cells(
    fields: Sequence[Field],
    rows: Sequence[Row],
    options: ReportOptions,
    shown: Callable[[Field, Value, ReportOptions], str] = _shown,
) -> Iterator[list[str]]:
    """The cells of each row; raises RefusedError when the report becomes too long."""
    total = 0
    for row in rows:
        cells = [shown(field, field.value(row), options) for field in fields]
        total += sum(map(len, cells))
        if total > MAX_REPORT_CHARACTERS:
            raise RefusedError("the report would be too long: choose fewer fields with -o, or name what to show")
        yield cells


def render_text(fields: Sequence[Field], rows: Sequence[Row], options: ReportOptions) -> str:
    """Lines indented by two spaces; numbers to the right, everything else and the headings to the left."""
    lines = list(_cells(fields, rows, options))
    if not lines:
        return ""
    headings = [field.heading for field in fields] if options.headings else []
    if options.separator is not None:
        table = [headings, *lines] if headings else lines
        return "".join("  " + options.separator.join(line) + "\n" for line in table)
    columns = zip(fields, zip(*lines, strict=True), strict=True)
    widths = [max(field.width, len(field.heading), *map(len, column)) for field, column in columns]
    if sum(widths) * len(lines) > MAX_REPORT_CHARACTERS:  # one long cell would make every line as long
        widths = [min(width, _NARROW) for width in widths]
    padded = []
    for field, width, column in zip(fields, widths, zip(*lines, strict=True), strict=True):
        left = field.kind in (TEXT, LIST, TIME)
        padded.append([text.ljust(width) for text in column] if left else [text.rjust(width) for text in column])
    out = [" ".join(line) for line in zip(*padded, strict=True)]
    if headings:
        out.insert(0, " ".join(heading.ljust(width) for heading, width in zip(headings, widths, strict=True)))
    return "  " + "\n  ".join(out) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render_json(kind: str, fields: Sequence[Field], rows: Sequence[Row], options: ReportOptions) -> str:
    """lvm2's `--reportformat json`, where every value is a string, or json_std, where numbers and lists are not."""
    member = _standard if options.standard_json else _string
    objects = []
    for cells in _cells(fields, rows, options, member):
        pairs = (f"{_quoted(field.name)}:{cell}" for field, cell in zip(fields, cells, strict=True))
        objects.append("                  {" + ", ".join(pairs) + "}")
    lines = ["  {", '      "report": [', "          {", f'              "{kind}": [', *_commas(objects)]
    lines += ["              ]", "          }", "      ]", "  }"]
    return "\n".join(lines) + "\n"


def _string(field: Field, value: Value, options: ReportOptions) -> str:
    return _quoted(_shown(field, value, options))


def _standard(field: Field, value: Value, options: ReportOptions) -> str:
    """A number, null for one that there is none of, 1 or 0 for a flag, an array for a list, a string for all else."""
    if field.kind == FLAG:
        return "-1" if value == "unknown" else "1" if value else "0"
    if field.kind in (NUMBER, PERCENT):
        return str(value) if isinstance(value, int) else "null" if value in (None, "") else _quoted(str(value))
    if field.kind == LIST:
        items = str(value).split(field.joiner) if value else ()
        return "[" + ",".join(map(_quoted, items)) + "]"
    return _string(field, value, options)


def _commas(objects: Sequence[str]) -> list[str]:
    return [text + ("," if place < len(objects) - 1 else "") for place, text in enumerate(objects)]
