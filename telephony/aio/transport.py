"""The sockets and connections (UDP, TCP, TLS) of a SIP `Endpoint`, and its timer.

The source filter and the limits here decide which received messages the endpoint gets. The endpoint
makes all other decisions. After each received message, the endpoint's new messages are sent, and
its events go to the application. All timers of the endpoint share one timer of the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from net.addresses import Network
from net.tls import Tls
from telephony.aio.connection import ConnectionLimits, EndReason
from telephony.aio.connections import AcceptAll, Connections, FilterVerdict, SourceFilter
from telephony.aio.turns import DatagramTurns, WorkShare, WorkTimer
from telephony.aio.udp import UdpSocket, reachable_host
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, ConnectionOffered, OutgoingMessage, SipEvent
from telephony.sip.message.framing import StreamUnit

logger = structlog.get_logger(__name__)

OnEvent = Callable[[SipEvent], None]
_MOST_QUEUED = 10_000
"""The largest number of messages that wait between `queue_received` and `release_received`.

If more arrive, datagrams are dropped, because their senders will send them again. Connections are
closed, which for a sender means 503 (RFC 3261 section 8.1.3.1).
"""

_DATAGRAM_SHARE = 0.3
"""The part of the time that datagrams outside calls may take."""
_MOST_DEBT_S = 0.05
"""The debt of work, in seconds, above which datagrams outside calls are dropped.

Their senders send them again, first after half a second (RFC 3261 section 17.1). At the start of a
flood, media and payment pauses are delayed by about this time. The INVITEs of 25 calls at once
cause a smaller debt.
"""
_MOST_WAITING = 2000
"""If this many datagrams wait, a new datagram outside calls is dropped."""
_MOST_DROPS = 2
"""The number of times that an INVITE of a trunk or known host is dropped for lack of time.

