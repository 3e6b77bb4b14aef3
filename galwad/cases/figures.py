"""Figures of the cases of a period, for the regulator: how many, and whether they were in time.

A request is in time if it was answered by its deadline. A complaint is in time if it was
acknowledged, or answered, within 30 days. Figures name no person.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median

from galwad.cases.deadlines import DatedStep, deadlines
from galwad.cases.rules import CaseKind
from galwad.cases.store import CaseOnDay, StoredStep
from galwad.host.bodies import Language


@dataclass(slots=True, kw_only=True)
class CaseFigures:
    """Figures of the cases of one kind and one language that were received in a period.

    `in_time` and `late` count those whose deadline was met, or was not; the others are not due yet.
    `days` is the median number of days from the receipt to the end of those that are closed; None
    without one.
    """

    kind: CaseKind
    language: Language
    received: int = 0
    in_time: int = 0
    late: int = 0
    extended: int = 0
    open: int = 0
    granted: int = 0
    partly_refused: int = 0
    refused: int = 0
    withdrawn: int = 0
    no_answer: int = 0
    days: float | None = None


def figures_of(cases: Iterable[CaseOnDay], today: date) -> list[CaseFigures]:
    """Return the figures of these cases, in the order of their kinds and languages."""
    groups: dict[tuple[CaseKind, Language], list[CaseOnDay]] = {}
    for each in cases:
        groups.setdefault((each.case.kind, each.case.language), []).append(each)
    return [_counted(groups[key], today) for key in sorted(groups)]


def _counted(cases: Sequence[CaseOnDay], today: date) -> CaseFigures:
    found = CaseFigures(kind=cases[0].case.kind, language=cases[0].case.language)
    lengths = []
    for each in cases:
        steps = [step for step in each.steps if not step.withdrawn]
        found.received += 1
        found.extended += any(step.kind == "extended" for step in steps)
        in_time = _in_time(each, steps, today)
        found.in_time += in_time is True
        found.late += in_time is False
        end = next((step for step in steps if step.kind == "closed"), None)
        if end is None:
            found.open += 1
            continue
        lengths.append((end.day - each.case.received).days)
        outcome = end.outcome.replace("-", "_")
        setattr(found, outcome, getattr(found, outcome) + 1)
    found.days = median(lengths) if lengths else None
    return found


def _in_time(each: CaseOnDay, steps: Sequence[StoredStep], today: date) -> bool | None:
    """Return whether the deadline of a case was met; None if it is not over yet."""
    case = each.case
    meets = {"acknowledged", "closed"} if case.kind == "complaint" else {"closed"}
    place = next((at for at, step in enumerate(steps) if step.kind in meets), len(steps))
    day = steps[place].day if place < len(steps) else today
    before = [DatedStep(step.kind, step.day) for step in steps[:place]]
    at_the_time = deadlines(case.kind, case.received, before, day)
    due = at_the_time.next
    if due is not None and day > due:
        return False
    return True if place < len(steps) else None
