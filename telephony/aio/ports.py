"""Pairs of UDP sockets for media: RTP on an even port, RTCP on the next.

The order begins at random and a freed pair goes to its end, so that stragglers of one call do
not reach the next. A port that another program holds is passed over and tried again later.
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
"""Bytes: a stall of the loop of many seconds at 50 packets/s."""
_EXPEDITED = 0xB8
"""DSCP EF (RFC 3246), what networks expect of voice."""
_TAKEN = {errno.EADDRINUSE, errno.EACCES}


class PortPair(NamedTuple):
    """Two bound, non-blocking sockets and the port of the first."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket


class PortPool:
    """The pairs of one address. Not for several threads."""

    def __init__(self, host: str, first: int, last: int, *, advertise: str | None = None) -> None:
        """Hold the even ports from `first` to `last`, each with its neighbour.

        Args:
            host: the IP literal to bind.
            first: lowest port of the range.
            last: highest port of the range, RTCP's included.
            advertise: the address for SDP, `host` where absent.
        """
        self.host = host
        self.advertise = advertise or host
        self._family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
        ports = list(range(first + first % 2, last, 2))
        random.SystemRandom().shuffle(ports)
        self._free = deque(ports)
        self.size = len(ports)

    @property
    def ipv6(self) -> bool:
        """Whether its address is of IPv6."""
        return self._family == socket.AF_INET6

    @property
    def free(self) -> int:
        """How many pairs are not in use by us."""
        return len(self._free)

    def take(self) -> PortPair:
        """Bind the next pair that can be bound.

        Raises:
            NoPortsError: none can: all in use, too many open files, or not our address.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return self._bind(port)
            except OSError as error:
                self._free.append(port)
                if error.errno not in _TAKEN:
                    raise NoPortsError(f"media ports cannot be bound: {error.strerror}") from error
        raise NoPortsError("no pair of media ports is free")

    def take_again(self, port: int) -> PortPair:
        """Bind the pair whose lower port is `port`, as it was bound before a restart.

        Raises:
            NoPortsError: it is in use, not of this pool, or cannot be bound.
        """
        if port not in self._free:
            raise NoPortsError("that pair of media ports is not free")
        try:
            pair = self._bind(port)
        except OSError as error:
            raise NoPortsError(f"media ports cannot be bound: {error.strerror}") from error
        self._free.remove(port)
        return pair

    def give_back(self, pair: PortPair) -> None:
        """Close both sockets; the pair is the last to be taken again."""
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
        made = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            _prepare(made)
            made.bind((self.host, port))
        except OSError:
            made.close()
            raise
        return made


def connected_twin(bound: socket.socket, peer: tuple[str, int]) -> socket.socket:
    """A second socket on the port of `bound`, connected to `peer`.

    The kernel gives it all that comes from that very address, and `bound` the rest; neither
    `recv` nor `send` has an address to convert or a route to look up. Both let the port be
    shared for no longer than that takes, so that a port in use is still refused to others.

    Raises:
        OSError: as `bind` and `connect` do.
    """
    made = socket.socket(bound.family, socket.SOCK_DGRAM)
    try:
        _prepare(made)
        for each in (bound, made):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(bound.getsockname())
        made.connect(peer)
        _empty(made)
    except OSError:
        made.close()
        raise
    finally:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return made


def _prepare(made: socket.socket) -> None:
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED)
    else:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED)


def _empty(made: socket.socket) -> None:
    """Discard what anyone sent in the microseconds between `bind` and `connect`."""
    with contextlib.suppress(OSError):
        while True:
            made.recv(1)
