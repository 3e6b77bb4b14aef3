"""Checks by OPTIONS requests at intervals whether a neighbour answers (RFC 3261 section 11).

A `KeepAlive` sends OPTIONS to one address, and again a fixed time after each answer. Any final
answer except 408 and 503 shows that the neighbour is alive, even an answer that refuses OPTIONS.
This module does no I/O and reads no clock.
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
    """The state of a neighbour, as far as we know it."""

    UNKNOWN = "unknown"
    """We have not sent OPTIONS to the neighbour, or it has not answered yet."""
    ALIVE = "alive"
    DOWN = "down"


class KeepAlive:
    """The OPTIONS checks of one neighbour.

    The owner of this object calls `handle_timer` when `next_timer` is due. The owner also passes
    each `StandaloneResponse` to `handle` if the `owner` of the response's transaction is this
    object.

    Attributes:
        health: The state of the neighbour after its last answer, or after a missing answer.
        status: The status of the last answer. It is 408 or 503 if there was no answer, and 0 before
            the first result.
    """

    def __init__(self, endpoint: Endpoint, destination: Address, interval: float) -> None:
        """Prepare the checks of `destination`; nothing is sent before `handle_timer` is called.

        The next check starts `interval` seconds after each answer.
        """
        self.destination = destination
        self.interval = interval
        self.health = PeerHealth.UNKNOWN
        self.status = 0
        self._endpoint = endpoint
        self._next: float | None = float("-inf")
        self._client: NonInviteClient | None = None

    def next_timer(self) -> float | None:
        """Return the monotonic time in seconds at which the next OPTIONS is due.

        Return None while an OPTIONS waits for its answer.
        """
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
        except ProtocolError:  # no local address has the destination's transport and IP family
            self._answered(503, now)

    def connection_lost(self, peer: Address, now: float) -> None:
        """Make a check due immediately if the lost connection to `peer` led to our neighbour.

        Do nothing if the neighbour was not alive, or if an OPTIONS waits for its answer.
        """
        waits = self._next is not None and self.health is PeerHealth.ALIVE
        if waits and peer == self.destination:
            self._next = now

    def handle(self, event: StandaloneResponse, now: float) -> None:
        """Process the answer to our last OPTIONS, or the report that there is no answer."""
        if event.transaction is self._client and event.status >= 200:
            self._answered(event.status, now)

    def _answered(self, status: int, now: float) -> None:
        self.status = status
        self.health = PeerHealth.DOWN if status in _DEAD_STATUSES else PeerHealth.ALIVE
        self._client, self._next = None, now + self.interval


def _transport_parameter(destination: Address) -> tuple[tuple[str, str | None], ...]:
    return () if destination.transport == "UDP" else (("transport", destination.transport.lower()),)
