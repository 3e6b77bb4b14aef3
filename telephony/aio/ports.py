"""Pairs of UDP sockets for media: RTP on an even port, and RTCP on the port above it.

The free pairs are in a queue, in random order at first. A pair that becomes free goes to the end,
so that late packets of an ended call do not reach a new call. A pair that another program uses goes
to the end too.
"""

import contextlib
import errno
import random
import socket
from collections import deque
from ipaddress import ip_address
from typing import NamedTuple

from telephony.errors import NoPortsError

RECEIVE_BUFFER = 512 * 1024
"""The receive buffer in bytes: many seconds at 50 packets/s, in case the event loop is blocked."""
_EXPEDITED = 0xB8
"""The IP header byte with the DSCP value EF (RFC 3246), by which routers recognise voice."""
_TAKEN = {errno.EADDRINUSE, errno.EACCES}


class PortPair(NamedTuple):
    """Two bound, non-blocking sockets. `port` is the port of the RTP socket."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket


class PortPool:
    """The port pairs of one IP address. Use it in one thread only."""

    def __init__(
        self,
        host: str,
        first: int,
        last: int,
        *,
        advertise: str | None = None,
        reserved: int = 0,
    ) -> None:
        """Prepare the pairs: each even port from `first` to `last`, and the port above it.

        `advertise` is the address to write into SDP (None: `host`). Only urgent calls may take the
        last `reserved` free pairs.
        """
        self.host = host
        self.advertise = advertise or host
        self._family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        self._range = range(first, last + 1)
        ports = list(range(first + first % 2, last, 2))
        random.SystemRandom().shuffle(ports)
        self._free = deque(ports)
        self.size = len(ports)
        self._reserved = reserved

    @property
    def ipv6(self) -> bool:
        """True if the pool's address is an IPv6 address."""
        return self._family == socket.AF_INET6

    @property
    def free(self) -> int:
        """The number of free port pairs that are not reserved for urgent calls."""
        return max(0, len(self._free) - self._reserved)

    def owns(self, host: str, port: int) -> bool:
        """Return whether `port` is in the range and `host` is an address of this pool.

        A pool on a wildcard address has all local addresses of its family.
        """
        if port not in self._range:
            return False
        if host in {self.host, self.advertise}:
            return True
        return ip_address(self.host).is_unspecified and self._is_local(host)

    def _is_local(self, host: str) -> bool:
        with contextlib.suppress(OSError), socket.socket(self._family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
            return True
        return False

    def take(self, *, urgent: bool = False) -> PortPair:
        """Return the first pair of the queue that can be bound. Pairs in use go to the end.

        The reserved last pairs are only for an `urgent` call. Raises `NoPortsError` if all pairs
        are in use or reserved, too many files are open, or the address does not belong to this
        machine.
        """
        if not (urgent or self.free):
            raise NoPortsError("no pair of media ports is free")
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return self._bind(port)
            except OSError as error:
                self._free.append(port)
                if error.errno not in _TAKEN:
                    raise NoPortsError(f"cannot bind media ports: {error.strerror}") from error
        raise NoPortsError("no pair of media ports is free")

    def take_again(self, port: int) -> PortPair:
        """Bind the pair with the RTP port `port` again, after a restart. Raises `NoPortsError`."""
        if port not in self._free:
            raise NoPortsError("this pair of media ports is not free")
        try:
            pair = self._bind(port)
        except OSError as error:
            raise NoPortsError(f"cannot bind media ports: {error.strerror}") from error
        self._free.remove(port)
        return pair

    def give_back(self, pair: PortPair) -> None:
        """Close both sockets of a pair, which goes to the end of the queue."""
        pair.rtp.close()
        pair.rtcp.close()
        self._free.append(pair.port)

    def _bind(self, port: int) -> PortPair:
        rtp = self._socket(port)
        try:
            return PortPair(port, rtp, self._socket(port + 1))
        except OSError:
            rtp.close()
            raise

    def _socket(self, port: int) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            _prepare(sock)
            sock.bind((self.host, port))
        except OSError:
            sock.close()
            raise
        return sock


def connected_socket(bound: socket.socket, peer: tuple[str, int]) -> socket.socket:
    """Return a second socket on the port of `bound`, connected to `peer`.

    The kernel delivers datagrams from exactly `peer` to the new socket, and others to `bound`.
    `recv` and `send` are faster than `recvfrom` and `sendto`: they convert no address and look up
    no route. `bound` shares its port only while this function runs, so that no other program can
    bind it. Raises `OSError` if the new socket cannot be bound or connected.
    """
    sock = socket.socket(bound.family, socket.SOCK_DGRAM)
    try:
        _prepare(sock)
        for each in (bound, sock):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(bound.getsockname())
        sock.connect(peer)
        _empty(sock)
    except OSError:
        sock.close()
        raise
    finally:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return sock


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED)


def _empty(sock: socket.socket) -> None:
    """Discard the datagrams, from any source, that arrived between `bind` and `connect`."""
    with contextlib.suppress(OSError):
        while True:
            sock.recv(1)
