"""One HTTP connection: uvicorn's protocol with a place, and with a time limit for each phase.

A limit counts from the beginning of its phase, so a client that sends one byte now and then cannot
extend it. The TLS handshake has its own limit in `galwad.host.connections.acceptor`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final, cast

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from galwad.host.connections.places import Place, Places
from telephony.aio.arrival import latest_data_arrival

PLACE: Final = "galwad.place"
"""The key of a request's scope under which the connection's `Place` is stored."""
ARRIVAL: Final = "galwad.arrival"
"""The key of a request's scope under which its `Arrival` is stored."""


@dataclass(slots=True)
class Arrival:
    """The time when the last byte of a request arrived, even if the desk read this byte only later.

    A pause counts from this time, not from the request's beginning: a client could hold back the
    end of its request, and so erase what was recorded in the meantime.
    """

    mono: float | None = None
    """Monotonic seconds; None while the request is not complete."""


class ConnectionPhase(Enum):
    """The phases of a connection."""

    HEAD = "head"
    """The client has connected or begun a further request; the head is not complete."""
    BODY = "body"
    ANSWER = "answer"
    """The desk answers and the client reads; an event stream stays in this phase."""
    STALLED = "stalled"
    """The desk answers, and the client does not read."""
    IDLE = "idle"
    """The last request is answered, and the client has sent nothing since."""
    CLOSING = "closing"
    """The desk closes the connection, and the client has not read everything yet."""


@dataclass(frozen=True, slots=True)
class PhaseLimits:
    """The longest time in seconds for which a connection may be in each phase."""

    head: float = 10.0
    body: float = 20.0
    stalled: float = 30.0
    closing: float = 10.0
    idle: float = 5.0
    signed_in_idle: float = 300.0
    """Long, so that a page whose user pauses a recording needs no new connection."""

    def of(self, phase: ConnectionPhase, *, signed_in: bool) -> float | None:
        """Return the limit for a phase; None if the phase has no limit."""
        return {
            ConnectionPhase.HEAD: self.head,
            ConnectionPhase.BODY: self.body,
            ConnectionPhase.ANSWER: None,
            ConnectionPhase.STALLED: self.stalled,
            ConnectionPhase.IDLE: self.signed_in_idle if signed_in else self.idle,
            ConnectionPhase.CLOSING: self.closing,
        }[phase]


class LimitedProtocol(H11Protocol):
    """An HTTP/1.1 connection with time limits, and with `PLACE` and `ARRIVAL` in each scope."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        place: Place,
        places: Places,
        limits: PhaseLimits,
    ) -> None:
        super().__init__(config, server_state, {})
        self.app = partial(_with_place, self.app, place)
        self._place = place
        self._places = places
        self._limits = limits
        self._phase: ConnectionPhase | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin the first phase."""
        super().connection_made(transport)
        if self._place.left:
            transport.abort()  # the connection had to make room during its TLS handshake
            return
        self._enter(ConnectionPhase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the connection's place."""
        self._lost = True
        self._stop_timer()
        self._places.leave(self._place)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle bytes from the client, and enter the next phase if one begins."""
        super().data_received(data)
        self._note_arrival()
        self._enter(self._next_phase(received=True))

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have been received already."""
        super().on_response_complete()
        self._note_arrival()
        self._unset_keepalive_if_required()  # uvicorn's timer; the phase has its own
        self._phase = None
        self._enter(self._next_phase(received=bool(self.conn.trailing_data[0])))

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._enter(ConnectionPhase.STALLED)

    def resume_writing(self) -> None:
        """Continue to answer a client that reads again."""
        super().resume_writing()
        if self._phase is ConnectionPhase.STALLED:
            self._enter(self._next_phase(received=False))

    def _note_arrival(self) -> None:
        """Store when the last byte of the current request arrived, once the request is complete."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is None:
            return
        scope = cast("Scope", cycle.scope)
        arrival = scope.setdefault(ARRIVAL, Arrival())
        if arrival.mono is None and not cycle.more_body:
            connection = self.transport.get_extra_info("socket")
            arrival.mono = latest_data_arrival(connection, time.monotonic())

    def _next_phase(self, *, received: bool) -> ConnectionPhase:
        if self.transport.is_closing():
            return ConnectionPhase.CLOSING
        if self.flow.write_paused:
            return ConnectionPhase.STALLED
        if self.conn.their_state is h11.SEND_BODY:
            return ConnectionPhase.BODY
        if self.cycle is not None and not self.cycle.response_complete:
            return ConnectionPhase.ANSWER
        return ConnectionPhase.HEAD if received or self.cycle is None else ConnectionPhase.IDLE

    def _enter(self, phase: ConnectionPhase) -> None:
        if phase is self._phase:
            return
        self._stop_timer()
        self._phase = phase
        limit = self._limits.of(phase, signed_in=self._place.session is not None)
        if limit is not None and not self._lost:
            self._timer = self.loop.call_later(limit, self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self._phase is ConnectionPhase.IDLE:
            self.timeout_keep_alive_handler()
            self._enter(self._next_phase(received=False))
        else:
            self.transport.abort()


async def _with_place(
    app: ASGIApp, place: Place, scope: Scope, receive: Receive, send: Send
) -> None:
    scope[PLACE] = place
    await app(scope, receive, send)
