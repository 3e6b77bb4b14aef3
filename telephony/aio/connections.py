"""All SIP connections of a process: accept and open them, and choose one for each message.

An address with a `flow` number identifies one accepted connection. A message to an address without
a `flow` number uses a connection that we opened to this address, or an accepted TCP connection from
exactly this address. It also uses an accepted TLS connection that the peer has offered for this
address (alias, RFC 5923). If there is none, a new connection is opened. If the accepted connection
for a message has ended, the message goes to `OutgoingMessage.fallback`.

A `SourceFilter`, such as `galwad.switch.edge.guard`, decides which messages and connections are
accepted.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import secrets
import socket
from collections import Counter
from collections.abc import Coroutine
from typing import Protocol

from net.tls import Tls
from telephony.aio.connection import Connection, ConnectionLimits, EndReason, MessageReceiver
from telephony.aio.turns import StreamTurns
from telephony.aio.udp import bind
from telephony.errors import ProtocolError
from telephony.sip.events import Address, OutgoingMessage

_BACKLOG = 256
_SWEEP_S = 2.0
_ACCEPT_RETRY_S = 0.1
"""The seconds until connections are accepted again after a failure, usually too many open files."""


class FilterVerdict(enum.Enum):
    """The decision of a filter about a received message."""

    IN_CALL = "in call"
    """Accept the message even if time is short: it belongs to a call in progress, or is urgent.

    It is handled before waiting datagrams that have the verdict `ACCEPTED`.
    """
    ACCEPTED = "accepted"
    """Accept the message, but drop it if it is a datagram and this process is too busy."""
    TOO_MANY = "too many"
    """Refuse a request with 503 if it arrived on a connection, and drop any other message.

    The sender of a dropped datagram usually sends it again.
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
        """Return whether `source` may connect beyond `ConnectionLimits.connections`.

        If an INVITE by UDP from a privileged source was dropped several times for lack of time,
        the next copy gets 503.
        """

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


class ConnectionsOwner(MessageReceiver, Protocol):
    """The object to which all connections pass their messages and report their failures."""

    def on_unreachable(self, destination: Address) -> None:
        """Handle the failure to reach `destination`: no connection to it can be opened or used."""

    def on_connection_lost(self, destination: Address) -> None:
        """Handle the end of the connection to `destination`; messages to it may be lost."""


