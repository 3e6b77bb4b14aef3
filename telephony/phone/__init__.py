"""A phone for programs, similar to pyVoIP, on asyncio and our own SIP core.

It uses pyVoIP's names (`VoIPPhone`, `VoIPCall`, `CallState`, `answer`, `deny`, `hangup`,
`transfer`, `read_audio`, `write_audio`, `get_dtmf`) but none of its code; here all of these methods
are coroutines. Audio is 16-bit linear PCM, little-endian, mono, 8 kHz, in both directions; on the
network it is G.711. There are no threads and no dependencies beyond the core's.
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
