"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """The severity of a finding."""

    FINE = "fine"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A result of a check, and its fix."""

    name: str
    grade: Grade
    text: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding for JSON output."""
        return {
            "name": self.name,
            "grade": self.grade.value,
            "text": self.text,
            "fix": self.fix,
        }


def fine(name: str, text: str) -> CheckResult:
    """Return a finding that needs nothing."""
    return CheckResult(name, Grade.FINE, text)


def warning(name: str, text: str, fix: str) -> CheckResult:
    """Return a finding that stops nothing, but that the administrator should know of."""
    return CheckResult(name, Grade.WARNING, text, fix)


def fault(name: str, text: str, fix: str) -> CheckResult:
    """Return a finding that must be fixed."""
    return CheckResult(name, Grade.FAULT, text, fix)
