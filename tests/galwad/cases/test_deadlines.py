"""The deadlines of a case by law: months, bank holidays, stopped clocks and extensions.

Covers `galwad/cases/deadlines.py`.
"""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.cases.deadlines import (
    CaseStepError,
    DatedStep,
    check_step,
    deadlines,
    next_working_day,
)

TODAY = date(2026, 12, 3)
WHEN = date(2027, 12, 1)
"""A day on which all steps of the tests are in the past."""


def day(text):
    return date.fromisoformat(text)


def steps(*texts):
    """Return steps from texts such as "2026-12-07 scope-asked"."""
    return [DatedStep(kind, day(at)) for at, kind in (text.split() for text in texts)]


def answer_by(received, *taken, kind="access", today=WHEN):
    found = deadlines(kind, day(received), steps(*taken), today)
    return found.state, str(found.answer_by)


@pytest.mark.parametrize(
    ("received", "answer"),
    [
        ("2026-12-03", "2027-01-04"),  # 3 January 2027 is a Sunday
        ("2026-11-25", "2026-12-29"),  # Christmas, a weekend, and Boxing Day on the Monday after it
        ("2027-01-31", "2027-03-01"),  # February has no such day, and its last one is a Sunday
        ("2028-01-31", "2028-02-29"),
        ("2027-02-26", "2027-03-30"),  # Good Friday to Easter Monday
        ("2026-12-05", "2027-01-05"),  # a Saturday is a day of receipt, too
        ("2027-03-01", "2027-04-01"),  # St David's Day is no bank holiday
        ("2027-07-02", "2027-08-02"),  # the first Monday in August is one only in Scotland
    ],
)
def test_an_answer_is_due_on_the_corresponding_day_or_the_next_working_day(received, answer):
    assert answer_by(received) == ("open", answer)


@pytest.mark.parametrize(
    ("taken", "state", "answer"),
    [
        (("2026-12-07 scope-asked",), "waiting-for-scope", "2027-12-29"),
        (("2026-12-07 scope-asked", "2026-12-10 scope-given"), "open", "2027-01-06"),
        (("2026-12-07 scope-asked", "2026-12-07 scope-given"), "open", "2027-01-04"),
        (
            (
                "2026-12-07 scope-asked",
                "2026-12-09 scope-given",
                "2026-12-14 scope-asked",
                "2026-12-18 scope-given",
            ),
            "open",
            "2027-01-11",
        ),
        (("2026-12-04 identity-asked",), "waiting-for-identity", "None"),
        (("2026-12-04 identity-asked", "2026-12-20 identity-given"), "open", "2027-01-20"),
        (("2026-12-10 extended",), "open", "2027-03-03"),
        (
            ("2026-12-04 identity-asked", "2026-12-20 identity-given", "2027-01-20 extended"),
            "open",
            "2027-03-22",
        ),
        (("2026-12-04 fee-asked",), "waiting-for-fee", "None"),
        (("2026-12-04 fee-asked", "2026-12-21 fee-paid"), "open", "2027-01-21"),
        # The month begins on the day of the latest of these.
        (
            (
                "2026-12-04 identity-asked",
                "2026-12-04 fee-asked",
                "2026-12-10 fee-paid",
                "2026-12-18 identity-given",
            ),
            "open",
            "2027-01-18",
        ),
        # The days before the identity was known are not counted twice.
        (
            (
                "2026-12-04 scope-asked",
                "2026-12-05 identity-asked",
                "2026-12-20 identity-given",
                "2026-12-22 scope-given",
            ),
            "open",
            "2027-01-22",
        ),
        (
            (
                "2026-12-04 scope-asked",
                "2026-12-08 scope-given",
                "2026-12-09 identity-asked",
                "2026-12-21 identity-given",
            ),
            "open",
            "2027-01-21",
        ),
        (("2026-12-10 noted", "2026-12-11 acknowledged"), "open", "2027-01-04"),
        (("2026-12-10 closed",), "closed", "None"),
    ],
)
def test_steps_stop_restart_or_extend_the_clock(taken, state, answer):
    assert answer_by("2026-12-03", *taken) == (state, answer)


def test_a_stopped_clock_is_no_deadline_and_shows_the_day_if_the_answer_came_today():
    asked = steps("2026-12-07 scope-asked")
    found = [deadlines("access", TODAY, asked, TODAY + timedelta(days=n)) for n in (4, 5, 12)]
    assert [str(each.answer_by) for each in found] == ["2027-01-04", "2027-01-04", "2027-01-11"]
    assert [each.next for each in found] == [None] * 3
    assert [str(each.waits_since) for each in found] == ["2026-12-07"] * 3


