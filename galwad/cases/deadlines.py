"""The deadlines of a case by law, computed from the day of its receipt and the steps since then.

A request about one's data (UK GDPR, Articles 15 to 21) must be answered within one month (Article
12(3) and 12A). The month begins on the day of receipt. It ends on the corresponding day of the next
month, or on the last day of a month that has no such day. If this is a Saturday, a Sunday or a bank
holiday of England and Wales, the next working day counts.

- While the council waits for information about the identity of the person, or for a fee that the
  law allows, there is no deadline. The month begins on the day of the latest of these.
- A request for access may need to be clarified. The days from the question to the answer do not
  count. The law also leaves out the day of the answer; it is counted here, to be safe.
- Once, and within the first month, the council may extend the month to three months.

A complaint about the use of data must be acknowledged within 30 days (Data Protection Act 2018,
section 164A). These are counted from the day after the receipt, and all days count, to be safe.
The complaint must be answered without undue delay, but no date is set for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from galwad.cases.rules import CaseKind, CaseState, StepKind
from galwad.settings.retention import KeepPeriod

if TYPE_CHECKING:
    from holidays import HolidayBase

_MONTH: Final = KeepPeriod(1, "month")
_EXTENDED: Final = KeepPeriod(3, "month")
_ACKNOWLEDGE: Final = timedelta(days=30)


class CaseStepError(ValueError):
    """A step does not fit to the state of its case."""


@dataclass(frozen=True, slots=True)
class DatedStep:
    """A step of a case, and the day on which it was taken."""

    kind: StepKind
    day: date


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The state of a case on one day, and the days by which the council must act.

    A day is None if there is no such deadline, now or at all. `extend_by` is the last day on which
    the person may be informed that the answer takes longer. `waits_since` is the day since which
    the council waits for the person, or None.
    """

    state: CaseState
    answer_by: date | None
    extend_by: date | None
    acknowledge_by: date | None
    waits_since: date | None

    @property
    def next(self) -> date | None:
        """The next deadline that must be met; None while the clock is stopped, or without one.

        An extension is a choice, so its deadline does not count.
        """
        if self.state != "open":
            return None
        days = [each for each in (self.answer_by, self.acknowledge_by) if each is not None]
        return min(days, default=None)


class _Clock:
    """The clock of a case after some of its steps."""

    def __init__(self, kind: CaseKind, received: date) -> None:
        self.kind = kind
        self.received = received
        self.began = received
        self.stopped_days = 0
        self.identity_since: date | None = None
        self.fee_since: date | None = None
        self.scope_since: date | None = None
        self.extended = self.acknowledged = self.closed = False

    def take(self, step: DatedStep) -> None:
        """Apply a step, which must follow the earlier ones in time."""
        match step.kind:
            case "identity-asked":
                self.identity_since = step.day
            case "identity-given":
                self.identity_since, self.began, self.stopped_days = None, step.day, 0
            case "fee-asked":
                self.fee_since = step.day
            case "fee-paid":
                self.fee_since, self.began, self.stopped_days = None, step.day, 0
            case "scope-asked":
                self.scope_since = step.day
            case "scope-given":
                self.stopped_days += self._stopped_until(step.day)
                self.scope_since = None
            case "extended":
                self.extended = True
            case "acknowledged":
                self.acknowledged = True
            case "closed":
                self.closed = True

    def _stopped_until(self, day: date) -> int:
        if self.scope_since is None:
            return 0
        return max(0, (day - max(self.scope_since, self.began)).days)

    def end_of(self, period: KeepPeriod, today: date) -> date:
        """Return the last day of a period; while the clock is stopped, as if it went on today."""
        stopped = self.stopped_days + self._stopped_until(today)
        return next_working_day(period.after(self.began) + timedelta(days=stopped))

    @property
    def state(self) -> CaseState:
        if self.closed:
            return "closed"
        if self.identity_since is not None:
            return "waiting-for-identity"
        if self.fee_since is not None:
            return "waiting-for-fee"
        return "open" if self.scope_since is None else "waiting-for-scope"

    def deadlines(self, today: date) -> Deadlines:
        answer = extend = acknowledge = None
        if self.kind == "complaint":
            if not self.acknowledged:
                acknowledge = self.received + _ACKNOWLEDGE
        elif self.identity_since is None and self.fee_since is None:
            answer = self.end_of(_EXTENDED if self.extended else _MONTH, today)
            extend = None if self.extended else answer
        waits = self.identity_since or self.fee_since or self.scope_since
        if self.closed:
            answer = extend = acknowledge = waits = None
        return Deadlines(self.state, answer, extend, acknowledge, waits)


