"""The request and answer bodies of the HTTP API, as pydantic models; all paths are under `/api/v1`.

| method and path | asks | answers | who |
|---|---|---|---|
| POST login | `Login` | `Me`, cookie; `client: "cli"`: `Me` with `token` | anyone, throttled |
| POST logout | nothing | 204 | signed in |
| GET me | | `Me` | signed in |
| GET strings/{language} | | the page's texts (`en`, `cy`) | anyone |
| GET events | `Last-Event-ID` | server-sent `snapshot`, `call`, `closed`, `alarm` | people |
| GET calls | | `list[Pop]`, those the viewer may see | people |
| GET calls/{id} | | `Pop` | people |
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

A right belongs to a machine's token, except `purge`, which is an administrator's. The bodies of the
endpoints that change the archive are in `archive_models.py`, those of `coverage` and `audit` in
`evidence.py`. An error is `{"error": …, "hint": …}` with a fitting status. `/` is the page,
`/static/…` its files. The events carry these models: `snapshot` a `Snapshot`, `call` a `Pop`,
`closed` a `Closed`, `alarm` an `AlarmEvent`. Times are Unix seconds.
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
"""A pattern without control characters, so that a one-line text never shows as two lines."""
Short: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=200, pattern=_ONE_LINE)
]
Needed: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE)
]


class Asked(BaseModel):
    """The base of all request bodies; it refuses unknown fields, and errors never repeat input."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Login(Asked):
    """A password sign-in; `client: "cli"` asks for a bearer token instead of a cookie."""

    user: Needed
    password: SecretStr = Field(max_length=1024)
    client: Literal["page", "cli"] = "page"


class Me(BaseModel):
    """The user who is signed in; `token` is only in the answer to a command line's sign-in.

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


class Snapshot(BaseModel):
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


class Holding(Asked):
    """The pause holder of a request to pause or resume; by default the user who sends it.

    A request to resume may name another holder: a supervisor may name any, the advisor in the call
    a phone (`phone:201`).
    """

    holder: Short | None = None


class PaymentTarget(Asked):
    """The advisor or extension whose calls a payment system pauses: exactly one of the two."""

    advisor: Short | None = None
    extension: Short | None = None


class HoldOutcome(BaseModel):
    """The gate's real state; `durable` is False if the disk did not confirm it in time."""

    state: RecordingShown
    durable: bool
    calls: list[str]


class Choice(Asked):
    """The advisor's choice of one of several candidates."""

    person_id: Needed


class Confirmation(Asked):
    """The advisor's answer to "have the details been confirmed?"."""

    outcome: ConfirmationOutcome
    person_id: Short | None = None


class Contact(Asked):
    """The contact note; `on_behalf_of` and `authority` are required unless the caller is `self`."""

    purpose: Needed
    language: Language = "en"
    outcome: Short = ""
    caller_type: CallerType = "self"
    on_behalf_of: Short = ""
    authority: Short = ""
    notes: Annotated[str, StringConstraints(max_length=4000)] = ""


class ContactSaved(BaseModel):
    """The confirmation that the note is on disk; `version` counts its revisions."""

    call_id: str
    version: int


Time: TypeAlias = Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)] | Short
"""Unix seconds, or a time in words that `galwad/when.py` reads in the centre's time zone."""
Length: TypeAlias = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
"""A length in seconds."""


class RecordingQuery(Asked):
    """The filters of the index, all optional; `after` is the value from the page before.

    `when` is a span in words; `since` and `until` mean the beginning of the time that they name.
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
    """The size in bytes of the packets that could not be decoded; 0 if there are none.

    They are sealed as they were received.
    """
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    gaps: list[Gap]
    custody: Literal["", "held", "disposed"] = ""
    named: bool = True
    """False if number, line and advisor are unknown, because the row was made from the manifest."""


class RecordingPage(BaseModel):
    """A page of recordings, the newest first.

    `after` is the value for the next page's query; None on the last page.
    """

    rows: list[RecordingRow]
    after: str | None


class RecordingDetail(BaseModel):
    """An index row with the signed manifest's text; `manifest` is `None` if its file is missing."""

    recording: RecordingRow
    manifest: str | None
    rewrap: str | None = None
    """The record of the last rewrap; None if there was none."""
    hold: str | None = None
    """The reason why it is retained; None if it is not."""
    disposal: str | None = None
    """The certificate of its disposal; None if it was not disposed of."""


class Fetch(Asked):
    """The reason why a recording leaves the archive; all fields are first entered in the audit.

    With `raw`, the answer is not the audio, but the packets that could not be decoded.
    """

    purpose: Purpose
    reference: Needed
    raw: bool = False


class Health(BaseModel):
    """The state of database, switch and finaliser; `status` is `ok` or `degraded`.

    `live_calls` counts calls in progress, without those in wrap-up. `peers_down` counts trunks and
    targets that do not answer, or refuse our registration.
    """

    status: Literal["ok", "degraded"]
    version: str
    database: bool
    switch: bool
    finaliser: bool
    live_calls: int
    peers_down: int


class ErrorBody(BaseModel):
    """The body of every failed request's answer."""

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
