"""The state that the parts of the SIP core share: tables, timers, queues, addresses, randomness.

`Endpoint` feeds it, the handles (uac.py, uas.py, dialog.py) act on it. It makes no decisions.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from telephony.errors import ProtocolError
from telephony.sip.client_transaction import (
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
    NonInviteClientTransaction,
)
from telephony.sip.events import Address, Event, MessageDropped, Outgoing
from telephony.sip.matching import ClientKey, ServerKey, client_key
from telephony.sip.message import Request
from telephony.sip.server_transaction import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
    ServerUser,
)
from telephony.sip.timers import TimerQueue, Timings
from telephony.sip.transport import DEFAULT_PORTS, literal
from telephony.sip.uri import Uri

if TYPE_CHECKING:
    from telephony.sip.challenge import Credentials
    from telephony.sip.dialog import Dialog
    from telephony.sip.dialog_ends import DialogId
    from telephony.sip.reliable import ReliableSequence
    from telephony.sip.uas import InviteServer

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
class Local:
    """One of our addresses: the one to which the socket is bound, and the one shown to peers."""

    address: Address
    advertised: Address

    @property
    def transport(self) -> str:
        """UDP, TCP or TLS."""
        return self.address.transport

    def reaches(self, destination: Address) -> bool:
        """Return whether the destination has this address's transport and IP family."""
        here = self.address
        same_family = is_ipv6(here.host) == is_ipv6(destination.host)
        return same_family and here.transport == destination.transport


class Way(NamedTuple):
    """The path of a message to its peer: destination, local address, fallback (see `Outgoing`)."""

    destination: Address
    local: Local
    otherwise: Address | None = None


