"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How bad it is."""

    FINE = "fine"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what mends it."""

    name: str
    grade: Grade
    text: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """For machines."""
        return {
            "name": self.name,
            "grade": self.grade.value,
            "text": self.text,
            "fix": self.fix,
        }


def fine(name: str, text: str) -> Finding:
    """All is well."""
    return Finding(name, Grade.FINE, text)


def warning(name: str, text: str, fix: str) -> Finding:
    """It works, but somebody should know."""
    return Finding(name, Grade.WARNING, text, fix)


def fault(name: str, text: str, fix: str) -> Finding:
    """It cannot work so."""
    return Finding(name, Grade.FAULT, text, fix)
