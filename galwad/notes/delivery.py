"""Delivers contact notes from the outbox to another system, one attempt after another.

After a failure, the next attempt for this note is made a random time later, up to
`LONGEST_WAIT_S`; it grows with each failure. After repeated failures, or if the system asks for it,
no attempt is made for a while (`callerid.breaker`). A note that the system does not accept needs an
administrator, who corrects the settings and lets it be delivered again, or discards it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callerid.breaker import BreakerLimits, BreakerState, CircuitBreaker
from callerid.errors import CallerIdError, NoteRefusedError, SourceBusyError
from callerid.note_destination import NoteDestination
from callerid.note_outbox import LONGEST_WAIT_S, Backlog, NoteOutbox, QueuedVersion
from galwad.notes.outgoing import NoteForm

log = structlog.get_logger()
_ATTEMPT_S: Final = 30.0
"""The longest time of an attempt, in seconds."""
_FIRST_WAIT_S: Final = 2.0
_POLL_S: Final = 2.0
"""The longest time in seconds until the outbox is read again."""


class DeliveryOutcome(StrEnum):
    """The outcome of an attempt to deliver a version of a note."""

    DELIVERED = "delivered"
    FAILED = "failed"
    BUSY = "busy"
    REFUSED = "refused"


class NoteDelivery:
    """Delivers the versions in an outbox to one destination.

    Args:
        outbox: The outbox.
        destination: The system that gets the notes; None if notes only wait.
        form: The form of the notes for this system.
        on_outcome: A function that receives the outcome of each attempt.
        on_refused: A function that receives the call id of each note that is not accepted.
        on_backlog: A function that receives the present numbers of undelivered versions.
        limits: When attempts are suspended after failures, and for how long.
        wall_clock: A function that returns the time in seconds since 1970.
        clock: A function that returns the time in monotonic seconds.
        jitter: A function that returns a random number from 0 to 1.
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
        """Deliver the versions that are due until this task is cancelled. Close the destination."""
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
        """Make one attempt to deliver a version that is due; return whether there may be more."""
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
        except SourceBusyError as error:
            self._breaker.asked_for_rest(self._clock(), error.seconds)
            outcome, reason = DeliveryOutcome.BUSY, str(error)
            await self.outbox.failed(version, reason, self._wall_clock())
        except Exception as error:  # noqa: BLE001 - a fault of a system must not end the delivery
            self._breaker.failed(self._clock())
            outcome, reason = DeliveryOutcome.FAILED, _reason(error)
            await self.outbox.failed(version, reason, self._next_attempt(version.attempts))
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

    def _next_attempt(self, failures: int) -> float:
        """Return the time of the next attempt after `failures` and one more failure."""
        longest = min(_FIRST_WAIT_S * 2.0 ** min(failures, 16), LONGEST_WAIT_S)
        return self._wall_clock() + longest * (0.5 + self._jitter() / 2)


def _reason(error: Exception) -> str:
    """Return why an attempt failed. The text of foreign errors may have personal data."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) if isinstance(error, CallerIdError) else type(error).__name__
