"""What a phone's calls go through, and what its user is told when something fails."""

from __future__ import annotations

from enum import StrEnum

from telephony.errors import TelephonyError


class CallState(StrEnum):
    """pyVoIP's four states, in order; a call never goes back."""

    DIALING = "dialing"
    """Our INVITE is out and nothing rings yet."""
    RINGING = "ringing"
    """180 came, or the call came in and nobody has answered."""
    ANSWERED = "answered"
    ENDED = "ended"


class PhoneError(TelephonyError):
    """A phone could not do what its user asked.

    PhoneError
    ├── RegistrationError   the server does not take our registration
    ├── CallFailedError     the call ended before it got there, or a request in it was refused
    └── InvalidStateError   the call is not in a state in which that can be done
    """


class RegistrationError(PhoneError):
    """The server does not take our registration.

    Attributes:
        status: the final status; 408 when nobody answered, 503 when there is no way there.
        unreachable: True in these two cases: no server has said that.
    """

    def __init__(self, status: int, *, unreachable: bool = False) -> None:
        what = "nobody answers the registration" if unreachable else "the registration was refused"
        super().__init__(f"{what} ({status})")
        self.status = status
        self.unreachable = unreachable


class CallFailedError(PhoneError):
    """The call ended before it got there, or a request in it was refused.

    Attributes:
        status: the SIP status; 0 if the call ended without one.
        unreachable: True if nobody answered at all: then it is 408, or 503 with no way there.
    """

    def __init__(self, what: str, status: int = 0, *, unreachable: bool = False) -> None:
        super().__init__(f"{what} ({status})" if status else what)
        self.status = status
        self.unreachable = unreachable


class InvalidStateError(PhoneError):
    """The call is not in a state in which that can be done."""
