"""The SIP transports around an `Endpoint`, in three steps: feed, flush, dispatch.

They own every socket by which the endpoint communicates (UDP, TCP and TLS) and decide nothing. One
call_later timer serves all of the core's timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from telephony.aio.addresses import reachable_host
from telephony.aio.connection import ConnectionLimits, EndReason
from telephony.aio.connections import Connections
from telephony.aio.packet_filter import Network
from telephony.aio.source_filter import AcceptAll, SourceFilter
from telephony.aio.tls import Tls
from telephony.aio.udp import UdpSocket
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, ConnectionOffered, OutgoingMessage, SipEvent
from telephony.sip.message.framing import StreamUnit

logger = structlog.get_logger(__name__)

OnEvent = Callable[[SipEvent], None]
_MOST_QUEUED = 10_000
"""The most messages queued at the start.

A later datagram is dropped, because its sender repeats it. A later message over a connection closes
the connection, which its sender treats as a 503 (RFC 3261 8.1.3.1).
"""


class SipTransport:
    """Runs one endpoint on any number of addresses, in the running event loop.

    `on_event` is called for each event, in order. Code that acts on the endpoint outside `on_event`
    must call `flush()` afterwards.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        on_event: OnEvent,
        *,
        limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - a frozen value
        source_filter: SourceFilter | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.send_errors = 0
        """Datagrams that the system refused to send, and send errors that it reported later."""
        self.faults = 0
        """Exceptions from the core or from `on_event`; each is a bug."""
        self._on_event = on_event
        self._filter = source_filter or AcceptAll()
        self._sockets: dict[Address, UdpSocket] = {}
        self.connections = Connections(self, limits, self._filter)
        """The connections; public for their counts."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._flushing = False
        self._closed = False
        self._queued: list[tuple[bytes, Address, Address]] | None = None
        self._reported: set[str] = set()

    @property
    def now(self) -> float:
        """The time given to the core: the event loop's, in monotonic seconds."""
        return self._loop.time()

    async def listen(
        self, local: Address, *, advertised: Address | None = None, tls: Tls | None = None
    ) -> Address:
        """Bind an address and return it; port 0 lets the system choose.

        `advertised` goes into Via and Contact; its port 0 means the bound port. Without
        `advertised`, a wildcard address is advertised as the address from which this machine's
        default route leaves. A TLS address needs `tls`.

        Raises:
            OSError: The address cannot be bound.
            ProtocolError: A TLS address without `tls`, or `tls` with TCP.
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
        """Queue received messages while the core does not know its dialogs yet."""
        self._queued = []

    def release_received(self) -> None:
        """Handle the queued messages, and from now on every message when it comes."""
        queued, self._queued = self._queued or [], None
        for data, source, local in queued:
            self.received(data, source, local)

    def received(self, data: bytes, source: Address, local: Address) -> None:
        """Feed a message to the core, then flush."""
        now = self.now
        if not self._filter.accepts_message(data, source, now):
            self.connections.disconnect(source)
            return
        if self._queued is not None:
            if len(self._queued) < _MOST_QUEUED:
                self._queued.append((data, source, local))
            else:
                self.connections.disconnect(source, EndReason.US)
            return
        before = self.endpoint.malformed
        try:
            self.endpoint.receive(data, source, local, now)
        except Exception as error:  # noqa: BLE001 - a bug in the core must not end every call
            self._fault("sip.core_fault", error)
        if self.endpoint.malformed != before:
            self._filter.on_malformed(source, now)
        self.flush()

    def on_framing_lost(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Answer a message that broke its stream, as far as it can be read."""
        self.endpoint.refuse(fault, source, local)
        self._filter.on_malformed(source, self.now)
        self.flush()

    def on_unreachable(self, destination: Address) -> None:
        """Fail the transactions that wait for an answer from this destination."""
        if not self._closed:
            self.endpoint.unreachable(destination, self.now)
            self.flush()

    def on_connection_lost(self, destination: Address) -> None:
        """Repeat what may be lost because the connection to this destination ended."""
        if not self._closed:
            self.endpoint.connection_lost(destination, self.now)
            self.flush()

    def drop_from(self, blocked: Sequence[Network], known: Sequence[Network] | None) -> None:
        """Let the kernel drop datagrams from these networks where it can; see packet_filter.py."""
        for sock in self._sockets.values():
            sock.drop_from(blocked, known)

    def is_open(self, address: Address) -> bool:
        """Return whether the address can still be used: False for a connection that has ended."""
        return not address.flow or self.connections.is_open(address)

    def flush(self) -> None:
        """Send waiting messages, dispatch events and set the timer, until nothing remains.

        A call within `on_event` returns at once, because the flush that called `on_event`
        continues.
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
        """Count an error that the system reported for an earlier datagram."""
        self.send_errors += 1

    def close(self) -> None:
        """Close the sockets and stop the timer."""
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
            self._on_event(event)
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
            # call_at may fire one clock tick early; the core must not see a time before its timer.
            self.endpoint.handle_timer(max(self.now, self._timer_due))
        except Exception as error:  # noqa: BLE001 - as in received()
            self._fault("sip.core_fault", error)
        self.flush()

    def _fault(self, event: str, error: Exception, where: str = "") -> None:
        """Log a bug once: its kind and place, never its text, which may quote a message."""
        self.faults += 1
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        code = place.tb_frame.f_code if place is not None else None
        at = f"{code.co_qualname}:{place.tb_lineno}" if code and place else ""
        if (key := f"{event} {where} {type(error).__name__} {at}") not in self._reported:
            self._reported.add(key)
            logger.error(event, error=type(error).__name__, at=at, handling=where)
