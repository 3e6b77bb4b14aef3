"""All events that the SIP core reports to the application, with the addresses in them.

Each event is a small frozen dataclass, defined beside the handle that emits it. Its handles
(`InviteServer`, `InviteClient`, `Dialog`, …) are live objects of the core, on which the application
acts. Each handle has an `owner` attribute, which the application may set and which dialogs inherit
from their INVITE; so an event leads to its call without a table. endpoint.py and incoming.py decide
what the core does with a message.
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
