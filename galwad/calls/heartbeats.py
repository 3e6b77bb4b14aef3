"""Warnings about pause holders that have stopped renewing their pause.

A payment system can state when it will renew. If it does not, it may have died. The recording stays
paused, because a caller may still give card details, and the advisor and the supervisors receive
the alarm `payment.page_lost`. After a restart of the desk, a holder is watched again from its next
request on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from galwad.calls.forgotten_pauses import Warn
from galwad.calls.live_calls import LiveCalls

_INTERVAL_S = 1.0
_SETTLE_S = 5.0
"""The seconds in which the switch has reported a new pause holder."""
LOST = "payment.page_lost"
log = structlog.get_logger()


@dataclass(slots=True)
class _Heartbeat:
    """The time of a holder's newest request, in monotonic seconds, and the time it stated."""

    at: float
    within_s: float
    lost: bool = False


class Heartbeats:
    """Watches holders that renew their pause; `on_count` receives the number of lost ones."""

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
        """Note a request of a holder, which will renew within `within_s` seconds.

        The return of a lost holder is only logged: the alarm was right when it was raised.
        """
        before = self._watched.get((call_id, holder))
        if before is not None and before.lost:
            log.info("payment.page_back", call_id=call_id)
        self._watched[call_id, holder] = _Heartbeat(self._clock(), within_s)

    def stop(self, call_id: str, holder: str) -> None:
        """Stop watching a holder, because its pause has ended or it states no time any more."""
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
