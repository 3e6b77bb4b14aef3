"""Request and response bodies for searching, showing and fetching recordings."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field

from galwad.host.bodies import RequestBody, RequiredText, ShortText

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
Time: TypeAlias = Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)] | ShortText
"""A time in Unix seconds, or in words such as "today".

The function `galwad.periods.period` reads the words, in the time zone of the desk's settings.
"""
Length: TypeAlias = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
"""The talk time of a recording, in seconds."""


class RecordingQuery(RequestBody):
    """A search for recordings. All filters are optional.

    `when` is a period in words, such as "yesterday". In `since` and `until`, "yesterday" means
    the start of yesterday. To get the next page, set `after` to the value of `after` in the
    previous page. That value is not a person's text: it has a time of many digits, which may look
    like a card number.
    """

    number: ShortText | None = None
    advisor: ShortText | None = None
    extension: ShortText | None = None
    line: ShortText | None = None
    reference: ShortText | None = None
    gap_reason: Literal["payment", "transfer", "fault", "erased", "captured-card"] | None = None
    when: ShortText | None = None
    since: Time | None = None
    until: Time | None = None
    min_length_s: Length | None = None
    max_length_s: Length | None = None
    limit: int = Field(default=50, ge=1, le=500)
    after: Annotated[str, Field(max_length=200)] | None = None


class Gap(BaseModel):
    """A part of the talk time that was not recorded.

    `from_us` and `to_us` are in microseconds since the recording's start.
    """

    reason: str
    trigger: str
    actor: str
    from_us: int
    to_us: int


class LaterCaller(BaseModel):
    """A caller whom a trunk has named during the call, because the call was handed over.

    `from_us` is the time of the change, in microseconds since the recording's start. `number` is
    None if the number is unknown or withheld.
    """

    from_us: int
    number: str | None
    withheld: bool = False


class RecordingNetwork(BaseModel):
    """The packets of one party, and the effects of the network on them.

    `channel` is "caller" or "advisor". The jitter is in microseconds (RFC 3550), `jitter_us` is its
    average and `jitter_most_us` its maximum. `loss_bursts` and `longest_loss` describe the bursts
    of lost packets: their number, and the packets in the longest one. `mos` is an estimate from 1
    to 4.5 (ITU-T G.107); None if there is no estimate for the codec.
    """

    channel: str
    received: int
    lost: int
    late: int
    duplicate: int
    loss_bursts: int
    longest_loss: int
    jitter_us: int
    jitter_most_us: int
    mos: float | None


class LaterAdvisor(BaseModel):
    """A party that got the call at the advisor's end after the first one.

    `from_us` is the time from which it had the call, in microseconds since the recording's start.
    `advisor` is the user name, "" if the party is not a user. `extension` is the extension, or the
    name that a PBX gave to the party.
    """

    from_us: int
    advisor: str
    extension: str


class RecordingRow(BaseModel):
    """One recording, with the facts from its row in the index."""

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
    """The size in bytes of the file with the packets that could not be decoded.

    It is 0 if all packets could be decoded. The file is encrypted and has the packets as they were
    received.
    """
    payload_size: int
    payload_sha256: str
    manifest_sha256: str
    gaps: list[Gap]
    later_callers: list[LaterCaller] = []
    """The callers after the first caller, whose number is `number`; the earliest first."""
    later_advisors: list[LaterAdvisor] = []
    """The parties at the advisor's end after the first one, `advisor` at `extension`."""
    network: list[RecordingNetwork] = []
    """The network's effects on each party; empty if the recording was sealed by older software."""
    custody: Literal["", "held", "disposed"] = ""
    captured_card: Literal["", "open", "closed"] = ""
    """The state of the incidents in which a card number was keyed outside a pause.

    It is "" if there are none, "open" if at least one is open, and otherwise "closed".
    """
    named: bool = True
    """True if the row has the phone number, line and advisor.

    It is false if the row was made only from the manifest, which does not contain these three
    facts.
    """


class RecordingPage(BaseModel):
    """A page of recordings, newest first.

    To get the next page, send `after` in the next query. `after` is None if there are no more
    pages.
    """

    rows: list[RecordingRow]
    after: str | None


class CapturedCardIncident(BaseModel):
    """A card number that was keyed outside a pause. It is silenced in the recording.

    `from_us` and `to_us` are in microseconds since the recording's start, `detected` and `closed`
    in Unix seconds. `closed` and the two texts are None while the incident is open.
    """

    call_id: str
    from_us: int
    to_us: int
    detected: float
    state: Literal["open", "closed"]
    closed: float | None = None
    missing_trigger: str | None = None
    changed: str | None = None


class CapturedCardList(BaseModel):
    """The incidents in which a card number was keyed outside a pause, sorted by call id."""

    rows: list[CapturedCardIncident]


class RecordingDetail(BaseModel):
    """One recording: its row in the index, and the text of its signed manifest.

    `manifest` is None if the manifest's file is missing.
    """

    recording: RecordingRow
    manifest: str | None
    rewrap: str | None = None
    """The record of the recording's most recent rewrap, as text; None without a rewrap."""
    hold: str | None = None
    """The reason why the recording is retained; None if it is not retained."""
    disposal: str | None = None
    """The text of the certificate of disposal; None if the recording was not disposed of."""
    folder: str = ""
    """The recording's folder in the archive, according to the index."""
    salt: str = ""
    """The salt of the commitments in the manifest, in hexadecimal; "" if the row has no salt."""
    captured_cards: list[CapturedCardIncident] = []


class ExplainedGap(Gap):
    """A gap with the times of its edges and the numbers of the audit entries that belong to it.

    `began` and `ended` are the edges in Unix seconds. `then` says what follows the gap: the call is
    recorded, another gap, or the call's end. `proof` says where the audit chain proves the gap's
    cause: "entry" is an entry about the gap itself, and "manifest" the entry with the digest of
    the signed manifest, which names the cause. It is "missing" if there should be such an entry and
    there is none. `stopped_by` is the number of this entry, and `resumed_by` the number of the
    entry about the resume; None if there is none.
    """

    began: float
    ended: float
    then: Literal["recorded", "gap", "end"]
    proof: Literal["entry", "manifest", "missing"]
    stopped_by: int | None
    resumed_by: int | None


class GapExplanation(BaseModel):
    """The gaps of a recording, each with its audit entries.

    `started` is in Unix seconds. `signed` is false if the manifest is missing, or is not the one
    that was indexed: the gaps are then those of the index, which has no signature.
    """

    call_id: str
    started: float
    talk_us: int
    unexplained_us: int
    signed: bool
    gaps: list[ExplainedGap]


class Fetch(RequestBody):
    """A request to fetch a recording. `purpose` and `reference` give the reason.

    The reason is entered in the audit chain before the recording is sent. If `raw` is true, the
    packets that could not be decoded are sent instead of the audio.
    """

    purpose: Purpose
    reference: RequiredText
    raw: bool = False
