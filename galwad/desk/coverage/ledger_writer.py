"""The writing of the ledger: the switch's reports on answered calls, in batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

import structlog

from galwad.messages import CallEnded, CallStatus
from recording.errors import CatalogueError
from recording.index.ledger import Answered, AnsweredCall, Ended, Ledger, LedgerEntry, OthersEnded

_BATCH_S: Final = 0.25
"""The time in which entries are gathered into one transaction."""
_RETRY_S: Final = 5.0
log = structlog.get_logger()


class LedgerWriter:
    """Queues entries for the ledger and writes them in order."""

    def __init__(
        self,
        ledger: Ledger,
        on_stored: Callable[[Collection[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set up the writer.

        `on_stored` receives the ids of calls whose ends are now in the database, so that the
        switch stops repeating them.
        """
        self._ledger = ledger
        self._on_stored = on_stored
        self._clock = clock
        self._entered: set[str] = set()
        """The calls that were entered as answered and have not ended."""
        self._unacknowledged: set[str] = set()
        """The calls whose ends the switch repeats until they are stored."""
        self._entries: deque[LedgerEntry] = deque()
        self._added = asyncio.Event()

    async def run(self) -> None:
        """Write the entries in order, until cancelled.

        The pause before each batch lets the pages' own writes go first.
        """
        while True:
            self._added.clear()
            while self._entries:
                await asyncio.sleep(_BATCH_S)
                if not await self.flush():
                    await asyncio.sleep(_RETRY_S)
            await self._added.wait()

    async def flush(self) -> bool:
        """Write the waiting entries; return False if the database refuses, and keep them."""
        batch = tuple(self._entries)
        try:
            await self._ledger.add(batch)
        except CatalogueError as error:
            log.error("ledger.not_written", why=str(error))  # noqa: TRY400 - it says what
            return False
        for _ in batch:
            self._entries.popleft()
        ended = {entry.call.call_id for entry in batch if isinstance(entry, Ended)}
        if entered := ended & self._unacknowledged:
            self._unacknowledged -= entered
            self._on_stored(entered)
        return True

    def call(self, state: CallStatus) -> None:
        """Enter the call in the ledger once it is answered and to be recorded."""
        recorded = state.recording not in {"not_started", "ended"}
        if state.state in {"answered", "held"} and recorded and state.call_id not in self._entered:
            self._entered.add(state.call_id)
            self._enter(Answered(state.call_id, state.recording_since or state.since))

    def ended(self, message: CallEnded) -> None:
        """Enter the end of a call."""
        self._entered.discard(message.call_id)
        if message.for_ledger:
            self._unacknowledged.add(message.call_id)
        began = message.since or message.ended - (message.talk_us or 0) / 1_000_000
        call = AnsweredCall(message.call_id, began, message.ended, message.talk_us)
        self._enter(Ended(call, new=message.answered or message.for_ledger))

    def snapshot(self, in_progress: Collection[str]) -> None:
        """Enter as ended all calls that the switch does not list; how they ended is not known."""
        self._entered.intersection_update(in_progress)
        self._enter(OthersEnded(frozenset(in_progress), self._clock()))

    def _enter(self, entry: LedgerEntry) -> None:
        self._entries.append(entry)
        self._added.set()
