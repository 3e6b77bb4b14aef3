"""What stands before the SIP transports, if somebody wants to: see `galwad.switch.guard`."""

from __future__ import annotations

from typing import Protocol

from telephony.sip.events import Address


class Gate(Protocol):
    """Asked before anything is read."""

    def heard(self, data: bytes, source: Address, now: float) -> bool:
        """Whether a message is worth reading; else it, or its connection, goes no further."""

    def welcome(self, source: Address, now: float) -> bool:
        """Whether a connection from there is accepted."""

    def esteems(self, source: Address, now: float) -> bool:
        """Whether it is accepted even where others have taken all the room."""

    def malformed(self, source: Address, now: float) -> None:
        """Told of what could not be read, and of connections that came to nothing."""


class OpenGate:
    """Lets everybody in."""

    def heard(self, data: bytes, source: Address, now: float) -> bool:
        """All of it."""
        del data, source, now
        return True

    def welcome(self, source: Address, now: float) -> bool:
        """All of them."""
        del source, now
        return True

    def esteems(self, source: Address, now: float) -> bool:
        """None more than the others."""
        del source, now
        return False

    def malformed(self, source: Address, now: float) -> None:
        """Make nothing of it."""
