"""What a report field is."""

from __future__ import annotations

from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from cryptlv.report.rows import Row

    Value: TypeAlias = "str | int | None"

TEXT, SIZE, NUMBER, PERCENT, FLAG, LIST, TIME = "text", "size", "number", "percent", "flag", "list", "time"
POLICY_LETTERS = {
    "contiguous": "c",
    "cling": "l",
    "cling_by_tags": "t",
    "normal": "n",
    "anywhere": "a",
    "inherit": "i",
}


class Field(Record):
    """A column, `width` characters at least. None shows as nothing.

    A value is text, a size in bytes (or a word instead), a number or percentage (or a word), the word of a flag when
    it is set, the items of a list with `joiner` between them, or a time as text. `prefix` is what may be left out of
    its name (`lvs -o name`). `of_relations`: only a volume that is something to others has a value. `of_keyslots`:
    key headers have to be read for it.
    """

    prefix: str
    name: str
    heading: str
    kind: str
    value: Callable[[Row], Value]
    help: str
    width: int = 0
    joiner: str = ","
    of_relations: bool = False
    of_keyslots: bool = False


def flag(word: str, *, on: bool) -> str:
    """A yes-or-no field: its word, or nothing (lvm2's binary values)."""
    return word if on else ""


def listed(words: Iterable[str]) -> str:
    """A field of several words, sorted as lvm2 does."""
    return ",".join(sorted(words))
