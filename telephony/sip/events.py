"""All events that the SIP core emits, with the classes `Address` and `OutgoingMessage`.

Each event is a small frozen dataclass. Most contain a handle: an object of the core, such as an
`InviteServer` or a `Dialog`, whose methods the application calls. In a handle's `owner`, the
application may store its own object, for example the call. A new dialog gets the `owner` of its
INVITE, so no table is needed to find the call of an event.
"""

from telephony.sip.dialog import DialogEnded
from telephony.sip.transaction.core import ConnectionOffered, MessageDropped, PeerLost, SipEvent
from telephony.sip.transport.address import Address
from telephony.sip.transport.outgoing import OutgoingMessage
from telephony.sip.ua.client import DialogRequestFailed, DialogResponse, StandaloneResponse
from telephony.sip.ua.server_request import DialogRequest, StandaloneRequest
from telephony.sip.ua.uac import InviteAnswered, InviteFailed, InviteProgress
from telephony.sip.ua.uas import (
    AckMissing,
    AckReceived,
    IncomingInvite,
    InviteCancelled,
    PrackMissing,
)

__all__ = [
    "AckMissing",
    "AckReceived",
    "Address",
    "ConnectionOffered",
    "DialogEnded",
    "DialogRequest",
    "DialogRequestFailed",
    "DialogResponse",
    "IncomingInvite",
    "InviteAnswered",
    "InviteCancelled",
    "InviteFailed",
    "InviteProgress",
    "MessageDropped",
    "OutgoingMessage",
    "PeerLost",
    "PrackMissing",
    "SipEvent",
    "StandaloneRequest",
    "StandaloneResponse",
]
