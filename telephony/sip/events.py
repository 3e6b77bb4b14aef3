"""All events that the SIP core reports to the application, with `Address` and `OutgoingMessage`.

Each event is a small frozen dataclass, defined in the module that emits it. An event contains
handles (`InviteServer`, `InviteClient`, `Dialog` and others): the objects of the core whose methods
the application calls. Each handle has an attribute `owner`, which the application may set. A dialog
takes the `owner` of its INVITE, so the application finds the call of an event without a table. The
modules endpoint.py and incoming.py decide what the core does with a message.
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
