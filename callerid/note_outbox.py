"""The outbox of contact notes: the versions of notes that wait for delivery to another system.

The versions of one call's note are delivered in their sequence. Before an attempt, the outbox
stores that the attempt begins. So after a crash it is known that the version may have arrived. A
version that is delivered or discarded keeps no text.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.contact_tables import NoteState, contacts, outbox
from callerid.note_destination import EarlierDelivery

LONGEST_WAIT_S: Final = 60.0
"""The longest time until the next attempt, in seconds."""
_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class QueuedVersion:
    """A version of a contact note that is to be delivered now."""

    call_id: str
    version: int
    fields: dict[str, Any]
    """The fields of the note, as `Contacts.save` queued them."""
    attempts: int
    """The number of attempts so far."""
    earlier: EarlierDelivery

    @property
    def entries(self) -> list[str]:
        """The ids of the confirmed person's entries in the directories."""
        found = json.loads(self.fields.get("entries", "[]"))
        return found or ([self.fields["person_id"]] if self.fields["person_id"] else [])


@dataclass(frozen=True, slots=True)
class UndeliveredVersion:
    """A version of a contact note that is not delivered, without the text of the note."""

    call_id: str
    version: int
    state: NoteState
    """`WAITING` or `REFUSED`."""
    created: float
    """The time at which the version was saved, in seconds since 1970."""
    line: str
    advisor: str
    attempts: int
    reason: str
    """Why the last attempt failed; "" if there was no attempt."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The numbers of undelivered versions."""

    waiting: int
    refused: int
    oldest: float | None
    """The time at which the oldest waiting version was saved, in seconds since 1970."""


class NoteOutbox:
    """The outbox in the database. Times are in seconds since 1970."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def next_version(self, now: float) -> QueuedVersion | None:
        """Return the version to deliver next; None if no version is due.

        A version waits until the earlier versions of its call are no longer waiting.
        """
        older = outbox.alias("older")
        held_back = (
            select(older.c.version)
            .where(
                older.c.call_id == outbox.c.call_id,
                older.c.version < outbox.c.version,
                older.c.state == NoteState.WAITING,
            )
            .exists()
        )
        # If the clock was set back, a time that is too far away is of the earlier clock.
        due = or_(outbox.c.due <= now, outbox.c.due > now + 2 * LONGEST_WAIT_S)
        statement = (
            select(outbox)
            .where(outbox.c.state == NoteState.WAITING, due, ~held_back)
            .order_by(outbox.c.due, outbox.c.created, outbox.c.version)
            .limit(1)
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
            if row is None:
                return None
            delivered = (
                select(outbox.c.version, outbox.c.record_id)
                .where(outbox.c.call_id == row.call_id, outbox.c.state == NoteState.DELIVERED)
                .order_by(outbox.c.version.desc())
                .limit(1)
            )
            last = (await connection.execute(delivered)).first()
        earlier = EarlierDelivery(
            last.version if last else 0, last.record_id if last else "", row.uncertain
        )
        return QueuedVersion(
            row.call_id, row.version, json.loads(row.payload), row.attempts, earlier
        )

    async def delivered_records(self, record_ids: Collection[str]) -> set[str]:
        """Return those of these record ids that are the records of delivered contact notes."""
        statement = select(outbox.c.record_id).where(outbox.c.record_id.in_(record_ids)).distinct()
        async with self._engine.connect() as connection:
            return set((await connection.execute(statement)).scalars())

    async def begin(self, version: QueuedVersion) -> None:
        """Store that an attempt to deliver a version begins."""
        await self._set(version, uncertain=True, attempts=outbox.c.attempts + 1)

    async def delivered(self, version: QueuedVersion, record_id: str, now: float) -> None:
        """Store that a version was delivered, and discard refused earlier versions of the call."""
        async with self._writer.begin() as connection:
            await connection.execute(
                update(outbox)
                .where(_is(version.call_id, version.version))
                .values(
                    state=NoteState.DELIVERED,
                    delivered=now,
                    record_id=record_id,
                    payload="",
                    reason="",
                    uncertain=False,
                )
            )
            await connection.execute(
                update(outbox)
                .where(
                    outbox.c.call_id == version.call_id,
                    outbox.c.version < version.version,
                    outbox.c.state == NoteState.REFUSED,
                )
                .values(
                    state=NoteState.DISCARDED, payload="", reason="a later version was delivered"
                )
            )

    async def failed(self, version: QueuedVersion, reason: str, due: float) -> None:
        """Store that an attempt failed, and that the next one is made at the time `due`."""
        await self._set(version, reason=reason[:_LONGEST_REASON], due=due)

    async def refused(self, version: QueuedVersion, reason: str) -> None:
        """Store that the destination does not accept a version."""
        await self._set(
            version, state=NoteState.REFUSED, reason=reason[:_LONGEST_REASON], uncertain=False
        )

    async def skip(self, version: QueuedVersion) -> None:
        """Store that a version need not be delivered, because its call needs no note."""
        await self._set(
            version, state=NoteState.DISCARDED, payload="", reason="the call needs no note"
        )

    async def undelivered(self, limit: int) -> list[UndeliveredVersion]:
        """Return the undelivered versions: the refused ones first, then the oldest."""
        statement = (
            select(outbox, contacts.c.line, contacts.c.advisor)
            .join(contacts, contacts.c.call_id == outbox.c.call_id)
            .where(_undelivered())
            .order_by(outbox.c.state, outbox.c.created, outbox.c.version)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [
                UndeliveredVersion(
                    row.call_id,
                    row.version,
                    NoteState(row.state),
                    row.created,
                    row.line,
                    row.advisor,
                    row.attempts,
                    row.reason,
                )
                for row in await connection.execute(statement)
            ]

    async def backlog(self) -> Backlog:
        """Return the numbers of undelivered versions."""
        statement = (
            select(
                outbox.c.state,
                func.count().label("number"),
                func.min(outbox.c.created).label("oldest"),
            )
            .where(_undelivered())
            .group_by(outbox.c.state)
        )
        async with self._engine.connect() as connection:
            found = {
                state: (count, oldest)
                for state, count, oldest in await connection.execute(statement)
            }
        waiting, oldest = found.get(NoteState.WAITING, (0, None))
        return Backlog(waiting, found.get(NoteState.REFUSED, (0, None))[0], oldest)

    async def retry(self, call_id: str) -> int:
        """Deliver the undelivered versions of a call as soon as possible; return their number."""
        return await self._decide(call_id, state=NoteState.WAITING, due=0.0)

    async def discard(self, call_id: str) -> int:
        """Deliver the undelivered versions of a call never; return their number."""
        reason = "discarded by an administrator"
        return await self._decide(call_id, state=NoteState.DISCARDED, payload="", reason=reason)

    async def _decide(self, call_id: str, **values: object) -> int:
        async with self._writer.begin() as connection:
            changed = await connection.execute(
                update(outbox).where(outbox.c.call_id == call_id, _undelivered()).values(**values)
            )
        return int(changed.rowcount)

    async def _set(self, version: QueuedVersion, **values: object) -> None:
        """Change a version, unless it was discarded meanwhile."""
        async with self._writer.begin() as connection:
            await connection.execute(
                update(outbox)
                .where(_is(version.call_id, version.version), outbox.c.state == NoteState.WAITING)
                .values(**values)
            )


def _is(call_id: str, version: int) -> ColumnElement[bool]:
    return and_(outbox.c.call_id == call_id, outbox.c.version == version)


def _undelivered() -> ColumnElement[bool]:
    return outbox.c.state.in_([NoteState.WAITING, NoteState.REFUSED])
