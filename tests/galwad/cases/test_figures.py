"""The figures of cases: what counts as in time, and which cases are counted together.

Covers `galwad/cases/figures.py`.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, cast

import pytest

from galwad.cases.deadlines import deadlines
from galwad.cases.figures import figures_of
from galwad.cases.store import Case, CaseOnDay, StoredStep, valid

if TYPE_CHECKING:
    from galwad.cases.rules import Outcome, StepKind

TODAY = date(2026, 12, 3)


def case(received, *steps, kind="access", language="en"):
    """Return a case with steps such as "2026-10-20 closed granted", on `TODAY`."""
    day = date.fromisoformat(received)
    facts = dict.fromkeys(("reference", "name", "representative", "authority", "details"), "")
    row = Case(
        case_id=1,
        kind=kind,
        channel="letter",
        language=language,
        call_id="",
        received=day,
        owner="gwen",
        opened=0.0,
        version=1,
        **facts,
    )
    taken = []
    for place, text in enumerate(steps, 1):
        at, step, *outcome = text.split()
        withdrawn = "mistake" if "undone" in outcome else ""
        outcome = "".join(outcome).replace("undone", "")
        taken.append(
            StoredStep(
                place,
                cast("StepKind", step),
                date.fromisoformat(at),
                "",
                cast("Outcome", outcome),
                "user:gwen",
                0.0,
                withdrawn,
            )
        )
    return CaseOnDay(row, tuple(taken), deadlines(kind, day, valid(taken), TODAY))


@pytest.mark.parametrize(
    ("each", "in_time", "late"),
    [
        (case("2026-10-05", "2026-11-05 closed granted"), 1, 0),
        (case("2026-10-05", "2026-11-06 closed granted"), 0, 1),
        (case("2026-10-05", "2026-11-02 extended", "2026-12-01 closed granted"), 1, 0),
        (case("2026-10-05"), 0, 1),  # still open, and overdue
        (case("2026-11-25"), 0, 0),  # not due yet
        (case("2026-10-05", "2026-10-06 identity-asked"), 0, 0),  # waits for the person
        (case("2026-10-05", "2026-10-06 identity-asked", "2026-12-01 closed no-answer"), 1, 0),
        (case("2026-10-05", "2026-11-05 closed granted undone"), 0, 1),
        (case("2026-10-05", "2026-11-04 acknowledged", kind="complaint"), 1, 0),
        (case("2026-10-05", "2026-11-05 acknowledged", kind="complaint"), 0, 1),
        (case("2026-10-05", "2026-10-09 closed refused", kind="complaint"), 1, 0),
        (case("2026-10-05", kind="complaint"), 0, 1),
        (case("2026-11-10", kind="complaint"), 0, 0),
    ],
)
def test_a_case_is_in_time_late_or_not_due_yet(each, in_time, late):
    (row,) = figures_of([each], TODAY)
    assert (row.received, row.in_time, row.late) == (1, in_time, late)


def test_cases_are_counted_by_kind_and_language_with_their_outcomes():
    rows = figures_of(
        [
            case("2026-10-05", "2026-10-15 closed granted", kind="complaint", language="cy"),
            case("2026-10-05", "2026-10-25 closed partly-refused", kind="complaint", language="cy"),
            case("2026-10-05", "2026-10-06 acknowledged", kind="complaint", language="cy"),
            case("2026-10-05", "2026-10-15 closed no-answer", kind="complaint"),
            case("2026-11-25", language="cy"),
        ],
        TODAY,
    )
    assert [(row.kind, row.language, row.received, row.open) for row in rows] == [
        ("access", "cy", 1, 1),
        ("complaint", "cy", 3, 1),
        ("complaint", "en", 1, 0),
    ]
    welsh = rows[1]
    assert (welsh.granted, welsh.partly_refused, welsh.no_answer, welsh.days) == (1, 1, 0, 15)
    assert (rows[0].days, rows[2].no_answer) == (None, 1)
    assert figures_of([], TODAY) == []
