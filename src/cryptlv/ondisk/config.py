"""LVM2 config text: a tree of values from it, and single values back to it.

The grammar is that of lvm2's parser (device_mapper/libdm-config.c:_get_token, _section, _value, _type):

    file  := item*                     (the end of the text or a NUL ends it)
    item  := key ( "{" item* "}" | "=" value )
    value := scalar | "[" [ scalar ("," scalar)* [","] ] "]"
    scalar := int | float | "escaped string" | 'raw string' | bare word

A number that begins with 0 is octal; `a/b = 1` makes a section a; `#` begins a comment up to the end of its line.

A text from a disk may be made to do harm: how deep sections nest is limited, and what the tree may take of memory
(see `Allowance`).
"""

from __future__ import annotations

import re
from contextlib import suppress

from cryptlv.errors import FormatError
from cryptlv.model.nodes import Section
from cryptlv.units import KIB, MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from cryptlv.model.nodes import Item, Scalar, Value

    Shortcut: TypeAlias = Callable[[str, int], tuple[str, Section, int] | None]

MAX_TEXT_BYTES = 16 * MIB
"""40 000 logical volumes have such a text; a longer one would not fit into the memory that we allow ourselves."""
MAX_DEPTH = 32
MAX_WORD_BYTES = 64 * KIB
"""Of a string, word or number; and a string has no more than half as many escapes and pieces between them."""
MEMORY_BYTES = 96 * MIB
"""What reading the metadata of one device may take, as `Allowance` reckons it."""
_ITEM_BYTES = 300
_SCALAR_BYTES = 128
_SHORTCUT_FACTOR = 6
_TEXT_FACTOR = 2
_INT64 = 2**63
_SHORTCUT_DEPTH = 2

