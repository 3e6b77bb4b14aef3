"""The HTTP API's bodies, as pydantic models; every path lies under `/api/v1`.

| method and path | asks | answers | who |
|---|---|---|---|
| POST login | `Login` | `Me`, cookie; `client: "cli"`: `Me` with `token` | anyone, throttled |
| POST logout | nothing | 204 | signed in |
| GET me | | `Me` | signed in |
| GET strings/{language} | | the page's texts (`en`, `cy`) | anyone |
| GET events | `Last-Event-ID` | server-sent `snapshot`, `call`, `closed`, `alarm` | people |
| GET calls | | `list[Pop]`, those the viewer may see | people |
| PUT, DELETE calls/{id}/payment | `Holding`? | `HoldOutcome` | own advisor, supervisor, right |
| PUT, DELETE payments | `PaymentTarget` | `HoldOutcome` | supervisor, right |
| POST calls/{id}/choose | `Choice` | `Pop` | own advisor |
| POST calls/{id}/confirm | `Confirmation` | `Pop` | own advisor |
| PUT calls/{id}/contact | `Contact` | `ContactSaved` | own advisor, supervisor |
| GET coverage | when | `Coverage` | supervisor, admin |
| GET audit | after, limit | `AuditPage` | admin |
| POST audit/search | `AuditQuery` | `AuditPage`, the newest first | admin |
| GET audit/head | seq | `AuditHead` | the right `anchors`, supervisor, admin |
| POST recordings/search | `RecordingQuery` | `RecordingPage` | supervisor, admin |
| GET recordings | | `RecordingPage`, the newest | supervisor, admin |
| GET recordings/{id} | | `RecordingDetail` | supervisor, admin |
| POST recordings/{id}/fetch | `Fetch` | sealed bytes: header, then payload | supervisor, admin |
| PUT, DELETE recordings/{id}/hold | `HoldReason` | 204; audited | admin |
| POST recordings/{id}/purge | `Purge` | `Purged`; audited | admin with the right `purge` |
| POST recordings/{id}/recover | `Recover` | 204; audited | admin |
| GET unindexed | | `Unindexed` | admin |
| POST recordings/{id}/reindex | `Reindex` | `Reindexed`; audited | admin |
| GET recipients | | `SignedSet` in force | admin |
| POST headers/search | `HeaderQuery` | `HeaderPage` | admin |
| POST recordings/{id}/header | `HeaderReason` | `SealedHeader`, audited | admin |
| PUT recordings/{id}/header | `NewHeader` | `StagedHeader`: as read back | admin |
| PUT recordings/{id}/header/commit | `HeaderCommit` | 204; audited | admin |
| GET health | | `Health` | anyone |
| GET metrics | | Prometheus text | loopback, `metrics` |

Rights are what a machine's token may have; `purge` is an administrator's. What `coverage` and
`audit` answer is in `evidence.py`.
Errors are `{"error": …, "hint": …}` with a proper status. `/` is the page, `/static/…` its
files. Events: `snapshot` is `Snapshot`, `call` a `Pop`, `closed` is `Closed`, `alarm` is
`AlarmEvent`. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Role: TypeAlias = Literal["advisor", "supervisor", "admin", "machine"]
Language: TypeAlias = Literal["en", "cy"]
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
Purpose: TypeAlias = Literal[
    "quality-training",
    "customer-insight",
    "complaint",
    "legal-claim",
    "staff-safety",
    "legal-disclosure",
    "crime",
    "vital-interests",
]
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""No control characters: what is asked for in one line must not look like two anywhere."""
Short: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=_ONE_LINE)
]
Needed: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE)
]


class Asked(BaseModel):
    """Base of what a client sends: unknown fields are refused, input never echoed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Login(Asked):
    """A password sign-in; `client: "cli"` asks for a bearer token instead of a cookie."""

    user: Needed
    password: SecretStr = Field(max_length=1024)
    client: Literal["page", "cli"] = "page"


class Me(BaseModel):
    """Who is signed in; `token` only in the answer to a command line's sign-in.

    The session ends after `idle` seconds without use, and at the Unix time `until` at the latest.
    """

    user: str
    role: Role
    language: Language
    extension: str | None = None
    token: str | None = None
    idle: float | None = None
    until: float | None = None


class Candidate(BaseModel):
    """A person the number may belong to: what may be seen before the confirmation."""

    person_id: str
    name: str
    language: str
    shared_warning: bool
    kind: Literal["person", "organisation", "payphone"]
    main_line: bool = False


class Caller(BaseModel):
    """The pop's caller; `details` stays empty until the advisor has confirmed."""

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
    """One call as its viewer may see it; `mine` when the viewer is ringing or has answered."""

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


