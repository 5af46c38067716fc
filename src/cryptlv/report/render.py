"""A report's rows as aligned text, separated text or JSON, as stock lvm2 shows them (libdm/libdm-report.c)."""

from __future__ import annotations

from cryptlv.errors import RefusedError
from cryptlv.record import Record
from cryptlv.report.field import FLAG, LIST, NUMBER, PERCENT, SIZE, TEXT, TIME
from cryptlv.units import MIB, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from cryptlv.report.field import Field, Value
    from cryptlv.report.rows import Row

    Write: TypeAlias = Callable[[Value], str]
    Writer: TypeAlias = Callable[[Field, "ReportOptions"], Write]

_LEFT = (TEXT, LIST, TIME)
_NARROW = 64
_ROWS_AT_ONCE = 64
MAX_REPORT_CHARACTERS = 48 * MIB
"""A report that is longer is not made: what is on a disk may say the same long things in every line."""


class ReportOptions(Record):
    """`units` as --units takes them; `separator` is None for aligned columns; `standard_json` is json_std."""

    units: str = "r"
    suffix: bool = True
    headings: bool = True
    separator: str | None = None
    standard_json: bool = False


def _as_text(field: Field, options: ReportOptions) -> Write:
    """How a field's values are written."""
    if field.kind != SIZE:
        return lambda value: value if type(value) is str else "" if value is None else str(value)
    known: dict[Value, str] = {}  # thousands of volumes may have few sizes among them

    def size(value: Value) -> str:
        text = known.get(value)
        if text is None:
            shown = format_size(value, options.units, suffix=options.suffix) if isinstance(value, int) else value
            text = known[value] = shown or ""
        return text

    return size


def _columns(
    fields: Sequence[Field], rows: Sequence[Row], options: ReportOptions, writer: Writer = _as_text
) -> list[list[str]]:
    """The cells of each field; raises RefusedError when the report becomes too long."""
    left = MAX_REPORT_CHARACTERS
    related = [place for place, row in enumerate(rows) if _is_related(row)]
    columns: list[list[str]] = []
    for field in fields:
        write, value = writer(field, options), field.value
        column: list[str] = []
        if field.of_relations:
            column = [write(None)] * len(rows)
            for place in related:
                column[place] = write(value(rows[place]))
                left = _less(left, column[place : place + 1])
        else:
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                cells = [write(value(row)) for row in rows[start : start + _ROWS_AT_ONCE]]
                left = _less(left, cells)
                column += cells
        columns.append(column)
    return columns


def _less(left: int, cells: Sequence[str]) -> int:
    """The characters that are left for a report; raises RefusedError when it becomes too long."""
    left -= sum(map(len, cells))
    if left < 0:
        raise RefusedError("the report would be too long: choose fewer fields with -o, or name what to show")
    return left


def _is_related(row: Row) -> bool:
    return row.lv is not None and row.group is not None and row.lv.name in row.group.relations


def render_text(fields: Sequence[Field], rows: Sequence[Row], options: ReportOptions) -> str:
    """Lines indented by two spaces; numbers to the right, everything else and the headings to the left."""
    if not rows:
        return ""
    columns = _columns(fields, rows, options)
    headings = [field.heading for field in fields]
    if options.separator is not None:
        table = [headings, *zip(*columns, strict=True)] if options.headings else zip(*columns, strict=True)
        return "".join(["  " + options.separator.join(line) + "\n" for line in table])
    widths = [
        max(field.width, len(field.heading), *map(len, column)) for field, column in zip(fields, columns, strict=True)
    ]
    if sum(widths) * len(rows) > MAX_REPORT_CHARACTERS:  # one long cell would make every line as long
        widths = [min(width, _NARROW) for width in widths]
    to_the_left = " ".join([f"%-{width}s" for width in widths])
    line = " ".join(
        [f"%-{width}s" if field.kind in _LEFT else f"%{width}s" for field, width in zip(fields, widths, strict=True)]
    )
    out = [line % cells for cells in zip(*columns, strict=True)]
    if options.headings:
        out.insert(0, to_the_left % tuple(headings))
    return "  " + "\n  ".join(out) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render_json(kind: str, fields: Sequence[Field], rows: Sequence[Row], options: ReportOptions) -> str:
    """lvm2's `--reportformat json`, where every value is a string, or json_std, where numbers and lists are not."""
    columns = _columns(fields, rows, options, _as_standard_json if options.standard_json else _as_json)
    names = [_quoted(field.name) + ":" for field in fields]
    objects = []
    for cells in zip(*columns, strict=True):
        pairs = [name + cell for name, cell in zip(names, cells, strict=True)]
        objects.append("                  {" + ", ".join(pairs) + "}")
    lines = ["  {", '      "report": [', "          {", f'              "{kind}": [', *_commas(objects)]
    lines += ["              ]", "          }", "      ]", "  }"]
    return "\n".join(lines) + "\n"


def _as_json(field: Field, options: ReportOptions) -> Write:
    write = _as_text(field, options)
    return lambda value: _quoted(write(value))


def _as_standard_json(field: Field, options: ReportOptions) -> Write:
    """A number, null for one that there is none of, 1 or 0 for a flag, an array for a list, a string for all else."""
    if field.kind == FLAG:
        return lambda value: "-1" if value == "unknown" else "1" if value else "0"
    if field.kind in (NUMBER, PERCENT):
        return lambda value: (
            str(value) if isinstance(value, int) else "null" if value in (None, "") else _quoted(str(value))
        )
    if field.kind == LIST:
        return lambda value: "[" + ",".join(map(_quoted, str(value).split(field.joiner))) + "]" if value else "[]"
    return _as_json(field, options)


def _commas(objects: Sequence[str]) -> list[str]:
    return [text + ("," if place < len(objects) - 1 else "") for place, text in enumerate(objects)]
