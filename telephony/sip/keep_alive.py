"""Regular OPTIONS requests that check whether a neighbour responds (RFC 3261 section 11).

A neighbour is a SIP element to which we send requests, such as a trunk. The next OPTIONS follows a
fixed time after the final response or failure, or at once if the neighbour's connection is lost.
Any final response except 408 and 503 shows that the neighbour is alive, even a refusal. This module
does no I/O, and reads no clock.
"""

from __future__ import annotations

import enum

from telephony.errors import ProtocolError
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import Address
from telephony.sip.ua.client import NonInviteClient, StandaloneResponse

_DEAD_STATUSES = (408, 503)


class PeerHealth(enum.Enum):
    """The state of a SIP element to which we send OPTIONS."""

    UNKNOWN = "unknown"
    """No OPTIONS has a result yet, neither a final response nor a failure."""
    ALIVE = "alive"
    DOWN = "down"


class KeepAlive:
    """The OPTIONS checks of one neighbour.

    Call `handle_timer` at the time of `next_timer`, `handle` for each `StandaloneResponse` whose
    `transaction.owner` is this object, and `connection_lost` for each `PeerLost`. `status` is the
    latest final status: 408 or 503 without a response, 0 before the first result.
    """

    def __init__(self, endpoint: Endpoint, destination: Address, interval: float) -> None:
        """Prepare to send OPTIONS: at once, and then `interval` seconds after each result."""
        self.destination = destination
        self.interval = interval
        self.health = PeerHealth.UNKNOWN
        self.status = 0
        self._endpoint = endpoint
        self._next: float | None = float("-inf")
        self._client: NonInviteClient | None = None

    def next_timer(self) -> float | None:
        """Return the monotonic seconds of the next OPTIONS; None while we wait for a response.

        It is minus infinity before the first OPTIONS.
        """
        return self._next

    def handle_timer(self, now: float) -> None:
        """Send OPTIONS if the time for the next check has come."""
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
        # We have no local address of the destination's transport and IP family.
        except ProtocolError:
            self._answered(503, now)

    def connection_lost(self, peer: Address, now: float) -> None:
        """Make OPTIONS due now if the lost connection is to this neighbour, which was alive.

        Nothing changes while an OPTIONS waits for its response.
        """
        waits = self._next is not None and self.health is PeerHealth.ALIVE
        if waits and peer == self.destination:
            self._next = now

    def handle(self, event: StandaloneResponse, now: float) -> None:
        """Process the result of our OPTIONS: a final response, or a failure without a response."""
        if event.transaction is self._client and event.status >= 200:
            self._answered(event.status, now)

    def _answered(self, status: int, now: float) -> None:
        self.status = status
        self.health = PeerHealth.DOWN if status in _DEAD_STATUSES else PeerHealth.ALIVE
        self._client, self._next = None, now + self.interval


def _transport_parameter(destination: Address) -> tuple[tuple[str, str | None], ...]:
    return () if destination.transport == "UDP" else (("transport", destination.transport.lower()),)
