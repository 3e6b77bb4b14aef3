"""All SIP connections of a process: it accepts and opens them, and chooses one for each message.

A destination with a flow is one accepted connection. Any other destination is reached by the
connection that we opened to it, by an accepted connection from exactly that address, or by one that
the peer may be reached by (alias, RFC 5923). Otherwise a new connection is opened.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import socket
from collections import Counter
from collections.abc import Coroutine
from typing import Protocol

from telephony.aio.connection import Ending, Limits, Link
from telephony.aio.source_filter import Gate
from telephony.aio.tls import Tls
from telephony.aio.udp import bind
from telephony.errors import ProtocolError
from telephony.sip.events import Address, OutgoingMessage
from telephony.sip.message.framing import StreamUnit

_BACKLOG = 256
_SWEEP_S = 2.0
_REST_S = 0.1
"""Seconds to wait when the system cannot accept a connection (too many open files)."""


class StreamOwner(Protocol):
    """The receiver of all connections' messages and failures."""

    def received(self, data: bytes, source: Address, local: Address) -> None:
        """Handle a message that was received."""

    def broken(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Handle a stream that has become unreadable."""

    def unreachable(self, destination: Address) -> None:
        """Note that no connection to this destination exists or can be opened."""

    def cut_off(self, destination: Address) -> None:
        """Note that the connection to this destination ended; unread messages are lost."""


class Streams:
    """The table of connections. Belongs to one running event loop."""

    def __init__(self, owner: StreamOwner, limits: Limits, gate: Gate) -> None:
        self.endings: Counter[Ending] = Counter()
        """The number of connections by the reason of their end."""
        self.refused = 0
        """The number of connections closed at once because of the limits or the gate."""
        self._owner = owner
        self._limits = limits
        self._gate = gate
        self._loop = asyncio.get_running_loop()
        self._listening: dict[Address, socket.socket] = {}
        self._tls: dict[Address, Tls] = {}
        self._links: dict[Address, Link] = {}
        self._from: Counter[str] = Counter()
        self._flows = itertools.count(secrets.randbits(48) + 1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def listen(self, wanted: Address, tls: Tls | None) -> Address:
        """Bind an address and accept connections there.

        An address for TLS without a server context accepts none; it serves only to open
        connections.

        Raises:
            OSError: The address cannot be bound.
            ProtocolError: A TLS address without `tls`, or `tls` with another address.
        """
        if (wanted.transport == "TLS") is (tls is None):
            raise ProtocolError("an address for TLS, and no other, wants certificates")
        made = bind(socket.SOCK_STREAM, wanted)
        host, port = made.getsockname()[:2]
        local = Address(host, port, wanted.transport)
        self._listening[local] = made
        if tls is not None:
            self._tls[local] = tls
        if tls is None or tls.server is not None:
            made.listen(_BACKLOG)
            self._spawn(self._accept(made, local))
        return local

    def send(self, out: OutgoingMessage) -> None:
        """Send a message by an existing connection, or by a new one."""
        link = self._find(out.destination)
        if link is None and out.fallback is not None:
            link = self._find(out.fallback) or self._connect(out.fallback, out.local)
        elif link is None and not out.destination.flow:
            link = self._connect(out.destination, out.local)
        if link is None:
            self._owner.unreachable(out.destination)
        else:
            link.send(out.data, out.destination)

    def is_open(self, address: Address) -> bool:
        """Return whether a connection to the address exists or is being opened."""
        return self._find(address) is not None

    def hang_up(self, source: Address) -> None:
        """Close the connection by which a message came; does nothing for a datagram."""
        link = self._links.get(source)
        if link is not None:
            link.end(Ending.BARRED)

    def alias(self, flow: Address, port: int) -> None:
        """Use a connection for requests to `port` of its peer, by each name in its certificate."""
        link = self._links.get(flow)
        if link is None:
            return
        for name in link.names:
            shown = "" if name == flow.host else name
            self._links.setdefault(Address(flow.host, port, flow.transport, shown), link)

    def close(self) -> None:
        """Close all sockets and connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for task in self._tasks:
            task.cancel()
        for made in self._listening.values():
            made.close()
        self._listening.clear()
        for link in set(self._links.values()):
            link.end(Ending.US)

    # The methods of LinkOwner

    def received(self, data: bytes, source: Address, local: Address) -> None:
        """Pass a message to the owner."""
        self._owner.received(data, source, local)

    def broken(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Pass a fault of the stream to the owner."""
        self._owner.broken(fault, source, local)

    def stands(self, link: Link) -> None:
        """Add an accepted connection to the table; over TCP also under its peer's plain address."""
        if link.accepted:
            self._links[link.peer] = link
            if link.peer.transport == "TCP":
                self._links.setdefault(link.peer._replace(flow=0), link)
        self._watch()

    def ended(self, link: Link, why: Ending) -> None:
        """Remove a connection; report its destinations, since unanswered messages may be lost."""
        self.endings[why] += 1
        for address in [key for key, held in self._links.items() if held is link]:
            del self._links[address]
        if link.accepted:
            self._release(link.peer.host)
        hopeless = why in {Ending.REFUSED, Ending.BARRED}
        gone = self._owner.unreachable if hopeless else self._owner.cut_off
        for destination in link.served:
            gone(destination)

    # Internals

    def _find(self, address: Address) -> Link | None:
        link = self._links.get(address)
        return link if link is not None and link.usable else None

    def _connect(self, address: Address, local: Address) -> Link | None:
        tls = self._tls.get(local)
        secure = address.transport == "TLS"
        if local not in self._listening or (secure and (tls is None or tls.client is None)):
            return None
        link = Link(self, address, local, self._limits)
        self._links[address] = link
        self._spawn(self._open(link, tls if secure else None))
        return link

    async def _open(self, link: Link, tls: Tls | None) -> None:
        peer, host = link.peer, link.local.host
        wildcard = host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
        context = None if tls is None else tls.client
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._loop.create_connection(
                    lambda: link,
                    peer.host,
                    peer.port,
                    ssl=context,
                    server_hostname=None if context is None else peer.name or peer.host,
                    local_addr=None if wildcard else (host, 0),
                )
        except (OSError, TimeoutError):
            link.end(Ending.REFUSED)

    async def _accept(self, listening: socket.socket, local: Address) -> None:
        while True:
            try:
                made, peer = await self._loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(_REST_S)
                continue
            host, port = peer[:2]
            there = Address(host, port, local.transport, flow=next(self._flows))
            if not self._admit(there):
                made.close()
                continue
            self._spawn(self._greet(made, there, local))

    async def _greet(self, made: socket.socket, peer: Address, local: Address) -> None:
        """Take over an accepted socket; the TLS handshake has a time limit."""
        link = Link(self, peer, local, self._limits)
        tls = self._tls.get(local)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._loop.connect_accepted_socket(
                    lambda: link, made, ssl=None if tls is None else tls.server
                )
        except (OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError):  # a monitor that only connects does no harm
                self._gate.malformed(peer, self._loop.time())
            link.end(Ending.REFUSED)
        except asyncio.CancelledError:
            link.end(Ending.US)
            raise
        finally:
            if not link.stands:
                made.close()

    def _admit(self, peer: Address) -> bool:
        limits, now, held = self._limits, self._loop.time(), self._from[peer.host]
        full = held >= limits.per_source or (
            self._from.total() >= limits.connections and not self._gate.esteems(peer, now)
        )
        if full or not self._gate.welcome(peer, now):
            self.refused += 1
            self._release(peer.host, 0)
            return False
        self._from[peer.host] += 1
        return True

    def _release(self, host: str, count: int = 1) -> None:
        self._from[host] -= count
        if self._from[host] <= 0:
            del self._from[host]

    def _watch(self) -> None:
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for link in set(self._links.values()):
            link.due(now)
        if self._links:
            self._watch()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