# Possessive throughout: what lies on a disk must not make a match try the same bytes again in another way.
_SKIP = r"\s*+(?:\#[^\n]*+\s*+)*+"
_STRING = r'"(?:[^"\\]++|\\.){0,32768}+"'
_RAW = "'[^']*+'"
# The value of nearly every line of metadata: one alternative a kind, so that a match says what it found.
_TOKEN = re.compile(
    rf"""{_SKIP}(?:
        (?P<string>{_STRING})
      | (?P<raw>{_RAW})
      | (?P<mark>[{{}}=\[\],])
      | (?P<word>[^\s\#={{}}\[\],"'][^\s\#={{}}\[\],]*+)
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_KEY = re.compile(
    rf"""{_SKIP}(?:
        (?P<string>{_STRING})
      | (?P<raw>{_RAW})
      | (?P<word>[^\s\#={{}}"'][^\s\#={{}}]*+)
      | (?P<mark>[{{}}=])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_BLANKS = re.compile(_SKIP, re.ASCII)
_INT = re.compile(r"[+-]?[0-9]+\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+)\Z")
_ESCAPED = re.compile(r'\\(["\\])')
_SPECIAL = re.compile(r'["\\]')
_PLAIN_KEY = re.compile(r"[^\s#={}\"'/]+\Z")


class Allowance:
    """The memory that reading may still take, reckoned from what is read; texts of one device share one."""

    def __init__(self, left_bytes: int = MEMORY_BYTES) -> None:
        self.left_bytes = left_bytes

    def take(self, count: int, each_bytes: int = 1) -> bool:
        """Take it; False when there is not that much left."""
        self.left_bytes -= count * each_bytes
        return self.left_bytes >= 0


class _Parser:
    """One pass over a text in which a character is a byte."""

    def __init__(self, text: str, shortcuts: Mapping[str, Shortcut], allowance: Allowance) -> None:
        self.text = text
        self.position = 0
        self.shortcuts = shortcuts
        self.allowance = allowance
        self.is_ascii = text.isascii()

    def error(self, message: str, position: int | None = None) -> FormatError:
        place = self.position if position is None else position
        return FormatError(message, offset_bytes=place, field="text")

    def take(self, count: int, each_bytes: int) -> None:
        if not self.allowance.take(count, each_bytes):
            raise self.error("there is more in the metadata than is read; nothing of it is used")

    def next(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        match = pattern.match(self.text, self.position)
        if match is None:
            blanks = _BLANKS.match(self.text, self.position)
            raise self.error(f"expected {expected}", blanks.end() if blanks else None)
        end = match.end()
        if end - self.position > MAX_WORD_BYTES and end - _start(match) > MAX_WORD_BYTES:
            raise self.error(f"a word of {end - _start(match)} bytes is too long", _start(match))
        self.position = end
        return match

    def items(self, depth: int, name: str = "") -> tuple[Item, ...]:
        """The items of the section `name` up to its closing brace, or to the end of the text at depth 0."""
        if depth > MAX_DEPTH:
            raise self.error(f"sections are nested more than {MAX_DEPTH} deep")
        found: list[Item] = []
        shortcut = self.shortcuts.get(name) if depth == _SHORTCUT_DEPTH else None
        while True:
            if shortcut is not None and (ready := shortcut(self.text, self.position)) is not None:
                self.take(ready[2] - self.position, _SHORTCUT_FACTOR)
                self.position = ready[2]
                found.append(ready[:2])
                continue
            match = self.next(_KEY, "a key")
            kind = match.lastgroup
            if kind == "end" or (match[0].endswith("}") and kind == "mark"):
                if (kind == "end") != (depth == 0):
                    raise self.error("section is not closed" if depth else "closing brace without a section")
                return tuple(found)
            if kind == "mark":
                raise self.error("expected a key", _start(match))
            self.take(1, _ITEM_BYTES)
            key = self.key_of(match)
            inner = depth + 1 + (key.count("/") if kind == "word" else 0)
            mark = self.next(_TOKEN, f"'=' or '{{' after {key[:64]!r}")
            if mark["mark"] == "{":
                value: Value = Section(items=self.items(inner, key))
            elif mark["mark"] == "=":
                value = self.value()
            else:
                raise self.error(f"expected '=' or '{{' after {key[:64]!r}", _start(mark))
            if kind == "word" and "/" in key:
                if inner > MAX_DEPTH + 1:
                    raise self.error(f"sections are nested more than {MAX_DEPTH} deep", _start(match))
                found.append(_nest(key, value))
            else:
                found.append((key, value))

    def key_of(self, match: re.Match[str]) -> str:
        if match["string"] is not None:
            return self.decoded(_unescape(match["string"]))
        return self.decoded(match["raw"][1:-1] if match["raw"] is not None else match["word"])

    def decoded(self, found: str) -> str:
        """What was found in the text, as UTF-8; what is none is kept (see `parse_config`)."""
        if self.is_ascii or found.isascii():
            return found
        return found.encode("latin-1").decode("utf-8", "surrogateescape")

    def value(self) -> Value:
        match = self.next(_TOKEN, "a value")
        if match["mark"] == "[":
            return self.array()
        return self.scalar(match)

    def array(self) -> tuple[Scalar, ...]:
        found: list[Scalar] = []
        while True:
            match = self.next(_TOKEN, "a value or ']'")
            if match["mark"] == "]":
                return tuple(found)
            self.take(1, _SCALAR_BYTES)
            found.append(self.scalar(match))
            match = self.next(_TOKEN, "',' or ']'")
            if match["mark"] == "]":
                return tuple(found)
            if match["mark"] != ",":
                raise self.error("expected ',' or ']'", _start(match))

    def scalar(self, match: re.Match[str]) -> Scalar:
        kind = match.lastgroup
        if kind == "string":
            return self.decoded(_unescape(match["string"]))
        if kind == "raw":
            return self.decoded(match["raw"][1:-1])
        if kind != "word":
            raise self.error("expected a value", _start(match))
        word = match["word"]
        if _INT.match(word):
            return self.integer(word, _start(match))
        if _FLOAT.match(word):
            number = float(word)
            if number - number:  # infinite: there is no text for it
                raise self.error(f"{word[:64]} is too large", _start(match))
            return number
        if word[0] in "+-.0123456789":
            raise self.error(f"{word[:64]!r} is not a number", _start(match))
        return self.decoded(word)

    def integer(self, word: str, position: int) -> int:
        digits = word.lstrip("+-")
        try:
            value = int(word, 8) if digits.startswith("0") and len(digits) > 1 else int(word)
        except ValueError:
            raise self.error(f"{word[:64]!r} is not a number", position) from None
        if not -_INT64 <= value < _INT64:
            raise self.error(f"{word[:64]} does not fit into 64 bits", position)
        return value


def _start(match: re.Match[str]) -> int:
    """Where the token itself begins, behind blanks and comments."""
    return match.start(match.lastgroup or 0)


def _unescape(quoted: str) -> str:
    inside = quoted[1:-1]
    return _ESCAPED.sub(r"\1", inside) if "\\" in inside else inside


def _nest(key: str, value: Value) -> Item:
    """`a/b/c = value` as sections, as lvm2 makes of it."""
    parts = [part for part in key.split("/") if part] or [key]
    for part in reversed(parts[1:]):
        value = Section(items=((part, value),))
    return parts[0], value


class _Found(Exception):  # noqa: N818 - a signal
    """The place that was looked for has been passed."""


class _Finder(_Parser):
    """A pass that notes where the items of a path begin, each within the one before it."""

    def __init__(self, text: str, path: tuple[str, ...]) -> None:
        super().__init__(text, {}, Allowance())
        self.path = path
        self.level = 0
        self.found = 0
        self.place = 0

    def items(self, depth: int, name: str = "") -> tuple[Item, ...]:
        outer, self.level = self.level, depth
        super().items(depth, name)
        if self.found >= depth:  # all of what it was to be in has been seen
            raise _Found
        self.level = outer
        return ()

    def key_of(self, match: re.Match[str]) -> str:
        if self.found == len(self.path):
            raise _Found
        key = super().key_of(match)
        if self.level == self.found and key == self.path[self.found]:
            self.found += 1
            self.place = _start(match)
        return key


def find_place(text: bytes, path: tuple[str, ...]) -> int:
    """The byte at which the item that `path` leads to begins: the names of its sections, then its own.

    Where there is no such item it is that of the innermost section; 0 when there is none of them.
    """
    finder = _Finder(_as_characters(text), path)
    with suppress(_Found, FormatError):  # what lies behind the place does not matter
        finder.items(0)
    return finder.place


def _as_characters(text: bytes) -> str:
    """A character for each byte, up to a NUL: one of a few bytes would make all of them take as much."""
    end = text.find(b"\0")
    return str(memoryview(text)[:end] if end >= 0 else text, "latin-1")


def parse_config(
    text: bytes | str, shortcuts: Mapping[str, Shortcut] | None = None, allowance: Allowance | None = None
) -> Section:
    """The tree of a config text; bytes are UTF-8, others pass through. Raises FormatError with the byte's offset.

    `shortcuts` has, for sections of the volume group by name, a function that is given the text (a character for
    each byte) and where an item of the section begins, and gives (key, section, end of the item), or None to have it
    parsed here. `allowance` is what the tree may take of memory.
    """
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogateescape")
    if len(text) > MAX_TEXT_BYTES:
        raise FormatError(f"text of {len(text)} bytes is too long: {MAX_TEXT_BYTES} are read", field="text")
    parser = _Parser(_as_characters(text), shortcuts or {}, allowance or Allowance())
    parser.take(len(text), _TEXT_FACTOR)
    return Section(items=parser.items(0))


def render_value(value: Value) -> str:
    """A scalar or a list as lvm2 writes it, on one line."""
    if isinstance(value, str):
        return f'"{_SPECIAL.sub(_escape, value)}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(render_value, value))}]"
    if isinstance(value, float):
        return f"{value:f}"
    return str(value)


def _escape(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def render_key(key: str) -> str:
    """A key as it can stand in the text, quoted where it must be."""
    return key if _PLAIN_KEY.match(key) else f'"{_SPECIAL.sub(_escape, key)}"'
