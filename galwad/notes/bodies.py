"""Bodies of requests and responses for the delivery of contact notes, and their purposes."""

from __future__ import annotations

from pydantic import BaseModel

from callerid.contact_tables import NoteState
from galwad.host.bodies import RequestBody, RequiredText
from galwad.texts.bodies import PurposeView


class Purposes(BaseModel):
    """The purposes that advisors can choose. If `free_text` is true, they may write others."""

    purposes: list[PurposeView]
    free_text: bool


class UndeliveredNote(BaseModel):
    """A version of a contact note that is not delivered, without its text.

    `saved` is the time at which it was saved, in seconds since 1970. `reason` says why the last
    attempt failed. A version that is "waiting" is tried again; one that is "refused" is not.
    """

    call_id: str
    version: int
    state: NoteState
    saved: float
    line: str
    advisor: str
    attempts: int
    reason: str


class ClosedNotesView(BaseModel):
    """The numbers of an advisor's notes that the desk closed because they were not saved.

    `not_written` counts those without any text, `unfinished` those with the text of a draft.
    """

    advisor: str
    not_written: int
    unfinished: int


class DiscardReason(RequestBody):
    """A request that says why a contact note must not be delivered."""

    reason: RequiredText