class Connections:
    """The table of all connections of a process. Use it in one event loop only."""

    def __init__(
        self, owner: ConnectionsOwner, limits: ConnectionLimits, source_filter: SourceFilter
    ) -> None:
        self.endings: Counter[EndReason] = Counter()
        """The number of ended connections for each reason."""
        self.refused = 0
        """New connections that a limit or the source filter did not permit."""
        self.accepted_by_host: Counter[str] = Counter()
        """The number of connections that each host opened and that have not ended."""
        self.turns = StreamTurns()
        self._owner = owner
        self._limits = limits
        self._filter = source_filter
        self._loop = asyncio.get_running_loop()
        self._listening: dict[Address, socket.socket] = {}
        self._tls: dict[Address, Tls] = {}
        self._by_address: dict[Address, Connection] = {}
        self._flows = itertools.count(secrets.randbits(48) + 1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def listen(self, wanted: Address, tls: Tls | None) -> Address:
        """Bind `wanted`, accept connections there, and return the bound address.

        The system chooses the port for port 0. If `tls` has no server context, the address is used
        only for connections that we open.

        Raises:
            OSError: The address cannot be bound.
            ProtocolError: A TLS address without `tls`, or a TCP address with it.
        """
        if (wanted.transport == "TLS") is (tls is None):
            raise ProtocolError(
                "`tls` is missing for a TLS address, or was given for another transport"
            )
        sock = bind(socket.SOCK_STREAM, wanted)
        host, port = sock.getsockname()[:2]
        local = Address(host, port, wanted.transport)
        self._listening[local] = sock
        if tls is not None:
            self._tls[local] = tls
        if tls is None or tls.server is not None:
            sock.listen(_BACKLOG)
            self._spawn(self._accept(sock, local))
        return local

    def send(self, out: OutgoingMessage) -> None:
        """Send a message over an existing connection or a new one, or call `on_unreachable`."""
        connection = self._find(out.destination)
        if connection is None and out.fallback is not None:
            connection = self._find(out.fallback) or self._connect(out.fallback, out.local)
        elif connection is None and not out.destination.flow:
            connection = self._connect(out.destination, out.local)
        if connection is None:
            self._owner.on_unreachable(out.destination)
        else:
            connection.send(out.data, out.destination)

    def all(self) -> set[Connection]:
        """Return the connections in the table, also those that are being opened."""
        return set(self._by_address.values())

    def is_open(self, address: Address) -> bool:
        """Return whether a connection to the address exists or is being opened."""
        return self._find(address) is not None

    def disconnect(self, source: Address, reason: EndReason = EndReason.BARRED) -> None:
        """Close the connection on which a message from `source` arrived, if it is open."""
        connection = self._by_address.get(source)
        if connection is not None:
            connection.abort(reason)

    def alias(self, flow: Address, port: int) -> None:
        """Use an accepted connection (`flow`) also for requests to the peer's `port` (RFC 5923).

        This is only for requests to a host name or IP address in the peer's certificate.
        """
        connection = self._by_address.get(flow)
        if connection is None:
            return
        for name in connection.names:
            shown = "" if name == flow.host else name
            self._by_address.setdefault(Address(flow.host, port, flow.transport, shown), connection)

    def close(self) -> None:
        """Close all connections and all listening sockets."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for task in self._tasks:
            task.cancel()
        for sock in self._listening.values():
            sock.close()
        self._listening.clear()
        for connection in self.all():
            connection.abort(EndReason.US)
        self.turns.close()

    # Private methods

    def _on_established(self, connection: Connection) -> None:
        """Add an accepted connection to the table under the peer's address with its `flow` number.

        A TCP connection gets a second key, with `flow` 0, if the table does not have it yet.
        """
        if connection.accepted:
            self._by_address[connection.peer] = connection
            if connection.peer.transport == "TCP":
                self._by_address.setdefault(connection.peer._replace(flow=0), connection)
        self._watch()

    def _on_ended(self, connection: Connection, reason: EndReason) -> None:
        self.endings[reason] += 1
        for address in [key for key, each in self._by_address.items() if each is connection]:
            del self._by_address[address]
        if connection.accepted:
            self._release(connection.peer.host)
        hopeless = reason in {EndReason.REFUSED, EndReason.BARRED}
        gone = self._owner.on_unreachable if hopeless else self._owner.on_connection_lost
        for destination in connection.served:
            gone(destination)

    def _find(self, address: Address) -> Connection | None:
        connection = self._by_address.get(address)
        return connection if connection is not None and connection.usable else None

    def _connect(self, address: Address, local: Address) -> Connection | None:
        tls = self._tls.get(local)
        secure = address.transport == "TLS"
        if local not in self._listening or (secure and (tls is None or tls.client is None)):
            return None
        connection = self._new(address, local)
        self._by_address[address] = connection
        self._spawn(self._open(connection, tls if secure else None))
        return connection

    def _new(self, peer: Address, local: Address) -> Connection:
        return Connection(
            self._owner,
            peer,
            local,
            self._limits,
            self.turns,
            on_established=self._on_established,
            on_ended=self._on_ended,
        )

    async def _open(self, connection: Connection, tls: Tls | None) -> None:
        peer, host = connection.peer, connection.local.host
        wildcard = host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        context = None if tls is None else tls.client
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._loop.create_connection(
                    lambda: connection,
                    peer.host,
                    peer.port,
                    ssl=context,
                    server_hostname=None if context is None else peer.name or peer.host,
                    local_addr=None if wildcard else (host, 0),
                )
        except (OSError, TimeoutError):
            connection.abort(EndReason.REFUSED)

    async def _accept(self, listening: socket.socket, local: Address) -> None:
        while True:
            try:
                sock, peer = await self._loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            host, port = peer[:2]
            there = Address(host, port, local.transport, flow=next(self._flows))
            if not self._accepts(there):
                sock.close()
                continue
            self._spawn(self._handshake(sock, there, local))

    async def _handshake(self, sock: socket.socket, peer: Address, local: Address) -> None:
        connection = self._new(peer, local)
        tls = self._tls.get(local)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._loop.connect_accepted_socket(
                    lambda: connection, sock, ssl=None if tls is None else tls.server
                )
        except (OSError, TimeoutError) as error:
            # Only a timeout is counted against the peer. Other errors are normal, for example when
            # a monitoring tool connects and disconnects.
            if isinstance(error, TimeoutError):
                self._filter.on_malformed(peer, self._loop.time())
            connection.abort(EndReason.REFUSED)
        except asyncio.CancelledError:
            connection.abort(EndReason.US)
            raise
        finally:
            if not connection.established:
                sock.close()

    def _accepts(self, peer: Address) -> bool:
        limits, now, held = self._limits, self._loop.time(), self.accepted_by_host[peer.host]
        full = held >= limits.per_source or (
            self.accepted_by_host.total() >= limits.connections
            and not self._filter.is_privileged(peer, now)
        )
        if full or not self._filter.accepts_connection(peer, now):
            self.refused += 1
            self._release(peer.host, 0)
            return False
        self.accepted_by_host[peer.host] += 1
        return True

    def _release(self, host: str, count: int = 1) -> None:
        self.accepted_by_host[host] -= count
        if self.accepted_by_host[host] <= 0:
            del self.accepted_by_host[host]

    def _watch(self) -> None:
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for connection in self.all():
            connection.check_timers(now)
        if self._by_address:
            self._watch()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
