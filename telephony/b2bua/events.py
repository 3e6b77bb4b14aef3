"""The events that a call reports to its owner, the application that uses this package.

They are small frozen values, which the owner reads by `next_event`. Do not write their fields to
the log: `identity`, `refer_to`, `request` and `response` hold personal data. The owner may use them
only to make its decisions.
"""

from dataclasses import dataclass
from enum import StrEnum

from telephony.b2bua.settings import Target
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request, Response


class Side(StrEnum):
    """The side of a call that a leg belongs to: the caller's or the callee's."""

    CALLER = "caller"
    CALLEE = "advisor"
    """The value is "advisor", because the checkpoints of all earlier versions use it."""


@dataclass(frozen=True, slots=True)
class LegRinging:
    """A callee leg rings: its peer has sent the first provisional response above 100."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class CallRedirected:
    """A target redirected the call to other targets, which ring now.

    The owner knows these targets: its `FindTargets` callback has returned them.
    """

    leg_id: str
    """The id of the redirected leg, which has ended."""
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A callee has answered with a 2xx; the 200 for the caller is not sent yet.

    This event comes only for the first answer in a call, and recording starts with it. The owner
    takes all events after every `handle` and before it flushes `Endpoint.outgoing`. So everything
    that the owner does on this event happens before the caller gets its 200.
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
    """The peer of a leg has put the call on hold."""

    leg_id: str
    side: Side


@dataclass(frozen=True, slots=True)
class CallResumed:
    """The peer of a leg has ended its hold."""

    leg_id: str
    side: Side


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """A party that may transfer the call has sent a well-formed REFER.

    The owner must answer it by `accept_transfer`, `join` or `refuse_transfer` within 5 seconds.
    After that time it is refused with 603.
    """

    request_id: int
    leg_id: str
    side: Side
    refer_to: NameAddr
    replaces: str | None
    """The Replaces header inside Refer-To, unescaped; None for a blind transfer."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """The target of a transfer rings: it has sent a provisional response."""

    request_id: int
    leg_id: str
    status: int


@dataclass(frozen=True, slots=True)
class TransferCompleted:
    """The transfer succeeded: the caller now talks with the transfer's target, on leg `leg_id`."""

    request_id: int
    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class Joined:
    """The caller now talks with the party on the leg `leg_id`.

    The reason is an attended transfer or an INVITE with Replaces.
    """

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The target of a transfer did not answer.

    `transferor_gone` is true if the sender of the REFER has hung up. The owner must then call
    `ring_again`; otherwise the sender's own target is rung again. If `transferor_gone` is false,
    the caller and the sender of the REFER are still joined. If that sender hangs up within two
    seconds after it has answered the report of the failure, this event is emitted a second time,
    with `transferor_gone` true.
    """

    request_id: int
    status: int
    transferor_gone: bool


@dataclass(frozen=True, slots=True)
class Recalled:
    """A callee that was rung again after a failed transfer has answered: the recall succeeded."""

    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """A peer has sent an INFO without a `Record` header.

    The event is emitted before the INFO is passed on to the other leg.
    """

    leg_id: str
    side: Side
    request: Request


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """The callee's phone has sent an INFO with a `Record` header: its record key was pressed.

    The INFO is never passed on to the caller. It has no response until the owner calls
    `answer_record`.
    """

    request_id: int
    leg_id: str
    value: str
    """The value of the `Record` header; several values are joined by commas."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """The party of a leg has a new identity (P-Asserted-Identity, Remote-Party-ID or Contact)."""

    leg_id: str
    side: Side
    identity: NameAddr
    source: str
    """The name of the header field that holds the new identity."""


@dataclass(frozen=True, slots=True)
class MediaNegotiated:
    """A leg and its peer have agreed on media, for the first time or again.

    The event holds the payload types that the peer may send.
    """

    leg_id: str
    side: Side
    payloads: tuple[tuple[int, str, int, int, str], ...]
    """One row for each payload type that the peer may send.

    A row is (payload type, encoding name, clock in Hz, channels, fmtp).
    """


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call has ended. This event is emitted exactly once, as the last event of a call.

    Every leg got its BYE, CANCEL or final response, and all ports are free. SIP transactions may
    still run, and late responses are handled.
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
