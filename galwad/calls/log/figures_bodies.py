"""Response bodies with figures about calls."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FiguresRow(BaseModel):
    """Figures of some calls. `mean_waiting_s` and both lengths are those of answered calls.

    `longest_waiting_s` is the longest time until an answer, or until the end of a call that was not
    answered. `abandoned` counts callers who hung up before an answer, `refused` calls whose phones
    were busy or declined, and `missed` all others that were not answered.
    """

    model_config = ConfigDict(from_attributes=True)

    calls: int
    answered: int
    missed: int
    abandoned: int
    refused: int
    transferred: int
    mean_waiting_s: float
    longest_waiting_s: float
    mean_talk_s: float
    longest_talk_s: float
    pauses: int
    gaps: int


class LineFigures(FiguresRow):
    """The figures of one line."""

    line: str


class HourFigures(FiguresRow):
    """The figures of the calls that began in one hour of the day, from 0 to 23, in local time."""

    hour: int


class LanguageFigures(FiguresRow):
    """The figures of one language: "en", "cy", or "" if it is not known."""

    language: str


class CallsFigures(BaseModel):
    """The figures of a period, from `since` up to but not including `until` (Unix seconds)."""

    since: float
    until: float
    total: FiguresRow
    by_line: list[LineFigures]
    by_hour: list[HourFigures]
    by_language: list[LanguageFigures]
