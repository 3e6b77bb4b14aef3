"""One UDP socket of the SIP transport, and the addresses at which other machines reach us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Protocol

from net import packet_filter
from net.addresses import Network
from telephony.aio.arrival import ArrivalClock, latest_arrival
from telephony.sip.events import Address
from telephony.sip.message.uri import join_host_port

_WILDCARDS = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - known, not bound
"""Maps a wildcard to a documentation address (RFC 5737, RFC 3849), to find the default route."""
_RECEIVE_BUFFER = 4 << 20
"""The receive buffer in bytes, large for floods. The kernel limits it to net.core.rmem_max."""


def reachable_host(listen: str) -> str:
    """Return the IP address at which other machines reach a socket that is bound to `listen`.

    For a wildcard, this is the local address of the default route, or loopback if there is none.
    """
    if listen not in _WILDCARDS:
        return listen
    try:
        return host_towards(_WILDCARDS[listen])
    except OSError:  # no default route: this machine probably has no network
        return "::1" if listen == "::" else "127.0.0.1"


def host_towards(peer: str) -> str:
    """Return our address towards the IP literal `peer`; raise OSError if no route leads there."""
    family = socket.AF_INET6 if ip_address(peer).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))  # connecting a UDP socket sends nothing
        return str(probe.getsockname()[0])


class DatagramOwner(Protocol):
    """The object to which a socket passes its messages and reports its errors."""

    def received(self, data: bytes, source: Address, local: Address, arrived: float) -> None:
        """Handle a received message. `arrived` is its arrival in monotonic seconds."""

    def error(self) -> None:
        """Handle an error that the system reports for a datagram that we sent earlier."""


class UdpSocket(asyncio.DatagramProtocol):
    """A bound UDP socket."""

    def __init__(self, owner: DatagramOwner) -> None:
        self.local = Address("", 0)
        self._owner = owner
        self._clock = ArrivalClock()
        self._transport: asyncio.DatagramTransport | None = None
        self._socket: socket.socket | None = None

    @classmethod
    async def open(cls, owner: DatagramOwner, wanted: Address) -> UdpSocket:
        """Bind a socket; port 0 lets the system choose. Raises `OSError`."""
        bound = bind(socket.SOCK_DGRAM, wanted)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        try:
            _, opened = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: cls(owner), sock=bound
            )
        except BaseException:
            bound.close()
            raise
        return opened

    def send(self, data: bytes, destination: Address) -> None:
        """Send a datagram; raise OSError if the system refuses it or the socket is closed."""
        if self._transport is None or self._transport.is_closing():
            raise OSError("the socket is closed")
        try:
            self._transport.sendto(data, destination[:2])
        except ValueError as error:  # uvloop raises ValueError for a wrong address family
            raise OSError(str(error)) from None

    def drop_from(self, flooding: Sequence[Network], known: Sequence[Network] | None) -> None:
        """Make the kernel drop datagrams by source (see `packet_filter.program`), if it can."""
        if self._socket is not None and self._transport and not self._transport.is_closing():
            with contextlib.suppress(OSError):
                packet_filter.attach_filter(self._socket, flooding, known)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the address to which the socket is bound."""
        self._transport = transport  # type: ignore[assignment]  # a datagram transport
        self._socket = sock = transport.get_extra_info("socket")
        latest_arrival(sock, self._clock)  # from now on, the kernel notes arrivals
        host, port = transport.get_extra_info("sockname")[:2]
        self.local = Address(host, port)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Pass a received message to the owner."""
        arrived = self._clock.now()
        if self._socket is not None:
            arrived = latest_arrival(self._socket, self._clock)
        self._owner.received(data, Address(addr[0], addr[1]), self.local, arrived)

    def error_received(self, exc: Exception) -> None:
        """Report a send error to the owner."""
        del exc
        self._owner.error()


def bind(kind: socket.SocketKind, wanted: Address) -> socket.socket:
    """Return a non-blocking socket that is bound to `wanted`. An IPv6 socket accepts no IPv4.

    Raises `OSError` if the address cannot be bound. The error's `filename` is the address.
    """
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(wanted[:2])
    except OSError as error:
        sock.close()
        error.filename = join_host_port(wanted.host, wanted.port)
        raise
    return sock
