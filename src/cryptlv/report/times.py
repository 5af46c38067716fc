"""Times of a selection (-S), as lvmreport(7) has them: standard, absolute and freeform ones, each a span of seconds.

What `now` is comes from outside; the time zone is this machine's.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from cryptlv.errors import UsageError

_DATE = r"(\d{4})(?:-?(\d\d)(?:-?(\d\d))?)?"
_CLOCK = r"(?:\s+(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?"
_ZONE = r"(?:\s*([+-])(\d\d)(?::?(\d\d))?)?"
_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86400
_UNITS = {"second": _SECOND, "sec": _SECOND, "s": _SECOND, "minute": _MINUTE, "min": _MINUTE, "m": _MINUTE,
          "hour": _HOUR, "hr": _HOUR, "h": _HOUR, "day": _DAY, "week": 7 * _DAY}  # fmt: skip
_MONTHS_IN = {"month": 1, "year": 12, "yr": 12}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_POINT = r"(?:(noon|midnight)s?|(\d{1,2})(?::(\d\d)(?::(\d\d))?)?\s*([ap]m)|(\d{1,2}):(\d\d)(?::(\d\d))?)"


def read_time(text: str, now: int) -> tuple[int, int]:
    """The first and the last second since 1970 of what a text means; raises UsageError.

    That is a year, month, day, hour, minute or second in local time, or in the zone behind it; `@SECONDS`; or words
    such as `yesterday`, `Monday noon`, `24 Feb 2015`, `2 weeks ago`.
    """
    mistake = (
        f"selection: {text!r} is no time; write YYYY-MM-DD, 'YYYY-MM-DD HH:MM:SS', @SECONDS or words (see -S help)"
    )
    if text.startswith("@"):
        if not text[1:].isascii() or not text[1:].isdigit() or len(text) > 20:
            raise UsageError(mistake)
        return int(text[1:]), int(text[1:])
    try:
        found = re.fullmatch(_DATE + _CLOCK + _ZONE, text.strip(), re.ASCII)
        if found is not None and (found[3] or not found[4]):
            begin, end = _standard(found)
        else:
            begin, end = _freeform(text.strip().lower(), datetime.fromtimestamp(now))  # noqa: DTZ006 - local time
        return int(begin.timestamp()), int(end.timestamp())
    except (ValueError, OverflowError, OSError):
        raise UsageError(mistake) from None


def _standard(found: re.Match[str]) -> tuple[datetime, datetime]:
    parts = [int(part) for part in found.groups()[:6] if part]
    begin = datetime(*[*parts, *(1, 1)[len(parts) - 1 :]], tzinfo=None)  # type: ignore[arg-type,misc]  # noqa: DTZ001
    end = _next(begin, len(parts)) - timedelta(seconds=1)
    if not found[7]:
        return begin, end
    offset = timedelta(hours=int(found[8]), minutes=int(found[9] or 0))
    zone = timezone(offset if found[7] == "+" else -offset)
    return begin.replace(tzinfo=zone), end.replace(tzinfo=zone)


def _next(when: datetime, precision: int) -> datetime:
    """The begin of the next year (1), month (2), day, hour, minute or second (6)."""
    if precision <= 2:
        return _months_before(when, -12 if precision == 1 else -1)
    return when + timedelta(seconds=(_DAY, _HOUR, _MINUTE, _SECOND)[precision - 3])


def _months_before(when: datetime, months: int) -> datetime:
    """The same day of an earlier month; where there is none, as many days behind the last one, as mktime counts."""
    years, month = divmod(when.year * 12 + when.month - 1 - months, 12)
    return when.replace(year=years, month=month + 1, day=1) + timedelta(days=when.day - 1)


def _freeform(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Words for a day, a point of it, or both in either order; raises ValueError."""
    point = re.fullmatch(rf"(?:(?P<before>.*?)\s+)?{_POINT}(?:\s+(?P<after>.*))?", text, re.ASCII)
    if point is None:
        return _day(text, now)
    if point["before"] and point["after"]:
        raise ValueError(text)
    words = point["before"] or point["after"] or "today"
    begin, end = _day(words, now)
    if end - begin != timedelta(seconds=_DAY - 1) or begin != _midnight(begin):
        raise ValueError(text)  # not a day
    hour, precision = _point(*point.groups()[1:9])
    return begin + hour, begin + hour + timedelta(seconds=precision - 1)


