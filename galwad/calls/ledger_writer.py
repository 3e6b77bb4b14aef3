"""Enters the switch's reports about answered calls into the ledger.

The transaction that stores the end of a call also adds its times to the audit chain. So a later
change or deletion of the row is detected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.host.call_follower import CallFollower
from galwad.messages import CallEnded, CallStatus
from recording.audit.index_comparison import CALL_ENDED, ended_facts
from recording.audit.log import NewEntry
from recording.index import ledger
from recording.index.ledger import (
    Answered,
    AnsweredCall,
    Ended,
    LedgerEntry,
    OthersEnded,
    Withdrawn,
)


class LedgerWriter:
    """Queues entries for the ledger, which `follower` writes in sequence.

    `on_stored` receives the ids of calls whose end is stored. It must report them to the switch,
    which otherwise repeats its messages about the ends.
    """

    def __init__(
        self,
        follower: CallFollower,
        on_stored: Callable[[Collection[str]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._on_stored = on_stored
        self._clock = clock
        self._entered: set[str] = set()
        """The ids of the calls in progress whose answer is in the ledger, or queued for it."""
        self._unacknowledged: set[str] = set()
        """The ids of ended calls whose end is not stored yet. The switch repeats these ends."""
        self.entries = follower.queue("ledger", _write, self._written)

    def _written(self, batch: Sequence[LedgerEntry]) -> None:
        ended = {entry.call.call_id for entry in batch if isinstance(entry, Ended)}
        if entered := ended & self._unacknowledged:
            self._unacknowledged -= entered
            self._on_stored(entered)

    def call(self, state: CallStatus) -> None:
        """Enter a call once in the ledger, if it is answered and its recording began or failed."""
        recorded = state.recorded and state.recording not in {"not_started", "ended"}
        if state.state in {"answered", "held"} and recorded and state.call_id not in self._entered:
            self._entered.add(state.call_id)
            self.entries.add(Answered(state.call_id, state.recording_since or state.since))

    def ended(self, message: CallEnded) -> None:
        """Enter the end of a call in the ledger. Remove a lost fork: it counts as not answered."""
        self._entered.discard(message.call_id)
        if message.lost_fork:
            self.entries.add(Withdrawn(message.call_id))
            return
        if message.for_ledger:
            self._unacknowledged.add(message.call_id)
        began = message.since or message.ended - (message.talk_us or 0) / 1_000_000
        call = AnsweredCall(message.call_id, began, message.ended, message.talk_us)
        self.entries.add(Ended(call, new=message.answered or message.for_ledger))

    def snapshot(self, in_progress: Collection[str]) -> None:
        """End, at the present time, each call in the ledger that is not one of `in_progress`.

        `in_progress` are the ids of the calls in the switch's snapshot.
        """
        self._entered.intersection_update(in_progress)
        self.entries.add(OthersEnded(frozenset(in_progress), self._clock()))


async def _write(connection: AsyncConnection, entries: Sequence[LedgerEntry]) -> list[NewEntry]:
    return [
        NewEntry(CALL_ENDED, ended_facts(call.call_id, call.answered, call.ended, call.talk_us))
        for call in await ledger.write(connection, entries)
        if call.ended is not None
    ]
