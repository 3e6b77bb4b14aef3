"""Request and response bodies for live calls and presence, and the data of stream events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, StringConstraints

from callerid.lookup import LookupStatus
from callerid.note import WrittenNote
from callerid.screenpop import Candidate, PopConfirmation
from callerid.source import AnswerState
from galwad.calls.alarms.store import StoredAlarm
from galwad.host.bodies import RequestBody, RequiredText, ShortText
from galwad.messages import RecordingStateName
from galwad.notes.bodies import DraftView
from galwad.people.sign_in.bodies import Me
from galwad.texts.rules import TextEntry
from galwad.texts.text_lists import PageTexts

PopState: TypeAlias = Literal["ringing", "answered", "held", "wrapup", "ended"]


class DirectoryAnswer(BaseModel):
    """The state of a directory's answer to the lookup of the caller."""

    name: str
    answer: AnswerState


class RecordLink(BaseModel):
    """The page that a directory, such as a CRM, has about the caller, and the record's id there."""

    directory: str
    url: str
    record_id: str


class Caller(BaseModel):
    """The caller in a screen-pop.

    `details` has values only for a user who is responsible for the call, and only after the advisor
    has confirmed who the caller is. The same is true of `pages`, except that the settings can allow
    a page before the confirmation. `position` is 1 for the call's first caller. It increases when a
    trunk names another caller, because a person outside the centre has handed the call over.
    `directories` has each directory in which the caller is looked up. `searched` is true if the
    advisor has found some of the candidates by a text. `name` is the name of the person whom the
    advisor has confirmed, perhaps before a restart of the desk; null if there is none, or if the
    user is not responsible for the call.
    """

    status: LookupStatus
    number_display: str | None
    candidates: Sequence[Candidate]
    chosen: str | None = None
    confirmed: bool = False
    outcome: PopConfirmation | None = None
    details: dict[str, str] = Field(default_factory=dict)
    position: int = 1
    directories: list[DirectoryAnswer] = Field(default_factory=list)
    searched: bool = False
    pages: list[RecordLink] = Field(default_factory=list)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedCase:
    """A request about personal data, or a complaint, that was opened for a call.

    `kind` is a `galwad.cases.rules.CaseKind`.
    """

    case_id: int
    kind: str


# Many fields are those of `CallStatus`. They are listed again, so that a new field of the switch's
# report reaches no advisor by itself.
class Pop(BaseModel):
    """One live call, with the facts that the signed-in user may see.

    `mine` is true if the call rings at this user's phone, if this user is responsible for the call
    or its contact note, or if this user placed the call and it is answered and recorded. `called`
    is the number that this user has called; None if this user has not placed the call.
    `talking_since` is the Unix time since which this user certainly talks in the call; None while
    the call is not answered, is on hold, or may be another advisor's. If several calls have this
    time, the user talks in the call in which it is latest. `wrap_up_until` is the Unix time after
    which the page shows a call in wrap-up as one line; None if the call is not in wrap-up, or there
    is no limit.

    `acts` has what this user can do with the call on the page, such as "hold", each with the reason
    why it is not possible now, or "". `transferring` is the class of the destination that rings now
    because of a transfer. `transfer_failed` is the SIP status of the most recent transfer if it
    failed, otherwise 0, and `transfers_begun` is the number of transfers that have begun.

    `cases` has the requests about personal data, and the complaints, that were opened for the call.
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
    recording: RecordingStateName
    recording_since: float
    durable: bool
    holders: list[str]
    caller: Caller
    contact_saved: bool = False
    contact: WrittenNote | None = None
    draft: DraftView | None = None
    wrap_up_until: float | None = None
    recording_link: str | None = None
    cases: Sequence[OpenedCase] = ()
    acts: dict[str, str] = Field(default_factory=dict)
    transferring: str = ""
    transfers_begun: int = 0
    transfer_failed: int = 0


class PresenceState(StrEnum):
    """The state of a user. If several states fit, the first one in this list counts."""

    ON_CALL = "on_call"
    """A phone of the user rings, or the user is on a call."""
    BREAK = "break"
    WRAP_UP = "wrap_up"
    """A call of the user has ended, or the user has transferred it to a party that is not a user.
    Its contact note is not saved, the limit in the settings for wrap-up has not passed, and the
    user has not ended the wrap-up.
    """
    OFFLINE = "offline"
    """The user has no open page and no registered phone."""
    NO_PHONE = "no_phone"
    """The user has an open page, but no phone that can ring."""
    AVAILABLE = "available"


@dataclass(frozen=True, slots=True)
class Presence:
    """The presence of one user.

    `since` is the start of `state` in Unix seconds. `on_break` is true from the start of the user's
    break to its end, also during a call. `reason` is the code of the break's reason. `set_by` is
    the supervisor who has set the break, or "". `devices` is the number of registered devices of
    the user's phone; null if the switch has not reported it. `page` is true if a page of the user
    is open. `line` is the line on which the user talks, or "". `ringing` is true if the user's
    phone rings and the user does not talk. `team` is the code of the user's team, or "".
    """

    user: str
    extension: str | None
    state: PresenceState
    since: float
    on_break: bool = False
    reason: str = ""
    set_by: str = ""
    devices: int | None = None
    page: bool = False
    line: str = ""
    ringing: bool = False
    team: str = ""

    @property
    def away(self) -> bool:
        """True if a route with `skip_away` rings this user last."""
        return self.on_break or self.state is PresenceState.WRAP_UP


@dataclass(frozen=True, slots=True)
class PresenceNews:
    """The presences that have changed. A page gets those that its signed-in user may see.

    `gone` are the users who are no longer listed.
    """

    advisors: Sequence[Presence]
    gone: Sequence[str] = ()


class PageSnapshot(BaseModel):
    """All live calls that the signed-in user may see, sent as an event.

    A new stream begins with this event. It is also sent if a page has missed events that the desk
    no longer stores. `switch` is true while the switch is connected. After `pause_reminder` seconds
    the page warns the advisor of a pause, and after `pause_alarm` seconds the supervisors. After
    `waiting_warning` seconds the supervisors' list marks a call that is not answered. `searchable`
    is true if a directory can be searched by a text. `embed_origins` are the origins of the CRMs
    that may show the page in a panel. `alarms` has the alarms that are not closed. `presence` has
    the user's own presence, and for a supervisor the presence of all users. After `break_reminder`
    seconds the page reminds the user of a break. `utc_offset` is how far the desk's local time is
    ahead of UTC, in seconds. `texts` has the lists of texts in both languages. `break_reasons`
    repeats the list of breaks, for pages of an earlier release that were open during an upgrade.
    `notification_names` is true if a notification of the browser may have the caller's name and
    number. `dials` is true if the user's phone can be rung to call a number, and `welsh` if a
    caller can be transferred to the destination for Welsh.
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
    break_reasons: list[TextEntry] = Field(default_factory=list)
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
    """The last event of a stream that newer streams replace: a session can have `most` streams."""

    most: int


class Choice(RequestBody):
    """A request that says which candidate the advisor has chosen as the caller."""

    person_id: RequiredText


class PersonSearch(RequestBody):
    """A request to search for the caller by a text: a name, a postcode or a reference."""

    text: Annotated[RequiredText, StringConstraints(min_length=2, max_length=100)]


class SearchOutcome(BaseModel):
    """The response to a search: the number of people found, and the directories that failed."""

    found: int
    failed: list[str]


class Confirmation(RequestBody):
    """The advisor's answer about the person `person_id`. None stands for the chosen person."""

    outcome: PopConfirmation
    person_id: ShortText | None = None
