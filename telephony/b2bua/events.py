"""What a call tells its owner: small frozen values, taken from `BackToBackCall.next_event`.

Nothing here is a log line: `identity`, `refer_to`, `request` and `response` hold personal
data and are for policy, not for the journal.
"""

from dataclasses import dataclass
from enum import StrEnum

from telephony.b2bua.settings import Target
from telephony.sip.headers import NameAddr
from telephony.sip.message import Request, Response


class Side(StrEnum):
    """Which end of the call a leg belongs to."""

    CALLER = "caller"
    ADVISOR = "advisor"


@dataclass(frozen=True, slots=True)
class LegRinging:
    """An advisor's side leg rings (the first 18x of that leg)."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class CallDiverted:
    """A target sent the call elsewhere, to somebody whom the owner knew: they are rung now."""

    leg_id: str
    """The leg that is over."""
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A leg's 2xx is in hand; the caller's own 200 is not on the wire yet.

    Emitted for the first answer only: recording starts here. The owner drains
    `next_event` after every `handle` and before it flushes `Endpoint.outgoing`, so
    that whatever it does on this event precedes the caller's 200.
    """

    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class LegEnded:
    """A leg is over; its ports are free."""

    leg_id: str
    side: Side
    cause: str


@dataclass(frozen=True, slots=True)
class CallHeld:
    """The leg's party put the other on hold."""

    leg_id: str
    side: Side


@dataclass(frozen=True, slots=True)
class CallResumed:
    """The leg's party took the other off hold."""

    leg_id: str
    side: Side


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The advisor's side sent a REFER that is well formed.

    It is unanswered until `accept_transfer` or `refuse_transfer`.
    """

    request_id: int
    leg_id: str
    side: Side
    refer_to: NameAddr
    replaces: str | None
    """The Replaces header inside Refer-To, unescaped; None for a blind transfer."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """The transfer's target answered provisionally."""

    request_id: int
    leg_id: str
    status: int


@dataclass(frozen=True, slots=True)
class TransferCompleted:
    """The caller now talks with `leg_id`, the leg to the transfer's target."""

    request_id: int
    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class Joined:
    """The caller now talks with `leg_id`, which came from another call (attended transfer)."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The target did not answer.

    With `advisor_gone` nobody is there to go back to: call `ring_again`, or the advisor's own
    target is rung. Otherwise caller and advisor are joined as before; but if the advisor hangs up
    within two seconds of hearing it, the same comes once more, with `advisor_gone`.
    """

    request_id: int
    status: int
    advisor_gone: bool


@dataclass(frozen=True, slots=True)
class Recalled:
    """After a failed transfer an advisor has been rung again and has answered."""

    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO without a `Record` header came in; emitted before it is passed on."""

    leg_id: str
    side: Side
    request: Request


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """The phone that has the call pressed its record key (an INFO with a `Record` header).

    It is unanswered until `answer_record`, and never passed on.
    """

    request_id: int
    leg_id: str
    value: str
    """The header as it came; several are joined by commas."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """A leg's party named itself (P-Asserted-Identity, Remote-Party-ID or Contact)."""

    leg_id: str
    side: Side
    identity: NameAddr
    source: str
    """The header that it came from."""


@dataclass(frozen=True, slots=True)
class MediaNegotiated:
    """A leg's media was agreed or agreed anew: what its party sends, by payload type."""

    leg_id: str
    side: Side
    payloads: tuple[tuple[int, str, int, int, str], ...]
    """(payload type received from the party, encoding name, clock rate, channels, fmtp)."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over: every leg has its BYE, CANCEL or answer. Emitted exactly once, last.

    No port is left; transactions may still run out, and late answers are dealt with.
    """

    cause: str
    status: int = 0
    """What the caller was told, if it was refused or nobody answered."""


CallEvent = (
    LegRinging
    | CallDiverted
    | CallAnswered
    | LegEnded
    | CallHeld
    | CallResumed
    | TransferRequested
    | TransferProgress
    | TransferCompleted
    | Joined
    | TransferFailed
    | Recalled
    | InfoReceived
    | RecordRequested
    | IdentityChanged
    | MediaNegotiated
    | CallEnded
)
