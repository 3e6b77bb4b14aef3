"""Asking a neighbour with OPTIONS, now and then, whether it is there (RFC 3261 11).

One address, asked again so many seconds after its answer. Any final answer but 408 and 503 says
that it lives: whoever refuses OPTIONS is there. No I/O and no clock.
"""

from __future__ import annotations

import enum

from telephony.errors import ProtocolError
from telephony.sip.endpoint import Endpoint, NonInviteClient
from telephony.sip.events import Address, StandaloneResponse
from telephony.sip.name_addr import NameAddr
from telephony.sip.uri import Uri

_GONE = (408, 503)


class Health(enum.Enum):
    """What we know of a neighbour."""

    UNKNOWN = "unknown"
    """It has not been asked, or not answered yet."""
    ALIVE = "alive"
    DOWN = "down"


class KeepAlive:
    """One neighbour's pings.

    The owner calls `handle_timer` when `next_timer` is due, and hands over each
    `StandaloneResponse` whose transaction has this as its owner.

    Attributes:
        health: what its last answer, or the lack of one, says.
        status: that answer's status, 408 or 503 for none; 0 before the first.
    """

    def __init__(self, endpoint: Endpoint, destination: Address, every: float) -> None:
        """`every`: seconds from an answer to the next question. Nothing is sent yet."""
        self.destination = destination
        self.every = every
        self.health = Health.UNKNOWN
        self.status = 0
        self._endpoint = endpoint
        self._next: float | None = float("-inf")
        self._client: NonInviteClient | None = None

    def next_timer(self) -> float | None:
        """When the next question is due; None while one waits for its answer."""
        return self._next

    def handle_timer(self, now: float) -> None:
        """Ask, if that is due."""
        if self._next is None or now < self._next:
            return
        self._next = None
        there = self.destination
        uri = Uri(host=there.name or there.host, port=there.port, parameters=_by(there))
        try:
            us = self._endpoint.contact("galwad", there)
            self._client = self._endpoint.request(
                "OPTIONS",
                uri,
                from_=NameAddr("", Uri(user="galwad", host=NameAddr.parse(us).uri.host)),
                to=NameAddr("", uri),
                destination=there,
                headers=(("Contact", us), ("Accept", "application/sdp")),
                owner=self,
                now=now,
            )
        except ProtocolError:  # no address of ours reaches there
            self._heard(503, now)

    def lost(self, peer: Address, now: float) -> None:
        """The connection to `peer`, who lived, is gone: ask at once whether another can be had."""
        waits = self._next is not None and self.health is Health.ALIVE
        if waits and peer == self.destination:
            self._next = now

    def handle(self, event: StandaloneResponse, now: float) -> None:
        """Take the answer."""
        if event.transaction is self._client and event.status >= 200:
            self._heard(event.status, now)

    def _heard(self, status: int, now: float) -> None:
        self.status = status
        self.health = Health.DOWN if status in _GONE else Health.ALIVE
        self._client, self._next = None, now + self.every


def _by(there: Address) -> tuple[tuple[str, str | None], ...]:
    return () if there.transport == "UDP" else (("transport", there.transport.lower()),)
