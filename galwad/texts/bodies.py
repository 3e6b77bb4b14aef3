"""The bodies of requests, responses and events for the lists of texts in both languages."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from galwad.host.bodies import RequestBody, RequiredText, ShortText
from galwad.texts.rules import MOST_ENTRIES, ListName

ListVersion = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""The version of a list, which changes with each change of its entries."""


class TextEntryView(BaseModel):
    """An entry of a list: its code, and its text in English and in Welsh.

    The code of a purpose is that of the CRM, or "". The code of a line is its name in the settings.
    A Welsh text that is "" is missing; the page then shows the English one.
    """

    code: str
    en: str
    cy: str


class PurposeView(BaseModel):
    """A purpose of calls, in English and in Welsh."""

    en: str
    cy: str


class TextListView(BaseModel):
    """A list of texts that people choose from or read, as it counts now.

    `settings` is the place of its first entries in the settings file, or "" if they are a part of
    Galwad, and for `teams`, which the settings do not have. `from_settings` is true while that list
    counts. After a change on the page, `changed` is
    the time of the latest change, in seconds since 1970, and `changed_by` the administrator.
    `fixed` is true if only the texts can be changed, and no entry can be added or removed.
    `longest` is the most characters that a text may have.
    """

    name: ListName
    version: str
    settings: str
    from_settings: bool
    changed: float | None
    changed_by: str
    fixed: bool
    longest: int
    entries: list[TextEntryView]


class NewTextEntry(RequestBody):
    """An entry of a list that an administrator has written."""

    code: ShortText = ""
    en: RequiredText
    cy: ShortText = ""


class NewTextList(RequestBody):
    """A request to replace the entries of a list, based on the version that the client has read."""

    version: ListVersion
    entries: list[NewTextEntry] = Field(max_length=MOST_ENTRIES)


class ListVersionBody(RequestBody):
    """A request about a list, with the version that the client has read."""

    version: ListVersion


class LineName(BaseModel):
    """The name of a line in English and in Welsh, which may be missing ("")."""

    en: str
    cy: str


class PageTexts(BaseModel):
    """The lists of texts as the pages need them, sent in the snapshot and after each change.

    `line_names` has the names of lines, by their names in the settings; a line that is not in it
    has its own name in both languages. `break_reasons` are those that can be chosen, and
    `former_reasons` those of which a break may still have the code. `no_note_reasons` are the
    changed words; the page has the words of the others itself. `purposes` are the purposes that
    advisors can choose; if `free_text` is true, they may write others. `teams` are the teams to
    which users can belong.
    """

    line_names: dict[str, LineName]
    break_reasons: list[TextEntryView]
    former_reasons: list[TextEntryView]
    no_note_reasons: list[TextEntryView]
    purposes: list[PurposeView]
    free_text: bool
    teams: list[TextEntryView]