class Core:
    """The shared state of one `Endpoint`."""

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
        self.outbox: list[Outgoing] = []
        self.dropped: Counter[str] = Counter()
        self.tag_key = self.rng.randbytes(16)
        self.credentials: Credentials | None = None
        self.locals: dict[Address, Local] = {}
        self.clients: dict[ClientKey, tuple[ClientTransaction, Address]] = {}
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.origins: dict[tuple[str, str, int, str], ServerKey] = {}
        """By Call-ID, From tag and CSeq, to detect merged requests (8.2.2.2)."""
        self.datagrams_only: dict[Address, float] = {}
        """Peers that refused TCP, each with the time until which they get only datagrams."""
        self.dialogs: dict[DialogId, Dialog] = {}
        self.call_ids: Counter[str] = Counter()
        """The number of dialogs and client transactions with each Call-ID."""
        self.unacknowledged: dict[tuple[DialogId, int], InviteServer] = {}
        self.unpracked: dict[tuple[DialogId, int, int], ReliableSequence] = {}
        """Reliable provisional responses that wait for their PRACK: dialog, RSeq, CSeq."""

    def emit(self, event: Event) -> None:
        """Queue an event for the application."""
        self.events.append(event)

    def hold(self, call_id: str) -> None:
        """Count one more dialog or client transaction with this Call-ID."""
        self.call_ids[call_id] += 1

    def release(self, call_id: str) -> None:
        """Count one dialog or client transaction less with this Call-ID."""
        self.call_ids[call_id] -= 1
        if self.call_ids[call_id] <= 0:
            del self.call_ids[call_id]

    def drop(self, source: Address, why: str) -> None:
        """Count a dropped message and emit `MessageDropped`."""
        self.dropped[why] += 1
        self.emit(MessageDropped(source, why))

    def tag_for(self, request: Request) -> str:
        """Return a To tag that is equal for all copies of a request and unguessable (8.2.7)."""
        via = request.via
        parts = (via.branch or "", via.host, request.call_id, request.from_.tag or "")
        text = "\0".join((*parts, str(request.cseq.number)))
        key, data = self.tag_key, text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=8, key=key).hexdigest()

    def token(self) -> str:
        """Return 64 random bits in hex, for tags, branches and Call-IDs."""
        return f"{self.rng.getrandbits(64):016x}"

    def transmit(
        self, data: bytes, destination: Address, local: Address, otherwise: Address | None = None
    ) -> None:
        """Queue a message to be sent."""
        self.outbox.append(Outgoing(data, destination, local, otherwise))

    def local(self, address: Address | None, destination: Address) -> Local:
        """Return the local address to use; if `address` is not given, the first that fits.

        Raises:
            ProtocolError: No local address fits, or `address` was never passed to `listen`.
        """
        if address is not None:
            if address in self.locals:
                return self.locals[address]
            raise ProtocolError("that local address was never given to listen()")
        found = self.local_for(destination)
        if found is None:
            raise ProtocolError("no local address of the destination's family and transport")
        return found

    def local_for(self, destination: Address, near: Local | None = None) -> Local | None:
        """Return a local address that reaches the destination; None if no address does.

        `near` is preferred, then another address on its host.
        """
        if near is not None and near.reaches(destination):
            return near
        found = [local for local in self.locals.values() if local.reaches(destination)]
        if near is not None:
            found.sort(key=lambda local: local.address.host != near.address.host)
        return found[0] if found else None

    def is_own(self, host: str, port: int | None) -> bool:
        """Return whether this host and port are those that we put into our Via headers."""
        return any(
            host.strip("[]").lower() == local.advertised.host.lower()
            and (port or 5060) == local.advertised.port
            for local in self.locals.values()
        )

    def start_client(
        self,
        request: Request,
        user: ClientUser,
        way: Way,
        now: float,
    ) -> ClientTransaction:
        """Open a client transaction and send its request."""
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(
            request,
            user,
            send=self._sender(way),
            timers=self.timers,
            timings=self.timings,
            reliable=way.destination.reliable,
        )
        self.clients[client_key(request)] = transaction, way.destination
        self.hold(request.call_id)
        transaction.start(now)
        return transaction

    def asked(self, destination: Address) -> list[ClientTransaction]:
        """Return the client transactions whose request went to `destination`."""
        return [transaction for transaction, where in self.clients.values() if where == destination]

    def end_client(self, request: Request) -> None:
        """Forget a terminated client transaction."""
        if self.clients.pop(client_key(request), None) is not None:
            self.release(request.call_id)

    def start_server(
        self, request: Request, user: ServerUser, key: ServerKey, way: Way
    ) -> ServerTransaction:
        """Open a server transaction; its responses take the path `way`."""
        kind = InviteServerTransaction if request.method == "INVITE" else NonInviteServerTransaction
        transaction = kind(
            user,
            send=self._sender(way),
            timers=self.timers,
            timings=self.timings,
            reliable=way.destination.reliable,
        )
        self.servers[key] = transaction
        self.origins.setdefault(origin(request), key)
        return transaction

    def _sender(self, way: Way) -> Callable[[bytes], None]:
        return partial(
            self.transmit,
            destination=way.destination,
            local=way.local.address,
            otherwise=way.otherwise,
        )

    def end_server(self, request: Request, key: ServerKey) -> None:
        """Forget a terminated server transaction."""
        self.servers.pop(key, None)
        if self.origins.get(origin(request)) == key:
            del self.origins[origin(request)]


def origin(request: Request) -> tuple[str, str, int, str]:
    """Return the values that all copies of one request share, whatever their path (8.2.2.2)."""
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method


def is_ipv6(host: str) -> bool:
    """Return whether `host` is an IPv6 address (brackets allowed), not IPv4 or a name."""
    return ":" in host


def address_of(uri: Uri) -> Address | None:
    """Return the address in a URI whose host is an IP address; None for a host name.

    The application resolves names. A transport that we do not know gives None too.
    """
    host = literal(uri.host)
    if host is None:
        return None
    transport = (uri.parameter("transport") or "udp").upper()
    if uri.scheme == "sips":
        transport = "TLS" if transport in {"UDP", "TCP", "TLS"} else transport
    if transport not in DEFAULT_PORTS:
        return None
    return Address(host, uri.port or DEFAULT_PORTS[transport], transport)
