"""One SIP connection over TCP or TLS (RFC 3261 section 18, RFC 5626).

It stores a limited amount of received data and of data to send. It handles received data when it
has its turn (`StreamTurns`), and reads no more before all of it is handled. It closes itself if the
received bytes cannot be divided into messages, if the peer does not read, or after a time limit.
"""

from __future__ import annotations

import asyncio
import enum
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from telephony.aio.arrival import StreamArrivals
from telephony.aio.turns import StreamTurns
from telephony.sip.events import Address
from telephony.sip.message.framing import Framer, StreamUnit, UnitKind

CRLF = b"\r\n"
_BUFFER = bytearray(8192)
"""The bytes of the latest read of any connection, copied before the next read.

It is small, so that a connection that waits for its turn stores little.
"""
_VIEW = memoryview(_BUFFER)
_SOCKET_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
)
"""The options of each TCP socket.

The receive buffer is small, because a message waits until all data before it on the same connection
is handled. The kernel ends the connection if sent data is not acknowledged within 30 s. It sends a
probe after 15, 20 and 25 s without data, and ends the connection after 30 s if none was
acknowledged. With TCP_USER_TIMEOUT, Linux does not count probes: TCP_KEEPCNT would have no effect.
"""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits for SIP connections: number of connections, bytes in memory, and times in seconds."""

    connections: int = 2000
    """The most accepted connections at one time. A privileged source may exceed it."""
    per_source: int = 200
    """The most accepted connections from one IP address, such as a site's phones behind NAT."""
    unwritten: int = 256 * 1024
    """The most bytes that may wait to be sent on one connection."""
    connect_s: float = 4.0
    """The seconds for establishing a connection, TLS handshake included."""
    first_message_s: float = 30.0
    """The seconds in which a peer must send a complete message.

    For the first message on an accepted connection, they start when it is established. For any
    other message, they start when its first part arrives.
    """
    idle_s: float = 2 * 3600.0
    """The seconds without received data until a connection is closed.

    Registered phones send more often: a registration lasts at most an hour.
    """
    ping_s: float = 110.0
    """The seconds without received data until we ping a peer to which we connected (RFC 5626)."""
    pong_s: float = 10.0
    """The seconds in which a peer must respond to a ping, if it has responded to one before."""
    linger_s: float = 1.0
    """The seconds that a connection stays open after an unreadable message, for our response."""


class EndReason(enum.StrEnum):
    """The reason why a connection ended. `Connections.endings` has a count for each reason."""

    PEER = "closed by the peer"
    US = "closed locally"
    SLOW = "does not read"
    SILENT = "idle"
    DEAD = "does not answer"
    BROKEN = "not SIP"
    REFUSED = "cannot connect"
    BARRED = "address is barred"


