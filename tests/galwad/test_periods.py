"""Words for a span of time, in the time zone of the centre."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.periods import Period, period

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 25, 9, 30, tzinfo=LONDON).timestamp()
"""A Wednesday."""


def day(text, zone=LONDON):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("today", "2026-11-25", "2026-11-26"),
        ("yesterday", "2026-11-24", "2026-11-25"),
        ("  Last   WEEK ", "2026-11-16", "2026-11-23"),
        ("this week", "2026-11-23", "2026-11-30"),
        ("this month", "2026-11-01", "2026-12-01"),
        ("last month", "2026-10-01", "2026-11-01"),
        ("this year", "2026-01-01", "2027-01-01"),
        ("last year", "2025-01-01", "2026-01-01"),
        ("last 7 days", "2026-11-19", "2026-11-26"),
        ("last 1 days", "2026-11-25", "2026-11-26"),
        ("tuesday", "2026-11-24", "2026-11-25"),
        ("wednesday", "2026-11-18", "2026-11-19"),
        ("thursday", "2026-11-19", "2026-11-20"),
        ("2026-11-24", "2026-11-24", "2026-11-25"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2024", "2024-01-01", "2025-01-01"),
        ("2026-11-24T09:30", "2026-11-24T09:30", "2026-11-24T09:31"),
        ("2026-11-24 09:30:15", "2026-11-24T09:30:15", "2026-11-24T09:30:16"),
        ("2026-11-24T11:30+02:00", "2026-11-24T09:30", "2026-11-24T09:31"),
        ("2026-11-24T09:30Z", "2026-11-24T09:30", "2026-11-24T09:31"),
    ],
)
def test_words_give_a_span_in_the_centres_time_zone(text, since, until):
    assert period(text, NOW, LONDON) == Period(day(since), day(until))


def test_the_day_on_which_the_clocks_go_back_has_25_hours():
    span = period("2026-10-25", NOW, LONDON)
    assert span.until - span.since == 25 * 3600
    assert period("sunday", day("2026-10-28"), LONDON) == span


def test_yesterday_follows_the_centres_time_zone_and_not_utc():
    just_past_midnight = datetime(2026, 7, 1, 23, 30, tzinfo=UTC).timestamp()
    assert period("yesterday", just_past_midnight, LONDON).since == day("2026-07-01")
    assert period("yesterday", just_past_midnight, UTC).since == day("2026-06-30", UTC)


def test_without_a_time_zone_the_machines_own_applies():
    assert period("2026-11-24", NOW).since == datetime.fromisoformat("2026-11-24").timestamp()


@pytest.mark.parametrize(
    "text",
    [
        *("", "once", "next week", "last 0 days", "last 10000000 days", "2026-13", "2026-02-30"),
        *("2026-11-24T24:00", "2026-11-24T09", "9999-12-31", "0000-01-01", "9999", "1h", "-1"),
        *("2026-11-24T09:30+99:99", "yesterday yesterday", "٢٠٢٦"),
    ],
)
def test_words_that_cannot_be_read_as_a_period_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        period(text, NOW, LONDON)


@given(
    st.text(max_size=30) | st.from_regex(r"[0-9T:+ -]{1,25}", fullmatch=True),
    st.floats(0, 4e9),
    st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours))),
)
def test_any_text_gives_a_span_or_a_value_error(text, now, zone):
    try:
        span = period(text, now, zone)
    except ValueError:
        return
    assert span.since < span.until
