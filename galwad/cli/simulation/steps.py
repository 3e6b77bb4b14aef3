"""The steps of a simulation and how each came out: a table for people, JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from rich.text import Text

from galwad.cli.console import console

Figures: TypeAlias = Mapping[str, float | int | str | list[int]]


class Verdict(StrEnum):
    """How a step came out."""

    FINE = "ok"
    WARNING = "warn"
    FAULT = "FAIL"
    SKIPPED = "skip"


_MARKS: Final = {
    Verdict.FINE: ("✓", "ok", "green"),
    Verdict.WARNING: ("!", "warn", "yellow"),
    Verdict.FAULT: ("✗", "FAIL", "bold red"),
    Verdict.SKIPPED: ("-", "skip", "dim"),
}


class StepError(Exception):
    """A step failed, and those after it make no sense without it."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    text: str
    hint: str = ""
    figures: Figures = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For machines."""
        shown = {
            "step": self.name,
            "verdict": self.verdict.lower(),
            "text": self.text,
            "hint": self.hint,
            "figures": dict(self.figures),
        }
        return {key: value for key, value in shown.items() if value not in ("", {})}


class Report:
    """What was looked at so far, in order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def fine(self, name: str, text: str, **figures: float | str | list[int]) -> None:
        """It is as it should be."""
        self.steps.append(Step(name, Verdict.FINE, text, figures=figures))

    def warn(self, name: str, text: str, hint: str, **figures: float | str | list[int]) -> None:
        """It works, and somebody should look at it."""
        self.steps.append(Step(name, Verdict.WARNING, text, hint, figures))

    def fault(self, name: str, text: str, hint: str, **figures: float | str | list[int]) -> None:
        """It is not as it should be; what follows is looked at all the same."""
        self.steps.append(Step(name, Verdict.FAULT, text, hint, figures))

    def skip(self, name: str, text: str) -> None:
        """It could not be looked at."""
        self.steps.append(Step(name, Verdict.SKIPPED, text))

    @property
    def faults(self) -> list[Step]:
        """Those that failed."""
        return [step for step in self.steps if step.verdict is Verdict.FAULT]

    def print(self) -> None:
        """For people: one line a step, and its hint below it."""
        out = console()
        plain = not (out.encoding or "").lower().startswith("utf")
        width = max((len(step.name) for step in self.steps), default=0)
        for step in self.steps:
            tick, word, style = _MARKS[step.verdict]
            mark = f"{word:<4}" if plain else tick
            out.print(Text(mark, style), end="  ")
            out.print(f"{step.name:<{width}}  {step.text}")
            if step.hint:
                out.print(f"{'':{len(mark) + 4 + width}}hint: {step.hint}")
