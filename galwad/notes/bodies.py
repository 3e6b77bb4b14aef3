"""The bodies of requests and responses about contact notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field, StringConstraints

from callerid.note import CallerType, NoNoteReason, WrittenNote
from galwad.host.bodies import (
    NO_CARD_NUMBER,
    Language,
    RequestBody,
    RequiredText,
    ShortText,
)

NoteText: TypeAlias = Annotated[str, StringConstraints(max_length=4000), NO_CARD_NUMBER]


class _NoteFields(RequestBody):
    """The fields of a contact note as a page sends them."""

    purpose: ShortText = ""
    language: Language = "en"
    outcome: ShortText = ""
    caller_type: CallerType = "self"
    on_behalf_of: ShortText = ""
    authority: ShortText = ""
    notes: NoteText = ""


class Contact(_NoteFields):
    """A request to save the contact note, which the advisor writes about a call.

    If the caller speaks for another person, `on_behalf_of` is this other person, and `authority`
    says why the caller may speak for this person. Both are required unless `caller_type` is "self".
    """

    purpose: RequiredText


class ContactDraft(_NoteFields):
    """A request to store what the advisor has typed into the contact note and not saved.

    The note may lack any field. `window` is a random name of the browser window, and `edit` is the
    number of this request in the window. `version` is the newest version of the draft that the
    window has seen; 0 if there is no draft.
    """

    window: Annotated[str, StringConstraints(pattern=r"^[a-z]{16}$")]
    edit: Annotated[int, Field(ge=1, le=2**31 - 1)]
    version: Annotated[int, Field(ge=0, le=2**53)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftView(WrittenNote):
    """The text that the signed-in user has typed into a contact note and not saved.

    `version` increases with each change of the draft. `window` is the name of the browser window in
    which it was typed last.
    """

    version: int
    window: str


class DraftSaved(BaseModel):
    """The response after a draft was stored.

    `version` is the number of the stored version. It is 0 if the draft equals the saved note: the
    draft is then removed.
    """

    call_id: str
    version: int


class NoNote(RequestBody):
    """A request that says why an answered call needs no contact note."""

    reason: NoNoteReason


class ContactSaved(BaseModel):
    """The response after a contact note was saved. `version` is the number of the saved version."""

    call_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierContact:
    """An earlier contact of the confirmed caller: a contact note, or a record of a directory.

    `directory` is the name of the directory; "" for Galwad's own contact notes. A contact of a
    directory has no `call_id` and no `line`. `started` is in seconds since 1970.
    """

    directory: str = ""
    call_id: str = ""
    started: float
    line: str = ""
    purpose: str
    outcome: str
    notes: str


class EarlierContactsView(BaseModel):
    """The earlier contacts of the confirmed caller, the newest first.

    `failed` are the names of the directories that gave no answer.
    """

    contacts: list[EarlierContact]
    failed: list[str]


class DiscardReason(RequestBody):
    """A request that says why a contact note or a call event must not be delivered."""

    reason: RequiredText
