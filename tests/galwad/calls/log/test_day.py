"""An advisor's day: its limits, also on the days on which the clock changes."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from galwad.calls.log.logged_call import CallPart, LoggedCall
from galwad.calls.log.today import day_of
from galwad.people.user import User
from galwad.periods import period
from helpers.followed_calls import log_calls

ZONE = ZoneInfo("Europe/London")
SIAN = User("sian", "advisor", extension="201")


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
async def test_the_day_has_the_calls_from_midnight_to_midnight_when_the_clock_changes(
    engine, day, hours
):
    begin = datetime.fromisoformat(day).replace(tzinfo=ZONE).timestamp()
    end = begin + hours * 3600
    times = {"before": begin - 1, "first": begin, "last": end - 1, "after": end}
    rows = {
        name: LoggedCall(
            name,
            started,
            answered=started,
            ended=started + 1,
            outcome="answered",
            parts=(CallPart("had", "sian", "201", started),),
        )
        for name, started in times.items()
    }
    await log_calls(engine, *rows.values())
    found = await day_of(engine, SIAN, period("today", begin + 12 * 3600, ZONE))
    assert [row.call_id for row in found.calls] == ["last", "first"]


async def test_a_missed_call_of_a_phone_without_a_user_belongs_to_the_user_with_its_extension(
    engine,
):
    rang = CallPart("rang", "", "201", 5.0)
    row = LoggedCall("one", 5.0, ended=9.0, outcome="missed", parts=(rang,))
    await log_calls(engine, row)
    span = period("1970-01-01", 0.0, ZoneInfo("UTC"))
    assert len((await day_of(engine, SIAN, span)).missed) == 1
    huw = User("huw", "advisor", extension="202")
    assert (await day_of(engine, huw, span)).missed == []
