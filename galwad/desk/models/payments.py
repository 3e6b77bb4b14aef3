"""Bodies for pausing and resuming recordings."""

from __future__ import annotations

from pydantic import BaseModel

from galwad.desk.models.base import Asked, Short
from galwad.desk.models.calls import RecordingShown


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
