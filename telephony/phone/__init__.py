"""An asyncio-based pyVoIP: a phone for programs, on our own SIP core.

Its vocabulary is pyVoIP's (`VoIPPhone`, `VoIPCall`, `CallState`, `answer`, `deny`, `hangup`,
`transfer`, `read_audio`, `write_audio`, `get_dtmf`); its code, and that all of these are
coroutines, is not. Audio is 16-bit linear PCM, little-endian, mono, 8 kHz, on both sides;
on the wire it is G.711. No thread, no dependency beyond the core's.
"""

from telephony.phone.call import VoIPCall
from telephony.phone.phone import VoIPPhone
from telephony.phone.reception import Reception
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
    "Reception",
    "RegistrationError",
    "VoIPCall",
    "VoIPPhone",
]
