"""Senders of RTP to a leg's peer: with or without the connected socket, protected or not.

A sender is made again whenever a leg's settings change, so that it contains only the needed steps.
The simplest sender is the connected socket itself.
"""

import errno
import socket
from dataclasses import dataclass
from typing import Protocol

from telephony.aio.media_leg import MediaLeg
from telephony.errors import SrtpError
from telephony.rtp.srtp import Protection


class PacketSender(Protocol):
    """Anything with a socket's `send`."""

    def send(self, data: bytes, /) -> int:
        """Send a packet. Raises `OSError` if it was not sent."""


@dataclass(frozen=True, slots=True)
class _UnconnectedSender:
    sock: socket.socket
    target: tuple[str, int]

    def send(self, data: bytes, /) -> int:
        return self.sock.sendto(data, self.target)


@dataclass(frozen=True, slots=True)
class _SrtpSender:
    """A sender to a peer that accepts only SRTP."""

    protection: Protection
    sender: PacketSender
    otherwise: _UnconnectedSender

    def send(self, data: bytes, /) -> int:
        """Protect and send; raise OSError (EPERM) if the packet cannot be protected."""
        try:
            out = self.protection.protect(data)
        except SrtpError as error:
            raise OSError(errno.EPERM, str(error)) from None
        try:
            return self.sender.send(out)
        except OSError:  # an ICMP error of an earlier packet; protect this one only once
            return self.otherwise.send(out)


def sender_to(leg: MediaLeg) -> PacketSender | None:
    """Return the sender to the leg's peer; None while that accepts no media."""
    target = leg.destination
    if target is None:
        return None
    unconnected = _UnconnectedSender(leg.pair.rtp, target)
    usable = leg.connected if leg.connected_to == target else None
    sender = unconnected if usable is None else usable
    return _SrtpSender(leg.protection, sender, unconnected) if leg.protection else sender
