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
        status: the final status; 408 when nobody answered.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"the registration was answered with {status}")
        self.status = status


class CallFailedError(PhoneError):
    """The call ended before it got there, or a request in it was refused.

    Attributes:
        status: the SIP status; 0 if the call ended without one.
    """

    def __init__(self, what: str, status: int = 0) -> None:
        super().__init__(f"{what} ({status})" if status else what)
        self.status = status


class InvalidStateError(PhoneError):
    """The call is not in a state in which that can be done."""
