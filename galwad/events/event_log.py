"""Writes the events of calls into the outbox, several in one transaction.

The messages of the switch are handled without waiting; the database is written a moment later. A
state that is lost with the desk comes again in the switch's next snapshot.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from itertools import islice
from typing import Final

import structlog

from galwad.events.call_events import CallProgress, Step, end, follow, seal
from galwad.events.outbox import MAX_AGE_S, CallStep, WebhookOutbox
from galwad.host.switch_client import FromSwitch
from galwad.messages import CallChanged, CallEnded, CallsSnapshot, CallStatus, Sealed
from galwad.settings.events import EventName

_BATCH_S: Final = 0.05
"""The seconds for which events are collected before one transaction writes them."""
_RETRY_S: Final = 5.0
_LARGEST_BATCH: Final = 500
PATIENCE_S: Final = 5.0
"""Within these seconds after a snapshot, a call that it lacks may still end or ring again."""
log = structlog.get_logger()


class CallEventLog:
    """Follows all calls; writes their events of `kinds` to the outbox, then calls `on_written`."""

    def __init__(
        self,
        outbox: WebhookOutbox,
        kinds: Collection[EventName],
        on_written: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._kinds = frozenset(kinds)
        self._on_written = on_written
        self._clock = clock
        self._calls: dict[str, CallProgress] = {}
        self._missing: set[str] = set()
        """The calls that have not ended and were not in the switch's last snapshot."""
        self._timer: asyncio.TimerHandle | None = None
        self._steps: deque[CallStep] = deque()
        self._added = asyncio.Event()
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Load the progress of the calls from before a restart, ahead of the first message."""
        self._calls = await self._outbox.calls()

    async def run(self) -> None:
        """Write new events to the outbox until cancelled."""
        while True:
            self._added.clear()
            while self._steps:
                await asyncio.sleep(_BATCH_S)
                try:
                    await self.flush()
                except Exception:
                    # The database may be back in a moment. No error may end the writing for ever.
                    log.exception("webhook.not_written")
                    await asyncio.sleep(_RETRY_S)
            await self._added.wait()

    async def flush(self) -> None:
        """Write the events that are not in the outbox yet.

        Raises:
            SQLAlchemyError: The database cannot be written. The events are kept.
        """
        async with self._writing:
            while self._steps:
                batch = tuple(islice(self._steps, _LARGEST_BATCH))
                await self._outbox.write(batch, self._clock())
                for _ in batch:
                    self._steps.popleft()
        self._on_written()

    def stop(self) -> None:
        """Wait no longer for calls that were not in the switch's last snapshot."""
        if self._timer is not None:
            self._timer.cancel()

    def received(self, message: FromSwitch) -> None:
        """Handle a message of the switch."""
        match message:
            case CallsSnapshot():
                self._snapshot(message)
            case CallChanged():
                self._follow(message.call)
            case CallEnded():
                self._end(message.call_id, message.ended)

    async def sealed(self, reports: Collection[Sealed]) -> None:
        """Write the events of sealed recordings; return when they are in the outbox.

        An old recording of an unknown call, as when an index is made again, has no event: all its
        events would have been dropped by now.

        Raises:
            SQLAlchemyError: The database cannot be written. The finaliser must report them again.
        """
        now = self._clock()
        for sealed in reports:
            progress = self._calls.get(sealed.call_id)
            if progress is not None or sealed.started >= now - MAX_AGE_S:
                self._take(sealed.call_id, seal(progress, sealed, now))
        await self.flush()

    def _snapshot(self, snapshot: CallsSnapshot) -> None:
        for call in snapshot.calls:
            self._follow(call)
        live = {call.call_id for call in snapshot.calls}
        self._missing = {
            call_id
            for call_id, progress in self._calls.items()
            if call_id not in live and not progress.ended
        }
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._end_missing)

    def _end_missing(self) -> None:
        for call_id in tuple(self._missing):
            self._end(call_id, self._clock())

    def _follow(self, call: CallStatus) -> None:
        self._missing.discard(call.call_id)
        self._take(call.call_id, follow(self._calls.get(call.call_id), call, self._clock()))

    def _end(self, call_id: str, ended: float) -> None:
        self._missing.discard(call_id)
        progress = self._calls.get(call_id)
        if progress is not None:
            self._take(call_id, end(progress, ended))

    def _take(self, call_id: str, step: Step) -> None:
        before, (after, events) = self._calls.get(call_id), step
        if after is None:
            self._calls.pop(call_id, None)
        else:
            self._calls[call_id] = after
        if after != before or events:
            wanted = [event for event in events if event.kind in self._kinds]
            self._steps.append(CallStep(call_id, after, wanted))
            self._added.set()