The third copy arrives 1.5 s after the first one, and gets 503 if there is still no time.
"""
_REMEMBERED_DROPS = 4096
"""The most dropped INVITEs that are remembered."""


class _Datagram(NamedTuple):
    data: bytes
    source: Address
    local: Address
    arrived: float
    verdict: FilterVerdict


class SipTransport:
    """Runs one endpoint on any number of addresses, in the running event loop.

    `on_event` is called for each event but `ConnectionOffered`, in sequence. Other code that uses
    the endpoint must call `flush()` afterwards. `on_sent` is called after each message that the
    endpoint has handled and after each timer, when everything that they caused has been sent.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_event: OnEvent,
        *,
        limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - a frozen value
        source_filter: SourceFilter | None = None,
        on_sent: Callable[[], None] = lambda: None,
    ) -> None:
        self.endpoint = endpoint
        self.send_errors = 0
        """Datagrams that the system refused to send, or for which it reported an error later."""
        self.faults = 0
        """Exceptions raised by the endpoint, `on_event` or `on_sent`. Each is a bug."""
        self.shed = 0
        """Datagrams outside calls that were not handled, because there was too much work."""
        self.datagram_share = WorkShare(_DATAGRAM_SHARE)
        self._turns = DatagramTurns(
            self._take_turn, clock=time.thread_time, call_soon=asyncio.get_running_loop().call_soon
        )
        self._dropped: dict[int, int] = {}
        """Maps the hash of an INVITE to the number of its drops. The latest INVITE is last."""
        self.on_event = on_event
        self._on_sent = on_sent
        self._filter = source_filter or AcceptAll()
        self._sockets: dict[Address, UdpSocket] = {}
        self.connections = Connections(self, limits, self._filter)
        """The TCP and TLS connections. Other code may read `endings` and `refused` of them."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._flushing = False
        self._closed = False
        self._queued: list[tuple[bytes, Address, Address, float]] | None = None
        self._arrived: float | None = None
        self._checked_at = self.idle_at = self._loop.time()
        """A recent time, in monotonic seconds, at which no received data waited to be read."""
        self._reported: set[str] = set()

    @property
    def now(self) -> float:
        """The time of the event loop, in monotonic seconds, which the endpoint uses."""
        return self._loop.time()

    @property
    def arrived(self) -> float:
        """The arrival of the message whose events `on_event` receives now, in monotonic seconds.

        For an event without a message, such as a timer's, it is the present time.
        """
        return self.now if self._arrived is None else self._arrived

    def check_idle(self) -> None:
        """Set `idle_at` to the time of the previous call. Call this ten times a second.

        It is not the time of the present call: if the event loop was late, this call may come
        before the data that has arrived is read.
        """
        self.idle_at, self._checked_at = self._checked_at, self.now

    async def listen(
        self, local: Address, *, advertised: Address | None = None, tls: Tls | None = None
    ) -> Address:
        """Bind an address, and return the bound address.

        With port 0, the system chooses the port. `advertised` is the address in Via and Contact.
        Its port 0 means the bound port. None means the bound address, or for a wildcard the address
        of the default route.

        Raises:
            OSError: `local` cannot be bound.
            ProtocolError: TLS without `tls`, TCP with `tls`, or `advertised` is a wildcard.
        """
        self._closed = False
        if local.transport == "UDP":
            sock = await UdpSocket.open(self, local)
            bound = sock.local
            self._sockets[bound] = sock
        else:
            bound = self.connections.listen(local, tls)
        if advertised is None and (reachable := reachable_host(bound.host)) != bound.host:
            advertised = bound._replace(host=reachable)
        elif advertised is not None and not advertised.port:
            advertised = advertised._replace(port=bound.port)
        self.endpoint.listen(bound, advertised=advertised)
        return bound

    def queue_received(self) -> None:
        """Queue messages until `release_received`: after a restart, dialogs are not known yet."""
        self._queued = []

    def release_received(self) -> None:
        """Handle the queued messages, and from now on each message when it arrives."""
        queued, self._queued = self._queued or [], None
        for data, source, local, arrived in queued:
            self.received(data, source, local, arrived)

    def received(self, data: bytes, source: Address, local: Address, arrived: float) -> None:
        """Handle, queue, refuse or drop a message that arrived at `arrived` (monotonic seconds)."""
        now = self.now
        verdict = self._filter.judge_message(data, source, now)
        if verdict is FilterVerdict.DROPPED:
            self.connections.disconnect(source)
        elif verdict is FilterVerdict.TOO_MANY:
            self._refuse(data, source, local)
        elif source.reliable:
            self._handle(data, source, local, arrived)
        elif verdict is FilterVerdict.ACCEPTED and len(self._turns) >= _MOST_WAITING:
            self.shed += 1
        else:
            urgent = verdict is FilterVerdict.IN_CALL
            self._turns.add(_Datagram(data, source, local, arrived, verdict), urgent=urgent)

    def _take_turn(self, datagram: _Datagram) -> None:
        if self._closed:
            return
        data, source, local, arrived, verdict = datagram
        if verdict is FilterVerdict.IN_CALL:
            self._handle(data, source, local, arrived)
        elif self.datagram_share.debt_s > _MOST_DEBT_S:
            self._shed(data, source, local)
        else:
            timer = WorkTimer()
            self._handle(data, source, local, arrived)
            self.datagram_share.spend(timer.seconds)

    def _shed(self, data: bytes, source: Address, local: Address) -> None:
        """Drop a datagram outside calls, because such datagrams have taken too much time.

        An INVITE of a trunk or known host gets 503 after `_MOST_DROPS` drops, so that the trunk can
        send its call elsewhere. Copies of an INVITE have the same bytes (RFC
        3261 section 17.1.1.2).
        """
        self.shed += 1
        if not data.startswith(b"INVITE ") or not self._filter.is_privileged(source, self.now):
            return
        key = hash(data)
        drops = self._dropped.pop(key, 0)
        if drops >= _MOST_DROPS:
            self.endpoint.refuse_busy(data, source, local)
            self.flush()
            return
        self._dropped[key] = drops + 1
        if len(self._dropped) > _REMEMBERED_DROPS:
            del self._dropped[next(iter(self._dropped))]

    def _refuse(self, data: bytes, source: Address, local: Address) -> None:
        if source.reliable:
            self.endpoint.refuse_busy(data, source, local)
            self.flush()

    def _handle(self, data: bytes, source: Address, local: Address, arrived: float) -> None:
        now = self.now
        if self._queued is not None:
            if len(self._queued) < _MOST_QUEUED:
                self._queued.append((data, source, local, arrived))
            else:
                self.connections.disconnect(source, EndReason.US)
            return
        before = self.endpoint.malformed
        try:
            self.endpoint.receive(data, source, local, now)
        except Exception as error:  # noqa: BLE001 - a bug in the endpoint must not end every call
            self._fault("sip.core_fault", error)
        if self.endpoint.malformed != before:
            self._filter.on_malformed(source, now)
        self._arrived = arrived
        try:
            self.flush()
        finally:
            self._arrived = None
        self._report_sent()

    def on_framing_lost(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Send a response to an unreadable message, if one can be built from it."""
        self.endpoint.refuse(fault, source, local)
        self._filter.on_malformed(source, self.now)
        self.flush()

    def on_unreachable(self, destination: Address) -> None:
        """Fail each request to `destination` that has no response yet."""
        if not self._closed:
            self.endpoint.unreachable(destination, self.now)
            self.flush()

    def on_connection_lost(self, destination: Address) -> None:
        """Let the endpoint repeat requests without a response, because they may be lost."""
        if not self._closed:
            self.endpoint.connection_lost(destination, self.now)
            self.flush()

    def drop_from(self, flooding: Sequence[Network], known: Sequence[Network] | None) -> None:
        """Make the kernel drop datagrams by source (see `packet_filter.program`), if it can."""
        for sock in self._sockets.values():
            sock.drop_from(flooding, known)

    def is_open(self, address: Address) -> bool:
        """Return False only if the address is that of an accepted connection that has ended."""
        return not address.flow or self.connections.is_open(address)

    def flush(self) -> None:
        """Send the endpoint's messages, pass its events to `on_event`, and set the timer.

        If `on_event` calls `flush`, this inner call does nothing.
        """
        if self._flushing:
            return
        self._flushing = True
        try:
            self._send()
            while (event := self.endpoint.next_event()) is not None:
                self._dispatch(event)
                self._send()
        finally:
            self._flushing = False
        self._set_timer()

    def error(self) -> None:
        """Count a send error that the system reported for an earlier datagram."""
        self.send_errors += 1

    def close(self) -> None:
        """Close all sockets and connections, and stop the timer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()
        self.connections.close()

    def _send(self) -> None:
        while outgoing := self.endpoint.outgoing():
            for out in outgoing:
                if out.destination.reliable:
                    self.connections.send(out)
                else:
                    self._send_datagram(out)

    def _send_datagram(self, out: OutgoingMessage) -> None:
        sock = self._sockets.get(out.local)
        try:
            if sock is None:
                raise OSError("no socket is bound to this address")  # noqa: TRY301 - counted with the others
            sock.send(out.data, out.destination)
        except OSError:
            self.send_errors += 1

    def _dispatch(self, event: SipEvent) -> None:
        if isinstance(event, ConnectionOffered):
            self.connections.alias(event.source, event.port)
            return
        try:
            self.on_event(event)
        except Exception as error:  # noqa: BLE001 - one call's bug must not end the others
            self._fault("sip.event_fault", error, type(event).__name__)

    def _set_timer(self) -> None:
        due = None if self._closed else self.endpoint.next_timer()
        if self._timer is not None:
            if due == self._timer_due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_due = due
            self._timer = self._loop.call_at(due, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        try:
            # The event loop may call `_timer_fired` one clock tick too early. Therefore, the
            # endpoint gets at least the time at which its timer is due.
            self.endpoint.handle_timer(max(self.now, self._timer_due))
        except Exception as error:  # noqa: BLE001 - as in received()
            self._fault("sip.core_fault", error)
        self.flush()
        self._report_sent()

    def _report_sent(self) -> None:
        try:
            self._on_sent()
        except Exception as error:  # noqa: BLE001 - as in _dispatch()
            self._fault("sip.sent_fault", error)

    def _fault(self, event: str, error: Exception, where: str = "") -> None:
        """Count a bug, and log the error's type and place once, without its text."""
        self.faults += 1
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        code = place.tb_frame.f_code if place is not None else None
        at = f"{code.co_qualname}:{place.tb_lineno}" if code and place else ""
        if (key := f"{event} {where} {type(error).__name__} {at}") not in self._reported:
            self._reported.add(key)
            logger.error(event, error=type(error).__name__, at=at, handling=where)