class Snapshot(BaseModel):
    """First event of a stream whose past is not known: everything the viewer may see."""

    calls: list[Pop]
    me: Me
    now: float
    switch: bool


class Closed(BaseModel):
    """The viewer's pop of this call goes: another has answered, or all is done."""

    call_id: str


class AlarmEvent(BaseModel):
    """Something a person must know; `kind` is an event name such as `payment.forgotten`."""

    kind: str
    call_id: str | None = None
    since: float


class Holding(Asked):
    """Which holder pauses or lets go; by default the caller of the API itself.

    A release may name another's: a supervisor any, the advisor in the call a phone (`phone:201`).
    """

    holder: Short | None = None


class PaymentTarget(Asked):
    """Whose calls a payment system pauses: exactly one of the two."""

    advisor: Short | None = None
    extension: Short | None = None


class HoldOutcome(BaseModel):
    """The gate's real state; `durable` is False when the disk did not confirm in time."""

    state: RecordingShown
    durable: bool
    calls: list[str]


class Choice(Asked):
    """The advisor picks one of several candidates."""

    person_id: Needed


class Confirmation(Asked):
    """The advisor's answer to "have the details been confirmed?"."""

    outcome: ConfirmationOutcome
    person_id: Short | None = None


class Contact(Asked):
    """The contact note: `on_behalf_of` and `authority` are needed unless the caller is `self`."""

    purpose: Needed
    language: Language = "en"
    outcome: Short = ""
    caller_type: CallerType = "self"
    on_behalf_of: Short = ""
    authority: Short = ""
    notes: Annotated[str, StringConstraints(max_length=4000)] = ""


class ContactSaved(BaseModel):
    """The note is durable; `version` counts its revisions."""

    call_id: str
    version: int


Time: TypeAlias = Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)] | Short
"""Unix seconds, or words for a time in the centre's zone, which galwad/when.py knows."""
Length: TypeAlias = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
"""Seconds."""


class RecordingQuery(Asked):
    """Filters of the index, all optional; `after` is where the page before says that it ended.

    `when` is a span in words; `since` and `until` mean the begin of what they name.
    """

    number: Short | None = None
    advisor: Short | None = None
    extension: Short | None = None
    line: Short | None = None
    reference: Short | None = None
    gap_reason: Literal["payment", "transfer", "fault", "erased"] | None = None
    when: Short | None = None
    since: Time | None = None
    until: Time | None = None
    min_length_s: Length | None = None
    max_length_s: Length | None = None
    limit: int = Field(default=50, ge=1, le=500)
    after: Short | None = None


class Gap(BaseModel):
    """Talk time that was not recorded, in microseconds since the recording's start."""

    reason: str
    trigger: str
    actor: str
    from_us: int
    to_us: int


class RecordingRow(BaseModel):
    """One recording as the index knows it."""

    call_id: str
    started: float
    talk_s: float
    number: str | None
    line: str
    advisor: str
    extension: str
    interrupted: bool
    unexplained_s: float
    raw_size: int = 0
    """Bytes of what could not be decoded, sealed as it came; 0: there is none."""
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    gaps: list[Gap]
    custody: Literal["", "held", "disposed"] = ""
    named: bool = True
    """False: number, line and advisor are not known; its manifest alone is."""


class RecordingPage(BaseModel):
    """Rows in falling order of start; `after` is for the query of the next page, if one follows."""

    rows: list[RecordingRow]
    after: str | None


class RecordingDetail(BaseModel):
    """An index row with the signed manifest's text (None when its file is missing)."""

    recording: RecordingRow
    manifest: str | None
    rewrap: str | None = None
    """The record of its last rewrap, if there was one."""
    hold: str | None = None
    """Why it is held back from disposal, if it is."""
    disposal: str | None = None
    """The certificate, if it was disposed of."""


class Fetch(Asked):
    """Why a recording leaves the archive; all fields go into the audit first.

    `raw`: not the audio, but the packets that could not be decoded.
    """

    purpose: Purpose
    reference: Needed
    raw: bool = False


class Health(BaseModel):
    """Whether the desk's neighbours are there; `status` is `ok` or `degraded`.

    `live_calls` go on, and are no longer counted in wrap-up. `peers_down` counts trunks and targets
    that do not answer, or refuse our registration.
    """

    status: Literal["ok", "degraded"]
    version: str
    database: bool
    switch: bool
    finaliser: bool
    live_calls: int
    peers_down: int


class ErrorBody(BaseModel):
    """What every failed request answers."""

    error: str
    hint: str = ""


ASKED: tuple[type[Asked], ...] = (
    Login,
    Holding,
    PaymentTarget,
    Choice,
    Confirmation,
    Contact,
    RecordingQuery,
    Fetch,
)
