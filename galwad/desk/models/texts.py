"""The body of the response with the texts that an installation sets itself."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel

TextKind: TypeAlias = Literal["line", "purpose", "break", "no_note"]


class TextView(BaseModel):
    """A text that advisors see, in English and in Welsh.

    `key` is its place in the settings file, or "" if it is a part of Galwad. A text that is "" is
    missing in this language; the page then shows the other one.
    """

    kind: TextKind
    key: str
    en: str
    cy: str
