"""Request and response bodies for live calls and contact notes, and the data of stream events."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, StringConstraints

from galwad.calls.alarms.store import StoredAlarm
from galwad.calls.presence.presence import Presence
from galwad.host.bodies import (
    NO_CARD_NUMBER,
    Language,
    RequestBody,
    RequiredText,
    ShortText,
)
from galwad.people.sign_in.bodies import Me
from galwad.texts.bodies import PageTexts, TextEntryView
from galwad.texts.rules import NoNoteReason

PopState: TypeAlias = Literal["ringing", "answered", "held", "wrapup", "ended"]
RecordingShown: TypeAlias = Literal[
    "not_started", "recording", "paused", "ceased", "fault", "ended"
]
LookupStatus: TypeAlias = Literal[
    "looking_up", "found", "several", "not_found", "withheld", "unavailable", "busy"
]
DirectoryAnswerState: TypeAlias = Literal["asking", "found", "not_found", "unavailable", "busy"]
ConfirmationOutcome: TypeAlias = Literal["confirmed", "volunteered", "not_them", "new_person"]
NoteText: TypeAlias = Annotated[str, StringConstraints(max_length=4000), NO_CARD_NUMBER]
CallerType: TypeAlias = Literal[
    "self", "representative", "family", "councillor", "officer", "organisation"
]


class Candidate(BaseModel):
    """A person to whom the caller's number may belong.

    The fields are facts that the advisor may see before the caller's identity is confirmed.
    """

    person_id: str
    name: str
    language: str
    shared_warning: bool
    kind: Literal["person", "organisation", "payphone"]
    main_line: bool = False


class DirectoryAnswer(BaseModel):
    """The state of a directory's answer to the lookup of the caller."""

    name: str
    answer: DirectoryAnswerState


class RecordLink(BaseModel):
    """The page that a directory, such as a CRM, has about the caller, and the record's id there."""

    directory: str
    url: str
    record_id: str


class Caller(BaseModel):
    """The caller in a screen-pop.

    `details` has values only for a user who is responsible for the call, and only after the advisor
    has confirmed who the caller is. The same is true of `pages`, unless the settings let the
    advisor open a page before. `position` is 1 for the call's first caller. It increases when
    a trunk names another caller, because a person outside the centre has handed the call over.
    `directories` has each directory in which the caller is looked up. `searched` is true if the
    advisor has found some of the candidates by a text. `name` is the person whom the advisor has
    confirmed, perhaps before a restart of the desk, for a user who is responsible for the call.
    """

    status: LookupStatus
    number_display: str | None
    candidates: list[Candidate]
    chosen: str | None = None
    confirmed: bool = False
    outcome: ConfirmationOutcome | None = None
    details: dict[str, str] = Field(default_factory=dict)
    position: int = 1
    directories: list[DirectoryAnswer] = Field(default_factory=list)
    searched: bool = False
    pages: list[RecordLink] = Field(default_factory=list)
    name: str | None = None


class ContactView(BaseModel):
    """The most recently saved version of a contact note."""

    purpose: str
    language: str
    outcome: str
    caller_type: CallerType
    on_behalf_of: str = ""
    authority: str = ""
    notes: str = ""


class DraftView(ContactView):
    """The text that the signed-in user has typed into a contact note and not saved.

    `version` increases with each change of the draft. `window` is the name of the browser window in
    which it was typed last.
    """

    version: int
    window: str


class Pop(BaseModel):
    """One live call, with the facts that the signed-in user may see.

    `mine` is true if the call rings at this user's phone, or if this user is responsible for the
    call or for its contact note, or has placed the call and it is recorded. `called` is the number
    that this user has called; None if this user has not placed the call. `talking_since` is the
    Unix time since which this user certainly talks in the call; None while the call is not
    answered, is on hold, or may be another advisor's. If a user talks in several calls, the latest
    counts. `wrap_up_until` is the Unix time after which the page shows a call
    in wrap-up as one line; None if the call is not in wrap-up, or there is no limit.

    `acts` has what this user can do with the call on the page, such as "hold", each with the reason
    why it is not possible now, or "". `transferring` is the class of the destination that rings now
    because of a transfer. `transfer_failed` is the SIP status of the most recent transfer if it
    failed, otherwise 0, and `transfers_begun` is the number of transfers that have begun.
    """

    call_id: str
    line: str
    state: PopState
    since: float
    started: float
    advisor: str | None
    extension: str | None
    mine: bool
    called: str | None = None
    talking_since: float | None = None
    recording: RecordingShown
    recording_since: float
    durable: bool
    holders: list[str]
    caller: Caller
    contact_saved: bool = False
    contact: ContactView | None = None
    draft: DraftView | None = None
    wrap_up_until: float | None = None
    recording_link: str | None = None
    acts: dict[str, str] = Field(default_factory=dict)
    transferring: str = ""
    transfers_begun: int = 0
    transfer_failed: int = 0


