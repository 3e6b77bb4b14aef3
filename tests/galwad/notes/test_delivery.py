"""Contact notes are delivered in sequence, again after failures, and never more than once."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import pytest

from callerid.errors import NoteRefusedError
from callerid.note import Note
from galwad.notes.delivery import (
    PAUSES,
    DeliveryOutcome,
    NoteDelivery,
    NoteForm,
    NoteOutbox,
)
from galwad.notes.rules import OpenNote
from galwad.notes.store import NoteStore
from helpers.fake_destination import Destination
from helpers.notes import written
from net.breaker import BreakerLimits
from net.errors import ServerBusyError, ServerError

ONE, TWO = "20261125-101500-aaaaaaaa", "20261125-101600-bbbbbbbb"
DOWN = ServerError("cannot connect to the server")


class World:
    """A delivery whose clock stands still until the test moves it."""

    def __init__(self, engine):
        self.now = 1_800_000_000.0
        self.contacts = NoteStore(engine)
        self.outbox = NoteOutbox(engine)
        self.destination = Destination()
        self.outcomes, self.refused, self.backlogs = [], [], []

    def delivery(self, destination="own", **limits):
        return NoteDelivery(
            self.outbox,
            self.destination if destination == "own" else destination,
            NoteForm("crm"),
            on_outcome=self.outcomes.append,
            on_refused=self.refused.append,
            on_backlog=self.backlogs.append,
            limits=BreakerLimits(**limits),
            wall_clock=lambda: self.now,
            clock=lambda: self.now,
            jitter=lambda: 1.0,
        )

    async def save(self, call_id, purpose):
        await self.contacts.open_note(OpenNote(call_id, 1000.0, "Waste", "sian", "201"))
        await self.contacts.save(call_id, written(purpose, "cy"), self.now)

    async def run(self, delivery, seconds=0.0):
        """Make all attempts that are due in the next seconds."""
        end = self.now + seconds
        while True:
            while await delivery.deliver_next():
                pass
            if self.now >= end:
                return
            self.now += 1.0


@pytest.fixture
def world(engine):
    return World(engine)


async def test_a_note_is_delivered_once(world):
    await world.save(ONE, "a")
    delivery = world.delivery()
    await world.run(delivery, 60)
    assert [note.purpose for note, _ in world.destination.attempts] == ["a"]
    assert world.outcomes == [DeliveryOutcome.DELIVERED]


async def test_versions_of_a_note_arrive_in_sequence_with_the_id_of_the_record(world):
    await world.save(ONE, "a")
    await world.save(ONE, "b")
    world.destination.errors = [DOWN]
    await world.run(world.delivery(), 60)
    assert list(world.destination.records.values()) == [[1, 2]]
    (_, last) = world.destination.attempts[-1]
    assert (last.version, last.record_id) == (1, "T-1")


async def test_a_failed_delivery_is_repeated_after_longer_and_longer_pauses(world):
    await world.save(ONE, "a")
    world.destination.errors = [DOWN] * 100
    delivery, times = world.delivery(failures=1000), []
    began = world.now
    while world.now < began + 400:
        before = len(world.destination.attempts)
        await delivery.deliver_next()
        if len(world.destination.attempts) > before:
            times.append(world.now - began)
        world.now += 1
    waits = [after - before for before, after in pairwise(times)]
    assert waits[:6] == [2, 4, 8, 16, 32, PAUSES.longest_s]
    assert set(waits[6:]) == {PAUSES.longest_s}


async def test_a_system_that_is_down_gets_few_requests_for_many_notes(world):
    for number in range(50):
        await world.save(f"20261125-10{number:04d}-aaaaaaaa", "a")
    world.destination.errors = [DOWN] * 1000
    await world.run(world.delivery(), 600)
    assert len(world.destination.attempts) < 40
    world.destination.errors = []
    await world.run(world.delivery(), 2 * PAUSES.longest_s)
    assert len(world.destination.records) == 50


async def test_a_repeated_attempt_says_that_the_first_one_may_have_arrived(world):
    await world.save(ONE, "a")
    world.destination.errors, world.destination.after_writing = [TimeoutError()], {0}
    await world.run(world.delivery(), 10)
    assert [earlier.uncertain for _, earlier in world.destination.attempts] == [False, True]


async def test_a_system_that_asks_for_a_rest_gets_no_request_meanwhile(world):
    await world.save(ONE, "a")
    await world.save(TWO, "b")
    world.destination.errors = [ServerBusyError(17)]
    delivery = world.delivery()
    await world.run(delivery, 16)
    assert len(world.destination.attempts) == 1
    assert world.outcomes == [DeliveryOutcome.BUSY]
    await world.run(delivery, 2)
    assert len(world.destination.records) == 2


async def test_a_refused_note_is_reported_once_and_holds_no_other_note_back(world):
    await world.save(ONE, "a")
    await world.save(TWO, "b")
    world.destination.errors = [NoteRefusedError("the server refuses it (422)")]
    await world.run(world.delivery(), 600)
    assert world.refused == [ONE]
    assert world.outcomes == [DeliveryOutcome.REFUSED, DeliveryOutcome.DELIVERED]
    (left,) = await world.outbox.undelivered(10)
    assert left.reason == "the server refuses it (422)"


async def test_a_note_that_fails_for_ever_does_not_hold_other_notes_back(world):
    class Picky(Destination):
        async def deliver(self, note, earlier):
            if note.call_id == ONE:
                self.attempts.append((note, earlier))
                raise ServerError("the server answers 500")
            return await super().deliver(note, earlier)

    world.destination = Picky()
    await world.save(ONE, "a")
    delivery = world.delivery()
    for number in range(20):
        await world.save(f"20261125-11{number:04d}-aaaaaaaa", "b")
        await world.run(delivery, 10)
    assert len(world.destination.records) == 20


async def test_an_unexpected_error_does_not_end_the_delivery_and_its_text_is_not_stored(world):
    await world.save(ONE, "a")
    world.destination.errors = [ValueError("Elin Jones, 01632 960001")]
    delivery = world.delivery()
    await world.run(delivery)
    (left,) = await world.outbox.undelivered(10)
    assert left.reason == "ValueError"
    await world.run(delivery, 10)
    assert world.outcomes[-1] is DeliveryOutcome.DELIVERED


async def test_a_call_that_needs_no_note_makes_no_record(world):
    await world.contacts.open_note(OpenNote(ONE, 1000.0, "Waste", "sian", "201"))
    await world.contacts.save(ONE, Note.not_needed("wrong_number"), world.now)
    await world.run(world.delivery(), 10)
    assert world.destination.attempts == []
    assert await world.outbox.undelivered(10) == []


async def test_a_note_that_turns_out_not_to_be_needed_changes_its_record(world):
    await world.save(ONE, "a")
    delivery = world.delivery()
    await world.run(delivery)
    await world.contacts.save(ONE, Note.not_needed("test"), world.now)
    await world.run(delivery)
    assert list(world.destination.records.values()) == [[1, 2]]


async def test_an_attempt_that_is_cancelled_is_repeated_as_uncertain(world):
    await world.save(ONE, "a")
    began = asyncio.Event()

    class Slow(Destination):
        async def deliver(self, note, earlier):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(world.delivery(Slow()).run())
    await began.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await world.run(world.delivery())
    ((_, earlier),) = world.destination.attempts
    assert earlier.uncertain


async def test_the_running_delivery_is_woken_and_closes_its_destination(world):
    delivery = world.delivery()
    task = asyncio.create_task(delivery.run())
    await world.save(ONE, "a")
    delivery.wake()
    async with asyncio.timeout(60):
        await world.destination.written.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert world.destination.closed


async def test_without_a_destination_notes_wait(world):
    await world.save(ONE, "a")
    await world.delivery(None).run()
    assert (await world.outbox.backlog()).waiting == 1
