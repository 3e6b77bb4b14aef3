"""The stream of call events wakes its readers, and removes what is old."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from galwad.events.call_events import EventCall, WebhookEvent
from galwad.events.stream import CallStream
from galwad.settings.desk import EventStreamSection
from helpers.desk import WAIT_S

NOW = 1_800_000_000.0


@pytest.fixture
async def run():
    """Run a stream in the background until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        def run(stream):
            task = asyncio.create_task(stream.run())
            stack.callback(task.cancel)
            return task

        yield run


async def contents(stream):
    """Return the events that can be read; None if one cannot be read any more."""
    return await stream.store.after(0, 9)


async def store_one(stream, engine):
    call = EventCall("20261125-101500-abcdefgh", NOW, "Housing", "", None)
    async with engine.begin() as connection:
        await stream.store.add(connection, [WebhookEvent("a", "ringing", NOW, call)], NOW)


async def test_readers_are_woken_until_they_leave(engine):
    stream = CallStream(EventStreamSection(), engine)
    woken = []
    with stream.reader(lambda: woken.append(stream.written)):
        stream.wake()
        stream.wake()
    stream.wake()
    assert (woken, stream.written) == ([1, 2], 3)


async def test_without_settings_there_is_no_store_and_all_contents_are_removed(engine, run):
    before = CallStream(EventStreamSection(), engine)
    await store_one(before, engine)
    off = CallStream(None, engine)
    assert off.store is None
    async with asyncio.timeout(WAIT_S):
        await run(off)
    assert await contents(before) is None


async def test_old_events_are_removed_while_the_stream_runs(engine, run):
    stream = CallStream(EventStreamSection(keep_hours=1.0), engine, lambda: NOW + 3601)
    await store_one(stream, engine)
    assert await contents(stream) != []
    run(stream)
    async with asyncio.timeout(WAIT_S):
        while True:
            if await contents(stream) is None:
                return
            await asyncio.sleep(0.02)
