"""A SIP phone for programs, similar to pyVoIP, on asyncio and our own SIP core.

Common classes and methods have pyVoIP's names (`VoIPPhone`, `VoIPCall`, `answer`, `read_audio` …).
The code is our own, and methods that wait are coroutines. A program reads and writes 16-bit linear
PCM (little-endian, mono, 8 kHz). The phone sends and receives it as G.711.
"""

from telephony.phone.call import VoIPCall
from telephony.phone.phone import VoIPPhone
from telephony.phone.quality import PeerReport, ReceptionQuality
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