class PageSnapshot(BaseModel):
    """All live calls that the signed-in user may see, sent as an event.

    A new stream begins with this event. It is also sent if a page has missed events that the desk
    no longer stores. `switch` is true while the switch is connected. After `pause_reminder` seconds
    the page warns the advisor of a pause, and after `pause_alarm` seconds the supervisors. After
    `waiting_warning` seconds their list marks a call that is not answered. `searchable` is true if
    a directory can be searched by a text. `embed_origins` are the origins of the CRMs that may show
    the page in a panel. `alarms` has the alarms that are not closed. `presence` has the user's own
    presence, and for a supervisor the presence of all users. After `break_reminder` seconds the
    page reminds the user of a break. `utc_offset` is how far the desk's local time is ahead of UTC,
    in seconds. `texts` has the lists of texts in both languages. `break_reasons` repeats one of
    them, for pages of an earlier release that were open during an upgrade. `notification_names` is
    true if a notification of the browser may have the caller's name and number.
    `dials` is true if the user's phone can be rung to call a number, and `welsh` if a caller can be
    transferred to the destination for Welsh.
    """

    calls: list[Pop]
    alarms: list[StoredAlarm]
    me: Me
    now: float
    switch: bool
    pause_reminder: float
    pause_alarm: float
    waiting_warning: float
    searchable: bool = False
    embed_origins: list[str] = Field(default_factory=list)
    presence: list[Presence] = Field(default_factory=list)
    break_reminder: float = 3600.0
    utc_offset: int = 0
    notification_names: bool = False
    texts: PageTexts
    break_reasons: list[TextEntryView] = Field(default_factory=list)
    dials: bool = False
    welsh: bool = False


class Closed(BaseModel):
    """An event that makes the page remove a call, because the user may no longer see the call.

    For example, another advisor has answered, or the call is finished.
    """

    call_id: str


class DayChanged(BaseModel):
    """An event that makes the page ask for the user's calls of today again."""


class StreamReplaced(BaseModel):
    """The last event of a stream that ends because its session has opened more than `most`."""

    most: int


class Choice(RequestBody):
    """A request that says which of the possible people the advisor has identified as the caller."""

    person_id: RequiredText


class PersonSearch(RequestBody):
    """A request to search for the caller by a text: a name, a postcode or a reference."""

    text: Annotated[RequiredText, StringConstraints(min_length=2, max_length=100)]


class SearchOutcome(BaseModel):
    """The response to a search: the number of people found, and the directories that failed."""

    found: int
    failed: list[str]


class Confirmation(RequestBody):
    """A request that says whether the advisor has confirmed `person_id` as the caller."""

    outcome: ConfirmationOutcome
    person_id: ShortText | None = None


class Contact(RequestBody):
    """A request to save the contact note, which the advisor writes about a call.

    If the caller speaks for another person, `on_behalf_of` is this other person, and `authority`
    says why the caller may speak for this person. Both are required unless `caller_type` is "self".
    """

    purpose: RequiredText
    language: Language = "en"
    outcome: ShortText = ""
    caller_type: CallerType = "self"
    on_behalf_of: ShortText = ""
    authority: ShortText = ""
    notes: NoteText = ""


class ContactDraft(RequestBody):
    """A request to store what the advisor has typed into the contact note and not saved.

    The note may lack any field. `window` is a random name of the browser window, and `edit` is the
    number of this request in the window. `version` is the newest version of the draft that the
    window has seen; 0 if there is no draft.
    """

    purpose: ShortText = ""
    language: Language = "en"
    outcome: ShortText = ""
    caller_type: CallerType = "self"
    on_behalf_of: ShortText = ""
    authority: ShortText = ""
    notes: NoteText = ""
    window: Annotated[str, StringConstraints(pattern=r"^[a-z]{16}$")]
    edit: Annotated[int, Field(ge=1, le=2**31 - 1)]
    version: Annotated[int, Field(ge=0, le=2**53)] = 0


class DraftSaved(BaseModel):
    """The response after a draft was stored.

    `version` is the number of the stored version; 0 if there is no draft now, because its fields
    are those of the saved note.
    """

    call_id: str
    version: int


class EarlierContactView(BaseModel):
    """An earlier contact of the confirmed caller: a contact note, or a record of a directory.

    `directory` is the name of the directory; "" for Galwad's own contact notes. A contact of a
    directory has no `call_id` and no `line`.
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

    `failed` are the names of the directories that could not be asked.
    """

    contacts: list[EarlierContactView]
    failed: list[str]


class NoNote(RequestBody):
    """A request that says why an answered call needs no contact note."""

    reason: NoNoteReason


class ContactSaved(BaseModel):
    """The response after a contact note was saved. `version` is the number of the saved version."""

    call_id: str
    version: int
