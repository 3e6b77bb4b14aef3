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
class Finding:
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


def fine(name: str, text: str) -> Finding:
    """Return a finding that needs nothing."""
    return Finding(name, Grade.FINE, text)


def warning(name: str, text: str, fix: str) -> Finding:
    """Return a finding that stops nothing, but that the administrator should know of."""
    return Finding(name, Grade.WARNING, text, fix)


def fault(name: str, text: str, fix: str) -> Finding:
    """Return a finding that must be fixed."""
    return Finding(name, Grade.FAULT, text, fix)
