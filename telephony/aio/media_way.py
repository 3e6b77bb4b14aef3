"""How RTP gets to a leg's peer: by its line or without one, closed up, protected.

A way is made anew whenever a leg's settings change, so that it holds nothing but what they ask
for: the plainest is the socket itself.
"""

import errno
import socket
from dataclasses import dataclass
from typing import Protocol

from telephony.aio.media_leg import MediaLeg
from telephony.errors import SrtpError
from telephony.rtp.renumbering import Renumbering
from telephony.rtp.srtp import Protection


class Way(Protocol):
    """What has a socket's `send`."""

    def send(self, data: bytes, /) -> int:
        """Send a packet. Raises `OSError`: it was not sent."""


@dataclass(frozen=True, slots=True)
class _Unconnected:
    made: socket.socket
    target: tuple[str, int]

    def send(self, data: bytes, /) -> int:
        return self.made.sendto(data, self.target)


@dataclass(frozen=True, slots=True)
class _Protected:
    """The way to a peer that takes nothing but SRTP."""

    protection: Protection
    way: Way
    otherwise: _Unconnected

    def send(self, data: bytes, /) -> int:
        """As a socket sends; what cannot be protected, it will not take."""
        try:
            out = self.protection.protect(data)
        except SrtpError as error:
            raise OSError(errno.EPERM, str(error)) from None
        try:
            return self.way.send(out)
        except OSError:  # an ICMP error of an earlier packet; this one must not be made twice
            return self.otherwise.send(out)


@dataclass(frozen=True, slots=True)
class _Closed:
    """The way of a stream from which packets are taken: it closes up."""

    renumbering: Renumbering
    way: Way

    def send(self, data: bytes, /) -> int:
        """As a socket sends."""
        return self.way.send(self.renumbering.sent(data))


def way_between(leg: MediaLeg, other: MediaLeg) -> Way | None:
    """How RTP of `leg`'s peer gets to `other`'s; None while that wants nothing."""
    way = _way_to(other)
    return _Closed(leg.renumbering, way) if way is not None and leg.renumbering else way


def _way_to(leg: MediaLeg) -> Way | None:
    target = leg.destination
    if target is None:
        return None
    unconnected = _Unconnected(leg.pair.rtp, target)
    way = leg.line if leg.line is not None and leg.line_to == target else unconnected
    return _Protected(leg.protection, way, unconnected) if leg.protection else way
