"""The body of the response with the texts that an installation sets itself."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel

TextKind: TypeAlias = Literal["line", "purpose", "break", "no_note"]


class TextView(BaseModel):
    """A text that advisors see, in English and in Welsh.

    Its place in the settings file is the table `table` that is the one of this `number` there, from
    1 on, such as `[[routes]]` number 2. `table` is "" if the text is a part of Galwad. `keys` are
    the names of the settings. A text that is "" is missing in this language; the page then shows
    the other one.
    """

    kind: TextKind
    table: str
    number: int
    keys: list[str]
    en: str
    cy: str
