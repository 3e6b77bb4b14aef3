"""SIP over UDP: sockets around an `Endpoint`, in three steps: feed, flush, dispatch.

Decides nothing. One call_later timer stands for all of the core's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from telephony.aio.addresses import reachable_host
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, Event

logger = structlog.get_logger(__name__)

OnEvent = Callable[[Event], None]


class UdpTransport:
    """Runs one endpoint on any number of UDP sockets, in the running event loop.

    `on_event` is called for each event, in order; whoever acts on the endpoint at any other time
    calls `flush()` afterwards.
    """

    def __init__(self, endpoint: Endpoint, on_event: OnEvent) -> None:
        self.endpoint = endpoint
        self.send_errors = 0
        """Datagrams that the system refused to send, and errors that it reported later."""
        self.faults = 0
        """Exceptions out of the core or of `on_event`: each is a bug."""
        self._on_event = on_event
        self._sockets: dict[Address, asyncio.DatagramTransport] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._flushing = False
        self._reported: set[str] = set()

    @property
    def now(self) -> float:
        """The time that the core is told: the loop's, monotonic seconds."""
        return self._loop.time()

    async def listen(self, local: Address, *, advertised: Address | None = None) -> Address:
        """Bind a socket; port 0 lets the system choose. Returns the bound address.

        `advertised` goes into Via and Contact; its port 0 stands for the bound one. Without it a
        wildcard address is advertised as the one from which this machine's default route leaves.

        Raises:
            OSError: it cannot be bound.
        """
        transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _Socket(self), local_addr=local[:2]
        )
        host, port = transport.get_extra_info("sockname")[:2]
        bound = Address(host, port)
        self._sockets[bound] = transport
        if advertised is None and (reachable := reachable_host(host)) != host:
            advertised = Address(reachable, port)
        elif advertised is not None and not advertised.port:
            advertised = Address(advertised.host, port)
        self.endpoint.listen(bound, advertised=advertised)
        return bound

    def received(self, data: bytes, source: Address, local: Address) -> None:
        """Feed a datagram to the core, then flush."""
        try:
            self.endpoint.receive(data, source, local, self.now)
        except Exception as error:  # noqa: BLE001 - a bug in the core must not end every call
            self._fault("sip.core_fault", error)
        self.flush()

    def flush(self) -> None:
        """Send what waits, dispatch the events, set the timer; until there is nothing more.

        Called within `on_event` it returns at once: the flush that dispatches goes on.
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
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for transport in self._sockets.values():
            transport.close()
        self._sockets.clear()

    def _send(self) -> None:
        for datagram in self.endpoint.outgoing():
            transport = self._sockets.get(datagram.local)
            if transport is None or transport.is_closing():
                self.send_errors += 1
                continue
            try:
                transport.sendto(datagram.data, datagram.destination[:2])
            except (OSError, ValueError):
                self.send_errors += 1

    def _dispatch(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - one call's bug must not end the others
            self._fault("sip.event_fault", error, type(event).__name__)

    def _set_timer(self) -> None:
        due = self.endpoint.next_timer() if self._sockets else None
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
            # call_at may fire a clock tick early; the core then wants it still.
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


class _Socket(asyncio.DatagramProtocol):
    """One bound socket; knows its own address and hands everything on."""

    def __init__(self, owner: UdpTransport) -> None:
        self._owner = owner
        self._local = Address("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        host, port = transport.get_extra_info("sockname")[:2]
        self._local = Address(host, port)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._owner.received(data, Address(addr[0], addr[1]), self._local)

    def error_received(self, exc: Exception) -> None:
        del exc
        self._owner.error()
