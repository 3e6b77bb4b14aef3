"""The outbox of call events, in the desk's database.

An event is stored before it is sent. Its outcome is stored before the next event of its call is
sent. So a desk that was killed may send an event again, with the same id, but loses none. A settled
event stays for some days without its content, so that it is not written again. Waiting events that
are too many or too old are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    case,
    delete,
    insert,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.events.call_events import CallProgress, WebhookEvent
from galwad.events.stream import StreamStore, exceeds, insert_new
from galwad.host.outbox import Outbox
from galwad.settings.desk import ALL_EVENTS, EventName

metadata = MetaData()

webhook_calls = Table(
    "webhook_calls",
    metadata,
    Column("call_id", String(24), primary_key=True),
    Column("progress", Text, nullable=False),
    Column("ended", Float, nullable=False),
)

webhook_events = Table(
    "webhook_events",
    metadata,
    # The events of a call are sent in the order of this number.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("call_id", String(24), nullable=False),
    Column("kind", String(12), nullable=False),
    # The event in JSON. It is removed as soon as the event is not to be sent any more.
    Column("body", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Float, nullable=False),
    # "" while the event waits; then "delivered", "refused" or "dropped".
    Column("outcome", String(10), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("settled", Float, nullable=False),
    Index("webhook_events_by_outcome", "outcome", "call_id", "seq"),
)

Outcome: TypeAlias = Literal["delivered", "refused", "dropped"]
MAX_WAITING: Final = 50_000
"""The most events that wait. If there are more, the oldest are dropped."""
MAX_AGE_S: Final = 3 * 86_400.0
"""The longest time in seconds that an event waits before it is dropped."""
_KEPT_S: Final = {"delivered": 4 * 86_400.0, "refused": 30 * 86_400.0, "dropped": 30 * 86_400.0}
"""The seconds for which a settled event is kept, by outcome: longer than any event waits."""


@dataclass(frozen=True, slots=True)
class CallStep:
    """New events of a call, and its progress, which is None after the last event."""

    call_id: str
    progress: CallProgress | None
    events: Sequence[WebhookEvent]


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that is to be sent, and the number of attempts that have failed."""

    event: WebhookEvent
    attempts: int


@dataclass(frozen=True, slots=True)
class UndeliveredEvent:
    """A call event that was not delivered, without its content.

    `created` is the time at which it was written. An event that is "waiting" is sent again at the
    time `due`. A "refused" event is not sent again, because its content is removed. `reason` says
    why the last attempt failed. Times are in seconds since 1970.
    """

    id: str
    call_id: str
    kind: str
    state: Literal["waiting", "refused"]
    created: float
    attempts: int
    due: float
    reason: str


