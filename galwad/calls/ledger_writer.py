"""Writes the switch's reports about answered calls into the ledger, several in one transaction.

The transaction adds the times of each ended call to the audit chain, so that a row that is changed
or deleted later can be detected.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.messages import CallEnded, CallStatus
from recording.audit.index_comparison import CALL_ENDED, ended_facts
from recording.audit.log import AuditLog, NewEntry
from recording.errors import AuditError
from recording.index import ledger
from recording.index.ledger import (
    Answered,
    AnsweredCall,
    Ended,
    LedgerEntry,
    OthersEnded,
    Withdrawn,
)

_BATCH_S: Final = 0.25
"""The seconds for which entries are collected before one transaction writes them."""
_RETRY_S: Final = 5.0
log = structlog.get_logger()


class LedgerWriter:
    """Queues entries for the ledger in the audit chain's database, and writes them in sequence.

    `on_stored` receives the ids of calls whose end is stored. It must report them to the switch,
    which otherwise repeats its messages about the ends.
    """

    def __init__(
        self,
        audit: AuditLog,
        on_stored: Callable[[Collection[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._audit = audit
        self._on_stored = on_stored
        self._clock = clock
        self._entered: set[str] = set()
        """The ids of the calls in progress whose answer was entered in the ledger."""
        self._unacknowledged: set[str] = set()
        """The ids of ended calls whose end is not stored, so that the switch repeats it."""
        self._entries: deque[LedgerEntry] = deque()
        self._added = asyncio.Event()
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Write queued entries until cancelled, each time after a delay for more urgent writes."""
        while True:
            self._added.clear()
            while self._entries:
                await asyncio.sleep(_BATCH_S)
                if not await self.flush():
                    await asyncio.sleep(_RETRY_S)
            await self._added.wait()

    async def flush(self) -> bool:
        """Write all queued entries; if the database fails, keep them and return False."""
        async with self._writing:
            batch = tuple(self._entries)
            try:
                await self._audit.append_after(partial(_write, batch))
            except AuditError as error:
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
        """Enter a call in the ledger once, when it is answered and is to be recorded."""
        recorded = state.recorded and state.recording not in {"not_started", "ended"}
        if state.state in {"answered", "held"} and recorded and state.call_id not in self._entered:
            self._entered.add(state.call_id)
            self._enter(Answered(state.call_id, state.recording_since or state.since))

    def ended(self, message: CallEnded) -> None:
        """Enter the end of a call in the ledger."""
        self._entered.discard(message.call_id)
        if message.lost_fork:
            self._enter(Withdrawn(message.call_id))
            return
        if message.for_ledger:
            self._unacknowledged.add(message.call_id)
        began = message.since or message.ended - (message.talk_us or 0) / 1_000_000
        call = AnsweredCall(message.call_id, began, message.ended, message.talk_us)
        self._enter(Ended(call, new=message.answered or message.for_ledger))

    def snapshot(self, in_progress: Collection[str]) -> None:
        """Enter the present time as the end of each open call that the switch's snapshot lacks."""
        self._entered.intersection_update(in_progress)
        self._enter(OthersEnded(frozenset(in_progress), self._clock()))

    def _enter(self, entry: LedgerEntry) -> None:
        self._entries.append(entry)
        self._added.set()


async def _write(entries: Sequence[LedgerEntry], connection: AsyncConnection) -> list[NewEntry]:
    return [
        NewEntry(CALL_ENDED, ended_facts(call.call_id, call.answered, call.ended, call.talk_us))
        for call in await ledger.write(connection, entries)
        if call.ended is not None
    ]
