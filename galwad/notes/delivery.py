"""The outbox of contact notes, and their delivery to another system, one attempt after another.

The versions of one call's note are delivered in their sequence. Before an attempt, the outbox
stores that the attempt begins. So after a crash it is known that the version may have arrived. A
version that is delivered or discarded keeps no text.

After repeated failures, or if the system asks for a rest, no attempt is made for a while
(`net.breaker`). A note that the system does not accept needs an administrator, who corrects the
cause and lets the note be delivered again, or discards it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import structlog
from sqlalchemy import or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.errors import NoteRefusedError, reason_of
from callerid.note import NOTE_FIELDS, EarlierDelivery, NoteDestination, OutgoingNote
from callerid.person import record_id_in
from galwad.host.outbox import Backlog, BackOff, Outbox
from galwad.notes.store import NoteState, notes, outbox
from net.breaker import BreakerLimits, BreakerState, CircuitBreaker
from net.errors import ServerBusyError

log = structlog.get_logger()
PAUSES: Final = BackOff(2.0, 60.0)
_ATTEMPT_S: Final = 30.0
"""The longest time of an attempt, in seconds."""
_POLL_S: Final = 2.0
"""The longest time in seconds until the outbox is read again."""
_QUEUED = ("call_id", "version", "started", "line", "advisor", *NOTE_FIELDS)


@dataclass(frozen=True, slots=True)
class QueuedVersion:
    """A version of a contact note that is to be delivered now."""

    call_id: str
    version: int
    fields: dict[str, Any]
    """The fields of the note, as `NoteStore.save` queued them."""
    attempts: int
    earlier: EarlierDelivery

    @property
    def entries(self) -> list[str]:
        """The ids of the confirmed person's entries in the directories."""
        found = json.loads(self.fields.get("entries", "[]"))
        return found or ([self.fields["person_id"]] if self.fields["person_id"] else [])


@dataclass(frozen=True, slots=True)
class UndeliveredNote:
    """A version of a contact note that is not delivered, without its text.

    `saved` is the time at which it was saved, in seconds since 1970. `reason` says why the last
    attempt failed. A "waiting" version is tried again. A "refused" version is not.
    """

    call_id: str
    version: int
    state: NoteState
    saved: float
    line: str
    advisor: str
    attempts: int
    reason: str


