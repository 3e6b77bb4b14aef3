"""The call events that a machine can read as a stream, in the desk's database.

An event is stored in one transaction with its call's progress, so none is lost if the desk is
killed. Contents that are too old or too many are removed. Ids stay longer, so that no event is
stored twice.

This is not an outbox (`galwad.host.outbox`), because readers fetch the events themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.events.call_events import WebhookEvent
from galwad.events.formats import request_body
from galwad.settings.desk import EventName, EventStreamSection

metadata = MetaData()

stream_events = Table(
    "stream_events",
    metadata,
    # A stream sends the events in the order of this number. The newest row is never removed, so no
    # number is used twice.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("kind", String(12), nullable=False),
    # The JSON document that is sent. It is removed as soon as the event cannot be read again.
    Column("body", Text, nullable=False),
    Column("created", Float, nullable=False),
)

BEFORE_ALL: Final = "0"
"""The position before the first event, in place of an event's id."""
OLDEST: Final = "oldest"
"""The position before the oldest event that can be read, in place of an event's id."""
_IDS_KEPT_S: Final = 4 * 86_400.0
"""The shortest time in seconds for which ids are kept. Later, no event is derived again."""
_FIRST: Final = 1
_EXPIRE_S: Final = 60.0
_HOUR_S: Final = 3600.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event. `document` is the JSON document that webhooks of the format `generic` send."""

    seq: int
    event_id: str
    kind: str
    document: str


class StreamStore:
    """The events of certain kinds in a database.

    An event can be read for `keep_s` seconds, but only while it is one of the newest `keep_events`.
    """

    def __init__(
        self, engine: AsyncEngine, kinds: Collection[EventName], keep_s: float, keep_events: int
    ) -> None:
        self.kinds = frozenset(kinds)
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._keep_s = keep_s
        self._keep_events = keep_events

    async def add(
        self, connection: AsyncConnection, events: Sequence[WebhookEvent], now: float
    ) -> None:
        """Store the events of `kinds`. The transaction reads first, so it must be `immediate`."""
        rows = [
            {
                "event_id": event.event_id,
                "kind": event.kind,
                "body": request_body(event, "generic").content.decode(),
                "created": now,
            }
            for event in events
            if event.kind in self.kinds
        ]
        await insert_new(connection, stream_events, rows)

    async def newest(self) -> str:
        """Return the id of the newest event, or `BEFORE_ALL` if there was never one."""
        query = select(stream_events.c.event_id).order_by(stream_events.c.seq.desc()).limit(1)
        async with self._engine.connect() as connection:
            found: str | None = await connection.scalar(query)
        return found or BEFORE_ALL

    async def position(self, event_id: str) -> int | None:
        """Return the `seq` with which `after` returns the events after this id.

        Return None if the id is unknown, or if a later event cannot be read any more.
        """
        if event_id == OLDEST:
            return await self._before_the_oldest()
        seq: int | None = 0
        if event_id != BEFORE_ALL:
            query = select(stream_events.c.seq).where(stream_events.c.event_id == event_id)
            async with self._engine.connect() as connection:
                seq = await connection.scalar(query)
        if seq is None or await self.after(seq, 1) is None:
            return None
        return seq

    async def _before_the_oldest(self) -> int:
        oldest = select(func.min(stream_events.c.seq)).where(stream_events.c.body != "")
        async with self._engine.connect() as connection:
            found: int | None = await connection.scalar(oldest)
            if found is not None:
                return found - 1
            return await connection.scalar(select(func.max(stream_events.c.seq))) or 0

    async def after(self, seq: int, most: int) -> list[StoredEvent] | None:
        """Return the next `most` events after `seq`; None if the first cannot be read any more."""
        query = (
            select(stream_events)
            .where(stream_events.c.seq > seq)
            .order_by(stream_events.c.seq)
            .limit(most)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        # The oldest events are removed first, so only the first one can be missing.
        if rows and (not rows[0].body or (seq == 0 and rows[0].seq != _FIRST)):
            return None
        return [StoredEvent(row.seq, row.event_id, row.kind, row.body) for row in rows]

    async def expire(self, now: float) -> None:
        """Remove the contents that are too old or too many at the Unix time `now`, and old ids."""
        newest = select(func.max(stream_events.c.seq)).scalar_subquery()
        too_old = stream_events.c.created < now - self._keep_s
        too_many = exceeds(stream_events, self._keep_events)
        async with self._writer.begin() as connection:
            await connection.execute(
                update(stream_events)
                .where(stream_events.c.body != "", or_(too_old, too_many))
                .values(body="")
            )
            await connection.execute(
                delete(stream_events).where(
                    stream_events.c.created < now - max(self._keep_s, _IDS_KEPT_S),
                    stream_events.c.seq != newest,
                )
            )


async def insert_new(
    connection: AsyncConnection, table: Table, rows: Iterable[dict[str, Any]]
) -> None:
    """Insert these rows, except those whose `event_id` the table has already."""
    wanted = {row["event_id"]: row for row in rows}
    stored = select(table.c.event_id).where(table.c.event_id.in_(wanted))
    known = set(await connection.scalars(stored))
    new = [row for event_id, row in wanted.items() if event_id not in known]
    if new:
        await connection.execute(insert(table), new)


def exceeds(table: Table, most: int, *which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a row is older than the newest `most` rows of `which`."""
    seq = table.c.seq
    newest = select(seq).where(*which).order_by(seq.desc()).offset(most).limit(1)
    return seq <= newest.scalar_subquery()


async def remove_contents(engine: AsyncEngine) -> None:
    """Remove the contents of all events, because the settings have no `[event_stream]` now."""
    async with engine.execution_options(immediate=True).begin() as connection:
        await connection.execute(
            update(stream_events).where(stream_events.c.body != "").values(body="")
        )


class CallStream:
    """The stream of call events; if `section` is None, it has no store and cannot be read."""

    def __init__(
        self,
        section: EventStreamSection | None,
        engine: AsyncEngine,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._readers: set[Callable[[], None]] = set()
        self.written = 0
        """The number of writes. If it has changed, a reader may find new events."""
        self.store: StreamStore | None = None
        if section is not None:
            keep_s = section.keep_hours * _HOUR_S
            self.store = StreamStore(engine, section.events, keep_s, section.keep_events)

    def wake(self) -> None:
        """Wake all readers, because events were written."""
        self.written += 1
        for wake in tuple(self._readers):
            wake()

    @contextmanager
    def reader(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` whenever events were written, until the context ends."""
        self._readers.add(wake)
        try:
            yield
        finally:
            self._readers.discard(wake)

    async def run(self) -> None:
        """Remove old events until cancelled; without a store, remove all contents and return."""
        while True:
            try:
                if self.store is None:
                    await remove_contents(self._engine)
                    return
                await self.store.expire(self._clock())
            except SQLAlchemyError as error:
                log.error("call_stream.not_expired", why=type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(_EXPIRE_S)
