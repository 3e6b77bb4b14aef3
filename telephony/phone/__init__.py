"""A SIP phone for programs, similar to pyVoIP, on asyncio and our own SIP core.

The package has the same names as pyVoIP (`VoIPPhone`, `VoIPCall`, `CallState`, `answer`, `deny`,
`hangup`, `transfer`, `read_audio`, `write_audio`, `get_dtmf`) but none of its code. Here all of
these methods are coroutines. Audio is 16-bit linear PCM, little-endian, mono, 8 kHz, in both
directions; on the network it is G.711. The package starts no threads, and depends on no library
that the SIP core does not need.
"""

from telephony.phone.call import VoIPCall
from telephony.phone.phone import VoIPPhone
from telephony.phone.reception import ReceptionQuality
from telephony.phone.reports import PeerReport
from telephony.phone.state import (
    CallFailedError,
    CallState,
    InvalidStateError,
    PhoneError,
    RegistrationError,
)

__all__ = [
    "CallFailedError",
    "CallState",
    "InvalidStateError",
    "PeerReport",
    "PhoneError",
    "ReceptionQuality",
    "RegistrationError",
    "VoIPCall",
    "VoIPPhone",
]
