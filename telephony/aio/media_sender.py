"""Senders: objects that send RTP to the peer of a leg.

A sender does only the steps that the leg's settings need, for example SRTP; a new one is made when
they change. Without SRTP, a connected socket is itself the sender.
"""

import errno
import socket
from dataclasses import dataclass
from typing import Protocol

from telephony.aio.media_leg import MediaLeg
from telephony.errors import SrtpError
from telephony.rtp.packet import Octets
from telephony.rtp.srtp import Protection


class PacketSender(Protocol):
    """Any object with a `send` method like that of a socket."""

    def send(self, data: Octets, /) -> int:
        """Send one RTP packet.

        Raises:
            OSError: The packet was not sent.
        """


@dataclass(frozen=True, slots=True)
class _UnconnectedSender:
    sock: socket.socket
    target: tuple[str, int]

    def send(self, data: Octets, /) -> int:
        return self.sock.sendto(data, self.target)


@dataclass(frozen=True, slots=True)
class _SrtpSender:
    """Sends SRTP by `sender`, or the same packet by `otherwise` if that fails."""

    protection: Protection
    sender: PacketSender
    otherwise: _UnconnectedSender

    def send(self, data: Octets, /) -> int:
        """Encrypt and send a packet; raise OSError (EPERM if it cannot be encrypted)."""
        try:
            out = self.protection.protect(bytes(data))
        except SrtpError as error:
            raise OSError(errno.EPERM, str(error)) from None
        try:
            return self.sender.send(out)
        except OSError:  # perhaps an ICMP error for an earlier packet, so try to send again
            return self.otherwise.send(out)


def sender_to(leg: MediaLeg) -> PacketSender | None:
    """Return the sender of RTP to the leg's peer; None while the peer accepts no media."""
    target = leg.destination
    if target is None:
        return None
    unconnected = _UnconnectedSender(leg.pair.rtp, target)
    usable = leg.connected if leg.connected_to == target else None
    sender = unconnected if usable is None else usable
    return _SrtpSender(leg.protection, sender, unconnected) if leg.protection else sender
