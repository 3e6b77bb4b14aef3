"""The states of a phone's calls, and the exceptions that a program receives from the phone."""

from __future__ import annotations

from enum import StrEnum

from telephony.errors import TelephonyError


class CallState(StrEnum):
    """The states of a call, with pyVoIP's names; none is followed by an earlier one."""

    DIALING = "dialing"
    """Our INVITE has been sent, and no response has shown yet that a phone rings."""
    RINGING = "ringing"
    """Our INVITE got a 180 or 183, or a received call has not been answered yet."""
    ANSWERED = "answered"
    ENDED = "ended"


class PhoneError(TelephonyError):
    """The phone could not do what the program asked. This is the base of all errors below.

    PhoneError
    ├── RegistrationError   the server did not accept our registration
    ├── CallFailedError     the call ended too early, or a request in the call was refused
    └── InvalidStateError   the call's state does not allow the operation
    """


class RegistrationError(PhoneError):
    """The server did not accept our registration.

    Attributes:
        status: The final SIP status; 408 if no server answered, 503 without a route to it.
        unreachable: True if `status` is not from a server.
    """

    def __init__(self, status: int, *, unreachable: bool = False) -> None:
        what = "no response to REGISTER" if unreachable else "the registration was refused"
        super().__init__(f"{what} ({status})")
        self.status = status
        self.unreachable = unreachable


class CallFailedError(PhoneError):
    """The call ended before it reached the expected state, or a request in the call was refused.

    Attributes:
        status: The SIP status; 0 if the call ended without a status.
        unreachable: True if no response came: `status` is 408, or 503 without a route.
    """

    def __init__(self, what: str, status: int = 0, *, unreachable: bool = False) -> None:
        super().__init__(f"{what} ({status})" if status else what)
        self.status = status
        self.unreachable = unreachable


class InvalidStateError(PhoneError):
    """The call's state does not allow the operation."""
