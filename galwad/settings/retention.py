"""The rules of retention: `[[retention]]`, how long which recordings are kept.

The council decides; there is no default. A rule's name is its category. The first rule that applies
to a recording gives the date from which the recording may be disposed of.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import chain, combinations, product
from typing import Annotated, Final, Literal, Self, TypeAlias, get_args

from pydantic import Field, PlainSerializer, PlainValidator, model_validator

from config.fields import parse_with
from config.section import Section
from recording.policy import FlagName

CountedFrom: TypeAlias = Literal["call", "month", "year", "financial-year"]
"""From when a period runs: from the day of the call's end, or from the last day of this day's
month, calendar year or financial year (31 March).
"""
_PERIOD = re.compile(r"([1-9][0-9]{0,4}) (day|week|month|year)s?")
_MOST = {"day": 36_500, "week": 5_200, "month": 1_200, "year": 100}
BY_HAND: Final = "by hand"
"""The value of `keep` if people alone decide when recordings are disposed of."""
_SAMPLE_YEARS = (2027, 2028)
"""An ordinary year and a leap year, whose days are compared to find the longer of two periods."""


@dataclass(frozen=True, slots=True)
class KeepPeriod:
    """A period of whole days, weeks, calendar months or years, such as "12 months"."""

    count: int
    unit: str
    """One of "day", "week", "month" and "year"."""

    @classmethod
    def parse(cls, text: str) -> KeepPeriod:
        """Read a text such as "90 days" or "6 years", of at most 100 years."""
        match = _PERIOD.fullmatch(text)
        if match is None or int(match[1]) > _MOST[match[2]]:
            raise ValueError('must be a period of at most 100 years, such as "90 days"')
        return cls(int(match[1]), match[2])

    def after(self, day: date) -> date:
        """Return the date that is this period after `day`.

        A period of months or years ends on the corresponding day, or on the last day of a month
        that has no such day.
        """
        if self.unit in {"day", "week"}:
            return day + timedelta(days=self.count * (7 if self.unit == "week" else 1))
        months = day.year * 12 + day.month - 1 + self.count * (12 if self.unit == "year" else 1)
        year, month = divmod(months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return date(year, month + 1, min(day.day, last))

    def __str__(self) -> str:
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


def _keep(value: object) -> KeepPeriod | None:
    """Return the period in a text; None for "by hand"."""
    try:
        return None if value == BY_HAND else KeepPeriod.parse(str(value))
    except ValueError:
        raise ValueError(
            f'must be a period of at most 100 years, such as "12 months", or "{BY_HAND}"'
        ) from None


def keep_text(period: KeepPeriod | None) -> str:
    """Return the text of a period as in the settings: None is "by hand"."""
    return BY_HAND if period is None else str(period)


@dataclass(frozen=True, slots=True)
class RetentionFacts:
    """The facts about a recording that decide which rule applies to it."""

    line: str
    """"" if the called line is not known."""
    purposes: Collection[str]
    """The purpose in the contact note of the call, and its translation; empty without a note."""
    flags: Collection[str]


class RetentionRule(Section):
    """`[[retention]]`: one category of recordings, and how long they are kept."""

    category: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,39}$",
        description='1 to 40 lower-case letters, digits and hyphens, such as "general"',
    )
    keep: Annotated[
        KeepPeriod | None, PlainValidator(_keep), PlainSerializer(keep_text, return_type=str)
    ] = Field(description=f'a period such as "12 months", or "{BY_HAND}"')
    """None if recordings are disposed of only by hand."""
    counted_from: CountedFrom | None = Field(
        default=None, description='"call", "month", "year" or "financial-year"'
    )
    minimum: (
        Annotated[KeepPeriod, parse_with(KeepPeriod), PlainSerializer(str, return_type=str)] | None
    ) = Field(default=None, description='a period such as "30 days", not longer than "keep"')
    lines: tuple[str, ...] = Field(
        default=(), description='a list of lines, such as ["Council Tax"]'
    )
    purposes: tuple[str, ...] = Field(
        default=(), description='a list of purposes, such as ["Council Tax"]'
    )
    flags: tuple[FlagName, ...] = Field(
        default=(), description='a list of "sensitive", "restricted" and "third-party"'
    )

    @model_validator(mode="after")
    def _check_period(self) -> Self:
        if (self.keep is None) != (self.counted_from is None):
            raise ValueError(f'needs "counted_from", unless "keep" is "{BY_HAND}"')
        if self.keep is not None and self.minimum is not None and _is_shorter(self, _least(self)):
            raise ValueError('"minimum" must not be longer than "keep"')
        return self

    @property
    def is_general(self) -> bool:
        """True if the rule applies to every recording."""
        return not (self.lines or self.purposes or self.flags)

    def applies_to(self, facts: RetentionFacts) -> bool:
        """Return whether the line, the purpose and one flag of a recording are in the rule.

        A list that the rule does not have matches everything. Capital and small letters are equal.
        """
        return (
            _has(self.lines, (facts.line,))
            and _has(self.purposes, facts.purposes)
            and (not self.flags or not set(self.flags).isdisjoint(facts.flags))
        )

    def due(self, ended: float, zone: tzinfo | None) -> float | None:
        """Return when a recording may be disposed of, in Unix seconds; None if only by hand.

        It is the midnight after the last day of the period. `ended` is the end of the call in Unix
        seconds. Days are those of `zone`, or of this machine's zone if it is None.
        """
        if self.keep is None or self.counted_from is None:
            return None
        return period_end(self.keep, self.counted_from, ended, zone)

    def by_hand_after(self, ended: float, zone: tzinfo | None) -> float:
        """Return when people may dispose of a recording as outdated, in Unix seconds.

        It is when the minimum is over; without a minimum, when the recording is due. If it is never
        due, it is the end of the call.
        """
        if self.minimum is not None:
            return period_end(self.minimum, "call", ended, zone)
        due = self.due(ended, zone)
        return ended if due is None else due


def rule_for(rules: Sequence[RetentionRule], facts: RetentionFacts) -> RetentionRule | None:
    """Return the first rule that applies to a recording; None if there is none."""
    return next((rule for rule in rules if rule.applies_to(facts)), None)


def check_rules(rules: Sequence[RetentionRule]) -> None:
    """Raise `ValueError` unless the rules decide about each recording, and each rule can apply."""
    names = [rule.category for rule in rules]
    if len(set(names)) != len(names):
        raise ValueError('Two [[retention]] have the same "category"; give each its own')
    general = [rule.category for rule in rules if rule.is_general]
    if not general:
        raise ValueError(
            "No [[retention]] decides about the other recordings: add a last one without "
            '"lines", "purposes" and "flags", with "category", "keep" and "counted_from"'
        )
    if general != names[-1:]:
        raise ValueError(
            f'The [[retention]] "{general[0]}" applies to every recording: put it last, and add '
            '"lines", "purposes" or "flags" to the others'
        )


def shortens(
    old: Sequence[RetentionRule] | None,
    new: Sequence[RetentionRule],
    in_both_languages: Callable[[str], Collection[str]] = lambda purpose: (purpose,),
) -> bool:
    """Return whether some recording may go earlier by the new rules than by the old ones.

    Without old rules (None), recordings were disposed of only by hand. The rules are compared for
    each line, purpose and set of flags that they name, and for another line and purpose.
    `in_both_languages` returns a purpose with its translation.
    """
    if old is None:
        return any(rule.keep is not None for rule in new)
    rules = (*old, *new)
    lines = dict.fromkeys(each.casefold() for rule in rules for each in rule.lines)
    purposes = {tuple(in_both_languages(each)) for rule in rules for each in rule.purposes}
    pairs: dict[tuple[str, str], tuple[RetentionRule, RetentionRule]] = {}
    for line, both, flags in product((*lines, ""), (*purposes, ()), _sets_of_flags()):
        facts = RetentionFacts(line, both, flags)
        before, after = rule_for(old, facts), rule_for(new, facts)
        if before is not None and after is not None:
            pairs[before.category, after.category] = before, after
    return any(_goes_earlier(before, after) for before, after in pairs.values())


def _sets_of_flags() -> Iterator[tuple[str, ...]]:
    names = get_args(FlagName)
    return chain.from_iterable(combinations(names, count) for count in range(len(names) + 1))


def _goes_earlier(before: RetentionRule, after: RetentionRule) -> bool:
    if _is_shorter(after, before):
        return True
    if after.minimum is None:
        return before.minimum is not None and after.keep is None
    earliest = before if before.minimum is None else _least(before)
    return earliest.keep is not None and _is_shorter(_least(after), earliest)


def _least(rule: RetentionRule) -> RetentionRule:
    """Return a rule that keeps recordings for the minimum of `rule`."""
    keep = rule.minimum or KeepPeriod(0, "day")
    return rule.model_copy(update={"keep": keep, "counted_from": "call", "minimum": None})


def _is_shorter(rule: RetentionRule, other: RetentionRule) -> bool:
    """Return whether `rule` is over before `other` for a call on some day."""
    if rule.keep is None or rule == other:
        return False
    if other.keep is None:
        return True
    return any(_day_after(rule, day) < _day_after(other, day) for day in _sample_days())


def _sample_days() -> Iterator[date]:
    first, last = date(_SAMPLE_YEARS[0], 1, 1), date(_SAMPLE_YEARS[1], 12, 31)
    return (first + timedelta(days=count) for count in range((last - first).days + 1))


def _day_after(rule: RetentionRule, day: date) -> date:
    return _first_day_after(rule.keep or KeepPeriod(0, "day"), rule.counted_from or "call", day)


def period_end(period: KeepPeriod, start: CountedFrom, ended: float, zone: tzinfo | None) -> float:
    """Return the midnight after the last day of a period, in Unix seconds.

    The period is counted from the day of `ended` (Unix seconds) in `zone`, or from the end of this
    day's month or year.
    """
    last_day = datetime.fromtimestamp(ended, zone).date()
    return datetime.combine(_first_day_after(period, start, last_day), time(), zone).timestamp()


def _first_day_after(period: KeepPeriod, start: CountedFrom, day: date) -> date:
    """Return the day after a period that is counted from `day`, or from the end of its year."""
    match start:
        case "call":
            return period.after(day) + timedelta(days=1)
        case "month":
            return period.after(date(day.year + day.month // 12, day.month % 12 + 1, 1))
        case "year":
            return period.after(date(day.year + 1, 1, 1))
        case "financial-year":
            return period.after(date(day.year + (day.month > 3), 4, 1))


def _has(wanted: Sequence[str], given: Collection[str]) -> bool:
    known = {each.casefold() for each in given}
    return not wanted or any(each.casefold() in known for each in wanted)
