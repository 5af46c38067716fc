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
    from typing import TypeAlias

    _Words: TypeAlias = tuple[str | None, ...]

_RUN = 1000
_END = "}\n}"
"""Where a volume of one segment ends in the form on disk."""
_LONGEST = 2048
"""No such volume is longer: a text without such ends is not searched to its own end for each volume."""
_MOST_REMEMBERED = 20_000
_SPACE = r"[ \t\n]*+(?:\#[^\n]*+[ \t\n]*+)*+"
_NUMBER = r"(?:0|[1-9][0-9]{0,8})(?=[\s\#}\],])"
_TIME = r"(?:0|[1-9][0-9]{0,11})(?=[\s\#}\],])"
_NAME = r"[A-Za-z0-9_+][A-Za-z0-9._+-]{0,126}+"
_WORD = r"[A-Za-z0-9._+-]++"
_UUID = "-".join(f"[0-9a-zA-Z!#]{{{length}}}" for length in (6, 4, 4, 4, 4, 4, 6))
_HOST = r"[\x20\x21\x23-\x5b\x5d-\x7e]*+"
_LIST = r'\[(?:"[A-Z_]*+"(?:,[ ]"[A-Z_]*+")*)?\]'
"""No group in which something may fail halfway is possessive: Python before 3.11.5 then goes on at a wrong place
(CPython's issue 106052)."""


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern in which a blank stands for white space and comments, if any, and NUMBER, TIME, LIST for one."""
    for word, meaning in ((" ", _SPACE), ("NUMBER", _NUMBER), ("TIME", _TIME), ("LIST", _LIST)):
        text = text.replace(word, meaning)
    return re.compile(text, re.ASCII)


class _Patterns:
    """Each is compiled when it is first needed: `on_disk` is a volume of one segment, as most are, just as it is
    written on disks; `whole` one in any form; `parts` are for volumes of several segments.
    """

    def __init__(self) -> None:
        self._head = (
            rf' ({_NAME}) \{{ id = "({_UUID})" status = (LIST) flags = (LIST)'
            rf'(?: creation_time = (TIME) creation_host = "({_HOST})")?'
            r" segment_count = "
        )
        self._segment = (
            r" \{ start_extent = (NUMBER) extent_count = (NUMBER) "
            rf'type = "striped" stripe_count = 1 stripes = \[ "({_WORD})", (NUMBER) \] \}}'
        )
        self._whole: re.Pattern[str] | None = None
        self._parts: tuple[re.Pattern[str], ...] = ()
        number = r"(0|[1-9][0-9]{0,8})"
        self.on_disk = re.compile(
            rf'\n++({_NAME}) \{{\nid = "({_UUID})"\nstatus = ({_LIST})\nflags = ({_LIST})\n'
            rf'(?:creation_time = (0|[1-9][0-9]{{0,11}})\ncreation_host = "({_HOST})"\n)?'
            rf"segment_count = 1\n\nsegment1 \{{\nstart_extent = {number}\nextent_count = {number}\n\n"
            rf'type = "striped"\nstripe_count = 1\n\nstripes = \[\n"({_WORD})", {number}\n\]\n\}}\n\}}',
            re.ASCII,
        )

    def whole(self) -> re.Pattern[str]:
        """A volume of one segment."""
        if self._whole is None:
            self._whole = _pattern(rf"{self._head}1(?=[\s\#]) segment1{self._segment} \}}")
        return self._whole

    def parts(self) -> tuple[re.Pattern[str], ...]:
        """What stands before the segments, a segment, and what stands behind."""
        if not self._parts:
            words = f"{self._head}(NUMBER)", f" segment([1-9][0-9]{{0,8}}){self._segment}", r" \}"
            self._parts = tuple(map(_pattern, words))
        return self._parts


class OrdinaryRun(Section):
    """Volumes that were read in one go, one behind the other."""

    volumes: tuple[tuple[str, _Words, LogicalVolume | None], ...]
    """The text of each, and either its name, id, status, flags, time and host as they stand there, with four words
    for each segment, or what was made of that text before."""


class _Remembered:
    """What the last text of a volume group was made of. A change reads its own text back before it is written, in
    which nearly every volume stands as it did: none of those is read and made again.
    """

    def __init__(self) -> None:
        self.pv_ids: Mapping[str, str] = {}
        self.volumes: dict[str, LogicalVolume] = {}


_LAST = _Remembered()


class _Lists(dict[str | None, tuple[str, ...]]):
    """The words of lists, by their text: many volumes share a few."""

    def __missing__(self, text: str | None) -> tuple[str, ...]:
        words = self[text] = tuple(re.findall(r'"([^"]*)"', text or ""))
        return words


class OrdinaryReader:
    """Reads ordinary volumes of one text."""

    def __init__(self) -> None:
        self._patterns: _Patterns | None = None
        self._lists = _Lists()
        self._before, self._before_ids = _LAST.volumes, _LAST.pv_ids
        self._now: dict[str, LogicalVolume] = {}

    def read(self, text: str, position: int) -> tuple[str, OrdinaryRun, int] | None:
        """The volumes from a position of the text on, a thousand at most, under no name, and where they end.

        None when what stands there is any other item.
        """
        before, on_disk = self._before, self._compiled().on_disk.match
        found: list[tuple[str, _Words, LogicalVolume | None]] = []
        while len(found) < _RUN:
            if before:
                end = text.find(_END, position, position + _LONGEST) + len(_END)
                ready = before.get(text[position:end])
                if ready is not None:
                    found.append((text[position:end], (), ready))
                    position = end
                    continue
            match = on_disk(text, position)
            if match is not None:
                found.append((match[0], match.groups(), None))
                position = match.end()
                continue
            words, end = self._read_other(text, position)
            if not words:
                break
            found.append((text[position:end], words, None))
            position = end
        return ("", OrdinaryRun(volumes=tuple(found)), position) if found else None

    def _compiled(self) -> _Patterns:
        if self._patterns is None:
            self._patterns = _Patterns()
        return self._patterns

    def _words(self, text: str) -> _Words:
        """The words of one volume's text."""
        match = self._compiled().on_disk.match(text)
        return match.groups() if match is not None else self._read_other(text, 0)[0]

    def _read_other(self, text: str, position: int) -> tuple[_Words, int]:
        """The words of a volume in any form and where it ends; none for any other item."""
        if text.startswith("\n}", position):  # the end of the section, as it is on disk
            return (), position
        match = self._compiled().whole().match(text, position)
        if match is not None:
            return match.groups(), match.end()
        begin, segment, end = self._compiled().parts()
        head = begin.match(text, position)
        if head is None or head[7] == "0":  # a volume without a segment
            return (), position
        *words, count = head.groups()
        place = head.end()
        for number in range(1, int(count) + 1):
            match = segment.match(text, place)
            if match is None or int(match[1]) != number:
                return (), position
            words += match.groups()[1:]
            place = match.end()
        closing = end.match(text, place)
        return (tuple(words), closing.end()) if closing is not None else ((), position)

    def volumes(self, run: OrdinaryRun, pv_ids: Mapping[str, str]) -> list[LogicalVolume]:
        """Their values, with the PVs' ids for their words."""
        is_alike, now, made = pv_ids == self._before_ids, self._now, self._volume
        found = []
        for text, words, ready in run.volumes:
            lv = ready if ready is not None and is_alike else made(words or self._words(text), pv_ids)
            now[text] = lv
            found.append(lv)
        return found

    def remember(self, pv_ids: Mapping[str, str]) -> None:
        """All has been read; keep it for the next text, unless it takes too much memory."""
        _LAST.volumes = self._now if len(self._now) <= _MOST_REMEMBERED else {}
        _LAST.pv_ids = pv_ids

    def _volume(self, words: _Words, pv_ids: Mapping[str, str]) -> LogicalVolume:
        name, lv_id, status, flags, created, host, start, length, word, place, *more = words
        segments: tuple[StripedSegment, ...] = (_segment(start, length, word, place, pv_ids),)
        if more:
            parts = iter(more)
            others = (_segment(*four, pv_ids) for four in zip(parts, parts, parts, parts, strict=True))
            segments = tuple(sorted((*segments, *others), key=lambda segment: segment.start_le))
        lists = self._lists
        return LogicalVolume(
            name=name or "",
            id=lv_id or "",
            status=lists[status],
            flags=lists[flags],
            creation_time=int(created) if created is not None else None,
            creation_host=host or "",
            segments=segments,
        )


def _segment(
    start: str | None, length: str | None, word: str | None, place: str | None, pv_ids: Mapping[str, str]
) -> StripedSegment:
    assert start and length and word and place  # noqa: S101, PT018 - the pattern has all of them
    pv_id = pv_ids.get(word)
    area: PvArea | LvArea
    if pv_id is not None:
        area = PvArea(pv_id=pv_id, start_pe=int(place))
    else:
        area = LvArea(lv_name=word, start_le=int(place))
    return StripedSegment(start_le=int(start), length_le=int(length), areas=(area,))
