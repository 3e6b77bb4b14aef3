"""Bodies for live calls and their contact notes, and the events of the stream."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, StringConstraints

from galwad.desk.models.accounts import Me
from galwad.desk.models.base import Language, RequestBody, RequiredText, ShortText

PopState: TypeAlias = Literal["ringing", "answered", "held", "wrapup", "ended"]
RecordingShown: TypeAlias = Literal[
    "not_started", "recording", "paused", "ceased", "fault", "ended"
]
LookupStatus: TypeAlias = Literal[
    "looking_up", "found", "several", "not_found", "withheld", "unavailable"
]
ConfirmationOutcome: TypeAlias = Literal["confirmed", "volunteered", "not_them"]
CallerType: TypeAlias = Literal[
    "self", "representative", "family", "councillor", "officer", "organisation"
]


class Candidate(BaseModel):
    """A person to whom the number may belong, with what may be shown before the confirmation."""

    person_id: str
    name: str
    language: str
    shared_warning: bool
    kind: Literal["person", "organisation", "payphone"]
    main_line: bool = False


class Caller(BaseModel):
    """The caller in a pop; `details` stays empty until the advisor has confirmed them."""

    status: LookupStatus
    number_display: str | None
    candidates: list[Candidate]
    chosen: str | None
    confirmed: bool
    outcome: ConfirmationOutcome | None = None
    details: dict[str, str] = Field(default_factory=dict)


class ContactView(BaseModel):
    """The contact note as saved so far."""

    purpose: str
    language: str
    outcome: str
    caller_type: CallerType
    on_behalf_of: str = ""
    authority: str = ""
    notes: str = ""


class Pop(BaseModel):
    """One call as its viewer may see it.

    `mine` is true if the call rings at the viewer's phone, or if the viewer answered it.
    """

    call_id: str
    line: str
    state: PopState
    since: float
    started: float
    advisor: str | None
    extension: str | None
    mine: bool
    recording: RecordingShown
    recording_since: float
    durable: bool
    holders: list[str]
    caller: Caller
    contact_saved: bool = False
    contact: ContactView | None = None
    recording_link: str | None = None


class PageSnapshot(BaseModel):
    """The first event of a new stream, or of one too far behind: all that the viewer may see."""

    calls: list[Pop]
    me: Me
    now: float
    switch: bool


class Closed(BaseModel):
    """The viewer's pop of this call closes: another advisor answered, or the call is finished."""

    call_id: str


class AlarmEvent(BaseModel):
    """An event that a person must know of; `kind` is its name, such as `payment.forgotten`."""

    kind: str
    call_id: str | None = None
    since: float


class Choice(RequestBody):
    """The advisor's choice of one of several candidates."""

    person_id: RequiredText


class Confirmation(RequestBody):
    """The advisor's answer to "have the details been confirmed?"."""

    outcome: ConfirmationOutcome
    person_id: ShortText | None = None


class Contact(RequestBody):
    """The contact note; `on_behalf_of` and `authority` are required unless the caller is `self`."""

    purpose: RequiredText
    language: Language = "en"
    outcome: ShortText = ""
    caller_type: CallerType = "self"
    on_behalf_of: ShortText = ""
    authority: ShortText = ""
    notes: Annotated[str, StringConstraints(max_length=4000)] = ""


class ContactSaved(BaseModel):
    """The confirmation that the note is on disk; `version` counts its revisions."""

    call_id: str
    version: int
