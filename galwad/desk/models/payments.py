"""Bodies for pausing and resuming recordings."""

from __future__ import annotations

from pydantic import BaseModel

from galwad.desk.models.base import RequestBody, ShortText
from galwad.desk.models.calls import RecordingShown


class PauseRequest(RequestBody):
    """The pause holder of a request to pause or resume; by default the user who sends it.

    A request to resume may name another holder: a supervisor may name any, the advisor in the call
    a phone (`phone:201`).
    """

    holder: ShortText | None = None


class PaymentTarget(RequestBody):
    """The advisor or extension whose calls a payment system pauses: exactly one of the two."""

    advisor: ShortText | None = None
    extension: ShortText | None = None


class PauseOutcome(BaseModel):
    """The gate's real state; `durable` is False if the disk did not confirm it in time."""

    state: RecordingShown
    durable: bool
    calls: list[str]
