"""What the parts of the SIP core share: tables, timers, queues, addresses and randomness.

`Endpoint` feeds it, the handles (uac.py, uas.py, dialog.py) act on it. Nothing is decided here.
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
    """One of our addresses: where the socket is bound, and what peers are told."""

    address: Address
    advertised: Address

    @property
    def transport(self) -> str:
        """UDP, TCP or TLS."""
        return self.address.transport

    def reaches(self, destination: Address) -> bool:
        """True if one may send from here to there: same transport and family."""
        here = self.address
        same_family = is_ipv6(here.host) == is_ipv6(destination.host)
        return same_family and here.transport == destination.transport


class Way(NamedTuple):
    """How a message gets to its peer; see `Outgoing`."""

    destination: Address
    local: Local
    otherwise: Address | None = None


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
        self.outbox: list[Outgoing] = []
        self.dropped: Counter[str] = Counter()
        self.tag_key = self.rng.randbytes(16)
        self.credentials: Credentials | None = None
        self.locals: dict[Address, Local] = {}
        self.clients: dict[ClientKey, tuple[ClientTransaction, Address]] = {}
        self.servers: dict[ServerKey, ServerTransaction] = {}
        self.origins: dict[tuple[str, str, int, str], ServerKey] = {}
        """What a merged request (8.2.2.2) would repeat: Call-ID, From tag, CSeq."""
        self.datagrams_only: dict[Address, float] = {}
        """Peers that refused TCP, and until when that is remembered."""
        self.dialogs: dict[DialogId, Dialog] = {}
        self.call_ids: Counter[str] = Counter()
        """How many dialogs and client transactions there are of each Call-ID."""
        self.unacknowledged: dict[tuple[DialogId, int], InviteServer] = {}
        self.unpracked: dict[tuple[DialogId, int, int], ReliableSequence] = {}
        """Reliable provisional responses that wait for their PRACK: dialog, RSeq, CSeq."""

    def emit(self, event: Event) -> None:
        """Queue an event for the user."""
        self.events.append(event)

    def hold(self, call_id: str) -> None:
        """Count one more user of a Call-ID."""
        self.call_ids[call_id] += 1

    def release(self, call_id: str) -> None:
        """Count one less."""
        self.call_ids[call_id] -= 1
        if self.call_ids[call_id] <= 0:
            del self.call_ids[call_id]

    def drop(self, source: Address, why: str) -> None:
        """Count a message that nothing is done with, and say so."""
        self.dropped[why] += 1
        self.emit(MessageDropped(source, why))

    def tag_for(self, request: Request) -> str:
        """A To tag that is the same for each copy of a request, and cannot be guessed (8.2.7)."""
        via = request.via
        parts = (via.branch or "", via.host, request.call_id, request.from_.tag or "")
        text = "\0".join((*parts, str(request.cseq.number)))
        key, data = self.tag_key, text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=8, key=key).hexdigest()

    def token(self) -> str:
        """Sixty-four fresh random bits, for tags, branches and Call-IDs."""
        return f"{self.rng.getrandbits(64):016x}"

    def transmit(
        self, data: bytes, destination: Address, local: Address, otherwise: Address | None = None
    ) -> None:
        """Queue a message."""
        self.outbox.append(Outgoing(data, destination, local, otherwise))

    def local(self, address: Address | None, destination: Address) -> Local:
        """The local address to use; by default the first that reaches the destination.

        Raises:
            ProtocolError: there is none.
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
        """A local address that reaches the destination: `near` itself, then one on its host."""
        if near is not None and near.reaches(destination):
            return near
        found = [local for local in self.locals.values() if local.reaches(destination)]
        if near is not None:
            found.sort(key=lambda local: local.address.host != near.address.host)
        return found[0] if found else None

    def is_own(self, host: str, port: int | None) -> bool:
        """True if a sent-by is one that we put into our Via headers."""
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
        """The client transactions whose request goes there."""
        return [transaction for transaction, where in self.clients.values() if where == destination]

    def end_client(self, request: Request) -> None:
        """Forget a terminated client transaction."""
        if self.clients.pop(client_key(request), None) is not None:
            self.release(request.call_id)

    def start_server(
        self, request: Request, user: ServerUser, key: ServerKey, way: Way
    ) -> ServerTransaction:
        """Open a server transaction; its responses go by `way`."""
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
    """What two copies of one request have in common, whichever way they came (8.2.2.2)."""
    cseq = request.cseq
    return request.call_id, request.from_.tag or "", cseq.number, cseq.method


def is_ipv6(host: str) -> bool:
    """True for an IPv6 address, with or without brackets."""
    return ":" in host


def address_of(uri: Uri) -> Address | None:
    """Where a URI points, if it names an IP address; names are for the user to resolve.

    None, too, for a transport that we do not know.
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
