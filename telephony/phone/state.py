"""The states of a phone's calls, and the errors that its user sees."""

from __future__ import annotations

from enum import StrEnum

from telephony.errors import TelephonyError


class CallState(StrEnum):
    """pyVoIP's four states, in order; a call never goes back."""

    DIALING = "dialing"
    """Our INVITE has been sent, and no phone rings yet."""
    RINGING = "ringing"
    """A 180 or 183 came, or a received call is not answered yet."""
    ANSWERED = "answered"
    ENDED = "ended"


class PhoneError(TelephonyError):
    """A phone could not do what its user asked.

    PhoneError
    ├── RegistrationError   the server did not accept our registration
    ├── CallFailedError     the call ended too early, or a request in it was refused
    └── InvalidStateError   the call's state does not allow the operation
    """


class RegistrationError(PhoneError):
    """The server did not accept our registration.

    Attributes:
        status: The final status; 408 if no server answered, 503 if there is no route to it.
        unreachable: True for these two cases, in which the status is not from a server.
    """

    def __init__(self, status: int, *, unreachable: bool = False) -> None:
        what = "no response to REGISTER" if unreachable else "the registration was refused"
        super().__init__(f"{what} ({status})")
        self.status = status
        self.unreachable = unreachable


class CallFailedError(PhoneError):
    """The call ended before it reached a state, or a request in it was refused.

    Attributes:
        status: The SIP status; 0 if the call ended without one.
        unreachable: True if no answer came at all; `status` is then 408, or 503 without a route.
    """

    def __init__(self, what: str, status: int = 0, *, unreachable: bool = False) -> None:
        super().__init__(f"{what} ({status})" if status else what)
        self.status = status
        self.unreachable = unreachable


class InvalidStateError(PhoneError):
    """The call's state does not allow the operation."""
