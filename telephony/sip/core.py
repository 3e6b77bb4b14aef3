"""What the parts of the SIP core share: tables, timers, queues, addresses and randomness.

`Endpoint` feeds it, the handles (uac.py, uas.py, dialog.py) act on it. Nothing is decided here.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from telephony.errors import ProtocolError
from telephony.sip.client_transaction import (
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from telephony.sip.events import Address, Datagram, Event, MessageDropped
from telephony.sip.matching import ClientKey, ServerKey, client_key
from telephony.sip.message import Request
from telephony.sip.server_transaction import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
    ServerUser,
)
from telephony.sip.timers import TimerQueue, Timings
from telephony.sip.uri import Uri

if TYPE_CHECKING:
    from telephony.sip.dialog import Dialog, DialogId
    from telephony.sip.uas import InviteServer

KNOWN_METHODS = (
    "INVITE",
    "ACK",
    "CANCEL",
    "BYE",
    "OPTIONS",
    "REGISTER",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
    "PUBLISH",
)
"""Methods that an RFC names: 405 if not allowed; any other is 501."""

DEFAULT_ALLOW = (
    "INVITE",
    "ACK",
    "CANCEL",
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
class Local:
    """One of our addresses: where the socket is bound, and what peers are told."""

    address: Address
    advertised: Address
    transport: str = "UDP"

    @property
    def reliable(self) -> bool:
        """True if the transport retransmits by itself."""
        return self.transport != "UDP"


class Core:
    """Shared state of one `Endpoint`."""

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
        self.events: deque[Event] = deque()
        self.outbox: list[Datagram] = []
        self.dropped: Counter[str] = Counter()
        self.locals: dict[Address, Local] = {}
        self.clients: dict[ClientKey, tuple[ClientTransaction, Address]] = {}
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.origins: dict[tuple[str, str, int, str], ServerKey] = {}
        """What a merged request (8.2.2.2) would repeat: Call-ID, From tag, CSeq."""
        self.dialogs: dict[DialogId, Dialog] = {}
        self.unacknowledged: dict[tuple[DialogId, int], InviteServer] = {}

    def emit(self, event: Event) -> None:
        """Queue an event for the user."""
        self.events.append(event)

    def drop(self, source: Address, why: str) -> None:
        """Count a message that nothing is done with, and say so."""
        self.dropped[why] += 1
        self.emit(MessageDropped(source, why))

    def token(self) -> str:
        """Sixty-four fresh random bits, for tags, branches and Call-IDs."""
        return f"{self.rng.getrandbits(64):016x}"

    def transmit(self, data: bytes, destination: Address, local: Address) -> None:
        """Queue a datagram."""
        self.outbox.append(Datagram(data, destination, local))

    def local(self, address: Address | None, destination: Address) -> Local:
        """The local address to use; by default the first of the destination's family.

        Raises:
            ProtocolError: there is none.
        """
        if address is not None:
            if address in self.locals:
                return self.locals[address]
            raise ProtocolError("that local address was never given to listen()")
        for local in self.locals.values():
            if is_ipv6(local.address.host) == is_ipv6(destination.host):
                return local
        raise ProtocolError("no local address of the destination's family")

    def is_own(self, host: str, port: int | None) -> bool:
        """True if a sent-by is one that we put into our Via headers."""
        return any(
            host.strip("[]").lower() == local.advertised.host.lower()
            and (port or 5060) == local.advertised.port
            for local in self.locals.values()
        )

    def start_client(
        self, request: Request, user: ClientUser, destination: Address, local: Local, now: float
    ) -> ClientTransaction:
        """Open a client transaction and send its request."""
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(
            request,
            user,
            send=partial(self.transmit, destination=destination, local=local.address),
            timers=self.timers,
            timings=self.timings,
            reliable=local.reliable,
        )
        self.clients[client_key(request)] = transaction, destination
        transaction.start(now)
        return transaction

    def end_client(self, request: Request) -> None:
        """Forget a terminated client transaction."""
        self.clients.pop(client_key(request), None)

    def start_server(
        self, request: Request, user: ServerUser, key: ServerKey, destination: Address, local: Local
    ) -> ServerTransaction:
        """Open a server transaction; its responses go to `destination`."""
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        transaction = kind(
            user,
            send=partial(self.transmit, destination=destination, local=local.address),
            timers=self.timers,
            timings=self.timings,
            reliable=local.reliable,
        )
        self.servers[key] = transaction
        self.origins.setdefault(origin(request), key)
        return transaction

    def end_server(self, request: Request, key: ServerKey) -> None:
        """Forget a terminated server transaction."""
        self.servers.pop(key, None)
        if self.origins.get(origin(request)) == key:
            del self.origins[origin(request)]


def origin(request: Request) -> tuple[str, str, int, str]:
    """What two copies of one request have in common, whichever way they came (8.2.2.2)."""
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method


def is_ipv6(host: str) -> bool:
    """True for an IPv6 address, with or without brackets."""
    return ":" in host


def address_of(uri: Uri) -> Address | None:
    """Where a URI points, if it names an IP address; names are for the user to resolve."""
    try:
        host = ip_address(uri.host.strip("[]"))
    except ValueError:
        return None
    default = 5061 if uri.scheme == "sips" else 5060
    return Address(str(host), uri.port or default)
