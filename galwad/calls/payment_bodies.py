"""Request and response bodies for pausing and resuming recordings."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field

from galwad.calls.bodies import RecordingShown
from galwad.host.bodies import RequestBody, ShortText

Heartbeat: TypeAlias = Annotated[float, Field(ge=5, le=3600, allow_inf_nan=False)]
"""The seconds within which a pause holder will repeat its request to pause.

If it does not, the recording stays paused, and the advisor and the supervisors are warned.
"""


class PauseRequest(RequestBody):
    """A request to pause or resume one call, for the pause holder `holder`.

    If `holder` is missing, the pause holder is the user who sends the request: `page:NAME` for a
    person, `token:NAME` for a machine. A request to pause cannot name another pause holder. In a
    request to resume, a supervisor may name any pause holder, and the advisor who has the call may
    name a phone, such as `phone:201`.
    """

    holder: ShortText | None = None
    heartbeat: Heartbeat | None = None


class PaymentTarget(RequestBody):
    """A request to pause or resume all calls of an advisor or of an extension.

    Exactly one of `advisor` and `extension` must be set.
    """

    advisor: ShortText | None = None
    extension: ShortText | None = None
    heartbeat: Heartbeat | None = None


class PaymentPage(RequestBody):
    """A request of a payment page to pause the call of its token, or to renew this pause."""

    heartbeat: Heartbeat | None = None


class PaymentTokenRequest(RequestBody):
    """A request for a token with which a payment page can pause one live call, once.

    Exactly one of `call_id`, `advisor` and `extension` must be set. An advisor or extension must
    have exactly one answered call.
    """

    call_id: ShortText | None = None
    advisor: ShortText | None = None
    extension: ShortText | None = None


class NewPaymentToken(BaseModel):
    """The response with a new token, which is not available again later.

    The page must pause before the Unix time `expires`. `holder` is the pause holder of the page.
    """

    token: str
    call_id: str
    expires: float
    holder: str


class PauseOutcome(BaseModel):
    """The response to a request to pause or resume: the real state of the gate.

    `durable` is false if the disk did not confirm in time that this state is stored. `calls` has
    the ids of the calls that were paused or resumed.
    """

    state: RecordingShown
    durable: bool
    calls: list[str]
