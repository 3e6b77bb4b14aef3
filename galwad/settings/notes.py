"""The settings of `[contact_notes]`: the notes that advisors write about calls."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from config.fields import Flag, Number
from config.section import Section
from galwad.texts.rules import FAULTY_LISTS, ONE_LINE, PURPOSES


class Purpose(Section):
    """`[[contact_notes.purposes]]`: a purpose of calls that advisors can choose."""

    en: str = Field(
        min_length=1,
        max_length=PURPOSES.longest,
        pattern=ONE_LINE,
        description="a text in English, in quotes",
    )
    cy: str = Field(
        min_length=1,
        max_length=PURPOSES.longest,
        pattern=ONE_LINE,
        description="a text in Welsh, in quotes",
    )
    code: str = Field(
        default="",
        pattern=PURPOSES.code,
        description="the purpose's code in the CRM, in quotes",
    )


class ContactNotesSection(Section):
    """`[contact_notes]`: the notes that advisors write about calls."""

    purposes: tuple[Purpose, ...] = Field(
        default=(), description="tables [[contact_notes.purposes]]"
    )
    free_text: Flag = Field(
        default=True, description="true if advisors may write other purposes, else false"
    )
    recording_link: Flag = Field(
        default=False, description="true if notes have a link to the recording, else false"
    )
    wrap_up: Number = Field(
        default=120, ge=0, le=86400, description="a number of seconds up to 86400; 0 for no limit"
    )
    close_after: Number = Field(
        default=43200,
        ge=0,
        le=2_592_000,
        description='a number of seconds up to 2592000, not less than "wrap_up"; 0 for never',
    )

    @model_validator(mode="after")
    def _check_purposes(self) -> Self:
        if (fault := PURPOSES.fault_in(self.purposes)) is not None:
            raise ValueError(FAULTY_LISTS[fault.kind].format("[[contact_notes.purposes]]"))
        if not self.free_text and not self.purposes:
            raise ValueError('"free_text" can be false only if there are purposes')
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if 0 < self.close_after < max(self.wrap_up, 600):
            raise ValueError('"close_after" must not be shorter than "wrap_up", nor than 600')
        return self
