"""The results of a simulation's steps, each a line of the report, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from rich.text import Text

from galwad.cli.support.console import console

Figures: TypeAlias = Mapping[str, float | int | str | list[int]]


class StepResult(StrEnum):
    """The possible results of a step."""

    FINE = "ok"
    WARNING = "warn"
    FAULT = "FAIL"
    SKIPPED = "skip"


_MARKS: Final = {
    StepResult.FINE: ("✓", "ok", "green"),
    StepResult.WARNING: ("!", "warn", "yellow"),
    StepResult.FAULT: ("✗", "FAIL", "bold red"),
    StepResult.SKIPPED: ("-", "skip", "dim"),
}


class StepError(Exception):
    """A step has failed, and later steps depend on it. `hint` says what the user can do."""

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the simulation and its result."""

    name: str
    verdict: StepResult
    text: str
    hint: str = ""
    figures: Figures = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the step as a mapping for JSON output, without the empty fields."""
        shown = {
            "step": self.name,
            "verdict": self.verdict.lower(),
            "text": self.text,
            "hint": self.hint,
            "figures": dict(self.figures),
        }
        return {key: value for key, value in shown.items() if value not in ("", {})}


class Report:
    """The steps that have been run so far, from the first to the newest, with their results."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def ok(self, name: str, text: str, **figures: float | str | list[int]) -> None:
        """Add a step that succeeded."""
        self.steps.append(Step(name, StepResult.FINE, text, figures=figures))

    def warn(self, name: str, text: str, hint: str, **figures: float | str | list[int]) -> None:
        """Add a step that succeeded, but whose result the administrator should examine."""
        self.steps.append(Step(name, StepResult.WARNING, text, hint, figures))

    def fail(self, name: str, text: str, hint: str, **figures: float | str | list[int]) -> None:
        """Add a step that failed. Only a `StepError` ends the simulation."""
        self.steps.append(Step(name, StepResult.FAULT, text, hint, figures))

    def skip(self, name: str, text: str) -> None:
        """Add a step that could not be run; this is neither a success nor a failure."""
        self.steps.append(Step(name, StepResult.SKIPPED, text))

    @property
    def faults(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.verdict is StepResult.FAULT]

    def print(self) -> None:
        """Print one line for each step; a step's hint is printed below its line."""
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
