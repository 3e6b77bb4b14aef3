"""Limit how long SIP connections handle messages before media, timers and datagrams go first.

A fast sender could keep the event loop busy. Therefore all connections together get at most `SHARE`
of the time, `SLICE_S` at once; then they rest. A connection with unhandled data reads no more until
its turn, so TCP slows its sender down. The IP addresses take turns, and so do the connections of
one address: many connections, or a fast one, delay other addresses little.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from telephony.aio.work_share import WorkShare, WorkTimer

SLICE_S: Final = 0.002
"""The seconds for which connections handle messages before they rest; no message is interrupted."""
SHARE: Final = 0.4
"""The part of the time that all connections together may take."""
UNITS_A_TURN: Final = 16
"""The largest number of messages that one connection handles in one turn."""
_SHORTEST_REST_S: Final = 0.001


class TurnTaker(Protocol):
    """A connection that has read data, and handles it when it has its turn."""

    @property
    def host(self) -> str:
        """The IP address of the peer."""

    def handle_next(self) -> bool:
        """Handle the next message. Return False if no complete message was left."""

    def hold(self) -> None:
        """Read no more data until `resume`."""

    def resume(self) -> None:
        """Read data again, because all that was read is handled."""


class StreamTurns:
    """Gives turns to the connections that have unhandled data. Use it in one event loop only."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """Start without connections. The clocks return monotonic and processor time, in seconds."""
        self._clock, self._cpu_clock = clock, cpu_clock
        self._loop = asyncio.get_running_loop()
        self._waiting: OrderedDict[str, OrderedDict[TurnTaker, None]] = OrderedDict()
        self._work_share = WorkShare(SHARE, clock)
        self._timer: asyncio.TimerHandle | None = None
        self._is_working = False

    def is_waiting(self, stream: TurnTaker) -> bool:
        """Return whether the connection waits for its turn."""
        return stream in self._waiting.get(stream.host, ())

    def ready(self, stream: TurnTaker) -> None:
        """Let a connection handle the data that it has read: now, or when its turn comes."""
        self._waiting.setdefault(stream.host, OrderedDict()).setdefault(stream)
        if self._timer is None and not self._is_working:
            self._work()
        if self.is_waiting(stream):
            stream.hold()

    def forget(self, stream: TurnTaker) -> None:
        """Remove a connection that has ended."""
        streams = self._waiting.get(stream.host)
        if streams is not None and stream in streams:
            del streams[stream]
            if not streams:
                del self._waiting[stream.host]

    def close(self) -> None:
        """Give no more turns."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _work(self) -> None:
        """Give turns until the slice is over, and then rest if connections still wait."""
        timer = WorkTimer(self._clock, self._cpu_clock)
        until = self._clock() + max(0.0, SLICE_S - self._work_share.debt_s)
        self._is_working = True
        try:
            while self._waiting and self._clock() < until:
                self._give_turn(until)
        finally:
            self._is_working = False
            self._work_share.spend(timer.seconds)
            if self._waiting:
                rest = max(_SHORTEST_REST_S, self._work_share.rest_s)
                self._timer = self._loop.call_later(rest, self._work_again)

    def _work_again(self) -> None:
        self._timer = None
        self._work()

    def _give_turn(self, until: float) -> None:
        host, streams = next(iter(self._waiting.items()))
        stream = next(iter(streams))
        streams.move_to_end(stream)
        self._waiting.move_to_end(host)
        for _ in range(UNITS_A_TURN):
            if not stream.handle_next():
                self.forget(stream)
                stream.resume()
                return
            if self._clock() >= until:
                return
