"""The call events that machines can read again: order, positions, and what is removed."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from galwad.events.call_events import EventCall, WebhookEvent
from galwad.events.formats import request_body
from galwad.events.stream import BEFORE_ALL, OLDEST, StreamStore, remove_contents, stream_events
from galwad.settings.desk import EventName

NOW = 1_800_000_000.0
HOUR_S = 3600.0
DAY_S = 86_400.0
KINDS: tuple[EventName, ...] = ("ringing", "answered", "ended")


def event(name, kind="ringing"):
    call = EventCall("20261125-101500-abcdefgh", NOW, "Housing", "+441970000000", "+441632960001")
    return WebhookEvent(name, kind, NOW, call)


@pytest.fixture
def store(engine):
    """A store of three kinds of events, for an hour, with at most four contents."""
    return StreamStore(engine, KINDS, HOUR_S, 4)


@pytest.fixture
def add(engine, store):
    """Return a function that stores events."""

    async def add(*events, now=NOW):
        async with engine.begin() as connection:
            await store.add(connection, events, now)

    return add


@pytest.fixture
def rows(engine):
    """Return a function that reads the id of each row, and whether it has its content."""

    async def rows():
        query = select(stream_events).order_by(stream_events.c.seq)
        async with engine.connect() as connection:
            return [(row.event_id, bool(row.body)) for row in await connection.execute(query)]

    return rows


async def ids_after(store, event_id, most=9):
    """Return the ids of the events after this one; None if one is missing."""
    position = await store.position(event_id)
    if position is None:
        return None
    return [each.event_id for each in await store.after(position, most)]


async def test_a_stream_without_any_event_begins_before_the_first_event(store, add):
    assert await store.newest() == BEFORE_ALL
    assert await ids_after(store, BEFORE_ALL) == []
    await add(event("a"))
    assert await store.newest() == "a"
    assert await ids_after(store, BEFORE_ALL) == ["a"]


async def test_events_after_an_id_come_in_the_order_in_which_they_were_stored(store, add):
    await add(event("b"), event("a"))
    await add(event("c"))
    assert await ids_after(store, "b") == ["a", "c"]
    assert await ids_after(store, "b", 1) == ["a"]
    assert await ids_after(store, "c") == []


async def test_an_event_has_the_document_that_webhooks_send(store, add):
    await add(event("a"))
    (found,) = await store.after(0, 9)
    assert found.document.encode() == request_body(event("a"), "generic").content
    assert json.loads(found.document)["id"] == "a"


async def test_an_event_is_stored_once_and_only_if_its_kind_is_wanted(add, rows):
    await add(event("a"), event("a"), event("b", "paused"))
    await add(event("a"), event("c", "answered"))
    assert await rows() == [("a", True), ("c", True)]


async def test_an_unknown_id_has_no_position(store, add):
    await add(event("a"))
    assert await store.position("z") is None


async def test_old_contents_are_removed_and_earlier_positions_are_unknown(store, add, rows):
    await add(event("a"), event("b"))
    await add(event("c"), now=NOW + HOUR_S)
    await store.expire(NOW + HOUR_S + 1)
    assert await rows() == [("a", False), ("b", False), ("c", True)]
    assert await ids_after(store, "b") == ["c"]
    for too_old in ("a", BEFORE_ALL):
        assert await store.position(too_old) is None
    assert await store.after(0, 9) is None


async def test_the_oldest_position_is_before_the_oldest_content(store, add):
    assert await ids_after(store, OLDEST) == []
    await add(event("a"), event("b"))
    assert await ids_after(store, OLDEST) == ["a", "b"]
    await add(event("c"), now=NOW + HOUR_S)
    await store.expire(NOW + HOUR_S + 1)
    assert await ids_after(store, OLDEST) == ["c"]
    await store.expire(NOW + 3 * HOUR_S)
    assert await ids_after(store, OLDEST) == []
    await add(event("d"), now=NOW + 3 * HOUR_S)
    assert await ids_after(store, OLDEST) == ["d"]


async def test_of_too_many_contents_the_oldest_are_removed(store, add, rows):
    await add(*map(event, "abcdef"))
    await store.expire(NOW)
    assert await rows() == [(name, name in "cdef") for name in "abcdef"]


async def test_the_id_of_a_removed_event_keeps_it_from_being_stored_again(store, add, rows):
    await add(event("a"), event("b"))
    await store.expire(NOW + 2 * HOUR_S)
    await add(event("a"), now=NOW + 2 * HOUR_S)
    assert await rows() == [("a", False), ("b", False)]


async def test_old_rows_are_removed_except_the_newest_so_that_no_number_is_used_twice(
    store, add, rows
):
    await add(event("a"), event("b"))
    await store.expire(NOW + 5 * DAY_S)
    assert await rows() == [("b", False)]
    await add(event("c"), now=NOW + 5 * DAY_S)
    assert await ids_after(store, "b") == ["c"]
    assert await store.position(BEFORE_ALL) is None


async def test_after_the_stream_is_switched_off_contents_are_gone_and_old_positions_unknown(
    store, add, rows, engine
):
    await add(event("a"), event("b"))
    await remove_contents(engine)
    assert await rows() == [("a", False), ("b", False)]
    assert await store.position("a") is None
    assert await ids_after(store, "b") == []