class NoteOutbox(Outbox):
    """The outbox of contact notes. Each write is one transaction. Times are in Unix seconds."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine, outbox, outbox.c.state, NoteState.WAITING, "version")

    async def next_version(self, now: float) -> QueuedVersion | None:
        """Return the version to deliver next; None if no version is due.

        A version waits until the earlier versions of its call are no longer waiting.
        """
        # A time too far in the future was stored before the clock was set back, so it is ignored.
        due = or_(outbox.c.due <= now, outbox.c.due > now + 2 * PAUSES.longest_s)
        found = await self._due(due, (), 1)
        if not found:
            return None
        (row,) = found
        delivered = (
            select(outbox.c.version, outbox.c.record_id)
            .where(outbox.c.call_id == row.call_id, outbox.c.state == NoteState.DELIVERED)
            .order_by(outbox.c.version.desc())
            .limit(1)
        )
        async with self._engine.connect() as connection:
            last = (await connection.execute(delivered)).first()
        earlier = EarlierDelivery(
            last.version if last else 0, last.record_id if last else "", row.uncertain
        )
        return QueuedVersion(
            row.call_id, row.version, json.loads(row.payload), row.attempts, earlier
        )

    async def delivered_records(self, record_ids: Collection[str]) -> set[str]:
        """Return the ids in `record_ids` that belong to delivered contact notes."""
        statement = select(outbox.c.record_id).where(outbox.c.record_id.in_(record_ids)).distinct()
        async with self._engine.connect() as connection:
            return set((await connection.execute(statement)).scalars())

    async def begin(self, version: QueuedVersion) -> None:
        """Store that an attempt to deliver a version begins."""
        await self._set(version, uncertain=True, attempts=outbox.c.attempts + 1)

    async def delivered(self, version: QueuedVersion, record_id: str, now: float) -> None:
        """Store that a version was delivered, and discard refused earlier versions of the call."""
        same_call = outbox.c.call_id == version.call_id
        async with self._writer.begin() as connection:
            await self._change_in(
                connection,
                same_call,
                outbox.c.version == version.version,
                state=NoteState.DELIVERED,
                delivered=now,
                record_id=record_id,
                payload="",
                reason="",
                uncertain=False,
            )
            await self._change_in(
                connection,
                same_call,
                outbox.c.version < version.version,
                self._refused,
                state=NoteState.DISCARDED,
                payload="",
                reason="a later version was delivered",
            )

    async def failed(self, version: QueuedVersion, reason: str, due: float) -> None:
        """Store that an attempt failed, and that the next one must not begin before `due`."""
        await self._set(version, reason=reason, due=due)

    async def refused(self, version: QueuedVersion, reason: str) -> None:
        """Store that the destination does not accept a version."""
        await self._set(version, state=NoteState.REFUSED, reason=reason, uncertain=False)

    async def skip(self, version: QueuedVersion) -> None:
        """Store that a version need not be delivered, because its call needs no note."""
        reason = "the call needs no note"
        await self._set(version, state=NoteState.DISCARDED, payload="", reason=reason)

    async def undelivered(self, limit: int, call_id: str | None = None) -> list[UndeliveredNote]:
        """Return at most `limit` undelivered versions, of all calls or of one.

        Refused versions come before waiting versions, and then older ones before newer ones.
        """
        of_call = () if call_id is None else (outbox.c.call_id == call_id,)
        statement = (
            select(
                *(outbox.c[name] for name in ("call_id", "version", "state", "attempts", "reason")),
                *(outbox.c.created.label("saved"), notes.c.line, notes.c.advisor),
            )
            .join(notes, notes.c.call_id == outbox.c.call_id)
            .where(or_(self._waiting, self._refused), *of_call)
            .order_by(outbox.c.state, outbox.c.created, outbox.c.version)
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [
                UndeliveredNote(**row._asdict() | {"state": NoteState(row.state)})
                for row in await connection.execute(statement)
            ]

    async def retry(self, call_id: str) -> int:
        """Deliver the undelivered versions of a call as soon as possible; return their number."""
        return await self._decide(call_id, state=NoteState.WAITING, due=0.0)

    async def discard(self, call_id: str) -> int:
        """Give up the undelivered versions of a call; return their number."""
        reason = "discarded by an administrator"
        return await self._decide(call_id, state=NoteState.DISCARDED, payload="", reason=reason)

    async def _decide(self, call_id: str, **values: object) -> int:
        undelivered = or_(self._waiting, self._refused)
        return await self._change(outbox.c.call_id == call_id, undelivered, **values)

    async def _set(self, version: QueuedVersion, **values: object) -> None:
        """Change a version, unless it no longer waits: it may have been discarded meanwhile."""
        same = outbox.c.call_id == version.call_id, outbox.c.version == version.version
        await self._change(self._waiting, *same, **values)


def _nothing(_: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class NoteForm:
    """Converts queued versions of notes to the form that one system gets."""

    directory: str
    """The name of the system's directory, from which the person's id in a note is."""
    purpose_code: Callable[[str], str] = _nothing
    """Returns the system's code for a purpose in English or Welsh; "" if it has no code."""
    no_note_words: Callable[[str], str] = _nothing
    """Returns the English words of a reason for no note; "" to use Galwad's own words."""
    recordings: str = ""
    """The address to which the call id is added for a link to the recording; "" for no link."""

    def note(self, version: QueuedVersion) -> OutgoingNote:
        """Return a version of a note as the system gets it."""
        fields = version.fields
        return OutgoingNote(
            **{name: fields[name] for name in _QUEUED if name in fields},
            person_id=record_id_in(self.directory, version.entries),
            reference=fields.get("reference", ""),
            purpose_code=self.purpose_code(fields["purpose"]),
            recording_url=f"{self.recordings}{version.call_id}" if self.recordings else "",
            no_note_words=self.no_note_words(fields.get("no_note_reason", "")),
        )


