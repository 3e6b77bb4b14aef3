"""The interface of a filter that decides which SIP messages and connections are accepted.

`galwad.switch.edge.guard` implements this interface. Each argument `now` is in monotonic seconds.
"""

from __future__ import annotations

import enum
from typing import Protocol

from telephony.sip.events import Address


class FilterVerdict(enum.Enum):
    """The decision of a filter about a received message."""

    IN_CALL = "in call"
    """Accept the message: it belongs to a call in progress, or is as urgent, and is never dropped.

    It is handled before datagrams outside calls that wait.
    """
    ACCEPTED = "accepted"
    """Accept the message. If this process is too busy, a datagram may be dropped all the same."""
    TOO_MANY = "too many"
    """Refuse a request with 503 if it arrived on a connection.

    Ignore other messages, and drop a datagram, because its sender will send it again.
    """
    DROPPED = "dropped"
    """Drop the message, and close the connection on which it arrived."""


class SourceFilter(Protocol):
    """Decides which connections are accepted, and which messages are accepted for parsing."""

    def judge_message(self, data: bytes, source: Address, now: float) -> FilterVerdict:
        """Return what is to be done with a received message, before it is parsed."""

    def accepts_connection(self, source: Address, now: float) -> bool:
        """Return whether a connection from this address is accepted."""

    def is_privileged(self, source: Address, now: float) -> bool:
        """Return whether `source` may connect beyond `ConnectionLimits.connections`."""

    def on_malformed(self, source: Address, now: float) -> None:
        """Count an unreadable message of `source`, or a TLS handshake that took too long."""


class AcceptAll:
    """A filter that accepts every message and connection."""

    def judge_message(self, data: bytes, source: Address, now: float) -> FilterVerdict:
        """Accept every message."""
        del data, source, now
        return FilterVerdict.ACCEPTED

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
