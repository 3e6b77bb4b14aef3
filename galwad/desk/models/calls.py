"""Bodies for live calls and their contact notes, and the data of the stream's events."""

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
    """A person to whom the caller's number may belong.

    These are the facts that an advisor may see before the caller's identity is confirmed.
    """

    person_id: str
    name: str
    language: str
    shared_warning: bool
    kind: Literal["person", "organisation", "payphone"]
    main_line: bool = False


class Caller(BaseModel):
    """The caller in a screen-pop.

    `details` is empty until the advisor has confirmed who the caller is, and for all users who are
    not responsible for the call.
    """

    status: LookupStatus
    number_display: str | None
    candidates: list[Candidate]
    chosen: str | None
    confirmed: bool
    outcome: ConfirmationOutcome | None = None
    details: dict[str, str] = Field(default_factory=dict)


class ContactView(BaseModel):
    """The latest saved version of a contact note."""

    purpose: str
    language: str
    outcome: str
    caller_type: CallerType
    on_behalf_of: str = ""
    authority: str = ""
    notes: str = ""


class Pop(BaseModel):
    """One live call, with the facts that the viewer, the signed-in user, may see.

    `mine` is true if the call rings at the viewer's phone, or if the viewer is responsible for the
    call or its contact note.
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
    """All live calls that the viewer may see, sent as an event.

    A new stream begins with this event. It is also sent to a stream that has missed so many events
    that the desk no longer has them all. `switch` is true while the switch is connected.
    """

    calls: list[Pop]
    me: Me
    now: float
    switch: bool


class Closed(BaseModel):
    """An event on which the page removes a call, because the viewer may no longer see the call.

    For example, another advisor has answered, or the call is finished.
    """

    call_id: str


class AlarmEvent(BaseModel):
    """An alarm, sent as an event; `kind` is the alarm's name, such as `payment.forgotten`."""

    kind: str
    call_id: str | None = None
    since: float


class Choice(RequestBody):
    """A request with the candidate that the advisor has chosen as the caller."""

    person_id: RequiredText


class Confirmation(RequestBody):
    """A request with the advisor's answer to whether the caller is the person `person_id`."""

    outcome: ConfirmationOutcome
    person_id: ShortText | None = None


class Contact(RequestBody):
    """A request to save the contact note.

    `on_behalf_of` and `authority` are required unless `caller_type` is "self".
    """

    purpose: RequiredText
    language: Language = "en"
    outcome: ShortText = ""
    caller_type: CallerType = "self"
    on_behalf_of: ShortText = ""
    authority: ShortText = ""
    notes: Annotated[str, StringConstraints(max_length=4000)] = ""


class ContactSaved(BaseModel):
    """The answer after a contact note was saved; `version` is the number of its version."""

    call_id: str
    version: int
