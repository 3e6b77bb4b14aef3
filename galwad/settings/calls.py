"""The settings of the lookup of callers, of breaks and of the log of calls."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.fields import Flag, Number, Whole
from config.section import Section
from galwad.texts.rules import BREAKS, CODE, FAULTY_LISTS, ONE_LINE


class DirectorySection(Section):
    """`[directory]`: the lookup of callers in directories."""

    budget: Number = Field(
        default=1.0, ge=0.05, le=1.0, description="a number of seconds from 0.05 to 1.0"
    )
    area_code: str = Field(
        default="",
        pattern=r"^(0[0-9]{2,5})?$",
        description='an area code with its 0, such as "01632"; empty if there is none',
    )
    merge_by: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("reference",), description='a list of details, such as ["reference", "email"]'
    )
    watch_skip_faults: Flag = Field(default=False, description="true or false")
    watch_remove_absent: Flag = Field(default=False, description="true or false")
    watch_least: Number = Field(default=0.5, ge=0, le=1, description="a number from 0 to 1")


class BreakReason(Section):
    """`[[presence.break_reasons]]`: a reason of breaks that advisors can choose."""

    code: str = Field(
        pattern=CODE,
        description='1 to 32 lower-case letters, digits, hyphens and underscores, such as "lunch"',
    )
    en: str = Field(
        min_length=1,
        max_length=BREAKS.longest,
        pattern=ONE_LINE,
        description="a short text in English, in quotes",
    )
    cy: str = Field(
        min_length=1,
        max_length=BREAKS.longest,
        pattern=ONE_LINE,
        description="a short text in Welsh, in quotes",
    )


_BREAK_REASONS = (
    BreakReason(code="break", en="Short break", cy="Seibiant byr"),
    BreakReason(code="lunch", en="Lunch", cy="Cinio"),
    BreakReason(code="meeting", en="Meeting", cy="Cyfarfod"),
    BreakReason(code="training", en="Training", cy="Hyfforddiant"),
    BreakReason(code="other-work", en="Other work", cy="Gwaith arall"),
)


class PresenceSection(Section):
    """`[presence]`: the breaks of advisors."""

    break_reasons: tuple[BreakReason, ...] = Field(
        default=_BREAK_REASONS, description="a list of tables with code, en and cy; [] for none"
    )
    break_reminder: Number = Field(
        default=3600, ge=60, le=86400, description="a number of seconds from 60 to 86400"
    )

    @model_validator(mode="after")
    def _check_codes(self) -> Self:
        if (fault := BREAKS.fault_in(self.break_reasons)) is not None:
            raise ValueError(FAULTY_LISTS[fault.kind].format('"break_reasons"'))
        return self


class CallLogSection(Section):
    """`[call_log]`: how long the log of calls is kept."""

    numbers_hours: Whole = Field(
        default=24, ge=1, le=168, description="a whole number of hours from 1 to 168"
    )
    calls_days: Whole = Field(
        default=90, ge=7, le=730, description="a whole number of days from 7 to 730"
    )
