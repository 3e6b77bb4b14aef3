"""The rules of retention: which rule applies, when a recording is due, and when rules get shorter.

Covers `galwad/settings/retention.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from galwad.settings.retention import (
    KeepPeriod,
    RetentionFacts,
    RetentionRule,
    check_rules,
    rule_for,
    shortens,
)

ZONE = ZoneInfo("Europe/London")


def rule(keep="12 months", counted_from="call", **more):
    given = {"category": "general", "keep": keep, "counted_from": counted_from, **more}
    return RetentionRule.model_validate(
        {name: value for name, value in given.items() if value is not None}
    )


def by_hand(**more):
    return rule("by hand", None, **more)


def due(rule, day, hour=12):
    ended = datetime.fromisoformat(day).replace(hour=hour, tzinfo=ZONE).timestamp()
    found = datetime.fromtimestamp(rule.due(ended, ZONE), ZONE)
    assert (found.hour, found.minute, found.second) == (0, 0, 0)
    return found.date().isoformat()


@pytest.mark.parametrize(
    ("keep", "counted_from", "ended", "expected"),
    [
        ("1 day", "call", "2026-12-02", "2026-12-04"),
        ("2 weeks", "call", "2026-12-02", "2026-12-17"),
        ("1 month", "call", "2027-01-31", "2027-03-01"),
        ("1 month", "call", "2028-01-31", "2028-03-01"),
        ("1 month", "call", "2027-01-30", "2027-03-01"),
        ("1 year", "call", "2028-02-29", "2029-03-01"),
        ("12 months", "call", "2026-03-28", "2027-03-29"),
        ("1 month", "month", "2027-02-03", "2027-04-01"),
        ("1 month", "month", "2026-12-31", "2027-02-01"),
        ("6 years", "year", "2026-01-01", "2033-01-01"),
        ("6 years", "financial-year", "2026-03-31", "2032-04-01"),
        ("6 years", "financial-year", "2026-04-01", "2033-04-01"),
    ],
)
def test_a_recording_is_due_at_the_midnight_after_the_last_day_of_its_period(
    keep, counted_from, ended, expected
):
    for hour in (0, 23):
        assert due(rule(keep, counted_from), ended, hour) == expected


def test_a_recording_that_people_dispose_of_has_no_date_but_may_have_a_minimum():
    ended = datetime(2026, 3, 1, 9, tzinfo=ZONE).timestamp()
    assert by_hand().due(ended, ZONE) is None
    assert by_hand().by_hand_after(ended, ZONE) == ended
    over = datetime(2026, 4, 1, tzinfo=ZONE).timestamp()
    assert by_hand(minimum="30 days").by_hand_after(ended, ZONE) == over
    assert rule(minimum="30 days").by_hand_after(ended, ZONE) == over
    assert rule().by_hand_after(ended, ZONE) == rule().due(ended, ZONE)


@pytest.mark.parametrize(
    ("facts", "category"),
    [
        (("Highways", (), ()), "highways"),
        (("HIGHWAYS", ("Potholes",), ()), "potholes"),
        (("Waste", ("tyllau",), ()), "general"),
        (("Highways", ("tyllau", "Potholes"), ()), "potholes"),
        (("Highways", ("Potholes",), ("third-party", "sensitive")), "sensitive"),
        (("", (), ("third-party",)), "general"),
    ],
)
def test_the_first_rule_of_which_all_lists_fit_applies(facts, category):
    rules = (
        rule(category="sensitive", flags=["sensitive", "restricted"]),
        rule(category="potholes", lines=["Highways"], purposes=["Potholes"]),
        rule(category="highways", lines=["Highways"]),
        rule(),
    )
    check_rules(rules)
    found = rule_for(rules, RetentionFacts(*facts))
    assert found is not None
    assert found.category == category


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ((), "No [[retention]] decides about the other recordings"),
        ((rule(lines=["a"]),), "No [[retention]] decides about the other recordings"),
        ((rule(), rule(lines=["a"])), 'Two [[retention]] have the same "category"'),
        ((rule(), rule(category="b", lines=["a"])), '"general" applies to every recording'),
    ],
)
def test_rules_that_leave_out_recordings_or_can_never_apply_are_refused(rules, error):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        check_rules(rules)
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"keep": "12 moons"}, "must be a period"),
        ({"keep": "0 days"}, "must be a period"),
        ({"keep": "101 years"}, "must be a period"),
        ({"keep": 12}, "must be a period"),
        ({"counted_from": None}, 'needs "counted_from"'),
        ({"keep": "by hand"}, 'needs "counted_from", unless'),
        ({"minimum": "13 months"}, '"minimum" must not be longer than "keep"'),
        ({"minimum": "366 days"}, '"minimum" must not be longer than "keep"'),
        ({"flags": ["secret"]}, "flags"),
        ({"category": "A b"}, "category"),
    ],
)
def test_a_faulty_rule_is_refused(values, error):
    with pytest.raises(ValidationError) as caught:
        rule(**{"keep": "12 months", "counted_from": "call", **values})
    assert error in str(caught.value)


LINES = rule(category="a", lines=["Waste"])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, (by_hand(),), False),
        (None, (rule(),), True),
        ((rule(),), (rule(),), False),
        ((rule(),), (by_hand(),), False),
        ((by_hand(),), (rule("100 years"),), True),
        ((rule(),), (rule("13 months"),), False),
        ((rule(),), (rule("1 year"),), False),
        ((rule(),), (rule("365 days"),), True),
        ((rule(),), (rule("366 days"),), False),
        ((rule("1 year", "financial-year"),), (rule("1 year", "year"),), True),
        ((rule("1 month", "month"),), (rule("1 month"),), True),
        ((rule("1 month"),), (rule("1 month", "month"),), False),
        ((rule(minimum="30 days"),), (rule(),), False),
        ((rule(minimum="30 days"),), (rule(minimum="29 days"),), True),
        ((rule(),), (rule(minimum="30 days"),), True),
        ((by_hand(minimum="30 days"),), (by_hand(),), True),
        ((by_hand(),), (by_hand(minimum="30 days"),), False),
        ((rule("1 week"),), (by_hand(minimum="30 days"),), False),
        ((rule(),), (rule("1 month", category="a", lines=["Waste"]), rule()), True),
        ((LINES, rule("1 month")), (rule("1 month"),), True),
        ((rule("1 month"),), (LINES, rule("1 month")), False),
        (
            (rule("2 years", category="s", flags=["sensitive"]), LINES, rule()),
            (LINES, rule("2 years", category="s", flags=["sensitive"]), rule()),
            True,
        ),
    ],
)
def test_rules_are_shorter_if_some_recording_may_go_earlier(old, new, expected):
    assert shortens(old, new) is expected


def test_rules_are_compared_for_a_purpose_in_both_languages():
    """A recording whose note has one of the two texts belongs to the first rule with either."""
    welsh = rule("6 years", category="a", purposes=["Treth Gyngor"])
    english = rule("1 year", category="b", purposes=["council tax"])
    old, new = (welsh, english, rule()), (english, welsh, rule())
    assert shortens(old, new, lambda _: ("Council Tax", "Treth Gyngor"))
    assert not shortens(old, new)


@given(st.integers(1, 100), st.sampled_from(["day", "week", "month", "year"]), st.dates())
def test_a_period_is_read_as_it_is_written_and_ends_after_its_first_day(count, unit, day):
    period = KeepPeriod(count, unit)
    assert KeepPeriod.parse(str(period)) == period
    if day.year < 9800:
        assert period.after(day) > day


@given(st.text(max_size=20))
def test_any_other_text_is_refused_with_one_kind_of_error(text):
    try:
        KeepPeriod.parse(text)
    except ValueError as error:
        assert "period" in str(error)  # noqa: PT017 - most texts raise, some may not


def test_a_month_without_the_day_ends_on_its_last_day():
    assert KeepPeriod(1, "month").after(date(2027, 1, 31)) == date(2027, 2, 28)
