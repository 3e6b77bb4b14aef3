"""The events that a call reports to its owner, the application that uses this package.

Some fields contain personal data: `identity`, `message`, `refer_to`, `request`, `response`, and the
URI and user of a `Target`. Do not log them.
"""

from dataclasses import dataclass
from enum import StrEnum

from telephony.b2bua.settings import Target
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response


class Side(StrEnum):
    """The side of a call that a leg belongs to: the caller's or the callee's."""

    CALLER = "caller"
    CALLEE = "advisor"
    """The text is "advisor" and not "callee", because earlier versions wrote it to checkpoints."""


@dataclass(frozen=True, slots=True)
class LegRinging:
    """A callee has sent its first provisional response above 100."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class AddressSilent:
    """An address of a target sent no response in time, so we try the target's next address."""

    leg_id: str
    address: Address


@dataclass(frozen=True, slots=True)
class CallRedirected:
    """A target has redirected the call by a 3xx, and the targets of a Contact in it now ring."""

    leg_id: str
    """The redirected leg, which has ended."""
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class MoreTargetsRung:
    """Further targets ring now: the first ones did not answer in time, or have all failed."""

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class CallerReached:
    """The caller of a call that we place has answered. The owner must call `dial` or `hangup`."""

    leg_id: str


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """The first callee has answered with a 2xx.

    The owner can start the recording now. A caller whose INVITE waits gets the 2xx later, because
    the owner reads all events before it sends `Endpoint.outgoing`.
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
    """A party that may transfer the call has sent a well-formed REFER.

    Unless the owner calls `accept_transfer`, `join` or `refuse_transfer` within 5 seconds, the
    REFER is refused with 603.
    """

    request_id: int
    leg_id: str
    side: Side
    refer_to: NameAddr
    replaces: str | None
    """The unescaped Replaces value inside the Refer-To URI; None for a blind transfer."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """A target of a transfer rings: it has sent a provisional response above 100."""

    request_id: int
    leg_id: str
    status: int


@dataclass(frozen=True, slots=True)
class TransferCompleted:
    """The caller now talks with the target of a transfer, on the leg `leg_id`."""

    request_id: int
    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class Joined:
    """The caller talks with another party after an attended transfer or INVITE with Replaces."""

    leg_id: str
    target: Target


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """A transfer has failed: no target has answered, or a restart has interrupted it.

    If `transferor_gone` is true, the sender of the REFER has hung up. The owner may call
    `ring_again` with the targets to ring now. Otherwise, the next `handle_timer` rings the sender.

    If `transferor_gone` is false, the sender and the caller are still joined. If the sender
    hangs up before a deadline, the call does not end. Instead, this event is emitted again with
    `transferor_gone` true. The deadline is two seconds after the sender's response to our NOTIFY,
    or after the failure if there is no NOTIFY. After a restart, a BYE of the sender ends the call.
    """

    request_id: int
    status: int
    transferor_gone: bool


@dataclass(frozen=True, slots=True)
class Recalled:
    """A party that was rung again after a failed transfer has answered the call."""

    leg_id: str
    target: Target
    response: Response


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO without `Record` has arrived, of a kind that we pass on to the other leg."""

    leg_id: str
    side: Side
    request: Request


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """The callee, or a caller at one of our phones, has pressed the record key.

    The phone's INFO has a `Record` header field and is never passed on. It gets no response until
    the owner calls `answer_record`.
    """

    request_id: int
    leg_id: str
    side: Side
    value: str
    """The `Record` header field. Several values are joined by commas."""


@dataclass(frozen=True, slots=True)
class IdentityChanged:
    """The party of a leg has a new identity (P-Asserted-Identity, Remote-Party-ID or Contact).

    While a callee rings, its names are not reported. When it answers, the name of the party that
    answered is reported, before `CallAnswered` or the event of a transfer.
    """

    leg_id: str
    side: Side
    identity: NameAddr
    """Anonymous if the callee that answered gave no name, but another party was named before."""
    source: str
    """The name of the header field that contains the new identity; "" if there is none."""
    message: Request | Response
    """The message with this header field, which may also ask for privacy (RFC 3323)."""


@dataclass(frozen=True, slots=True)
class MediaNegotiated:
    """Reports the media of a leg after an SDP exchange, a join or a restart."""

    leg_id: str
    side: Side
    payloads: tuple[tuple[int, str, int, int, str], ...]
    """Rows (payload type, encoding name, clock in Hz, channels, fmtp) that the peer may send.

    Empty if no media is agreed, such as after a restart, until new SRTP keys are agreed.
    """


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call has ended. This event is emitted exactly once, as the last event of a call.

    Each peer that had not hung up gets a BYE, CANCEL or final response. All ports are free. The
    owner must still pass late messages to `handle`.
    """

    cause: str
    status: int = 0
    """The status of a call that was refused or failed before an answer; 0 for any other end.

    It is 0 too if the caller cancelled (487), or if the owner called `hangup` before an answer.
    """


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
