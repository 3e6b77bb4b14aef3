"""The checks of `galwad check`: a module for each subject.

The functions `check_…` of these modules yield objects of the class `CheckResult`, which is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """The severity of the result of a check."""

    FINE = "fine"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One result of a check: a text for the administrator and, for a problem, the remedy."""

    name: str
    grade: Grade
    text: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the result as a mapping for JSON output."""
        return {
            "name": self.name,
            "grade": self.grade.value,
            "text": self.text,
            "fix": self.fix,
        }


def fine(name: str, text: str) -> CheckResult:
    """Return a result that requires no action."""
    return CheckResult(name, Grade.FINE, text)


def warning(name: str, text: str, fix: str) -> CheckResult:
    """Return a warning: Galwad works, but the administrator should know of the problem."""
    return CheckResult(name, Grade.WARNING, text, fix)


def fault(name: str, text: str, fix: str) -> CheckResult:
    """Return a fault, which the administrator must correct."""
    return CheckResult(name, Grade.FAULT, text, fix)
