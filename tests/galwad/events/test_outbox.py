"""The outbox of call events: order, repetition, outcomes and limits."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from galwad.events import outbox as outbox_module
from galwad.events.call_events import CallProgress, EventCall, WebhookEvent
from galwad.events.outbox import MAX_AGE_S, CallStep, webhook_calls, webhook_events
from galwad.host.outbox import Backlog

NOW = 1_800_000_000.0
DAY_S = 86_400.0


def call(call_id):
    return EventCall(call_id, NOW, "Council Tax", "+441632960999", "+441632960001")


def step(call_id, *kinds, progress=True, ended=0.0):
    events = [WebhookEvent(f"{call_id}-{kind}", kind, NOW, call(call_id)) for kind in kinds]
    after = CallProgress(call(call_id), recorded=True, ended=ended) if progress else None
    return CallStep(call_id, after, events)


def ids(waiting):
    return [each.event.event_id for each in waiting]


@pytest.fixture
def rows(engine):
    """Return a function that reads columns of all events."""

    async def rows(*names):
        query = select(*(webhook_events.c[name] for name in names)).order_by(webhook_events.c.seq)
        async with engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(query)]

    return rows


async def test_only_the_oldest_event_of_each_call_is_due(outbox, write):
    await write([step("a", "ringing", "answered"), step("b", "ringing")], NOW)
    assert ids(await outbox.due(NOW, (), 9)) == ["a-ringing", "b-ringing"]
    assert ids(await outbox.due(NOW, ("a",), 9)) == ["b-ringing"]
    assert ids(await outbox.due(NOW, (), 1)) == ["a-ringing"]
    await outbox.settle("a-ringing", "delivered", "", NOW)
    assert ids(await outbox.due(NOW, (), 9)) == ["a-answered", "b-ringing"]


async def test_a_postponed_event_delays_only_the_later_events_of_its_call(outbox, write):
    await write([step("a", "ringing", "answered"), step("b", "ringing")], NOW)
    await outbox.postpone("a-ringing", NOW + 5)
    assert ids(await outbox.due(NOW, (), 9)) == ["b-ringing"]
    assert await outbox.next_due(("b",)) == NOW + 5
    (again,) = await outbox.due(NOW + 5, ("b",), 9)
    assert (again.event.event_id, again.attempts) == ("a-ringing", 1)


async def test_an_event_that_was_written_before_is_not_written_again(outbox, write, rows):
    await write([step("a", "ringing")], NOW)
    await outbox.settle("a-ringing", "delivered", "", NOW)
    await write([step("a", "ringing"), step("a", "answered"), step("a", "answered")], NOW)
    assert await rows("event_id", "outcome") == [("a-ringing", "delivered"), ("a-answered", "")]


async def test_the_progress_of_a_call_is_stored_with_its_events_until_the_last_one(outbox, write):
    await write([step("a", "ringing"), step("b", "ringing")], NOW)
    await write([step("a", "answered", ended=NOW), step("b", "ended", progress=False)], NOW)
    assert await outbox.calls() == {"a": CallProgress(call("a"), recorded=True, ended=NOW)}


async def test_a_settled_event_keeps_no_content(outbox, write, rows):
    await write([step("a", "ringing", "answered", "ended")], NOW)
    await outbox.settle("a-ringing", "delivered", "", NOW)
    await outbox.settle("a-answered", "refused", "it answers 400", NOW)
    await outbox.expire(NOW + MAX_AGE_S + 1)
    assert await rows("outcome", "reason", "body") == [
        ("delivered", "", ""),
        ("refused", "it answers 400", ""),
        ("dropped", "it has waited too long, or too many events waited", ""),
    ]


async def test_delivered_events_are_removed_after_some_days_and_refused_ones_after_a_month(
    outbox, write, rows
):
    await write([step("a", "ringing", "answered", ended=NOW)], NOW)
    await outbox.settle("a-ringing", "delivered", "", NOW)
    await outbox.settle("a-answered", "refused", "it answers 400", NOW)
    assert await outbox.expire(NOW + 3 * DAY_S) == 0
    assert (len(await rows("seq")), len(await outbox.calls())) == (2, 1)
    assert await outbox.expire(NOW + 5 * DAY_S) == 0
    assert await rows("outcome") == [("refused",)]
    assert await outbox.calls() == {}
    await outbox.expire(NOW + 31 * DAY_S)
    assert await rows("outcome") == []


async def test_the_progress_of_a_call_that_has_not_ended_is_kept(outbox, write):
    await write([step("a", "ringing")], NOW)
    await outbox.expire(NOW + 9 * DAY_S)
    assert list(await outbox.calls()) == ["a"]


async def test_events_that_are_too_old_are_dropped_and_counted_once(outbox, write):
    await write([step("a", "ringing", "answered")], NOW)
    await write([step("b", "ringing")], NOW + 60)
    assert await outbox.expire(NOW + MAX_AGE_S + 1) == 2
    assert await outbox.expire(NOW + MAX_AGE_S + 1) == 0
    assert ids(await outbox.due(NOW + MAX_AGE_S, (), 9)) == ["b-ringing"]


async def test_of_too_many_events_the_oldest_are_dropped(outbox, write, monkeypatch, rows):
    monkeypatch.setattr(outbox_module, "MAX_WAITING", 3)
    await write([step(name, "ringing") for name in "abcde"], NOW)
    assert await outbox.expire(NOW) == 2
    assert ids(await outbox.due(NOW, (), 9)) == ["c-ringing", "d-ringing", "e-ringing"]
    assert await outbox.expire(NOW) == 0


async def test_the_backlog_has_the_number_of_events_and_the_time_of_the_oldest(outbox, write):
    assert await outbox.backlog() == Backlog(0, 0, None)
    await write([step("a", "ringing")], NOW)
    await write([step("b", "ringing")], NOW + 5)
    assert await outbox.backlog() == Backlog(2, 0, NOW)
    await outbox.settle("a-ringing", "delivered", "", NOW + 6)
    assert await outbox.backlog() == Backlog(1, 0, NOW + 5)


async def test_clearing_removes_events_and_progress(outbox, write, rows):
    await write([step("a", "ringing", "answered")], NOW)
    await outbox.settle("a-ringing", "delivered", "", NOW)
    await outbox.clear()
    assert (await rows("seq"), await outbox.calls()) == ([], {})


async def test_damaged_rows_stop_neither_the_desk_nor_the_other_events(outbox, write, engine, rows):
    await write([step("a", "ringing"), step("b", "ringing")], NOW)
    async with engine.begin() as connection:
        await connection.execute(
            update(webhook_calls).where(webhook_calls.c.call_id == "a").values(progress="{}")
        )
        await connection.execute(
            update(webhook_events).where(webhook_events.c.call_id == "a").values(body="{")
        )
    assert list(await outbox.calls()) == ["b"]
    assert ids(await outbox.due(NOW, (), 9)) == ["b-ringing"]
    assert await rows("outcome", "reason") == [("dropped", "it cannot be read"), ("", "")]


async def test_undelivered_events_are_those_that_wait_after_a_failure_and_then_the_refused_ones(
    outbox, write
):
    await write([step("a", "ringing", "answered"), step("b", "ringing")], NOW)
    assert await outbox.undelivered(9) == []
    await outbox.settle("b-ringing", "refused", "the receiver answers 400", NOW)
    await outbox.postpone("a-ringing", NOW + 5, "the receiver answers 500" + "!" * 300)
    waiting, refused = await outbox.undelivered(9)
    assert (waiting.id, waiting.state, waiting.attempts) == ("a-ringing", "waiting", 1)
    assert (waiting.created, waiting.due, waiting.kind) == (NOW, NOW + 5, "ringing")
    assert waiting.reason == ("the receiver answers 500" + "!" * 300)[:200]
    assert (refused.id, refused.state) == ("b-ringing", "refused")
    assert refused.reason == "the receiver answers 400"
    assert await outbox.undelivered(1) == [waiting]
    await outbox.settle("a-ringing", "dropped", "discarded", NOW)
    assert await outbox.undelivered(9) == [refused]


async def test_a_hurried_event_is_due_now_if_it_still_waits(outbox, write):
    await write([step("a", "ringing"), step("b", "ringing")], NOW)
    for event_id in ("a-ringing", "b-ringing"):
        await outbox.postpone(event_id, NOW + 300)
    await outbox.settle("b-ringing", "dropped", "discarded", NOW)
    for event_id in ("a-ringing", "b-ringing", "c-ringing"):
        await outbox.hurry(event_id, NOW)
    assert ids(await outbox.due(NOW, (), 9)) == ["a-ringing"]
    found = [await outbox.waiting_call(f"{call_id}-ringing") for call_id in "abc"]
    assert found == ["a", None, None]
