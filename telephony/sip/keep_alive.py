"""Check with OPTIONS at intervals whether a neighbour answers (RFC 3261 11).

A `KeepAlive` asks one address, again a fixed time after each answer. Any final answer except 408
and 503 shows that the neighbour is alive, even one that refuses OPTIONS. No I/O and no clock.
"""

from __future__ import annotations

import enum

from telephony.errors import ProtocolError
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.name_addr import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import Address
from telephony.sip.ua.client import NonInviteClient, StandaloneResponse

_DEAD_STATUSES = (408, 503)


class PeerHealth(enum.Enum):
    """The known state of a neighbour."""

    UNKNOWN = "unknown"
    """It has not been asked, or has not answered yet."""
    ALIVE = "alive"
    DOWN = "down"


class KeepAlive:
    """The OPTIONS checks of one neighbour.

    The owner calls `handle_timer` when `next_timer` is due, and passes to `handle` each
    `StandaloneResponse` whose transaction has this object as its owner.

    Attributes:
        health: The state by the last answer, or by its absence.
        status: The last answer's status, 408 or 503 if there was none; 0 before the first.
    """

    def __init__(self, endpoint: Endpoint, destination: Address, interval: float) -> None:
        """Prepare checks, each `interval` seconds after the last answer. Nothing is sent yet."""
        self.destination = destination
        self.interval = interval
        self.health = PeerHealth.UNKNOWN
        self.status = 0
        self._endpoint = endpoint
        self._next: float | None = float("-inf")
        self._client: NonInviteClient | None = None

    def next_timer(self) -> float | None:
        """Return when the next OPTIONS is due; None while one waits for its answer."""
        return self._next

    def handle_timer(self, now: float) -> None:
        """Send OPTIONS if it is due."""
        if self._next is None or now < self._next:
            return
        self._next = None
        destination = self.destination
        uri = Uri(
            host=destination.name or destination.host,
            port=destination.port,
            parameters=_transport_parameter(destination),
        )
        try:
            contact = self._endpoint.contact("galwad", destination)
            self._client = self._endpoint.request(
                "OPTIONS",
                uri,
                from_=NameAddr("", Uri(user="galwad", host=NameAddr.parse(contact).uri.host)),
                to=NameAddr("", uri),
                destination=destination,
                headers=(("Contact", contact), ("Accept", "application/sdp")),
                owner=self,
                now=now,
            )
        except ProtocolError:  # no local address reaches the destination
            self._answered(503, now)

    def connection_lost(self, peer: Address, now: float) -> None:
        """Check again at once if the lost connection was to our neighbour and it was alive."""
        waits = self._next is not None and self.health is PeerHealth.ALIVE
        if waits and peer == self.destination:
            self._next = now

    def handle(self, event: StandaloneResponse, now: float) -> None:
        """Process the answer to our last OPTIONS."""
        if event.transaction is self._client and event.status >= 200:
            self._answered(event.status, now)

    def _answered(self, status: int, now: float) -> None:
        self.status = status
        self.health = PeerHealth.DOWN if status in _DEAD_STATUSES else PeerHealth.ALIVE
        self._client, self._next = None, now + self.interval


def _transport_parameter(destination: Address) -> tuple[tuple[str, str | None], ...]:
    return () if destination.transport == "UDP" else (("transport", destination.transport.lower()),)
