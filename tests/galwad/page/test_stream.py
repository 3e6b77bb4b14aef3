"""The event streams of pages: many of them, and their ends."""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from galwad.administration import poke
from galwad.host.streams import MAX_STREAMS_PER_SESSION
from galwad.settings.switch import Route
from helpers.desk import WAIT_S, Page, changed
from helpers.people import change

CALL = "20261125-101500-aaaaaaaa"


@pytest.fixture
async def streams(running):
    """Open this number of streams of a session; they are closed after the test."""
    opened = []

    async def streams(sian, count):
        for _ in range(count):
            page = Page(running.client(cookies=sian.http.cookies, headers=sian.http.headers))
            await page.open()
            opened.append(page)
        return opened[-count:]

    yield streams
    for page in opened:
        await page.close()


async def ended(page):
    """Return the kind of the stream's last event that is not about presence, after its end."""
    async with asyncio.timeout(WAIT_S):
        while await page.next() is not None:
            continue
    return [kind for kind, _, _ in page.seen if kind != "presence"][-1]


async def test_a_stream_above_the_limit_of_a_session_ends_the_oldest_stream_with_the_event_replaced(
    running, streams
):
    sian, huw = await running.page("sian"), await running.page("huw")
    await huw.open()
    oldest, second, *_ = await streams(sian, MAX_STREAMS_PER_SESSION)
    await streams(sian, 1)
    assert await ended(oldest) == "replaced"
    assert oldest.seen[-1][2] == {"most": MAX_STREAMS_PER_SESSION}
    running.switch.ring(CALL, at=("201", "202"))
    for page in (second, huw):
        assert (await page.event("call"))["state"] == "ringing"


async def test_sending_an_event_to_the_streams_queries_no_session(running, streams):
    sian = await running.answered(CALL)
    pages = await streams(sian, MAX_STREAMS_PER_SESSION - 1)
    statements = []
    listen = running.desk.host.engine.sync_engine, "before_cursor_execute"
    event.listen(*listen, lambda *call: statements.append(call[2]))
    for holders in (("phone:201",), ()):
        recording = "paused" if holders else "recording"
        running.switch.change(CALL, holders=holders, recording=recording)
        for page in pages:
            await page.event("call", lambda pop, want=recording: pop["recording"] == want)
    assert [each for each in statements if "sessions" in each] == []


async def test_the_streams_of_a_disabled_user_end_at_once(running, streams):
    sian, huw = await running.page("sian"), await running.page("huw")
    await huw.open()
    pages = await streams(sian, 3)
    await change(running.desk.people.users, "sian", disabled=True)
    assert await poke(running.settings.desk_socket)
    for page in pages:
        assert await ended(page) == "snapshot"
    running.switch.ring(CALL, at=("202",))
    assert (await huw.event("call"))["state"] == "ringing"


async def test_the_stream_of_an_expired_session_ends_at_its_next_beat(running, monkeypatch):
    monkeypatch.setattr("galwad.page.stream.BEAT_S", 0.1)
    sian = await running.page("sian")
    await sian.open()
    running.desk.people.sessions.idle = 0.3
    assert await ended(sian) == "snapshot"


async def test_a_silent_stream_sends_comments(running, monkeypatch):
    monkeypatch.setattr("galwad.page.stream.BEAT_S", 0.05)
    sian = await running.page("sian")
    async with sian.http.stream("GET", "/api/v1/events") as stream, asyncio.timeout(WAIT_S):
        async for line in stream.aiter_lines():
            if line == ": ping":
                break
    assert line == ": ping"


async def test_a_snapshot_has_the_desks_time_zone_and_whether_notifications_may_have_names(running):
    first = await (await running.page("sian")).open()
    assert first["notification_names"] is False
    assert abs(first["utc_offset"]) <= 14 * 3600
    running.desk.host.settings = changed(
        running.settings, desk={"time_zone": ZoneInfo("Asia/Kolkata"), "notification_names": True}
    )
    second = await (await running.page("huw")).open()
    assert (second["utc_offset"], second["notification_names"]) == (19_800, True)


async def test_a_snapshot_has_the_welsh_names_of_the_lines_that_have_one(running):
    routes = [{"line": "Tax", "line_cy": "Treth"}, {"line": "Housing"}, {}]
    await running.stop()
    running.settings = changed(
        running.settings,
        routes=[Route.model_validate({"called": "1", "ring": ["201"], **each}) for each in routes],
    )
    await running.start()
    snapshot = await (await running.page("sian")).open()
    assert snapshot["texts"]["line_names"] == {"Tax": {"en": "Tax", "cy": "Treth"}}
