"""Writes what parts of the desk learn from the switch's reports about calls.

The messages of the switch are handled without waiting: each part queues what it must store. A
moment later, one transaction stores this for all parts, with the audit entries that belong to it.
If the desk dies before that, the switch later sends it the present state of each call, and again
each end that was not acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, Generic, TypeAlias, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from recording.audit.log import AuditLog, NewEntry
from recording.errors import AuditError

Report = TypeVar("Report")
Write: TypeAlias = Callable[[AsyncConnection, Sequence[Report]], Awaitable[Sequence[NewEntry]]]
BATCH_S: Final = 0.25
"""The longest time in seconds to collect reports, so that more urgent writes come first."""
RETRY_S = 5.0
MOST = 500
"""The most reports of one part in one transaction: one SQL statement can name all their ids."""
log = structlog.get_logger()


class ReportQueue(Generic[Report]):
    """The reports that one part of the desk must store, in their sequence."""

    def __init__(
        self,
        follower: CallFollower,
        name: str,
        write: Write[Report],
        on_written: Callable[[Sequence[Report]], None],
    ) -> None:
        self.name = name
        self.write = write
        self.on_written = on_written
        self._follower = follower
        self._reports: deque[Report] = deque()

    def __len__(self) -> int:
        """Return the number of reports that are not written yet."""
        return len(self._reports)

    def add(self, report: Report) -> None:
        """Queue a report, which is written soon."""
        self._reports.append(report)
        self._follower.wake()

    async def flush(self) -> None:
        """Write the reports of all parts now; raise the error if reports of this part remain."""
        try:
            await self._follower.flush()
        except Exception:
            if self._reports:  # otherwise, another part has failed
                raise

    def batch(self) -> Sequence[Report]:
        """Return the reports that the next transaction writes."""
        return tuple(islice(self._reports, MOST))

    def drop(self, batch: Sequence[Report]) -> None:
        """Forget a batch that is written."""
        for _ in batch:
            self._reports.popleft()


class CallFollower:
    """Writes the reports of all queues into the database of the audit chain."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._queues: list[ReportQueue[Any]] = []
        self._batch_s = BATCH_S
        self._added = asyncio.Event()
        self._writing = asyncio.Lock()

    def queue(
        self,
        name: str,
        write: Write[Report],
        on_written: Callable[[Sequence[Report]], None] = lambda _: None,
        *,
        batch_s: float = BATCH_S,
    ) -> ReportQueue[Report]:
        """Return a new queue. Its reports are written at most about `batch_s` seconds later.

        All queues are written together, so the shortest `batch_s` of all queues applies to each.
        `write` stores a batch in the transaction of a connection, and returns its audit entries. If
        the transaction fails, `write` is called again with these reports. `on_written` receives
        each batch that is committed. `name` is the part's name in the log.
        """
        queue = ReportQueue(self, name, write, on_written)
        self._queues.append(queue)
        self._batch_s = min(self._batch_s, batch_s)
        return queue

    def wake(self) -> None:
        """Write soon, because a report was added."""
        self._added.set()

    async def run(self) -> None:
        """Write the reports until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            await asyncio.sleep(self._batch_s)
            try:
                await self.flush()
            except Exception:  # noqa: BLE001 - it is logged; no error may end the writing for ever
                self._added.set()
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """Write the waiting reports. If the database fails, they are lost with this process."""
        with suppress(Exception):
            await self.flush()

    async def flush(self) -> None:
        """Write all waiting reports. Keep reports that cannot be written, and raise their error."""
        failures: dict[ReportQueue[Any], Exception] = {}
        async with self._writing:
            while waiting := [each for each in self._queues if each and each not in failures]:
                failures |= await self._write(waiting)
        for failure in failures.values():
            raise failure

    async def _write(self, queues: Sequence[ReportQueue[Any]]) -> dict[ReportQueue[Any], Exception]:
        """Write a batch of each queue; return the errors of queues that cannot be written.

        If the common transaction fails, write each queue in a transaction of its own, because
        perhaps only one queue has caused the failure.
        """
        batches = [(queue, queue.batch()) for queue in queues]
        try:
            await self._commit(batches)
        except Exception as error:  # noqa: BLE001 - it is logged and returned
            if len(queues) > 1:
                failures: dict[ReportQueue[Any], Exception] = {}
                for queue in queues:
                    failures |= await self._write([queue])
                return failures
            _log_failure(queues[0].name, error)
            return {queues[0]: error}
        for queue, batch in batches:
            try:
                queue.on_written(batch)
            except Exception:
                log.exception("calls.not_reported", part=queue.name)
        return {}

    async def _commit(self, batches: Sequence[tuple[ReportQueue[Any], Sequence[Any]]]) -> None:
        async def write(connection: AsyncConnection) -> Sequence[NewEntry]:
            return [
                entry for queue, batch in batches for entry in await queue.write(connection, batch)
            ]

        await self._audit.append_after(write)
        for queue, batch in batches:
            queue.drop(batch)


def _log_failure(part: str, error: Exception) -> None:
    if isinstance(error, AuditError):
        log.error("calls.not_written", part=part, why=str(error))
    else:
        log.error("calls.not_written", part=part, exc_info=error)
