"""What the SIP core says to its user: addresses, messages and events.

Each event is a small frozen dataclass. Handles in them (`InviteServer`, `InviteClient`, `Dialog`,
…) are the live objects of the core on which the user acts; each has an `owner` attribute that the
user may set, and that dialogs inherit from the INVITE which makes them, so that an event finds its
call without a table. What the core does with a message is in endpoint.py, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from telephony.sip.dialog import Dialog
    from telephony.sip.message import Request, Response
    from telephony.sip.uac import ClientRequest, InviteClient, NonInviteClient
    from telephony.sip.uas import InviteServer, ServerRequest


class Address(NamedTuple):
    """Where one speaks SIP: an IP address, a port, and how."""

    host: str
    """Never a name; IPv6 without brackets."""
    port: int
    transport: str = "UDP"
    """UDP, TCP or TLS."""
    name: str = ""
    """TLS: whom the peer's certificate must name (RFC 5922 7.3); the host if empty."""
    flow: int = 0
    """Not 0: the very connection that the peer opened (RFC 5626), and no other in its place."""

    @property
    def reliable(self) -> bool:
        """True if the transport retransmits by itself."""
        return self.transport != "UDP"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent from `local`: a datagram, or over a connection."""

    data: bytes
    destination: Address
    local: Address
    otherwise: Address | None = None
    """Where to connect to if no connection to `destination` is open."""


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """A new INVITE outside any dialog. 100 has been sent; the user answers the rest."""

    invite: InviteServer


@dataclass(frozen=True, slots=True)
class InviteCancelled:
    """The caller gave up (CANCEL, or BYE in the early dialog). 487 has been sent.

    Also for a re-INVITE (then `invite.dialog` is the dialog, which lives on).
    """

    invite: InviteServer
    request: Request
    """The CANCEL or BYE, for its Reason."""


@dataclass(frozen=True, slots=True)
class InviteProgress:
    """A provisional response to our INVITE (outside a dialog)."""

    client: InviteClient
    dialog: Dialog | None
    """The early dialog; None for 100 and for responses without a To tag."""
    response: Response
    answer_due: bool = False
    """A reliable response holds the offer that our INVITE did not: `client.prack` answers it."""


@dataclass(frozen=True, slots=True)
class InviteAnswered:
    """A 2xx to our INVITE, once for each dialog that it makes.

    The user must `dialog.ack(client, now=now)`, and BYE those that it does not want: a second
    2xx of a fork, or one that crossed our CANCEL (`client.cancelled`).
    """

    client: InviteClient
    dialog: Dialog
    response: Response


@dataclass(frozen=True, slots=True)
class InviteFailed:
    """Our INVITE ended without an answer; its early dialogs are gone. Comes at most once."""

    client: InviteClient
    response: Response | None
    """None when nobody answered: timed out (408), unreachable (503), CANCEL unanswered (487)."""
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The first ACK to our 2xx (later copies are absorbed)."""

    dialog: Dialog
    request: Request


@dataclass(frozen=True, slots=True)
class AckMissing:
    """Our 2xx was repeated for 64*T1 and never acknowledged: the user sends BYE."""

    dialog: Dialog


@dataclass(frozen=True, slots=True)
class PrackMissing:
    """A reliable provisional response was repeated for 64*T1 and never acknowledged.

    The INVITE has been answered 504; its dialogs are gone, that of a 2xx which waited among them.
    """

    invite: InviteServer


@dataclass(frozen=True, slots=True)
class DialogRequest:
    """A request within a dialog, in order. The user answers it: `transaction.respond`.

    A re-INVITE's `transaction` is an `InviteServer`. After a BYE, `DialogEnded` follows by itself.
    A PRACK comes here only if it has a body: an offer, or the answer to one of ours. It has
    acknowledged its response whatever it is answered.
    """

    dialog: Dialog
    transaction: ServerRequest
    request: Request


@dataclass(frozen=True, slots=True)
class DialogResponse:
    """A response, provisional or final, to a request that we sent within a dialog.

    A 2xx to a re-INVITE wants `dialog.ack(transaction, now=now)`.
    """

    dialog: Dialog
    transaction: ClientRequest
    response: Response


@dataclass(frozen=True, slots=True)
class DialogRequestFailed:
    """A request that we sent within a dialog had no final response.

    After 408 the user should send BYE (RFC 3261 12.2.1.2).
    """

    dialog: Dialog
    transaction: ClientRequest
    status: int
    """408 timed out, 503 unreachable."""


@dataclass(frozen=True, slots=True)
class DialogEnded:
    """A confirmed dialog is over; comes exactly once for each, and last."""

    dialog: Dialog
    reason: str
    """`bye received`, `bye sent`, `unknown to the peer` (481), or what `Dialog.forget` was told."""


@dataclass(frozen=True, slots=True)
class StandaloneRequest:
    """A request outside any dialog, INVITE excepted: REGISTER, OPTIONS, MESSAGE and so on."""

    transaction: ServerRequest
    request: Request
    source: Address


@dataclass(frozen=True, slots=True)
class StandaloneResponse:
    """A response, or the lack of one, to a request that we sent outside any dialog."""

    transaction: NonInviteClient
    response: Response | None
    """None when there was none."""
    status: int
    """The response's status; 408 timed out, 503 unreachable."""


@dataclass(frozen=True, slots=True)
class ConnectionOffered:
    """A peer lets us send requests over the connection that it opened (`alias`, RFC 5923).

    Whether it may is for the transport to judge, by the certificate that the peer showed.
    """

    source: Address
    """The connection."""
    port: int
    """The port of the peer's sent-by: requests to that one may go over it."""


@dataclass(frozen=True, slots=True)
class PeerLost:
    """No connection to `peer` stands any more, or none came about.

    What waited for a first answer from there has failed with 503.
    """

    peer: Address


@dataclass(frozen=True, slots=True)
class MessageDropped:
    """A message that nothing was done with, except a count (`Endpoint.dropped`)."""

    source: Address
    why: str
    """A fixed phrase, never a part of the message."""


Event = (
    IncomingInvite
    | InviteCancelled
    | InviteProgress
    | InviteAnswered
    | InviteFailed
    | AckReceived
    | AckMissing
    | PrackMissing
    | DialogRequest
    | DialogResponse
    | DialogRequestFailed
    | DialogEnded
    | StandaloneRequest
    | StandaloneResponse
    | ConnectionOffered
    | PeerLost
    | MessageDropped
)
