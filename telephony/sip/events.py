"""All events that the SIP core emits, with the classes `Address` and `OutgoingMessage`.

Each is a small frozen dataclass of the module that emits it. An event contains handles: objects of
the core, such as `InviteServer` and `Dialog`, whose methods the application calls. In a handle's
`owner`, the application may store its own object, for example the call. The `owner` of an INVITE
becomes that of its dialog, so no table is needed to find the call of an event.
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
