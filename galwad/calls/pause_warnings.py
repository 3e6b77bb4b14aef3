"""Warnings about forgotten pauses, and about holders that have stopped renewing their pause.

Nothing here ends a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from galwad.calls.live_calls import DeskCall, LiveCalls

log = structlog.get_logger()

_INTERVAL_S = 1.0
_SHORT = "payment.forgotten"
_LONG = "payment.forgotten_long"


class Warn(Protocol):
    """A function that raises an alarm about a call."""

    def __call__(self, kind: str, call: DeskCall, /) -> None:
        """Raise an alarm of the kind `kind` about `call`."""


class ForgottenPauses:
    """Raises an alarm when a pause has lasted `advisor_s`, and again at `supervisor_s` seconds.

    After each check, `on_count` receives the number of pauses that have lasted at least
    `supervisor_s`.
    """

    def __init__(
        self,
        calls: LiveCalls,
        warn: Warn,
        *,
        advisor_s: float,
        supervisor_s: float,
        on_count: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._calls = calls
        self._warn = warn
        self._advisor_s = advisor_s
        self._supervisor_s = supervisor_s
        self._on_count = on_count
        self._clock = clock
        self._warned: dict[tuple[str, float], str] = {}

    def check(self) -> None:
        """Raise the alarm that is due for each paused call, unless it was already raised."""
        raised = {}
        for call in self._calls.all():
            if call.state.recording != "paused":
                continue
            key = (call.call_id, call.state.recording_since)
            due = self._due(self._clock() - call.state.recording_since)
            if due and due != self._warned.get(key, ""):
                self._warn(due, call)
            raised[key] = due
        self._warned = raised
        self._on_count(sum(due == _LONG for due in raised.values()))

    async def run(self) -> None:
        """Call `check` every second until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(_INTERVAL_S)

    def _due(self, paused_s: float) -> str:
        if paused_s >= self._supervisor_s:
            return _LONG
        return _SHORT if paused_s >= self._advisor_s else ""


_SETTLE_S = 5.0
"""For this many seconds after a holder's request, reports of the switch may lack the holder."""
LOST = "payment.page_lost"


@dataclass(slots=True)
class _Heartbeat:
    """A holder's newest request, at a monotonic time. The next is due within `within_s` seconds."""

    at: float
    within_s: float
    lost: bool = False


class Heartbeats:
    """Watches holders that must renew their pause. `on_count` gets the number of late holders."""

    def __init__(
        self,
        calls: LiveCalls,
        warn: Warn,
        *,
        on_count: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._warn = warn
        self._on_count = on_count
        self._clock = clock
        self._watched: dict[tuple[str, str], _Heartbeat] = {}

    def beat(self, call_id: str, holder: str, within_s: float) -> None:
        """Note a request of a holder, which will renew its pause within `within_s` seconds.

        If the holder was late, its return is only logged. The alarm stays.
        """
        before = self._watched.get((call_id, holder))
        if before is not None and before.lost:
            log.info("payment.page_back", call_id=call_id)
        self._watched[call_id, holder] = _Heartbeat(self._clock(), within_s)

    def stop(self, call_id: str, holder: str) -> None:
        """Stop watching a holder: its pause has ended, or its newest request has no heartbeat."""
        self._watched.pop((call_id, holder), None)

    def check(self) -> None:
        """Raise the alarm once for each late holder; forget holders whose pause has ended."""
        now = self._clock()
        for (call_id, holder), beat in list(self._watched.items()):
            call = self._calls.get(call_id)
            silent_s = now - beat.at
            if call is None or (silent_s > _SETTLE_S and holder not in call.state.holders):
                self.stop(call_id, holder)
            elif silent_s > beat.within_s and not beat.lost:
                beat.lost = True
                self._warn(LOST, call)
        self._on_count(sum(beat.lost for beat in self._watched.values()))

    async def run(self) -> None:
        """Call `check` every second until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(_INTERVAL_S)
