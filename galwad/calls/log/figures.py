"""The figures of a period, added up from the log of calls.

The database groups the calls by quarters of an hour, because every time zone differs from UTC by
whole quarters; so no call is read here. Calls that the centre made or that are inside it are not
counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Final

from sqlalchemy import Integer, Row, and_, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.contact_tables import contacts
from galwad.calls.log.logged_call import MISSED
from galwad.calls.log.tables import logged_calls
from galwad.periods import Period

_QUARTER_S: Final = 900


@dataclass(slots=True)
class CallFigures:
    """Figures of some calls. Times are in seconds.

    Waiting ends with the answer or the end of the call; `answered_waiting_s` is of answered calls.
    """

    calls: int = 0
    answered: int = 0
    missed: int = 0
    abandoned: int = 0
    refused: int = 0
    transferred: int = 0
    answered_waiting_s: float = 0.0
    longest_waiting_s: float = 0.0
    talk_s: float = 0.0
    longest_talk_s: float = 0.0
    pauses: int = 0
    gaps: int = 0

    @property
    def mean_waiting_s(self) -> float:
        """The mean time until the answer of the answered calls; 0 if there are none."""
        return self.answered_waiting_s / self.answered if self.answered else 0.0

    @property
    def mean_talk_s(self) -> float:
        """The mean length of the answered calls; 0 if there are none."""
        return self.talk_s / self.answered if self.answered else 0.0

    def add(self, row: Row[Any]) -> None:
        """Add a group of calls that ended in the same way."""
        self.calls += row.calls
        setattr(self, row.outcome, getattr(self, row.outcome) + row.calls)
        self.transferred += row.transferred
        if row.outcome == "answered":
            self.answered_waiting_s += row.waiting
            self.talk_s += row.talk_us / 1e6
            self.longest_talk_s = max(self.longest_talk_s, row.longest_talk_us / 1e6)
        self.longest_waiting_s = max(self.longest_waiting_s, row.longest_waiting)
        self.pauses += row.pauses
        self.gaps += row.gaps


@dataclass(slots=True)
class PeriodFigures:
    """The figures of a period: of all calls, and by line, by local hour (0 to 23) and language.

    On the day on which the clock is set back, an hour that comes twice has the calls of both.
    """

    total: CallFigures = field(default_factory=CallFigures)
    by_line: Mapping[str, CallFigures] = field(default_factory=dict)
    by_hour: Mapping[int, CallFigures] = field(default_factory=dict)
    by_language: Mapping[str, CallFigures] = field(default_factory=dict)


async def figures_of(engine: AsyncEngine, span: Period, zone: tzinfo | None) -> PeriodFigures:
    """Return the figures of the calls that began in this period and have ended.

    Hours are in `zone`; None means the local time zone. The language is that of the contact note,
    else of the confirmed caller, else "".
    """
    call = logged_calls.c
    answered = call.outcome == "answered"
    waiting = case((answered, call.answered), else_=call.ended) - call.started
    written = case((contacts.c.version > 0, contacts.c.language), else_="")
    language = func.coalesce(func.nullif(written, ""), call.language)
    quarter = cast(call.started, Integer) // _QUARTER_S
    groups = (quarter.label("quarter"), call.line, language.label("language"), call.outcome)
    query = (
        select(
            *groups,
            func.count().label("calls"),
            func.sum(case((call.transfers > 0, 1), else_=0)).label("transferred"),
            func.sum(waiting).label("waiting"),
            func.max(waiting).label("longest_waiting"),
            func.sum(call.talk_us).label("talk_us"),
            func.max(call.talk_us).label("longest_talk_us"),
            func.sum(call.pauses).label("pauses"),
            func.sum(call.gaps).label("gaps"),
        )
        .outerjoin(contacts, contacts.c.call_id == call.call_id)
        .where(
            and_(call.started >= span.since, call.started < span.until),
            call.outcome.in_(("answered", *MISSED)),
            call.outgoing.is_(False),
            call.internal.is_(False),
        )
        .group_by(*groups)
    )
    total = CallFigures()
    by_line: defaultdict[str, CallFigures] = defaultdict(CallFigures)
    by_hour: defaultdict[int, CallFigures] = defaultdict(CallFigures)
    by_language: defaultdict[str, CallFigures] = defaultdict(CallFigures)
    async with engine.connect() as connection:
        for row in await connection.execute(query):
            hour = datetime.fromtimestamp(row.quarter * _QUARTER_S, zone).hour
            for each in (total, by_line[row.line], by_hour[hour], by_language[row.language]):
                each.add(row)
    return PeriodFigures(
        total,
        dict(sorted(by_line.items())),
        dict(sorted(by_hour.items())),
        dict(sorted(by_language.items())),
    )
