"""A SIP phone for programs, similar to pyVoIP, on asyncio and our own SIP core.

The classes and methods have the same names as in pyVoIP (`VoIPPhone`, `VoIPCall`, `CallState`,
`answer`, `deny`, `hangup`, `transfer`, `read_audio`, `write_audio`, `get_dtmf`), but all code is
our own. Here all of these methods are coroutines. A program reads and writes audio as 16-bit linear
PCM, little-endian, mono, 8 kHz; the phone sends and receives this audio as G.711. The package
starts no threads. The only libraries that it uses are those that the SIP core uses.
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
