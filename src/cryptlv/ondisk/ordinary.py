"""The ordinary logical volume, read in a few steps: linear, in the form that lvm2 and this program write.

A volume group may have ten thousand of them, and reading each token by itself takes more time than all else. What is
not exactly of this form is left to the real parser, which gives the same value for what is (a property test says so).
"""

from __future__ import annotations

import re

from cryptlv.model.nodes import Section
from cryptlv.model.vg import LogicalVolume, LvArea, PvArea
from cryptlv.segments.striped import StripedSegment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SPACE = r"[ \t\n]*+(?:\#[^\n]*+[ \t\n]*+)*+"
_NUMBER = r"(?:0|[1-9][0-9]{0,8})(?=[\s\#}\],])"
_TIME = r"(?:0|[1-9][0-9]{0,11})(?=[\s\#}\],])"
_NAME = r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,126}+"
_LIST = r'\[(?:"[A-Z_]*+"(?:,[ ]"[A-Z_]*+")*+)?+\]'


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern in which a blank stands for white space and comments, if any, and NUMBER, TIME, LIST for one."""
    for word, meaning in ((" ", _SPACE), ("NUMBER", _NUMBER), ("TIME", _TIME), ("LIST", _LIST)):
        text = text.replace(word, meaning)
    return re.compile(text, re.ASCII)


class _Patterns:
    """Compiled when the first volume is read: `whole` is a volume of one segment, as most are.

    The others, for volumes of several segments, are compiled when the first of those is read.
    """

    def __init__(self) -> None:
        group = "[0-9a-zA-Z!#]"
        uuid = "-".join(f"{group}{{{length}}}" for length in (6, 4, 4, 4, 4, 4, 6))
        self._head = (
            rf' ({_NAME}) \{{ id = "({uuid})" status = (LIST) flags = (LIST)'
            r'(?: creation_time = (TIME) creation_host = "([\x20\x21\x23-\x5b\x5d-\x7e]*+)")?+'
            r" segment_count = "
        )
        self._segment = (
            r" \{ start_extent = (NUMBER) extent_count = (NUMBER) "
            r'type = "striped" stripe_count = 1 stripes = \[ "([A-Za-z0-9._+-]++)", (NUMBER) \] \}'
        )
        self.whole = _pattern(rf"{self._head}1(?=[\s\#]) segment1{self._segment} \}}")
        self.words = re.compile(r'"([^"]*)"')
        self._parts: tuple[re.Pattern[str], ...] = ()

    def parts(self) -> tuple[re.Pattern[str], ...]:
        """What stands before the segments, a segment, and what stands behind."""
        if not self._parts:
            words = f"{self._head}(NUMBER)", f" segment([1-9][0-9]{{0,8}}){self._segment}", r" \}"
            self._parts = tuple(map(_pattern, words))
        return self._parts


class OrdinaryLv(Section):
    """A volume that was read in one go: its id, status, flags, time and host as they stand in the text, then four
    words for each segment.
    """

    words: tuple[str | None, ...]


class OrdinaryReader:
    """Reads ordinary volumes of one text; words that many of them share are kept once."""

    def __init__(self) -> None:
        self._patterns: _Patterns | None = None
        self._lists: dict[str, tuple[str, ...]] = {}

    def read(self, text: str, position: int) -> tuple[str, OrdinaryLv, int] | None:
        """The volume at a position of the text: its name, itself, and where it ends; None for any other item."""
        if self._patterns is None:
            self._patterns = _Patterns()
        match = self._patterns.whole.match(text, position)
        if match is None:
            return self._read_parts(self._patterns, text, position)
        name, *words = match.groups()
        return name, OrdinaryLv(words=tuple(words)), match.end()

    def _read_parts(self, patterns: _Patterns, text: str, position: int) -> tuple[str, OrdinaryLv, int] | None:
        begin, segment, end = patterns.parts()
        head = begin.match(text, position)
        if head is None:
            return None
        name, *words, count = head.groups()
        place = head.end()
        for number in range(1, int(count) + 1):
            match = segment.match(text, place)
            if match is None or int(match[1]) != number:
                return None
            words += match.groups()[1:]
            place = match.end()
        closing = end.match(text, place)
        return (name, OrdinaryLv(words=tuple(words)), closing.end()) if closing is not None else None

    def volume(self, name: str, found: OrdinaryLv, pv_ids: Mapping[str, str]) -> LogicalVolume:
        """Its value, with the PVs' ids for their words."""
        lv_id, status, flags, created, host, *places = found.words
        parts = iter(places)
        segments = []
        for start, length, word, place in zip(parts, parts, parts, parts, strict=True):
            assert start and length and word and place  # noqa: S101, PT018 - the pattern has all of them
            pv_id = pv_ids.get(word)
            area: PvArea | LvArea
            if pv_id is not None:
                area = PvArea(pv_id=pv_id, start_pe=int(place))
            else:
                area = LvArea(lv_name=word, start_le=int(place))
            segments.append(StripedSegment(start_le=int(start), length_le=int(length), areas=(area,)))
        if len(segments) > 1:
            segments.sort(key=lambda segment: segment.start_le)
        return LogicalVolume(
            name=name,
            id=lv_id or "",
            status=self._words(status or ""),
            flags=self._words(flags or ""),
            creation_time=int(created) if created is not None else None,
            creation_host=host or "",
            segments=tuple(segments),
        )

    def _words(self, text: str) -> tuple[str, ...]:
        words = self._lists.get(text)
        if words is None:
            assert self._patterns is not None  # noqa: S101 - read() has made them
            words = self._lists[text] = tuple(self._patterns.words.findall(text))
        return words
