"""Converts words such as `yesterday`, `last week` or `2026-11-24` to a period in Unix seconds.

A day runs from midnight to midnight in the time zone that is passed to `period`. A week begins on
Monday. This module also finds time zones by their names in the IANA database ("Europe/London").
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

HINT = 'write it as yesterday, monday, "last week", 2026-11-24, 2026-11 or 2026-11-24T09:30'
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LAST_DAYS = re.compile(r"last ([1-9][0-9]{0,3}) days")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[t ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(z|[+-][0-9:]{5})?"
)
_DAY = timedelta(days=1)
_Days: TypeAlias = tuple[date, date]
"""Two dates: the first day of a period, and the first day after the period."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period of time in Unix seconds, from `since` up to but not including `until`."""

    since: float
    until: float


def period(text: str, now: float, zone: tzinfo | None = None) -> Period:
    """Return the period that the words in `text` mean at the Unix time `now` (in seconds).

    `zone` is the time zone of the text, unless the text has one itself; None means local time. The
    name of a weekday means the latest such day before today. `last 7 days` means today and the six
    days before. A time without seconds means the whole minute. A time with seconds means the whole
    second. Raises `ValueError` if the text does not mean a period, or if its date does not exist.
    """
    words = " ".join(text.lower().split())
    try:
        if found := _MOMENT.fullmatch(words):
            return _moment(words, timedelta(seconds=1 if found[1] else 60), zone)
        first, end = _days(words, datetime.fromtimestamp(now, zone).date())
        return Period(_midnight(first, zone), _midnight(end, zone))
    except (OverflowError, OSError):
        raise ValueError("the date is too early or too late") from None


def _moment(words: str, length: timedelta, zone: tzinfo | None) -> Period:
    begin = datetime.fromisoformat(words.upper())
    since = (begin if begin.tzinfo else begin.replace(tzinfo=zone)).timestamp()
    return Period(since, since + length.total_seconds())


def _days(words: str, today: date) -> _Days:
    if words in _NAMED:
        return _NAMED[words](today)
    if words in _WEEKDAYS:
        ago = (today.weekday() - _WEEKDAYS.index(words) - 1) % 7 + 1
        return today - ago * _DAY, today - (ago - 1) * _DAY
    if found := _LAST_DAYS.fullmatch(words):
        return today - (int(found[1]) - 1) * _DAY, today + _DAY
    if found := _DATE.fullmatch(words):
        year, month, day = (int(part) if part else None for part in found.groups())
        return _calendar(year or 0, month, day)
    raise ValueError("the text does not mean a period")


def _calendar(year: int, month: int | None, day: int | None) -> _Days:
    if day is not None:
        first = date(year, month or 0, day)
        return first, first + _DAY
    if month is not None:
        return date(year, month, 1), _month_after(date(year, month, 1))
    return date(year, 1, 1), date(year + 1, 1, 1)


def _month_after(day: date) -> date:
    return (day.replace(day=28) + 4 * _DAY).replace(day=1)


def _week(day: date) -> _Days:
    monday = day - day.weekday() * _DAY
    return monday, monday + 7 * _DAY


def _month(day: date) -> _Days:
    return _calendar(day.year, day.month, None)


_NAMED: dict[str, Callable[[date], _Days]] = {
    "today": lambda today: (today, today + _DAY),
    "yesterday": lambda today: (today - _DAY, today),
    "this week": _week,
    "last week": lambda today: _week(today - 7 * _DAY),
    "this month": _month,
    "last month": lambda today: _month(today.replace(day=1) - _DAY),
    "this year": lambda today: _calendar(today.year, None, None),
    "last year": lambda today: _calendar(today.year - 1, None, None),
}


def _midnight(day: date, zone: tzinfo | None) -> float:
    return datetime.combine(day, time(), zone).timestamp()


HEADER: Final = "X-Galwad-Time-Zone"
"""The HTTP header field in which the desk's responses name the centre's time zone."""
_LOCALTIME: Final = Path("/etc/localtime")


def zone_named(name: str) -> ZoneInfo | None:
    """Return the time zone with this name; None if this machine does not know it."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, KeyError, OSError):
        return None


def machine_zone() -> ZoneInfo | None:
    """Return this machine's time zone, from $TZ or /etc/localtime; None if its name is unknown."""
    if (chosen := os.environ.get("TZ")) is not None:
        return zone_named(chosen.removeprefix(":") or "UTC")
    _, found, name = str(_LOCALTIME.resolve()).partition("/zoneinfo/")
    return zone_named(name) if found else None


def name_of(zone: tzinfo | None) -> str:
    """Return the name of a time zone, or of this machine's if `zone` is None; "" if unknown."""
    found = machine_zone() if zone is None else zone
    return (found.key if isinstance(found, ZoneInfo) else None) or ""