class WebhookOutbox(Outbox):
    """The outbox of call events. `write` uses the caller's transaction. Times are Unix seconds."""

    def __init__(
        self,
        engine: AsyncEngine,
        kinds: Collection[EventName] = ALL_EVENTS,
        stream: StreamStore | None = None,
    ) -> None:
        super().__init__(engine, webhook_events, webhook_events.c.outcome, "", "seq")
        self._kinds = frozenset(kinds)
        self._stream = stream

    async def calls(self) -> dict[str, CallProgress]:
        """Return the progress of each call that may still have events."""
        found = {}
        async with self._engine.connect() as connection:
            for row in await connection.execute(select(webhook_calls)):
                with suppress(msgspec.DecodeError):  # a damaged row must not stop the desk
                    found[row.call_id] = msgspec.json.decode(row.progress, type=CallProgress)
        return found

    async def write(
        self, connection: AsyncConnection, steps: Sequence[CallStep], now: float
    ) -> None:
        """Write the new events and progress of these steps, in the transaction of `connection`."""
        events = [event for step in steps for event in step.events]
        latest = {step.call_id: step.progress for step in steps}
        sent = [event for event in events if event.kind in self._kinds]
        await insert_new(connection, webhook_events, (_row_of(event, now) for event in sent))
        if self._stream is not None:
            await self._stream.add(connection, events, now)
        await connection.execute(delete(webhook_calls).where(webhook_calls.c.call_id.in_(latest)))
        rows = [
            {
                "call_id": call_id,
                "progress": msgspec.json.encode(progress).decode(),
                "ended": progress.ended,
            }
            for call_id, progress in latest.items()
            if progress is not None
        ]
        if rows:
            await connection.execute(insert(webhook_calls), rows)

    async def due(self, now: float, busy: Collection[str], most: int) -> list[WaitingEvent]:
        """Return at most `most` due events of calls that are not in `busy`.

        Each of them is the oldest waiting event of its call. An event whose row is damaged is
        dropped.
        """
        found = []
        for row in await self._due(webhook_events.c.due <= now, busy, most):
            try:
                event = msgspec.json.decode(row.body, type=WebhookEvent)
            except msgspec.DecodeError:
                await self.settle(row.event_id, "dropped", "it cannot be read", now)
            else:
                found.append(WaitingEvent(event, row.attempts))
        return found

    async def settle(self, event_id: str, outcome: Outcome, reason: str, now: float) -> None:
        """Store that an event is not to be sent any more, and remove its content."""
        async with self._writer.begin() as connection:
            which = webhook_events.c.event_id == event_id
            await self._settle(connection, which, outcome, reason, now)

    async def postpone(self, event_id: str, due: float, reason: str = "") -> None:
        """Store that an attempt to send an event has failed. The next attempt is at `due`."""
        await self._change(
            self._waiting,
            webhook_events.c.event_id == event_id,
            attempts=webhook_events.c.attempts + 1,
            due=due,
            reason=reason,
        )

    async def undelivered(self, most: int) -> list[UndeliveredEvent]:
        """Return at most `most` failed events: the waiting, then the refused, the oldest first."""
        column = webhook_events.c
        state = case((self._waiting, "waiting"), else_=column.outcome)
        query = (
            select(
                *(column.event_id.label("id"), column.call_id, column.kind, state.label("state")),
                *(column.created, column.attempts, column.due, column.reason),
            )
            .where(or_(self._waiting & (webhook_events.c.attempts > 0), self._refused))
            .order_by(webhook_events.c.outcome, webhook_events.c.seq)
            .limit(most)
        )
        async with self._engine.connect() as connection:
            return [UndeliveredEvent(**row._asdict()) for row in await connection.execute(query)]

    async def waiting_call(self, event_id: str) -> str | None:
        """Return the id of the call of an event that waits; None if no such event waits."""
        query = select(webhook_events.c.call_id).where(
            self._waiting, webhook_events.c.event_id == event_id
        )
        async with self._engine.connect() as connection:
            found: str | None = await connection.scalar(query)
            return found

    async def hurry(self, event_id: str, now: float) -> None:
        """Make a waiting event due now."""
        await self._change(self._waiting, webhook_events.c.event_id == event_id, due=now)

    async def expire(self, now: float) -> int:
        """Remove old settled events; drop waiting events over the limits, and return their number.

        Also remove the progress of calls that ended long ago.
        """
        async with self._writer.begin() as connection:
            for outcome, kept_s in _KEPT_S.items():
                await connection.execute(
                    delete(webhook_events).where(
                        webhook_events.c.outcome == outcome,
                        webhook_events.c.settled < now - kept_s,
                    )
                )
            await connection.execute(
                delete(webhook_calls).where(
                    webhook_calls.c.ended > 0, webhook_calls.c.ended < now - MAX_AGE_S
                )
            )
            too_old = webhook_events.c.created < now - MAX_AGE_S
            too_many = exceeds(webhook_events, MAX_WAITING, self._waiting)
            reason = "it has waited too long, or too many events waited"
            return await self._settle(connection, or_(too_old, too_many), "dropped", reason, now)

    async def _settle(
        self,
        connection: AsyncConnection,
        which: ColumnElement[bool],
        outcome: Outcome,
        reason: str,
        now: float,
    ) -> int:
        return await self._change_in(
            connection, self._waiting, which, outcome=outcome, reason=reason, settled=now, body=""
        )

    async def clear(self) -> None:
        """Remove all events. Without a stream, also remove the progress of the calls."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(webhook_events))
            if self._stream is None:
                await connection.execute(delete(webhook_calls))


def _row_of(event: WebhookEvent, now: float) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "call_id": event.call.call_id,
        "kind": event.kind,
        "body": msgspec.json.encode(event).decode(),
        "created": now,
        "attempts": 0,
        "due": now,
        "outcome": "",
        "reason": "",
        "settled": 0.0,
    }
