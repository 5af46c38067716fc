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

_SPACE = r"(?:[ \t\n]++|\#[^\n]*+)*+"
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
    """Compiled when the first volume is read."""

    def __init__(self) -> None:
        group = "[0-9a-zA-Z!#]"
        uuid = "-".join(f"{group}{{{length}}}" for length in (6, 4, 4, 4, 4, 4, 6))
        self.head = _pattern(
            rf' ({_NAME}) \{{ id = "({uuid})" status = (LIST) flags = (LIST)'
            r'(?: creation_time = (TIME) creation_host = "([\x20\x21\x23-\x5b\x5d-\x7e]*+)")?+'
            r" segment_count = (NUMBER)"
        )
        self.segment = _pattern(
            r" segment([1-9][0-9]{0,8}) \{ start_extent = (NUMBER) extent_count = (NUMBER) "
            r'type = "striped" stripe_count = 1 stripes = \[ "([A-Za-z0-9._+-]++)", (NUMBER) \] \}'
        )
        self.end = _pattern(r" \}")
        self.words = re.compile(r'"([^"]*)"')


class OrdinaryLv(Section):
    """A volume that was read in one go: its parts as they stand in the text."""

    head: tuple[str | None, ...]
    segments: tuple[tuple[str, ...], ...]


class OrdinaryReader:
    """Reads ordinary volumes of one text; words that many of them share are kept once."""

    def __init__(self) -> None:
        self._patterns: _Patterns | None = None
        self._lists: dict[str, tuple[str, ...]] = {}

    def read(self, text: str, position: int) -> tuple[str, OrdinaryLv, int] | None:
        """The volume at a position of the text: its name, itself, and where it ends; None for any other item."""
        if self._patterns is None:
            self._patterns = _Patterns()
        patterns = self._patterns
        head = patterns.head.match(text, position)
        if head is None:
            return None
        end = head.end()
        segments = []
        for number in range(1, int(head[7]) + 1):
            match = patterns.segment.match(text, end)
            if match is None or int(match[1]) != number:
                return None
            segments.append(match.groups()[1:])
            end = match.end()
        closing = patterns.end.match(text, end)
        if closing is None:
            return None
        return head[1], OrdinaryLv(head=head.groups()[1:], segments=tuple(segments)), closing.end()

    def volume(self, name: str, found: OrdinaryLv, pv_ids: Mapping[str, str]) -> LogicalVolume:
        """Its value, with the PVs' ids for their words."""
        lv_id, status, flags, created, host, _ = found.head
        segments = []
        for start, length, word, place in found.segments:
            area = PvArea(pv_id=pv_ids[word], start_pe=int(place)) if word in pv_ids else None
            segments.append(
                StripedSegment(
                    start_le=int(start),
                    length_le=int(length),
                    areas=(area or LvArea(lv_name=word, start_le=int(place)),),
                )
            )
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
