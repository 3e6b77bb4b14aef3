"""Writes the switch's reports about answered calls into the ledger, several in one transaction.

For each call that has ended, the same transaction adds an entry with the times of the ledger's row
to the audit chain. So a row that is changed or deleted later can be detected.
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
"""The seconds for which entries are collected. Then one transaction writes them all."""
_RETRY_S: Final = 5.0
log = structlog.get_logger()


class LedgerWriter:
    """Queues entries for the ledger, and writes them in the sequence in which they were queued."""

    def __init__(
        self,
        audit: AuditLog,
        on_stored: Callable[[Collection[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set up the writer. The ledger is in the same database as the audit chain `audit`.

        When the ends of calls are stored in the database, `on_stored` is called with the ids of
        these calls. It must report them to the switch, which otherwise repeats its messages about
        the ends. `clock` returns the Unix time in seconds.
        """
        self._audit = audit
        self._on_stored = on_stored
        self._clock = clock
        self._entered: set[str] = set()
        """The ids of the calls in progress whose answer was entered in the ledger."""
        self._unacknowledged: set[str] = set()
        """The ids of ended calls whose end is not stored yet.

        The switch repeats its report of such an end until the desk has stored it.
        """
        self._entries: deque[LedgerEntry] = deque()
        self._added = asyncio.Event()
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        """Write the queued entries, several at a time, until cancelled.

        The delay before each transaction gives more urgent writes to the database, such as those
        for the pages, the chance to run first.
        """
        while True:
            self._added.clear()
            while self._entries:
                await asyncio.sleep(_BATCH_S)
                if not await self.flush():
                    await asyncio.sleep(_RETRY_S)
            await self._added.wait()

    async def flush(self) -> bool:
        """Write all queued entries to the ledger in one transaction; return whether that succeeded.

        If the database reports an error, the entries stay in the queue, and the result is False.
        """
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
        """Enter a call in the ledger, if the call is answered and is to be recorded.

        This method is called for every state of a call that the switch reports, but it enters each
        call only once.
        """
        recorded = state.recorded and state.recording not in {"not_started", "ended"}
        if state.state in {"answered", "held"} and recorded and state.call_id not in self._entered:
            self._entered.add(state.call_id)
            self._enter(Answered(state.call_id, state.recording_since or state.since))

    def ended(self, message: CallEnded) -> None:
        """Enter the end of a call in the ledger, with the facts from the switch's message."""
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
        """Enter an end for each call that has no end in the ledger and is not in `in_progress`.

        `in_progress` has the ids of all calls in the switch's snapshot, so the other calls have
        ended. Their real end is not known, so the present time is entered.
        """
        self._entered.intersection_update(in_progress)
        self._enter(OthersEnded(frozenset(in_progress), self._clock()))

    def _enter(self, entry: LedgerEntry) -> None:
        self._entries.append(entry)
        self._added.set()


async def _write(entries: Sequence[LedgerEntry], connection: AsyncConnection) -> list[NewEntry]:
    """Write the entries to the ledger; return an audit entry for each ended call."""
    return [
        NewEntry(CALL_ENDED, ended_facts(call.call_id, call.answered, call.ended, call.talk_us))
        for call in await ledger.write(connection, entries)
        if call.ended is not None
    ]
