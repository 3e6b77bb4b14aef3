"""The outbox of contact notes: in sequence, repeated after failures, until it is decided."""

from __future__ import annotations

import pytest

from galwad.host.outbox import Backlog
from galwad.notes.delivery import PAUSES, NoteOutbox
from galwad.notes.rules import OpenNote
from galwad.notes.store import NoteStore
from helpers.notes import written

ONE, TWO = "20261125-101500-aaaaaaaa", "20261125-101600-bbbbbbbb"


@pytest.fixture
async def save(engine):
    """Return a function that saves the next version of a call's note."""
    notes = NoteStore(engine)
    for call_id in (ONE, TWO):
        await notes.open_note(OpenNote(call_id, 1000.0, "Council Tax", "sian", "201"))

    async def save(call_id, purpose, now=1060.0):
        return await notes.save(call_id, written(purpose, "cy"), now)

    return save


@pytest.fixture
def outbox(engine):
    return NoteOutbox(engine)


async def purpose_of_next(outbox, now=1100.0):
    version = await outbox.next_version(now)
    return None if version is None else version.fields["purpose"]


async def test_the_versions_of_a_call_are_delivered_in_sequence(outbox, save):
    await save(ONE, "a")
    await save(ONE, "b")
    first = await outbox.next_version(1100.0)
    assert (first.call_id, first.version, first.earlier.version) == (ONE, 1, 0)
    await outbox.failed(first, "the server answers 503", due=1200.0)
    assert await outbox.next_version(1100.0) is None
    await outbox.delivered(await outbox.next_version(1200.0), "T-7", 1200.0)
    second = await outbox.next_version(1200.0)
    assert (second.version, second.earlier.version, second.earlier.record_id) == (2, 1, "T-7")


async def test_a_failed_note_does_not_delay_the_note_of_another_call(outbox, save):
    await save(ONE, "a")
    await save(TWO, "b")
    await outbox.failed(await outbox.next_version(1100.0), "no answer in time", due=1200.0)
    assert await purpose_of_next(outbox) == "b"


async def test_an_attempt_that_was_begun_makes_the_result_uncertain(outbox, save):
    await save(ONE, "a")
    version = await outbox.next_version(1100.0)
    assert (version.attempts, version.earlier.uncertain) == (0, False)
    await outbox.begin(version)
    again = await outbox.next_version(1100.0)
    assert (again.attempts, again.earlier.uncertain) == (1, True)


async def test_a_due_time_far_in_the_future_is_ignored_after_the_clock_was_set_back(outbox, save):
    await save(ONE, "a")
    await outbox.failed(await outbox.next_version(9000.0), "no answer in time", due=9030.0)
    assert await purpose_of_next(outbox, 9030.0 - PAUSES.longest_s) is None
    assert await purpose_of_next(outbox, 1000.0) == "a"


async def test_a_refused_version_waits_for_a_decision(outbox, save):
    await save(ONE, "a")
    await outbox.refused(await outbox.next_version(1100.0), "the server refuses it (422)")
    assert await outbox.next_version(99_999.0) is None
    (left,) = await outbox.undelivered(10)
    assert (left.state, left.reason) == ("refused", "the server refuses it (422)")
    assert (left.line, left.advisor, left.saved) == ("Council Tax", "sian", 1060.0)
    assert await outbox.retry(ONE) == 1
    assert await purpose_of_next(outbox) == "a"


async def test_a_later_version_is_delivered_in_place_of_a_refused_version(outbox, save):
    await save(ONE, "a")
    await outbox.refused(await outbox.next_version(1100.0), "the server refuses it (422)")
    await save(ONE, "b")
    later = await outbox.next_version(1100.0)
    assert (later.version, later.earlier.version) == (2, 0)
    await outbox.delivered(later, "T-1", 1100.0)
    assert await outbox.undelivered(10) == []
    assert await outbox.retry(ONE) == 0


async def test_a_discarded_note_is_not_delivered_and_stays_with_its_call(outbox, save, engine):
    await save(ONE, "a")
    version = await outbox.next_version(1100.0)
    assert await outbox.discard(ONE) == 1
    assert await outbox.discard(ONE) == 0
    await outbox.failed(version, "no answer in time", due=0.0)
    assert await outbox.next_version(1100.0) is None
    assert await NoteStore(engine).note(ONE) == written("a", "cy")


async def test_a_version_keeps_no_text_after_its_delivery(outbox, save, engine):
    await save(ONE, "private")
    await outbox.delivered(await outbox.next_version(1100.0), "T-1", 1100.0)
    await save(TWO, "private")
    await outbox.discard(TWO)
    async with engine.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT payload FROM contact_outbox")
        assert {payload for (payload,) in rows} == {""}


async def test_a_version_that_needs_no_delivery_is_left_out(outbox, save):
    await save(ONE, "a")
    await outbox.skip(await outbox.next_version(1100.0))
    await save(ONE, "b")
    later = await outbox.next_version(1100.0)
    assert (later.version, later.earlier.version) == (2, 0)


async def test_the_backlog_counts_what_waits_and_what_was_refused(outbox, save):
    assert await outbox.backlog() == Backlog(0, 0, None)
    await save(ONE, "a", 1060.0)
    await outbox.refused(await outbox.next_version(1100.0), "the server refuses it (422)")
    await save(TWO, "b", 1070.0)
    await save(TWO, "c", 1080.0)
    assert await outbox.backlog() == Backlog(2, 1, 1070.0)


async def test_the_next_version_is_found_through_an_index(outbox, save, engine):
    await save(ONE, "a")
    async with engine.connect() as connection:
        steps = await connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT * FROM contact_outbox WHERE state = 'waiting' AND due <= 1"
        )
        assert "contact_outbox_by_state" in next(iter(steps))[3]