def test_a_complaint_must_be_acknowledged_within_30_days_and_has_no_date_for_its_answer():
    found = deadlines("complaint", TODAY, [], TODAY)
    # A Saturday: all days count.
    assert (found.acknowledge_by, found.next) == (day("2027-01-02"), day("2027-01-02"))
    assert (found.answer_by, found.extend_by) == (None, None)
    done = deadlines("complaint", TODAY, steps("2026-12-04 acknowledged"), TODAY)
    assert (done.state, done.acknowledge_by, done.next) == ("open", None, None)


@pytest.mark.parametrize(
    ("kind", "taken", "step", "why"),
    [
        ("access", (), "2027-12-02 noted", "2027-12-02 is in the future"),
        ("access", (), "2026-12-02 scope-asked", "is before the receipt"),
        ("access", (), "2026-12-02 noted", "is before the receipt"),
        (
            "access",
            ("2026-12-08 acknowledged",),
            "2026-12-07 extended",
            "before the step of 2026-12-08",
        ),
        ("erasure", (), "2026-12-07 scope-asked", "only a request for access"),
        ("complaint", (), "2026-12-07 extended", "a complaint has no such step"),
        ("complaint", (), "2026-12-07 identity-asked", "a complaint has no such step"),
        ("access", ("2026-12-07 scope-asked",), "2026-12-08 scope-asked", "is not given yet"),
        ("access", ("2026-12-07 identity-asked",), "2026-12-08 identity-asked", "not known yet"),
        ("access", ("2026-12-07 identity-asked",), "2026-12-08 extended", "not known yet"),
        ("access", ("2026-12-07 extended",), "2026-12-08 extended", "extended already"),
        ("access", ("2026-12-07 acknowledged",), "2026-12-08 acknowledged", "acknowledged already"),
        ("access", (), "2026-12-08 identity-given", "was not asked for"),
        ("access", (), "2026-12-08 scope-given", "was not asked for"),
        ("access", (), "2026-12-08 fee-paid", "was not asked for"),
        ("access", ("2026-12-07 fee-asked",), "2026-12-08 extended", "not paid yet"),
        ("access", ("2026-12-07 fee-asked",), "2026-12-08 fee-asked", "not paid yet"),
        ("complaint", (), "2026-12-07 fee-asked", "a complaint has no such step"),
        ("access", (), "2027-01-05 extended", "was due on 2027-01-04"),
        ("access", (), "2027-01-05 scope-asked", "was due on 2027-01-04"),
        ("access", (), "2027-01-05 identity-asked", "was due on 2027-01-04"),
        ("access", ("2026-12-08 closed",), "2026-12-09 extended", "the case is closed"),
        ("access", ("2026-12-08 closed",), "2026-12-09 closed", "the case is closed"),
    ],
)
def test_a_step_that_does_not_fit_to_its_case_is_refused(kind, taken, step, why):
    (wanted,) = steps(step)
    with pytest.raises(CaseStepError, match=why):
        check_step(kind, TODAY, steps(*taken), wanted, WHEN)


@pytest.mark.parametrize(
    ("taken", "step"),
    [
        ((), "2027-01-04 extended"),  # on the last day
        ((), "2027-06-01 closed"),  # late, but it must be possible
        (("2026-12-08 closed",), "2026-12-09 noted"),
        (("2026-12-08 acknowledged",), "2026-12-04 noted"),  # a note may be entered later
        (("2026-12-07 scope-asked",), "2026-12-08 identity-asked"),
        (("2026-12-07 scope-asked",), "2027-03-01 extended"),  # the clock has stopped meanwhile
    ],
)
def test_a_step_that_fits_to_its_case_is_accepted(taken, step):
    (wanted,) = steps(step)
    check_step("access", TODAY, steps(*taken), wanted, WHEN)


DAYS = st.dates(date(2020, 1, 1), date(2035, 12, 31))


@given(DAYS, st.integers(0, 40), st.integers(0, 40))
def test_a_stopped_clock_gives_exactly_the_days_of_the_wait(received, before, wait):
    asked = received + timedelta(days=min(before, 28))
    given = [
        DatedStep("scope-asked", asked),
        DatedStep("scope-given", asked + timedelta(days=wait)),
    ]
    plain = deadlines("access", received, [], WHEN).answer_by
    found = deadlines("access", received, given, WHEN).answer_by
    assert found is not None
    assert plain is not None
    assert timedelta(days=wait - 5) <= found - plain <= timedelta(days=wait + 5)
    assert found == next_working_day(found)


@given(DAYS)
def test_a_month_has_28_to_31_days_and_then_at_most_five_that_are_no_working_days(received):
    found = deadlines("erasure", received, [], WHEN).answer_by
    assert found is not None
    assert 28 <= (found - received).days <= 31 + 5
    assert found.weekday() < 5
