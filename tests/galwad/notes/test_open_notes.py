"""The end of notes that are not saved, on a real database and with a clock of the test."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from callerid.note import NOT_WRITTEN, Note
from galwad.calls.live_calls import LiveCalls
from galwad.host.streams import Streams
from galwad.messages import CallerFacts, CallStatus, Party
from galwad.notes.open_notes import OpenNotes
from galwad.notes.rules import NoteDraft, OpenNote
from galwad.notes.store import NoteDrafts, NoteStore
from galwad.page.events import EventHub
from galwad.people.user import User
from helpers.notes import written

SIAN = User("sian", "advisor", extension="201")
CALL = "20261125-101500-aaaaaaaa"
CLOSE_AFTER = 43_200.0
TYPED = NoteDraft(CALL, "sian", "0" * 16, 1, written("", "cy", notes="Bin ddu"))


@pytest.fixture
def world(engine, clock):
    return World(engine, clock)


class World:
    """Open notes of a call that ended now, with what they report."""

    def __init__(self, engine, clock, close_after=CLOSE_AFTER):
        self.clock, self.engine = clock, engine
        self.hub = EventHub(Streams())
        self.calls = LiveCalls(self.hub.call, wrapup_limit=120, clock=clock)
        self.contact = OpenNote(
            CALL, clock.now - 60, "Waste", "sian", "201", "+441632960001", ended=clock.now
        )
        self.known = True
        self.closed: list[Note] = []
        self.rounds: list[int] = []
        self.notes = OpenNotes(
            NoteStore(engine),
            NoteDrafts(engine),
            self.calls,
            self.hub.streams,
            close_after=close_after,
            may_close=lambda: self.known,
            on_closed=self.closed.append,
            on_round=self.rounds.append,
            clock=clock,
        )

    async def begin(self):
        await self.notes.store.open_note(self.contact)
        await self.notes.restore()

    async def later(self, seconds):
        self.clock.now += seconds
        return await self.notes.close_due()


async def test_an_unwritten_note_is_closed_after_the_time_of_the_settings(world):
    await world.begin()
    assert await world.later(CLOSE_AFTER - 1) == 0
    assert world.calls.get(CALL).view(SIAN).state == "wrapup"
    assert await world.later(1) == 1
    assert (world.closed, world.rounds) == ([Note.not_needed(NOT_WRITTEN)], [1])
    assert world.calls.get(CALL) is None
    assert await world.later(CLOSE_AFTER) == 0
    assert world.rounds == [1]


async def test_a_day_of_calls_leaves_no_open_note(world):
    await world.begin()
    for number in range(80):
        other = replace(world.contact, call_id=f"20261125-1016{number:02}-aaaaaaaa")
        await world.notes.store.open_note(other)
    await world.notes.restore()
    assert len(world.calls) == 81
    assert await world.later(CLOSE_AFTER) == 81
    assert (len(world.calls), world.rounds) == (0, [81])


async def test_a_draft_becomes_the_note_when_the_time_is_over(world):
    await world.begin()
    await world.notes.save_draft(TYPED)
    assert await world.later(CLOSE_AFTER) == 1
    assert world.closed == [replace(TYPED.note, unfinished=True)]


async def test_a_note_is_not_closed_while_somebody_types_it(world):
    await world.begin()
    world.clock.now += CLOSE_AFTER
    await world.notes.save_draft(TYPED)
    assert await world.later(599) == 0
    assert await world.later(1) == 1


async def test_no_note_is_closed_while_the_desk_does_not_know_the_calls_in_progress(world):
    await world.begin()
    world.known = False
    assert await world.later(CLOSE_AFTER) == 0
    world.known = True
    assert await world.later(0) == 1


async def test_a_call_that_is_still_in_progress_after_hours_keeps_its_note(world):
    await world.begin()
    state = CallStatus(
        call_id=CALL,
        version=1,
        started=world.contact.started,
        since=world.contact.started,
        line="Waste",
        called="",
        caller=CallerFacts("+441632960001", ""),
        state="answered",
        advisor=Party("201", "sian"),
        recording="recording",
    )
    world.calls.changed(state)
    assert await world.later(CLOSE_AFTER) == 0
    world.calls.ended(CALL, world.clock.now, answered=True)
    await world.notes.save_end(CALL, world.clock.now)
    assert await world.later(CLOSE_AFTER - 1) == 0
    assert await world.later(1) == 1


async def test_the_time_limit_counts_from_the_start_of_a_call_whose_end_is_not_known(world):
    world.contact = replace(world.contact, ended=0.0)
    await world.begin()
    assert world.calls.get(CALL).wrapup_until == world.contact.started + 120
    assert await world.later(CLOSE_AFTER - 60) == 1


async def test_without_a_limit_no_note_is_ever_closed(engine, clock):
    world = World(engine, clock, close_after=0)
    await world.begin()
    async with asyncio.timeout(60):
        await world.notes.run()  # it has nothing to do, and ends
    assert world.calls.get(CALL) is not None


async def test_the_wrap_ups_of_calls_that_end_together_are_saved_together(world):
    calls = [f"20261125-1016{number:02}-aaaaaaaa" for number in range(50)]
    for call_id in calls:
        await world.notes.store.open_note(replace(world.contact, call_id=call_id, ended=0.0))
    commits: list[object] = []
    event.listen(world.engine.sync_engine, "commit", commits.append)
    ends = {call_id: world.clock.now + number for number, call_id in enumerate(calls)}
    await asyncio.gather(*(world.notes.save_end(*each) for each in ends.items()))
    assert len(commits) <= 2
    found = await world.notes.store.open_notes()
    assert {each.call_id: each.ended for each in found} == ends


async def test_the_wrap_up_of_a_call_is_saved_although_that_of_another_failed(world):
    await world.begin()
    saving, failed = world.notes.store.save_ends, list[dict[str, float]]()

    async def save(ends):
        if not failed:
            failed.append(ends)
            raise SQLAlchemyError
        await saving(ends)

    world.notes.store.save_ends = save
    other = "20261125-101600-bbbbbbbb"
    done = await asyncio.gather(
        world.notes.save_end(other, 5.0), world.notes.save_end(CALL, 7.0), return_exceptions=True
    )
    assert [type(each) for each in done] == [SQLAlchemyError, type(None)]
    assert [each.ended for each in await world.notes.store.open_notes()] == [7.0]