class DeliveryOutcome(StrEnum):
    """The outcome of an attempt to deliver a version of a note."""

    DELIVERED = "delivered"
    FAILED = "failed"
    BUSY = "busy"
    REFUSED = "refused"


class NoteDelivery:
    """Delivers the versions in an outbox to `destination`. If it is None, the versions only wait.

    `form` is the form of the notes for this system. `on_outcome` receives the outcome of each
    attempt, `on_refused` the call id of each note that is not accepted, and `on_backlog` the
    numbers of undelivered versions after each look into the outbox. `limits` say when attempts are
    suspended after failures. `wall_clock` returns Unix seconds, `clock` monotonic seconds, and
    `jitter` a random number from 0 to 1.
    """

    def __init__(
        self,
        outbox: NoteOutbox,
        destination: NoteDestination | None,
        form: NoteForm,
        *,
        on_outcome: Callable[[DeliveryOutcome], None],
        on_refused: Callable[[str], None],
        on_backlog: Callable[[Backlog], None],
        limits: BreakerLimits | None = None,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.outbox = outbox
        self._destination = destination
        self._form = form
        self._on_outcome = on_outcome
        self._on_refused = on_refused
        self._on_backlog = on_backlog
        self._breaker = CircuitBreaker(limits or BreakerLimits())
        self._wall_clock = wall_clock
        self._clock = clock
        self._jitter = jitter
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Deliver soon, because a version was added to the outbox or changed there."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver the versions that are due until cancelled, then close the destination."""
        if self._destination is None:
            return
        try:
            while True:
                self._woken.clear()
                try:
                    more = await self.deliver_next()
                    self._on_backlog(await self.outbox.backlog())
                except SQLAlchemyError as error:
                    reason = type(error).__name__
                    log.warning("note.outbox_failed", reason=reason)
                    more = False
                if not more:
                    await self._wait()
        finally:
            await self._destination.close()

    async def deliver_next(self) -> bool:
        """Make one attempt to deliver a due version. Return False if none can be delivered now."""
        destination = self._destination
        if destination is None:
            return False
        if self._breaker.state(self._clock()) in {BreakerState.OPEN, BreakerState.BUSY}:
            return False
        version = await self.outbox.next_version(self._wall_clock())
        if version is None:
            return False
        if version.fields.get("no_note_reason") and version.earlier.version == 0:
            await self.outbox.skip(version)
            return True
        if not self._breaker.begin(self._clock()):
            return False
        try:
            await self.outbox.begin(version)
            await self._attempt(version, destination)
        finally:
            self._breaker.abandoned()  # has no effect if the result was reported
        return True

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_POLL_S):
                await self._woken.wait()

    async def _attempt(self, version: QueuedVersion, destination: NoteDestination) -> None:
        note = self._form.note(version)
        reason = ""
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                record_id = await destination.deliver(note, version.earlier)
        except NoteRefusedError as error:
            self._breaker.succeeded()
            outcome, reason = DeliveryOutcome.REFUSED, str(error)
            await self.outbox.refused(version, reason)
            self._on_refused(version.call_id)
        except ServerBusyError as error:
            self._breaker.asked_for_rest(self._clock(), error.seconds)
            outcome, reason = DeliveryOutcome.BUSY, str(error)
            await self.outbox.failed(version, reason, self._wall_clock())
        except Exception as error:  # noqa: BLE001 - a fault of a system must not end the delivery
            self._breaker.failed(self._clock())
            outcome, reason = DeliveryOutcome.FAILED, reason_of(error)
            pause = PAUSES.wait_s(version.attempts, self._jitter())
            await self.outbox.failed(version, reason, self._wall_clock() + pause)
        else:
            self._breaker.succeeded()
            outcome = DeliveryOutcome.DELIVERED
            await self.outbox.delivered(version, record_id, self._wall_clock())
        self._on_outcome(outcome)
        log.info(
            "note.attempted",
            outcome=outcome.value,
            call_id=version.call_id,
            version=version.version,
            attempt=version.attempts + 1,
            destination=destination.name,
            reason=reason,
        )
