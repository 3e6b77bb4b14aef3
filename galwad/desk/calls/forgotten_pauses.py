"""Alarms for pauses that may have been forgotten.

A pause continues until its pause holder ends it. After `ADVISOR_S` seconds of pause the call's
advisor receives an alarm. After `SUPERVISOR_S` seconds of pause the advisor and all supervisors
receive a second alarm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from galwad.desk.calls.events import Audience
from galwad.desk.calls.live_calls import DeskCall, LiveCalls

ADVISOR_S = 120.0
SUPERVISOR_S = 300.0
_INTERVAL_S = 5.0


class Warn(Protocol):
    """The type of a function that raises an alarm about a call."""

    def __call__(self, kind: str, call: DeskCall, *, audience: Audience) -> None:
        """Raise an alarm of the kind `kind` about `call`; the users in `audience` receive it."""


class ForgottenPauses:
    """Raises the alarms `payment.forgotten` and `payment.forgotten_long`.

    Each alarm is raised at most once during a pause. `warn` is the function that raises an alarm.
    `clock` returns the Unix time in seconds.
    """

    def __init__(
        self, calls: LiveCalls, warn: Warn, clock: Callable[[], float] = time.time
    ) -> None:
        self._calls = calls
        self._warn = warn
        self._clock = clock
        self._warned: dict[tuple[str, float], str] = {}

    def check(self) -> None:
        """Raise each alarm that is due now and was not yet raised during the same pause."""
        raised = {}
        for call in self._calls.all():
            if call.state.recording != "paused":
                continue
            key = (call.call_id, call.state.recording_since)
            paused = self._clock() - call.state.recording_since
            kind = self._warned.get(key, "")
            due = _due(paused)
            if due and due != kind:
                late = due == "payment.forgotten_long"
                self._warn(due, call, audience="supervisors" if late else "own")
            raised[key] = due
        self._warned = raised

    async def run(self) -> None:
        """Call `check` every five seconds until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(_INTERVAL_S)


def _due(paused_s: float) -> str:
    if paused_s >= SUPERVISOR_S:
        return "payment.forgotten_long"
    return "payment.forgotten" if paused_s >= ADVISOR_S else ""
