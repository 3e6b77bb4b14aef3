"""The interface of a filter in front of the SIP transports; `galwad.switch.guard` implements it."""

from __future__ import annotations

from typing import Protocol

from telephony.sip.events import Address


class SourceFilter(Protocol):
    """Decides, before a message is parsed, whether a message or a connection is accepted."""

    def accepts_message(self, data: bytes, source: Address, now: float) -> bool:
        """Return whether a message may be read.

        If not, the message is dropped, and its connection (if any) is closed.
        """

    def accepts_connection(self, source: Address, now: float) -> bool:
        """Return whether a connection from this address is accepted."""

    def is_privileged(self, source: Address, now: float) -> bool:
        """Return whether a connection from this address is accepted even above the total limit."""

    def on_malformed(self, source: Address, now: float) -> None:
        """Note a message that could not be read, or a connection that sent nothing usable."""


class AcceptAll:
    """A filter that accepts every message and connection."""

    def accepts_message(self, data: bytes, source: Address, now: float) -> bool:
        """Return True for every message."""
        del data, source, now
        return True

    def accepts_connection(self, source: Address, now: float) -> bool:
        """Return True for every connection."""
        del source, now
        return True

    def is_privileged(self, source: Address, now: float) -> bool:
        """Return False: no address has a privilege."""
        del source, now
        return False

    def on_malformed(self, source: Address, now: float) -> None:
        """Do nothing."""