def _point(*found: str | None) -> tuple[timedelta, int]:
    """How far into a day a point is, and how many seconds it lasts."""
    word, half_hour, half_minute, half_second, half, hour, minute, second = found
    if word:
        return timedelta(hours=12 if word == "noon" else 0), 1
    hours = int(hour) if hour else int(half_hour or 0) % 12 + (12 if half == "pm" else 0)
    minutes, seconds = minute or half_minute, second or half_second
    if hours > 23 or int(half_hour or 0) > 12 or int(minutes or 0) > 59 or int(seconds or 0) > 59:
        raise ValueError(found)
    precision = _SECOND if seconds else _MINUTE if minutes else _HOUR
    return timedelta(hours=hours, minutes=int(minutes or 0), seconds=int(seconds or 0)), precision


def _midnight(when: datetime) -> datetime:
    return when.replace(hour=0, minute=0, second=0)


def _whole_day(when: datetime) -> tuple[datetime, datetime]:
    begin = _midnight(when)
    return begin, begin + timedelta(seconds=_DAY - 1)


def _day(text: str, now: datetime) -> tuple[datetime, datetime]:
    """A day by its label, weekday or date, or a time that is past; raises ValueError."""
    if text in ("today", "yesterday"):
        return _whole_day(now - timedelta(days=text == "yesterday"))
    for number, name in enumerate(_WEEKDAYS):
        if text in (name, f"{name}s", name[:3]):
            return _whole_day(now - timedelta(days=(now.weekday() - number) % 7))
    if text.endswith("ago"):
        return _ago(text.removesuffix("ago"), now)
    return _month(text, now)


def _ago(text: str, now: datetime) -> tuple[datetime, datetime]:
    """A day that is days, weeks, months or years before today, or a moment that is hours, minutes or seconds past.

    As with stock, a moment in minutes or hours lasts for one of them and a second, and ends that long ago.
    """
    parts = re.findall(r"(\d{1,9})\s*([a-z]+)\s*", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != re.sub(r"\s", "", text):
        raise ValueError(text)
    when, finest = now, 366 * _DAY
    for number, word in parts:
        count, unit = int(number), word if word in _UNITS or word in _MONTHS_IN else word.removesuffix("s")
        if unit not in (*_UNITS, *_MONTHS_IN):
            raise ValueError(text)
        if unit in _MONTHS_IN:
            when = _months_before(when, count * _MONTHS_IN[unit])
        else:
            when -= timedelta(seconds=count * _UNITS[unit])
            finest = min(finest, _UNITS[unit])
    if finest >= _DAY:
        return _whole_day(when)
    return when - timedelta(seconds=0 if finest == _SECOND else finest + 1), when


def _month(text: str, now: datetime) -> tuple[datetime, datetime]:
    """A month by its name, or a day of it, this year or in the year that is given; raises ValueError."""
    words = re.findall(r"\d+|[a-z]+", text, re.ASCII)
    names = [word for word in words if word.isalpha()]
    numbers = [word for word in words if word.isdigit()]
    if len(names) != 1 or len(numbers) > 2 or "".join(words) != re.sub(r"\s", "", text):
        raise ValueError(text)
    month = next((place for place, name in enumerate(_MONTHS, 1) if names[0] in (name, name[:3])), 0)
    years = [int(number) for number in numbers if len(number) > 2]
    days = [int(number) for number in numbers if len(number) <= 2]
    if len(years) > 1 or len(days) > 1:
        raise ValueError(text)
    begin = _midnight(now).replace(year=years[0] if years else now.year, month=month, day=days[0] if days else 1)
    return _whole_day(begin) if days else (begin, _next(begin, 2) - timedelta(seconds=1))
