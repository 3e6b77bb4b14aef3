"""The stream of call events for machines: what it sends, where it continues, and when it ends."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

import pytest

from galwad.administration import poke
from galwad.events import routes as call_events
from galwad.events.call_events import EventCall, WebhookEvent
from galwad.host.connections.protocol import PhaseLimits
from galwad.host.streams import MAX_STREAMS_PER_SESSION
from galwad.messages import SetPhones
from galwad.people.sessions import Session
from galwad.people.user import User
from galwad.settings.desk import EventStreamSection
from helpers.desk import WAIT_S, changed, until
from helpers.people import change

CALL = "20261125-101500-aaaaaaaa"
URL = "/api/v1/events"
UNKNOWN = "00000000-0000-0000-0000-000000000000"
KINDS = ["call.ringing", "call.answered", "call.ended"]


class Stream:
    """An open stream of events."""

    def __init__(self, response):
        self.response = response
        self.position = ""
        self._lines = response.aiter_lines()

    async def next(self):
        """Return the kind, the id and the data of the next event; None at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S):
            async for line in self._lines:
                if not line and "event" in fields:
                    return fields["event"], fields.get("id", ""), json.loads(fields["data"])
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
        return None

    async def take(self, count):
        """Return the next events."""
        return [await self.next() for _ in range(count)]


@pytest.fixture
async def desk(running):
    """A desk whose machines can read call events."""
    await restart(running, EventStreamSection())
    return running


async def restart(running, section):
    links = len(running.switch.of(SetPhones))
    await running.stop()
    running.settings = changed(running.settings, event_stream=section)
    await running.start()
    await running.switch.until(SetPhones, links + 1)


@pytest.fixture
async def board(desk):
    """A client with the token of a machine with the right `events`."""
    return await desk.machine("board", "events")


@pytest.fixture
async def follow():
    """Open a stream, which is closed after the test; the event `ready` is read already."""
    opened = []

    async def follow(client, last_id=""):
        headers = {"Last-Event-ID": last_id} if last_id else {}
        request = client.build_request("GET", URL, headers=headers)
        response = await client.send(request, stream=True)
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        stream = Stream(response)
        opened.append(stream)  # a stream that is forgotten is closed
        kind, stream.position, _ = await stream.next()
        assert kind == "ready"
        assert stream.position
        return stream

    yield follow
    for stream in opened:
        await stream.response.aclose()


def make_call(switch, call_id=CALL):
    switch.ring(call_id)
    switch.answer(call_id, "201", "sian")
    switch.hang_up(call_id)


async def test_a_machine_receives_each_event_as_a_webhook_does(desk, board, follow):
    stream = await follow(board)
    make_call(desk.switch)
    found = await stream.take(3)
    assert [kind for kind, _, _ in found] == KINDS
    for kind, event_id, document in found:
        assert (document["type"], document["id"]) == (kind, event_id)
        assert document["data"]["call_id"] == CALL
    assert found[1][2]["data"]["caller"] == "+441632960001"
    assert found[1][2]["data"]["advisor"] == "sian"


async def test_a_withheld_number_is_in_no_event(desk, board, follow):
    stream = await follow(board)
    desk.switch.ring(CALL, privacy=("id",), asserted=("01632960001",), trusted=True)
    desk.switch.answer(CALL, "201", "sian")
    for _, _, document in await stream.take(2):
        assert document["data"]["caller"] == "anonymous"
        assert "1632960001" not in json.dumps(document)


async def test_only_the_events_of_the_settings_are_sent(running, follow):
    await restart(running, EventStreamSection(events=("ended",)))
    stream = await follow(await running.machine("board", "events"))
    make_call(running.switch)
    assert (await stream.next())[0] == "call.ended"