class MessageReceiver(Protocol):
    """The object to which all connections pass what they receive."""

    idle_at: float
    """A recent time, in monotonic seconds, at which no received data waited to be read."""

    def received(self, data: bytes, source: Address, local: Address, arrived: float) -> None:
        """Handle a received message. `arrived` is its arrival in monotonic seconds."""

    def on_framing_lost(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Respond to the unreadable `fault`, if possible. No message can follow it."""


class Connection(asyncio.BufferedProtocol):
    """A SIP connection, from the attempt to open it until it has ended."""

    def __init__(
        self,
        receiver: MessageReceiver,
        peer: Address,
        local: Address,
        limits: ConnectionLimits,
        turns: StreamTurns,
        *,
        on_established: Callable[[Connection], None],
        on_ended: Callable[[Connection, EndReason], None],
    ) -> None:
        """Create a connection that asyncio establishes later.

        In `peer`, `flow` is the connection's id if the peer opened it, and 0 if we do. `local` is
        our listening address to which it belongs. `on_established` is called before the first
        message, unless the connection is never established. `on_ended` is called once, at the end.
        """
        self.peer = peer
        self.local = local
        self.served: set[Address] = {peer}
        """The peer's address, and the destinations of all messages sent over this connection."""
        self.names: frozenset[str] = frozenset()
        """The names and IP addresses in the peer's trusted certificate; empty without one."""
        self._receiver = receiver
        self._on_established, self._on_ended = on_established, on_ended
        self._limits = limits
        self._turns = turns
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._arrivals: StreamArrivals | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._reason: EndReason | None = None
        self._lost: EndReason | None = None
        """The reason if the connection was lost while received messages wait for their turn."""
        self._ended = False
        self._opened_at = self._last_byte_at = self._pinged = asyncio.get_running_loop().time()
        self._emptied_at = self._opened_at
        """The time of the latest read after which no data waited in the kernel."""
        self._is_behind = False
        """True if data may have waited in the kernel since `_emptied_at`."""
        self._arrived = self._opened_at
        """The earliest arrival of received data that is not handled yet."""
        self._partial_since: float | None = None
        self._had_message = False
        self._ponged = False
        self._ping_unanswered = False

    @property
    def usable(self) -> bool:
        """True until the connection begins to close or is lost."""
        return not self._ended and self._reason is None and self._lost is None

    @property
    def host(self) -> str:
        """The IP address of the peer."""
        return self.peer.host

    @property
    def established(self) -> bool:
        """True if the connection has ever been established, even if it has ended."""
        return self._transport is not None

    @property
    def accepted(self) -> bool:
        """True if the peer opened the connection."""
        return self.peer.flow != 0

    def send(self, data: bytes, destination: Address) -> None:
        """Send a message. Before the connection is established, the message waits."""
        self.served.add(destination)
        self._write(data)

    def abort(self, reason: EndReason) -> None:
        """Close the connection immediately. Data that waits to be sent is lost."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()
        else:
            self._finish()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options, and send the messages that wait."""
        self._transport = transport  # type: ignore[assignment]  # asyncio gives a stream transport
        sock = transport.get_extra_info("socket")
        for option in _SOCKET_OPTIONS:
            sock.setsockopt(*option)
        self._arrivals = StreamArrivals(sock)
        self.names = _names(transport.get_extra_info("peercert"))
        if self._reason is not None:
            self.abort(self._reason)
            return
        self._on_established(self)
        waiting, self._waiting = self._waiting, []
        self._opened_at = self._last_byte_at = self._pinged = asyncio.get_running_loop().time()
        for data in waiting:
            self._write(data)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next read."""
        del sizehint
        return _VIEW

    def buffer_updated(self, nbytes: int) -> None:
        """Store the bytes that were read. Their messages are handled at the connection's turn."""
        now = asyncio.get_running_loop().time()
        is_first = not self._turns.is_waiting(self)
        arrived = self._arrival(now)
        self._arrived = arrived if is_first else min(arrived, self._arrived)
        self._last_byte_at = now
        self._is_behind = nbytes == len(_BUFFER)
        if not self._is_behind:
            self._emptied_at = now
        self._framer.add(_VIEW[:nbytes])
        self._turns.ready(self)

    def handle_next(self) -> bool:
        """Handle the next message, ping or fault. Return False if none was complete."""
        unit = self._framer.next_unit() if self._reason is None else None
        if unit is not None:
            self._handle_frame(unit, self._arrived)
            return True
        if not self._framer.buffered:
            self._partial_since = None
        elif self._partial_since is None:
            self._partial_since = self._last_byte_at
        if self._lost is not None:
            self._reason = self._reason or self._lost
            self._finish()
        return False

    def hold(self) -> None:
        """Read no more data until `resume`, so that TCP slows the sender down."""
        if self._transport is not None and not self._transport.is_closing():
            self._is_behind = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read data again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection, after the messages that arrived before it."""
        lost = EndReason.DEAD if isinstance(exc, TimeoutError) else EndReason.PEER
        if self._reason is None and self._turns.is_waiting(self):
            self._lost = lost
            return
        self._reason = self._reason or lost
        self._finish()

    def check_timers(self, now: float) -> None:
        """Close the connection after a time limit, or send a due ping. Call this regularly."""
        limits = self._limits
        if self._turns.is_waiting(self):
            return  # what the peer has sent is not handled yet
        begun = self._partial_since
        if self.accepted and not self._had_message:
            begun = self._opened_at
        slow = begun is not None and now - begun > limits.first_message_s
        if slow or now - self._last_byte_at > limits.idle_s:
            self.abort(EndReason.SILENT)
        elif self._ping_unanswered and self._ponged and now - self._pinged > limits.pong_s:
            self.abort(EndReason.DEAD)
        elif not self.accepted and now - max(self._last_byte_at, self._pinged) > limits.ping_s:
            self._ping(now)

    def _arrival(self, now: float) -> float:
        """Return the arrival of the data that was just read (see `StreamArrivals.latest`).

        If the connection was held, its data may have waited, although the event loop was idle.
        """
        if self._arrivals is None:
            return now
        idle_at = self._emptied_at
        if not self._is_behind:
            idle_at = max(self._receiver.idle_at, self._last_byte_at)
        return self._arrivals.latest(now, idle_at)

    def _ping(self, now: float) -> None:
        if self._transport is None:
            return
        self._pinged, self._ping_unanswered = now, True
        self._framer.expect_pong()
        self._write(CRLF + CRLF)

    def _handle_frame(self, frame: StreamUnit, arrived: float) -> None:
        self._ping_unanswered = False
        match frame.kind:
            case UnitKind.MESSAGE:
                self._had_message = True
                self._partial_since = None
                self._receiver.received(frame.data, self.peer, self.local, arrived)
            case UnitKind.PING:
                self._write(CRLF)
            case UnitKind.PONG:
                self._ponged = True
            case UnitKind.FAULT:
                self._receiver.on_framing_lost(frame, self.peer, self.local)
                self._half_close()

    def _half_close(self) -> None:
        """Close after `linger_s`, so that the peer can read our response to its last message."""
        self._reason = self._reason or EndReason.BROKEN
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(self._limits.linger_s, self.abort, EndReason.BROKEN)

    def _write(self, data: bytes) -> None:
        if not self.usable:
            return
        transport = self._transport
        held = self._waiting_bytes if transport is None else transport.get_write_buffer_size()
        if held + len(data) > self._limits.unwritten:
            self.abort(EndReason.SLOW)
        elif transport is None:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
        else:
            transport.write(data)

    def _finish(self) -> None:
        if not self._ended:
            self._ended = True
            self._turns.forget(self)
            self._on_ended(self, self._reason or EndReason.PEER)


def _names(certificate: object) -> frozenset[str]:
    """Return the DNS names and IP addresses of a certificate from `ssl.SSLSocket.getpeercert`."""
    if not isinstance(certificate, dict):
        return frozenset()
    rows = certificate.get("subjectAltName", ())
    return frozenset(value for kind, value in rows if kind in {"DNS", "IP Address"})