def deadlines(kind: CaseKind, received: date, steps: Sequence[DatedStep], today: date) -> Deadlines:
    """Return the state and the deadlines of a case on the day `today`.

    `steps` are in the order in which they were taken.
    """
    clock = _Clock(kind, received)
    for step in steps:
        clock.take(step)
    return clock.deadlines(today)


def check_step(
    kind: CaseKind, received: date, steps: Sequence[DatedStep], step: DatedStep, today: date
) -> None:
    """Raise `CaseStepError` unless `step` may follow the steps of a case.

    Its day must not be after `today`, nor before the day of an earlier step. Steps that change the
    deadline must be taken before it is over.
    """
    clock = _Clock(kind, received)
    for each in steps:
        clock.take(each)
    first = max((received, *(each.day for each in steps if each.kind != "noted")))
    if step.day > today:
        raise CaseStepError(f"{step.day} is in the future")
    if step.day < received:
        raise CaseStepError(f"{step.day} is before the receipt on {received}")
    if step.day < first and step.kind != "noted":
        raise CaseStepError(f"{step.day} is before the step of {first}")
    if clock.closed and step.kind != "noted":
        raise CaseStepError("the case is closed")
    refusal = _refusal(clock, step)
    if refusal:
        raise CaseStepError(refusal)


def _refusal(clock: _Clock, step: DatedStep) -> str:
    """Return why a step does not fit to the state of its case; "" if it does."""
    now = clock.deadlines(step.day)
    no_identity, no_scope = clock.identity_since is None, clock.scope_since is None
    is_late = now.answer_by is not None and step.day > now.answer_by
    rules: tuple[tuple[bool, str, tuple[StepKind, ...]], ...] = (
        (
            clock.kind == "complaint",
            "a complaint has no such step",
            ("identity-asked", "fee-asked", "scope-asked", "extended"),
        ),
        (
            clock.kind != "access",
            "only a request for access can wait for a clarification",
            ("scope-asked",),
        ),
        (
            not no_identity,
            "the identity of the person was asked for, and is not known yet",
            ("identity-asked", "extended"),
        ),
        (
            clock.fee_since is not None,
            "a fee was asked for, and is not paid yet",
            ("fee-asked", "extended"),
        ),
        (not no_scope, "a clarification was asked for, and is not given yet", ("scope-asked",)),
        (clock.extended, "the case is extended already", ("extended",)),
        (
            is_late,
            f"the answer was due on {now.answer_by}",
            ("identity-asked", "fee-asked", "scope-asked", "extended"),
        ),
        (no_identity, "the identity of the person was not asked for", ("identity-given",)),
        (clock.fee_since is None, "a fee was not asked for", ("fee-paid",)),
        (no_scope, "a clarification was not asked for", ("scope-given",)),
        (clock.acknowledged, "the case is acknowledged already", ("acknowledged",)),
    )
    return next((why for applies, why, kinds in rules if applies and step.kind in kinds), "")


def next_working_day(day: date) -> date:
    """Return `day`, or the first later day that is a working day in England and Wales."""
    while day.weekday() >= 5 or day in _bank_holidays():
        day += timedelta(days=1)
    return day


@cache
def _bank_holidays() -> HolidayBase:
    """Return the bank holidays of Wales in each year, which are those of England too."""
    from holidays import country_holidays  # noqa: PLC0415 - it takes 50 ms, and most starts need none

    return country_holidays("GB", subdiv="WLS")
