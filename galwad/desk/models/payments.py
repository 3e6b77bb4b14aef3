"""Request and response bodies for pausing and resuming recordings."""

from __future__ import annotations

from pydantic import BaseModel

from galwad.desk.models.base import RequestBody, ShortText
from galwad.desk.models.calls import RecordingShown


class PauseRequest(RequestBody):
    """A request to pause or resume one call, for the pause holder `holder`.

    If `holder` is missing, the pause holder is the user who sends the request: `page:NAME` for a
    person, `token:NAME` for a machine. A request to pause cannot name another pause holder. In a
    request to resume, a supervisor may name any pause holder, and the advisor who has the call may
    name a phone, such as `phone:201`.
    """

    holder: ShortText | None = None


class PaymentTarget(RequestBody):
    """A request to pause or resume all calls of an advisor or of an extension.

    Exactly one of `advisor` and `extension` must be set.
    """

    advisor: ShortText | None = None
    extension: ShortText | None = None


class PauseOutcome(BaseModel):
    """The response to a request to pause or resume: the real state of the gate.

    `durable` is false if the disk did not confirm in time that this state is stored. `calls` has
    the ids of the calls that were paused or resumed.
    """

    state: RecordingShown
    durable: bool
    calls: list[str]