async def test_a_stream_continues_after_the_last_id_and_repeats_nothing(desk, board, follow):
    stream = await follow(board)
    make_call(desk.switch)
    first = (await stream.next())[1]
    again = await follow(board, first)
    assert [kind for kind, _, _ in await again.take(2)] == KINDS[1:]
    from_the_beginning = await follow(board, stream.position)
    assert [kind for kind, _, _ in await from_the_beginning.take(3)] == KINDS


async def test_a_stream_without_a_last_id_has_only_new_events(desk, board, follow):
    stream = await follow(board)
    make_call(desk.switch)
    last = (await stream.take(3))[-1][1]
    second = await follow(board)
    assert second.position == last
    desk.switch.ring("20261125-101500-bbbbbbbb")
    assert (await second.next())[2]["data"]["call_id"] == "20261125-101500-bbbbbbbb"


async def test_a_stream_continues_after_a_restart_of_the_desk_from_its_last_id(desk, board, follow):
    stream = await follow(board)
    desk.switch.ring(CALL)
    token = board.headers["authorization"]
    first = (await stream.next())[1]
    desk.switch.answer(CALL, "201", "sian")
    await stream.next()
    await restart(desk, EventStreamSection())
    desk.switch.hang_up(CALL)
    again = await follow(desk.client(headers={"Authorization": token}), first)
    assert [kind for kind, _, _ in await again.take(2)] == KINDS[1:]


async def test_an_id_that_is_not_stored_any_more_gets_410_with_a_reason(desk, board, follow):
    stream = await follow(board)
    make_call(desk.switch)
    ids = [event_id for _, event_id, _ in await stream.take(3)]
    await desk.desk.events.stream.store.expire(time.time() + 2 * 3600)
    for too_old in (UNKNOWN, stream.position, ids[0]):
        reply = await board.get(URL, headers={"Last-Event-ID": too_old})
        assert (reply.status_code, reply.json()["reason"]) == (410, "missed")
    assert (await follow(board, ids[-1])).position == ids[-1]


async def test_a_stream_can_begin_with_the_oldest_event_that_is_stored(desk, board, follow):
    stream = await follow(board)
    make_call(desk.switch)
    await stream.take(3)
    from_the_oldest = await follow(board, "oldest")
    assert [kind for kind, _, _ in await from_the_oldest.take(3)] == KINDS


async def test_a_malformed_last_event_id_gets_422_and_names_the_header_field(board):
    for wrong in ("abc", "x" * 65):
        reply = await board.get(URL, headers={"Last-Event-ID": wrong})
        assert reply.status_code == 422
        assert "header.last-event-id" in reply.json()["hint"]
        assert wrong not in reply.text


@pytest.mark.parametrize(
    ("name", "status"), [("pay", 403), ("board", 404)], ids=["without the right", "switched off"]
)
async def test_a_machine_is_refused_without_the_right_or_without_the_settings(
    running, name, status
):
    machine = await running.machine(name, "payments" if status == 403 else "events")
    reply = await machine.get(URL)
    assert reply.status_code == status
    assert reply.json()["hint"]


async def test_a_person_still_receives_the_stream_of_the_page(desk):
    sian = await desk.page("sian")
    assert (await sian.open())["me"]["user"] == "sian"


async def test_the_stream_of_a_revoked_token_ends_at_once(desk, board, follow):
    gwen = (await desk.page("gwen")).http
    stream = await follow(board)
    (token,) = [
        each for each in (await gwen.get("/api/v1/tokens")).json() if each["user"] == "board"
    ]
    assert (await gwen.delete(f"/api/v1/tokens/{token['id']}")).status_code == 204
    assert await stream.next() is None


async def test_the_stream_of_a_machine_that_loses_the_right_ends(desk, board, follow):
    stream = await follow(board)
    await change(desk.desk.people.users, "board", rights=frozenset({"payments"}))
    assert await poke(desk.desk.host.settings.desk_socket)
    assert await stream.next() is None


