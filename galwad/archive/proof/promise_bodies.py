"""The response body of the check of the privacy notice's promises."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class BrokenBy(BaseModel):
    """A fact that breaks a promise.

    `us` is a length in microseconds. If `kind` is "pause_ignored", it is the time of the audit
    entry, in microseconds since 1970. `call_id` is "" if the fact does not concern a single call.
    `text` is a description in English, or "".
    """

    kind: Literal[
        "unexplained",
        "missing",
        "miscounted",
        "fault",
        "recorded_in_pause",
        "stored_in_pause",
        "trigger_ignored",
        "spools_unread",
        "pause_ignored",
        "captured_card",
        "recorded_after",
        "stored_after",
        "changed",
        "changed_row",
        "orphan",
        "audit",
    ]
    call_id: str
    us: int
    text: str


class Promise(BaseModel):
    """One promise of the privacy notice, with its evidence.

    `evidence` has numbers by name: lengths in microseconds if the name ends with `_us`, otherwise
    counts. A number for one trigger, such as `pauses_page`, is only there if it is not 0.
    `more_findings` is the number of findings that are not in the list.
    """

    name: Literal["recorded", "payments", "transfers", "intact"]
    verdict: Literal["kept", "broken", "no-evidence"]
    evidence: dict[str, int]
    findings: list[BrokenBy]
    more_findings: int = 0


class PromiseReport(BaseModel):
    """The promises of the privacy notice, checked for the calls that were answered in a period.

    `first_day` and `last_day` are dates such as 2026-11-25, in the centre's time zone. `checked` is
    the time of the check, in Unix seconds. `kept` is false if any promise is broken. The report has
    no personal data.
    """

    first_day: str
    last_day: str
    checked: float
    kept: bool
    promises: list[Promise]
