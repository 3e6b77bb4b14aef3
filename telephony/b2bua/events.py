"""The events that a call reports to its owner: small frozen values from `next_event`.

Do not write their fields to the log: `identity`, `refer_to`, `request` and `response` hold personal
data. They are only for decisions.
"""

from dataclasses import dataclass
from enum import StrEnum

from telephony.b2bua.settings import Target
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request, Response


class Side(StrEnum):
    """The end of the call that a leg belongs to."""

    CALLER = "caller"
    CALLEE = "advisor"
    """The value is in checkpoints of every version."""


@dataclass(frozen=True, slots=True)
class LegRinging:
    """A callee leg rings: it has sent its first provisional response above 100."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class CallRedirected:
    """A target redirected the call to targets that the owner knows; they are being rung now."""

    leg_id: str
    """The leg that has ended."""
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A callee has answered with a 2xx; the caller's own 200 is not on the wire yet.

    Emitted for the first answer only: recording starts here. The owner takes all events after every
    `handle` and before it flushes `Endpoint.outgoing`. So its actions on this event come before the
    caller's 200.
    """

    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class LegEnded:
    """A leg has ended, and its ports are free."""

    leg_id: str
    side: Side
    cause: str


@dataclass(frozen=True, slots=True)
class CallHeld:
    """The leg's party has put the other party on hold."""

    leg_id: str
    side: Side


@dataclass(frozen=True, slots=True)
class CallResumed:
    """The leg's party has ended its hold."""

    leg_id: str
    side: Side


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """A party that may transfer the call has sent a well-formed REFER.

    It stays unanswered until `accept_transfer`, `join` or `refuse_transfer`; after 5 seconds it is
    refused with 603.
    """

    request_id: int
    leg_id: str
    side: Side
    refer_to: NameAddr
    replaces: str | None
    """The Replaces header inside Refer-To, unescaped; None for a blind transfer."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """The transfer's target rings: it has sent a provisional response."""

    request_id: int
    leg_id: str
    status: int


@dataclass(frozen=True, slots=True)
class TransferCompleted:
    """The caller now talks with `leg_id`, the leg of the transfer's target."""

    request_id: int
    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class Joined:
    """The caller now talks with `leg_id`, after an attended transfer or an INVITE with Replaces."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The transfer's target did not answer.

    With `transferor_gone`, the sender of the REFER has left: call `ring_again`, or the sender's own
    target is rung again. Otherwise the caller and the sender stay joined. But if the sender hangs
    up within two seconds of the report, this event comes once more, with `transferor_gone`.
    """

    request_id: int
    status: int
    transferor_gone: bool


@dataclass(frozen=True, slots=True)
class Recalled:
    """A callee that was rung again after a failed transfer has answered."""

    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO without a `Record` header has come; emitted before it is passed on."""

    leg_id: str
    side: Side
    request: Request


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """The callee's phone has sent its record key (an INFO with a `Record` header).

    It stays unanswered until `answer_record`, and is never passed on.
    """

    request_id: int
    leg_id: str
    value: str
    """The header's value; several values are joined by commas."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """A leg's party has a new identity (P-Asserted-Identity, Remote-Party-ID or Contact)."""

    leg_id: str
    side: Side
    identity: NameAddr
    source: str
    """The name of the header field with the identity."""


@dataclass(frozen=True, slots=True)
class MediaNegotiated:
    """A leg's media was agreed, for the first time or again: what its party may send."""

    leg_id: str
    side: Side
    payloads: tuple[tuple[int, str, int, int, str], ...]
    """(payload type received from the party, encoding name, clock in Hz, channels, fmtp)."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call has ended: every leg got its BYE, CANCEL or final response. Always the last event.

    Emitted exactly once. All ports are free; transactions may still run, and late responses are
    handled.
    """

    cause: str
    status: int = 0
    """The status with which the caller's INVITE was refused or failed; 0 in all other cases."""


CallEvent = (
    LegRinging
    | CallRedirected
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