async def test_the_stream_of_an_expired_token_ends(desk, board, follow, monkeypatch):
    await desk.add("wall", "machine", rights=["events"])
    user = await desk.desk.people.users.get("wall")
    secret, _ = await desk.desk.people.sessions.tokens.make(user, "user:gwen", days=1)
    stream = await follow(desk.client(headers={"Authorization": f"Bearer {secret}"}))
    other = await follow(board)
    expired = time.time() + 86_410.0
    monkeypatch.setattr(desk.desk.people.sessions, "clock", lambda: expired)
    desk.desk.events.stream.wake()
    assert await stream.next() is None
    desk.switch.ring(CALL)
    assert (await other.next())[0] == "call.ringing"


def test_a_stream_waits_at_most_until_its_token_expires():
    endless = Session("key", User("board", "machine"), "machine")
    assert call_events.patience(endless, 1000.0) == call_events.CHECK_S
    assert call_events.patience(replace(endless, until=1003.5), 1000.0) == 3.5
    assert call_events.patience(replace(endless, until=999.0), 1000.0) == 0.0


async def test_a_stream_above_the_limit_with_another_token_ends_the_oldest_stream_of_the_machine(
    desk, board, follow
):
    oldest = await follow(board)
    for _ in range(MAX_STREAMS_PER_SESSION - 1):
        await follow(board)
    token = await desk.desk.people.sessions.open("board", "machine")
    await follow(desk.client(headers={"Authorization": f"Bearer {token}"}))
    assert await oldest.next() == ("replaced", "", {"most": MAX_STREAMS_PER_SESSION})
    assert await oldest.next() is None


async def test_a_silent_stream_sends_comments(desk, board, monkeypatch):
    monkeypatch.setattr(call_events, "CHECK_S", 0.05)
    async with board.stream("GET", URL) as response, asyncio.timeout(WAIT_S):
        async for line in response.aiter_lines():
            if line == ": ping":
                return
    pytest.fail("the stream has ended")


async def test_a_stream_that_has_fallen_too_far_behind_ends_with_missed(desk, board, follow):
    stream = await follow(board)
    store = desk.desk.events.stream.store
    wake, desk.desk.events.stream.wake = desk.desk.events.stream.wake, lambda: None
    make_call(desk.switch)
    async with asyncio.timeout(WAIT_S):
        while True:
            if await store.newest() != stream.position:
                break
            await asyncio.sleep(0.02)
    await store.expire(time.time() + 2 * 3600)
    wake()
    assert await stream.next() == ("missed", "", {})
    assert await stream.next() is None


async def test_a_client_that_does_not_read_is_disconnected_and_few_events_are_read_for_it(running):
    """The desk reads a batch of events from the database only when there is room to send it."""
    running.limits = PhaseLimits(stalled=0.2)
    await restart(running, EventStreamSection())
    board = await running.machine("board", "events")
    desk, batches = running.desk, []
    after = desk.events.stream.store.after

    async def counted(*arguments):
        batches.append(arguments)
        return await after(*arguments)

    desk.events.stream.store.after = counted
    events = [event_of(f"{number:08}") for number in range(40_000)]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(running.url.rpartition(":")[2])))
        token = board.headers["authorization"]
        client.sendall(f"GET {URL} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n".encode())
        await until(lambda: streams(desk) == 1)
        async with desk.host.engine.execution_options(immediate=True).begin() as connection:
            for first in range(0, len(events), 500):
                part = events[first : first + 500]
                await desk.events.stream.store.add(connection, part, time.time())
        desk.events.stream.wake()
        await until(lambda: streams(desk) == 0, 60.0)
    assert len(batches) < len(events) / 200


def event_of(name):
    """Return an event with this name as its call's id."""
    call = EventCall(name, 1_800_000_000.0, "Housing", "+441970000000", "+441632960001")
    return WebhookEvent(str(uuid5(NAMESPACE_OID, name)), "ringing", 1_800_000_000.0, call)


def streams(desk):
    """Return the number of open streams."""
    return desk.host.metrics.registry.get_sample_value("galwad_desk_streams")
