"""The state that all parts of the SIP core share: settings, timers, transactions and queues.

The base class of all events is here too, with the events about connections and dropped messages.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from telephony.sip.message.messages import Request
from telephony.sip.transaction.timers import TimerQueue, Timings
from telephony.sip.transaction.transactions import Transactions
from telephony.sip.transport.address import Address, LocalAddresses
from telephony.sip.transport.outgoing import NextHop, OutgoingMessage, TcpRefusals

DEFAULT_ALLOW = (
    "INVITE",
    "ACK",
    "CANCEL",
    "PRACK",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "INFO",
    "UPDATE",
    "REFER",
    "NOTIFY",
    "MESSAGE",
)


@dataclass(frozen=True, slots=True)
class SipEvent:
    """The base class of all events that the SIP core reports to the application."""


@dataclass(frozen=True, slots=True)
class ConnectionOffered(SipEvent):
    """A peer allows us to send requests over the connection that it opened (`alias`, RFC 5923).

    The transport checks the peer's certificate, and then decides whether to use the connection.
    """

    source: Address
    """The peer's address, with the id of the connection that the peer opened (`Address.flow`)."""
    port: int
    """The port in the peer's Via: requests to this port may use the connection."""


@dataclass(frozen=True, slots=True)
class PeerLost(SipEvent):
    """The connection to `peer` is lost, or could not be opened.

    `Endpoint.connection_lost` and `Endpoint.unreachable` say what happens to requests without a
    response.
    """

    peer: Address


@dataclass(frozen=True, slots=True)
class MessageDropped(SipEvent):
    """The core has dropped, and counted (`Endpoint.dropped`), a message from `source`."""

    source: Address
    why: str
    """The reason as a fixed phrase. It contains no part of the message."""


class Core:
    """The state of one `Endpoint`, which its dialogs, requests and transactions share."""

    def __init__(
        self,
        *,
        allow: Iterable[str],
        supported: Iterable[str],
        user_agent: str,
        rng: random.Random | None,
        timings: Timings,
    ) -> None:
        self.allow = tuple(allow) or DEFAULT_ALLOW
        self.supported = tuple(supported)
        self.user_agent = user_agent
        self.rng = rng or random.SystemRandom()
        self.timings = timings
        self.timers = TimerQueue()
        self.events: deque[SipEvent] = deque()
        self.outbox: list[OutgoingMessage] = []
        self.dropped: Counter[str] = Counter()
        self.local_addresses = LocalAddresses()
        self.tcp_refusals = TcpRefusals()
        self.transactions = Transactions(send=self.send, timers=self.timers, timings=timings)
        self._tag_key = self.rng.randbytes(16)

    def emit(self, event: SipEvent) -> None:
        """Put an event into the queue for the application."""
        self.events.append(event)

    def drop(self, source: Address, why: str) -> None:
        """Count a dropped message and emit `MessageDropped`. `why` is a fixed phrase."""
        self.dropped[why] += 1
        self.emit(MessageDropped(source, why))

    def send(self, data: bytes, hop: NextHop) -> None:
        """Put a message into the queue of `Endpoint.outgoing`."""
        self.outbox.append(hop.message(data))

    def token(self) -> str:
        """Return 64 random bits in hexadecimal, for a tag, a branch or a Call-ID."""
        return f"{self.rng.getrandbits(64):016x}"

    def tag_for(self, request: Request) -> str:
        """Return an unguessable To tag, the same for copies of a request (RFC 3261 8.2.7)."""
        via = request.via
        parts = (via.branch or "", via.host, request.call_id, request.from_.tag or "")
        text = "\0".join((*parts, str(request.cseq.number)))
        key, data = self._tag_key, text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=8, key=key).hexdigest()
