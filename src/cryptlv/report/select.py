"""-S: choosing rows by lvm2's selection language (libdm/libdm-report.c, man page lvmreport(7)).

    SELECTION  := FIELD COMPARISON VALUE | ( EXPRESSION ) | !( EXPRESSION )
    EXPRESSION := SELECTION joined by && or , (all) and || or # (any), all binding closer than any

What a value may look like depends on the field: text, a number, a size (m when no unit is given), a percentage, a
time, or a list: `[a,b]` must be the whole list, `{a,b}` a part of it, a single word one of its items.
"""

from __future__ import annotations

from cryptlv.errors import UsageError
from cryptlv.record import Record
from cryptlv.report.field import FLAG, LIST, NUMBER, PERCENT, SIZE, TIME
from cryptlv.report.select_values import (
    SYNONYMS,
    UNDEFINED,
    Undefined,
    compile_pattern,
    read_number,
    read_size,
    seen_value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from re import Pattern
    from typing import TypeAlias

    from cryptlv.report.field import Field
    from cryptlv.report.rows import Row
    from cryptlv.report.select_values import Span

    Test: TypeAlias = Callable[[Row], bool]

_COMPARISONS = ("=~", "!~", "=", "!=", ">=", ">", "<=", "<", "since", "after", "until", "before")
_OF_TIME = {"since": ">=", "after": ">", "until": "<=", "before": "<"}
_ALL, _ANY = ("&&", ","), ("||", "#")
_MOST_BRACKETS = 100
_BRACKETS = {"(": ")", "{": "}", "[": "]", '"': '"', "'": "'"}


class Selection(Record):
    """A parsed selection: the fields that it looks at, and the test that a row passes."""

    fields: tuple[Field, ...]
    matches: Test


def parse_selection(text: str, find: Callable[[str], Field], now: int) -> Selection:
    """Read a selection; `find` gives a field by its name or raises UsageError, `now` is in seconds since 1970.

    Raises UsageError, with the place.
    """
    if not text.strip():
        return Selection(fields=(), matches=lambda _: True)
    parser = _Parser(text, find, now)
    test = parser.any_of(0)
    parser.skip_space()
    if parser.place < len(text):
        raise parser.error("&&, || or the end expected")
    return Selection(fields=tuple(parser.fields), matches=test)


class _Parser:
    def __init__(self, text: str, find: Callable[[str], Field], now: int) -> None:
        self.text = text
        self.place = 0
        self.fields: list[Field] = []
        self._find = find
        self._now = now

    def error(self, message: str) -> UsageError:
        """An error that shows the rest of the text."""
        rest = self.text[self.place :]
        where = f"at {rest!r}" if rest else "at its end"
        return UsageError(f"selection {self.text!r}: {message} {where}; see -S help")

    def skip_space(self) -> None:
        while self.text[self.place : self.place + 1].isspace():
            self.place += 1

    def take(self, *words: str) -> str:
        """Go past the first of `words` that comes next; "" when none does."""
        self.skip_space()
        for word in words:
            if self.text.startswith(word, self.place):
                self.place += len(word)
                return word
        return ""

    def any_of(self, depth: int) -> Test:
        """Selections joined by "or"."""
        tests = [self.all_of(depth)]
        while self.take(*_ANY):
            tests.append(self.all_of(depth))
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def all_of(self, depth: int) -> Test:
        """Selections joined by "and"."""
        tests = [self.one(depth)]
        while self.take(*_ALL):
            tests.append(self.one(depth))
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def one(self, depth: int) -> Test:
        """A comparison, or a selection in brackets."""
        if depth > _MOST_BRACKETS:
            raise self.error("too many brackets")
        negated = bool(self.take("!"))
        if not self.take("("):
            if negated:
                raise self.error("( expected after !")
            return self.comparison()
        inner = self.any_of(depth + 1)
        if not self.take(")"):
            raise self.error(") expected")
        return (lambda row: not inner(row)) if negated else inner

    def comparison(self) -> Test:
        """FIELD COMPARISON VALUE."""
        self.skip_space()
        start = self.place
        while (letter := self.text[self.place : self.place + 1]).isalnum() or letter in ("_", "-"):
            self.place += 1
        name = self.text[start : self.place]
        if not name:
            raise self.error("a field's name expected")
        field = self._find(name)
        if field not in self.fields:
            self.fields.append(field)
        sign = self.take(*_COMPARISONS)
        if not sign:
            raise self.error("a comparison (= != =~ !~ < <= > >=) expected")
        if sign in _OF_TIME and field.kind != TIME:
            raise self.error(f"{sign} is for times only, not for {field.name}")
        return self._compare(field, _OF_TIME.get(sign, sign))

    def _compare(self, field: Field, sign: str) -> Test:
        measured = field.kind in (NUMBER, SIZE, PERCENT, TIME, FLAG)
        if sign in ("=~", "!~") and measured:
            raise self.error(f"{sign} is for texts and lists only, not for {field.name}")
        if sign[0] in "<>" and not measured:
            raise self.error(f"{sign} is for numbers, sizes, percentages and times only, not for {field.name}")
        if measured:
            return _measure(field, sign, self._span(field))
        negated = sign[0] == "!"
        if field.kind == LIST:
            test = self._list(pattern=sign[1:] == "~")
            return lambda row: test(seen_value(field, row)) is not negated  # type: ignore[arg-type]
        if sign[1:] == "~":
            pattern = compile_pattern(self._pattern())
            return lambda row: (pattern.search(str(seen_value(field, row))) is not None) is not negated
        wanted = self._word()
        wanted = str(SYNONYMS.get(field.name, {}).get(wanted, wanted))
        return lambda row: (seen_value(field, row) == wanted) is not negated

    def _span(self, field: Field) -> Span:
        """The least and the greatest value that the text means."""
        word = self._word()
        known: object = SYNONYMS.get(field.name, {}).get(word)
        if field.kind == NUMBER and word in ("-1", "unknown", "undefined", "undef"):
            known = UNDEFINED
        if isinstance(known, (int, Undefined)):
            return known, known
        if field.kind == TIME:
            from cryptlv.report.times import read_time

            return read_time(word, self._now)
        if field.kind == SIZE:
            return read_size(word)
        return read_number(word, percent=field.kind == PERCENT)

    def _pattern(self) -> str:
        """A regular expression, in quotes or brackets or up to the next operator."""
        self.skip_space()
        if self.place == len(self.text):
            raise self.error("a regular expression expected")
        closing = _BRACKETS.get(self.text[self.place : self.place + 1])
        return self._quoted(closing) if closing else self._bare((*_ALL, *_ANY, ")"))

    def _word(self, ends: Iterable[str] = (*_ALL, *_ANY, ")")) -> str:
        """A value, in quotes or up to the next operator or space."""
        self.skip_space()
        quote = self.text[self.place : self.place + 1]
        return self._quoted(quote) if quote in ("'", '"') else self._bare(ends)

    def _quoted(self, closing: str) -> str:
        end = self.text.find(closing, self.place + 1)
        if end < 0:
            raise self.error(f"{closing} is missing")
        found = self.text[self.place + 1 : end]
        self.place = end + 1
        return found

    def _bare(self, ends: Iterable[str]) -> str:
        start = self.place
        stops = tuple(ends)
        while self.place < len(self.text) and self.text[self.place] != " ":
            if self.text.startswith(stops, self.place):
                break
            self.place += 1
        return self.text[start : self.place]

    def _list(self, *, pattern: bool) -> Callable[[tuple[str, ...]], bool]:
        opening = self.take("[", "{")
        if not opening:
            return _in_list([self._pattern() if pattern else self._word()], whole=False, every=False, pattern=pattern)
        closing = "]" if opening == "[" else "}"
        items, joiner = [], ""
        while True:
            items.append(self._word((*_ALL, *_ANY, "]", "}")))
            sign = self.take(*_ALL, *_ANY, "]", "}")
            if sign == closing:
                break
            if not sign or sign in ("]", "}"):
                raise self.error(f"&&, || or {closing} expected in the list")
            sign = "&&" if sign in _ALL else "||"
            if joiner and sign != joiner:
                raise self.error("a list has only one of && and ||")
            joiner = sign
        every = joiner == "&&" or (not joiner and opening == "[")
        return _in_list(items, whole=opening == "[", every=every, pattern=pattern)


def _measure(field: Field, sign: str, span: Span) -> Test:
    """A comparison of numbers. What is undefined equals only itself, and a percentage that is not known nothing."""

    def test(row: Row) -> bool:
        value = seen_value(field, row)
        if field.kind == PERCENT and value is UNDEFINED:
            return False
        least, most = span
        if value is UNDEFINED or least is UNDEFINED or not isinstance(value, (int, float)):
            return (value is least) is (sign == "=") if sign in ("=", "!=") else False
        if isinstance(least, Undefined) or isinstance(most, Undefined):
            return False
        return {
            "=": least <= value <= most,
            "!=": not least <= value <= most,
            ">": value > most,
            ">=": value >= least,
            "<": value < least,
            "<=": value <= most,
        }[sign]

    return test


def _in_list(items: list[str], *, whole: bool, every: bool, pattern: bool) -> Callable[[tuple[str, ...]], bool]:
    """A test of lists, an empty one being [""].

    `every`: all of `items` must be in it, one of them otherwise; `whole`: and nothing else. (`[a||b]` is one of them
    with lvm2 2.03.16; its later versions want nothing else there.)
    """
    wanted: list[Callable[[str], bool]] = [_like(compile_pattern(item)) if pattern else item.__eq__ for item in items]

    def test(values: tuple[str, ...]) -> bool:
        seen = values or ("",)
        if not every:
            return any(want(value) for want in wanted for value in seen)
        if whole and not all(any(want(value) for want in wanted) for value in seen):
            return False
        return all(any(want(value) for value in seen) for want in wanted)

    return test


def _like(pattern: Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.search(value) is not None


def selection_help() -> str:
    """What -S help shows."""
    return """\
    A selection compares fields (see -o help) with values:  -S 'lv_size > 1g && lv_tags = {db}'

    =   !=          equal, not equal
    =~  !~          matches a regular expression or not; for texts and lists
    < <= > >=       for numbers, sizes, percentages and times
    before until after since    the same, for times
    &&  ,           both must hold; binds closer than ||
    ||  #           one must hold
    ( )  !( )       grouping, negation

    Values: a word, 'quoted' or "quoted"; a size with its unit (m when there is none); a time as YYYY[-MM[-DD]], in
    quotes with HH[:MM[:SS]] behind it, as @seconds since 1970 or in words (yesterday, 'Monday noon', 'Feb 24',
    '10:30 pm', '2 weeks ago'); a list [a,b] (exactly these) or {a,b} (these among
    others), with || instead of , one of them is enough; a single word: it is in the list.
"""
