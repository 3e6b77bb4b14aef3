"""The interface of a filter that decides which SIP messages and connections are accepted.

`galwad.switch.guard` implements this interface. Each argument `now` is in monotonic seconds.
"""

from __future__ import annotations

import enum
from typing import Protocol

from telephony.sip.events import Address


class Verdict(enum.Enum):
    """The decision of a filter about a received message."""

    IN_CALL = "in call"
    """It is accepted, and belongs to a call in progress, so it must not be dropped."""
    ACCEPTED = "accepted"
    """It is accepted. While this process is too busy, a datagram may be dropped all the same."""
    TOO_MANY = "too many"
    """It is one message too many. On a connection, it is refused with 503, or ignored if it is no
    request. A datagram is dropped, because its sender will send it again."""
    DROPPED = "dropped"
    """It is dropped. If it arrived on a connection, the connection is closed too."""


class SourceFilter(Protocol):
    """Decides which connections are accepted, and which messages are accepted for parsing."""

    def judge_message(self, data: bytes, source: Address, now: float) -> Verdict:
        """Return what is to be done with a received message, before it is parsed."""

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

    def judge_message(self, data: bytes, source: Address, now: float) -> Verdict:
        """Accept every message."""
        del data, source, now
        return Verdict.ACCEPTED

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
