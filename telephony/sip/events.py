"""All events that the SIP core emits, with the classes `Address` and `OutgoingMessage`.

The application receives the events. Each event is a small frozen dataclass, and its class is
defined in the module that emits the event. An event contains handles: objects of the core, such as
`InviteServer`, `InviteClient` and `Dialog`, whose methods the application calls. A handle has the
attribute `owner`, in which the application may store its own object, for example the call. The
`owner` of an INVITE becomes the `owner` of the dialog that the INVITE creates. So the application
needs no table to find the call of an event. The modules endpoint.py and incoming.py decide what the
core does with a message.
"""

from telephony.sip.dialog.dialog import DialogEnded
from telephony.sip.transport.address import Address
from telephony.sip.transport.events import ConnectionOffered, MessageDropped, PeerLost, SipEvent
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
