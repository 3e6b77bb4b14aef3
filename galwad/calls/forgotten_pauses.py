"""Alarms for pauses that may have been forgotten; nothing here ends a pause.

After `advisor_s` seconds the advisor receives an alarm. After `supervisor_s` seconds the advisor
and all supervisors receive a second one, and a metric counts the pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from galwad.calls.live_calls import DeskCall, LiveCalls

_INTERVAL_S = 1.0
_SHORT = "payment.forgotten"
_LONG = "payment.forgotten_long"


class Warn(Protocol):
    """A function that raises an alarm about a call."""

    def __call__(self, kind: str, call: DeskCall, /) -> None:
        """Raise an alarm of the kind `kind` about `call`."""


class ForgottenPauses:
    """Raises the alarms `payment.forgotten` and `payment.forgotten_long`, each once in a pause.

    `on_count` receives the number of pauses that have lasted `supervisor_s`, after each check.
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
        """Raise each alarm that is due and was not yet raised during the same pause."""
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
