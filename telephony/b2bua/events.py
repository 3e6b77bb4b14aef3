"""The events that a call reports to its owner, the application that uses this package.

Events are small frozen values, which the owner reads by `next_event`. Do not write the fields of an
event to the log, because `identity`, `refer_to`, `request` and `response` contain personal data.
The owner may use these fields only to make its decisions.
"""

from dataclasses import dataclass
from enum import StrEnum

from telephony.b2bua.settings import Target
from telephony.sip.events import Address
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request, Response


class Side(StrEnum):
    """The side of a call that a leg belongs to: the caller's or the callee's."""

    CALLER = "caller"
    CALLEE = "advisor"
    """The text is "advisor" and not "callee", because earlier versions wrote it to checkpoints."""


@dataclass(frozen=True, slots=True)
class LegRinging:
    """A callee leg rings, because its peer has sent a provisional response above 100."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class AddressSilent:
    """An address of a target sent no response in time, so the next one is tried."""

    leg_id: str
    address: Address


@dataclass(frozen=True, slots=True)
class CallRedirected:
    """A target has redirected the call to other targets, which now ring.

    The call's owner (the application) knows these targets, because its `FindTargets` function has
    returned them.
    """

    leg_id: str
    """The id of the redirected leg, which has ended."""
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class MoreTargetsRung:
    """Further targets ring now, because none of the first targets has answered in time."""

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class CallerReached:
    """The caller of a call that we place has answered. The call's owner must now dial the targets.

    The owner calls `dial`, or `hangup` if there is no target.
    """

    leg_id: str


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """A callee has answered the call with a 2xx. The caller's 200 is not sent yet.

    Only the first callee that answers causes this event. The call's owner (the application) starts
    the recording when it gets this event. The owner reads all events after each use of `handle`,
    and only then sends `Endpoint.outgoing`. Therefore, the owner handles this event before the
    caller gets the 200.
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
    """The peer of a leg has ended the hold of the call."""

    leg_id: str
    side: Side


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """A party has sent a well-formed REFER, and this party is allowed to transfer the call.

    Within 5 seconds, the call's owner (the application) must call `accept_transfer`, `join` or
    `refuse_transfer`. Otherwise the REFER is refused with 603.
    """

    request_id: int
    leg_id: str
    side: Side
    refer_to: NameAddr
    replaces: str | None
    """The unescaped Replaces value inside the Refer-To URI; None for a blind transfer."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """The target of a transfer rings, because it has sent a provisional response."""

    request_id: int
    leg_id: str
    status: int


@dataclass(frozen=True, slots=True)
class TransferCompleted:
    """The transfer succeeded. The caller now talks with the target, on the leg `leg_id`."""

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

    If `transferor_gone` is true, the sender of the REFER has hung up. The call's owner (the
    application) must then call `ring_again` with the targets to ring. If the owner does not do so,
    the call rings the sender of the REFER again.

    If `transferor_gone` is false, the caller and the sender of the REFER are still joined. The
    sender receives a NOTIFY about the failure. Until two seconds after the response to this NOTIFY,
    a BYE from the sender does not end the call. Instead, this event is emitted a second time, with
    `transferor_gone` true.
    """

    request_id: int
    status: int
    transferor_gone: bool


@dataclass(frozen=True, slots=True)
class Recalled:
    """A party that was rung by `ring_again`, after a failed transfer, has answered the call."""

    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """A peer has sent an INFO without a `Record` header field.

    The event is emitted before the INFO is passed on to the other leg, and also if there is no
    other leg.
    """

    leg_id: str
    side: Side
    request: Request


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """A party has pressed the record key of the phone, so the phone has sent an INFO.

    The party is the callee, or a caller at one of our own phones. The INFO has a `Record` header
    field and is never passed on to the other party. The phone gets no response until the call's
    owner (the application) calls `answer_record`.
    """

    request_id: int
    leg_id: str
    side: Side
    value: str
    """The value of the `Record` header field. Several values are joined by commas."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """The party of a leg has a new identity (P-Asserted-Identity, Remote-Party-ID or Contact).

    The names of a callee that rings are reported at its answer, immediately before `CallAnswered`
    or the event of a transfer. Only the name of the party that answers is reported.
    """

    leg_id: str
    side: Side
    identity: NameAddr
    """The new identity. It is anonymous if another party has answered than those named before."""
    source: str
    """The name of the header field that contains the new identity; "" if there is none."""
    message: Request | Response
    """The message with this header field, which may also ask for privacy (RFC 3323)."""


@dataclass(frozen=True, slots=True)
class MediaNegotiated:
    """A leg and its peer have agreed on media, for the first time or again.

    The event contains the payload types that the peer may send.
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

    We have sent a BYE, CANCEL or final response to every peer, and all ports are free. Some SIP
    transactions may not be complete yet, so late responses are still handled.
    """

    cause: str
    status: int = 0
    """The failure status that the caller's INVITE got; 0 if the INVITE got no failure status."""


CallEvent = (
    LegRinging
    | AddressSilent
    | CallRedirected
    | MoreTargetsRung
    | CallerReached
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
