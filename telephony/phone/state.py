"""The states of a phone's calls, the wait for a change, and the exceptions for programs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

from telephony.errors import TelephonyError


class CallState(StrEnum):
    """The states of a call, with pyVoIP's names. A call never returns to an earlier state."""

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
    ├── CallFailedError     a call or a request failed
    └── InvalidStateError   the state of the call or phone does not allow the operation
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
    """A call ended too early, its media cannot be used, or a request was refused or not answered.

    Attributes:
        status: The SIP status; 0 if the call ended without a status.
        unreachable: True if no response to an INVITE or OPTIONS came: `status` is 408, or 503
            without a route. False for requests within the call.
    """

    def __init__(self, what: str, status: int = 0, *, unreachable: bool = False) -> None:
        super().__init__(f"{what} ({status})" if status else what)
        self.status = status
        self.unreachable = unreachable


class InvalidStateError(PhoneError):
    """The state of the call or phone does not allow the operation."""


class Changes:
    """Wakes all waiting coroutines after a change in a call; each checks its own condition."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds()` returns true; return at once if it does already."""
        while not holds():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    def notify(self) -> None:
        """Wake every waiting coroutine, so that it checks its condition again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
