"""The interface of a filter that decides which SIP messages and connections are accepted.

`galwad.switch.guard` implements this interface. Each argument `now` is in monotonic seconds.
"""

from __future__ import annotations

from typing import Protocol

from telephony.sip.events import Address


class SourceFilter(Protocol):
    """Decides which connections are accepted, and which messages are accepted for parsing."""

    def accepts_message(self, data: bytes, source: Address, now: float) -> bool:
        """Return whether a received message is accepted.

        A message that is not accepted is dropped. If it arrived on a connection, the connection is
        closed too.
        """

    def accepts_connection(self, source: Address, now: float) -> bool:
        """Return whether a connection from this address is accepted."""

    def is_privileged(self, source: Address, now: float) -> bool:
        """Return whether `source` may connect when the maximum number of connections is open.

        This maximum is `ConnectionLimits.connections`.
        """

    def on_malformed(self, source: Address, now: float) -> None:
        """Count a failure of `source`.

        Either `source` has sent an unreadable message, or it has connected and its TLS handshake
        was not complete in time.
        """


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
        """Return False, because no address has a privilege."""
        del source, now
        return False

    def on_malformed(self, source: Address, now: float) -> None:
        """Do nothing."""
