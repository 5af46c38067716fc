"""LVM2 config text: a tree of values from it, and single values back to it.

The grammar is that of lvm2's parser (device_mapper/libdm-config.c:_get_token, _section, _value, _type):

    file  := item*                     (the end of the text or a NUL ends it)
    item  := key ( "{" item* "}" | "=" value )
    value := scalar | "[" [ scalar ("," scalar)* [","] ] "]"
    scalar := int | float | "escaped string" | 'raw string' | bare word

A number that begins with 0 is octal; `a/b = 1` makes a section a; `#` begins a comment up to the end of its line.
"""

from __future__ import annotations

import re

from cryptlv.errors import FormatError
from cryptlv.model.nodes import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from cryptlv.model.nodes import Item, Scalar, Value

    Shortcut: TypeAlias = Callable[[str, int], tuple[str, Section, int] | None]

MAX_TEXT_BYTES = 128 * 1024 * 1024
MAX_DEPTH = 32
_INT64 = 2**63
_SHORTCUT_DEPTH = 2

# Possessive throughout: what lies on a disk must not make a match try the same bytes again in another way.
_SKIP = r"(?:[\s]++|\#[^\n]*+)*+"
_STRING = r'"(?:[^"\\]++|\\.)*+"'
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


class _Parser:
    """One pass over a text; `position` counts characters, which are bytes (see parse_config)."""

    def __init__(self, text: str, shortcuts: Mapping[str, Shortcut]) -> None:
        self.text = text
        self.position = 0
        self.shortcuts = shortcuts

    def error(self, message: str, position: int | None = None) -> FormatError:
        place = self.position if position is None else position
        place = len(self.text[:place].encode("utf-8", "surrogateescape"))
        return FormatError(message, offset_bytes=place, field="text")

    def next(self, pattern: re.Pattern[str], expected: str) -> re.Match[str]:
        match = pattern.match(self.text, self.position)
        if match is None:
            blanks = _BLANKS.match(self.text, self.position)
            raise self.error(f"expected {expected}", blanks.end() if blanks else None)
        self.position = match.end()
        return match

    def items(self, depth: int, name: str = "") -> tuple[Item, ...]:
        """The items of the section `name` up to its closing brace, or to the end of the text at depth 0."""
        if depth > MAX_DEPTH:
            raise self.error(f"sections are nested more than {MAX_DEPTH} deep")
        found: list[Item] = []
        shortcut = self.shortcuts.get(name) if depth == _SHORTCUT_DEPTH else None
        while True:
            if shortcut is not None and (ready := shortcut(self.text, self.position)) is not None:
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
            key = self.key_of(match)
            mark = self.next(_TOKEN, f"'=' or '{{' after {key[:64]!r}")
            if mark["mark"] == "{":
                value: Value = Section(items=self.items(depth + 1, key))
            elif mark["mark"] == "=":
                value = self.value()
            else:
                raise self.error(f"expected '=' or '{{' after {key[:64]!r}", _start(mark))
            if kind == "word" and "/" in key:
                if depth + key.count("/") > MAX_DEPTH:
                    raise self.error(f"sections are nested more than {MAX_DEPTH} deep", _start(match))
                found.append(_nest(key, value))
            else:
                found.append((key, value))

    def key_of(self, match: re.Match[str]) -> str:
        if match["string"] is not None:
            return _unescape(match["string"])
        return match["raw"][1:-1] if match["raw"] is not None else match["word"]

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
            found.append(self.scalar(match))
            match = self.next(_TOKEN, "',' or ']'")
            if match["mark"] == "]":
                return tuple(found)
            if match["mark"] != ",":
                raise self.error("expected ',' or ']'", _start(match))

    def scalar(self, match: re.Match[str]) -> Scalar:
        kind = match.lastgroup
        if kind == "string":
            return _unescape(match["string"])
        if kind == "raw":
            return match["raw"][1:-1]
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
        if word[0].isdigit() or word[0] in "+-.":
            raise self.error(f"{word[:64]!r} is not a number", _start(match))
        return word

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


def parse_config(text: bytes | str, shortcuts: Mapping[str, Shortcut] | None = None) -> Section:
    """The tree of a config text; bytes are UTF-8, others pass through. Raises FormatError with the byte's offset.

    `shortcuts` has, for sections of the volume group by name, a function that is given the text and where an item of
    the section begins, and gives (key, section, end of the item), or None to have it parsed here.
    """
    if len(text) > MAX_TEXT_BYTES:
        raise FormatError(f"text of {len(text)} bytes is too long", field="text")
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return Section(items=_Parser(text.partition("\0")[0], shortcuts or {}).items(0))


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
