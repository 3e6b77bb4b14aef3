"""Bodies for searching, showing and fetching recordings."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field

from galwad.desk.models.base import RequestBody, RequiredText, ShortText

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
"""Unix seconds, or a time in words that `galwad/periods.py` reads in the centre's time zone."""
Length: TypeAlias = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
"""A length in seconds."""


class RecordingQuery(RequestBody):
    """The filters of the index, all optional; `after` is the value from the page before.

    `when` is a span in words; `since` and `until` mean the beginning of the time that they name.
    """

    number: ShortText | None = None
    advisor: ShortText | None = None
    extension: ShortText | None = None
    line: ShortText | None = None
    reference: ShortText | None = None
    gap_reason: Literal["payment", "transfer", "fault", "erased"] | None = None
    when: ShortText | None = None
    since: Time | None = None
    until: Time | None = None
    min_length_s: Length | None = None
    max_length_s: Length | None = None
    limit: int = Field(default=50, ge=1, le=500)
    after: ShortText | None = None


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


class Fetch(RequestBody):
    """The reason why a recording leaves the archive; all fields are first entered in the audit.

    With `raw`, the answer is not the audio, but the packets that could not be decoded.
    """

    purpose: Purpose
    reference: RequiredText
    raw: bool = False
