"""Addresses, messages and events: everything that the SIP core reports to the application.

Each event is a small frozen dataclass. Its handles (`InviteServer`, `InviteClient`, `Dialog`, …)
are live objects of the core, on which the application acts. Each handle has an `owner` attribute,
which the application may set and which dialogs inherit from their INVITE; so an event leads to its
call without a table. endpoint.py and incoming.py decide what the core does with a message.
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
    """An address for SIP: IP address, port and transport."""

    host: str
    """An IP address, never a name; IPv6 without brackets."""
    port: int
    transport: str = "UDP"
    """UDP, TCP or TLS."""
    name: str = ""
    """TLS: the name that the peer's certificate must have (RFC 5922 7.3); "" for the host."""
    flow: int = 0
    """If not 0, the id of the connection that the peer opened (RFC 5626); no other may be used."""

    @property
    def reliable(self) -> bool:
        """True if the transport retransmits by itself."""
        return self.transport != "UDP"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent from `local`: as a datagram, or over a connection."""

    data: bytes
    destination: Address
    local: Address
    otherwise: Address | None = None
    """The address to connect to if no connection to `destination` is open; None for no fallback."""


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """A new INVITE outside any dialog, for the application to answer.

    The core sends 100 by itself if there is no response within 200 ms.
    """

    invite: InviteServer


@dataclass(frozen=True, slots=True)
class InviteCancelled:
    """The caller cancelled (by CANCEL, or by BYE in the early dialog). 487 has been sent.

    This event also comes for a re-INVITE: then `invite.dialog` is its dialog, which continues.
    """

    invite: InviteServer
    request: Request
    """The CANCEL or BYE; it may hold a Reason."""


@dataclass(frozen=True, slots=True)
class InviteProgress:
    """A provisional response to an INVITE that we sent outside a dialog."""

    client: InviteClient
    dialog: Dialog | None
    """The early dialog; None for 100 and for responses without a To tag."""
    response: Response
    answer_due: bool = False
    """True if a reliable response holds an offer, as our INVITE had none: answer by `prack`."""


@dataclass(frozen=True, slots=True)
class InviteAnswered:
    """A 2xx to our INVITE; one event for each dialog that it creates.

    The application must call `dialog.ack(client, now=now)`. It must also send BYE in each dialog
    that it does not need: one from a second fork, or from a 2xx that crossed our CANCEL
    (`client.cancelled`).
    """

    client: InviteClient
    dialog: Dialog
    response: Response


@dataclass(frozen=True, slots=True)
class InviteFailed:
    """Our INVITE failed; its early dialogs are gone. At most one for each INVITE."""

    client: InviteClient
    response: Response | None
    """None without a final response: timeout (408), unreachable (503), CANCEL unanswered (487)."""
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The first ACK to our 2xx; later copies are absorbed."""

    dialog: Dialog
    request: Request


@dataclass(frozen=True, slots=True)
class AckMissing:
    """Our 2xx was repeated for 64*T1 without an ACK: the application should send BYE."""

    dialog: Dialog


@dataclass(frozen=True, slots=True)
class PrackMissing:
    """A reliable provisional response was repeated for 64*T1 without a PRACK.

    The INVITE has been answered with 504. Its dialogs are gone, even that of a 2xx held back.
    """

    invite: InviteServer


@dataclass(frozen=True, slots=True)
class DialogRequest:
    """A request within a dialog, in order; the application answers it by `transaction.respond`.

    A re-INVITE's `transaction` is an `InviteServer`. After a BYE, `DialogEnded` follows by itself.
    A PRACK is reported only if it has a body: an offer, or the answer to our offer. It acknowledges
    the provisional response whatever the application answers.
    """

    dialog: Dialog
    transaction: ServerRequest
    request: Request


@dataclass(frozen=True, slots=True)
class DialogResponse:
    """A response, provisional or final, to a request that we sent within a dialog.

    After a 2xx to a re-INVITE the application must call `dialog.ack(transaction, now=now)`.
    """

    dialog: Dialog
    transaction: ClientRequest
    response: Response


@dataclass(frozen=True, slots=True)
class DialogRequestFailed:
    """A request that we sent within a dialog got no final response.

    After 408 the application should send BYE (RFC 3261 12.2.1.2).
    """

    dialog: Dialog
    transaction: ClientRequest
    status: int
    """408 for a timeout, 503 if unreachable, 487 if our CANCEL was not answered."""


@dataclass(frozen=True, slots=True)
class DialogEnded:
    """A confirmed dialog has ended; the last event of each such dialog, and sent exactly once."""

    dialog: Dialog
    reason: str
    """`bye received`, `bye sent`, `unknown to the peer` (481), or another fixed phrase."""


@dataclass(frozen=True, slots=True)
class StandaloneRequest:
    """A request other than INVITE outside any dialog: REGISTER, OPTIONS, MESSAGE and so on."""

    transaction: ServerRequest
    request: Request
    source: Address


@dataclass(frozen=True, slots=True)
class StandaloneResponse:
    """The result of a request that we sent outside any dialog: a response, or no response."""

    transaction: NonInviteClient
    response: Response | None
    """None if no response came."""
    status: int
    """The response's status; without a response, 408 for a timeout or 503 if unreachable."""


@dataclass(frozen=True, slots=True)
class ConnectionOffered:
    """A peer lets us send requests over the connection that it opened (`alias`, RFC 5923).

    The transport decides whether the peer may do so, from the certificate that the peer showed.
    """

    source: Address
    """The connection."""
    port: int
    """The port in the peer's Via: requests to this port may use the connection."""


@dataclass(frozen=True, slots=True)
class PeerLost:
    """The connection to `peer` is lost, or could not be made.

    Requests there without a response have failed with 503, or are sent again (`Endpoint.cut_off`).
    """

    peer: Address


@dataclass(frozen=True, slots=True)
class MessageDropped:
    """A message that the core dropped; it is only counted (`Endpoint.dropped`)."""

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
