"""The sending of events: in order, with pauses after failures, and each until it has an outcome."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, defaultdict

import pytest
from sqlalchemy.exc import OperationalError

from galwad.events import sender as sender_module
from galwad.events.call_events import CallProgress, EventCall, WebhookEvent
from galwad.events.outbox import MAX_AGE_S, CallStep
from galwad.events.receiver import CONNECTIONS, WebhookReceiver
from galwad.events.sender import PAUSES, WebhookSender
from galwad.host.outbox import BackOff
from helpers.desk import WAIT_S
from helpers.http_server import answer

OK = answer(b"")
KINDS = ("ringing", "answered", "ended")


def call_id_of(request):
    return request.json["data"]["call_id"]


class Sending:
    """A sender at work, with what it reports."""

    def __init__(self, outbox, write, section, *, server, clock):
        self.outbox, self.write, self.section = outbox, write, section
        self.server, self.clock = server, clock
        self.outcomes: Counter[str] = Counter()
        self.alarms = []
        self.backlog = None
        self._news = asyncio.Condition()
        self._task: asyncio.Task | None = None
        self.sender: WebhookSender

    def webhook_attempt(self, outcome, count=1):
        self.outcomes[outcome] += count

    def webhook_backlog(self, backlog):
        self.backlog = backlog

    def start(self):
        receiver = WebhookReceiver(self.section())
        self.sender = WebhookSender(self.outbox, receiver, self, self.alarms.append, self.clock)
        self._task = asyncio.create_task(self.sender.run())

    async def stop(self):
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def add(self, *calls, kinds=KINDS):
        for call_id in calls:
            call = EventCall(call_id, self.clock.now, "Tax", "+441632960999", "anonymous")
            events = [
                WebhookEvent(f"{call_id}-{kind}", kind, self.clock.now, call) for kind in kinds
            ]
            step = CallStep(call_id, CallProgress(call, recorded=True), events)
            await self.write([step], self.clock.now)
        if self._task is not None:
            self.sender.wake()

    async def until(self, condition):
        """Let time pass quickly until `condition` is true."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self.clock.now += 1
                self.sender.wake()
                await asyncio.sleep(0.01)

    async def all_sent(self, count):
        await self.until(lambda: self.outcomes["delivered"] + self.outcomes["refused"] == count)

    def accepted(self):
        """Return the kinds of events that each call's requests had, in their order."""
        found = defaultdict(list)
        for request in self.server.received:
            found[call_id_of(request)].append(request.json["type"].removeprefix("call."))
        return dict(found)


@pytest.fixture
async def sending(outbox, write, section, *, server, clock, monkeypatch):
    """A sender that has not been started, whose pauses are short."""
    monkeypatch.setattr(sender_module, "PAUSES", BackOff(0.01, 0.02))
    sending = Sending(outbox, write, section, server=server, clock=clock)
    yield sending
    await sending.stop()


async def test_each_event_is_sent_once_and_those_of_a_call_in_their_order(sending, server):
    server.answers = [OK]
    calls = [f"call-{number}" for number in range(10)]
    await sending.add(*calls)
    sending.start()
    await sending.all_sent(30)
    assert sending.accepted() == {call_id: list(KINDS) for call_id in calls}
    await sending.until(lambda: sending.backlog.waiting == 0)


async def test_new_events_are_sent_while_the_sender_runs(sending, server):
    server.answers = [OK]
    sending.start()
    await sending.add("a")
    await sending.all_sent(3)
    await sending.add("b")
    await sending.all_sent(6)
    assert sending.accepted() == {"a": list(KINDS), "b": list(KINDS)}


@pytest.mark.parametrize("down", ["closed", "503"])
async def test_after_an_outage_each_event_arrives_once_and_in_order(sending, server, down):
    up, accepted = False, []

    async def handler(request, writer):
        if up:
            accepted.append((call_id_of(request), request.headers["webhook-id"]))
            return OK
        if down == "503":
            return answer(b"", "503 Unavailable")
        writer.close()
        return None

    server.handler = handler
    calls = [f"call-{number}" for number in range(6)]
    await sending.add(*calls)
    sending.start()
    await sending.until(lambda: sending.outcomes["failed"] > 5)
    await sending.add("late")
    assert accepted == []
    up = True
    await sending.all_sent(21)
    assert len(set(accepted)) == len(accepted) == 21
    for call_id in (*calls, "late"):
        ids = [event_id for found, event_id in accepted if found == call_id]
        assert ids == [f"{call_id}-{kind}" for kind in KINDS]


async def test_a_receiver_that_hangs_gets_at_most_four_requests_and_causes_no_searches(
    sending, server, monkeypatch
):
    searches: Counter[str] = Counter()

    def count(name):
        method = getattr(sending.outbox, name)

        async def counted(*arguments):
            searches[name] += 1
            return await method(*arguments)

        monkeypatch.setattr(sending.outbox, name, counted)

    async def hang(_request, _writer):
        await asyncio.Event().wait()

    for name in ("due", "next_due"):
        count(name)
    monkeypatch.setattr(sender_module, "_READ_AHEAD", CONNECTIONS)
    server.handler = hang
    await sending.add(*(f"call-{number}" for number in range(20)))
    sending.start()
    await sending.until(lambda: len(server.received) == CONNECTIONS)
    before = searches.copy()
    await sending.sender._send_what_is_due()
    assert (searches, len(server.received)) == (before, CONNECTIONS)


async def test_after_a_failure_only_one_event_at_a_time_is_tried(sending, server):
    at_once, most = 0, {"first": 0, "later": 0}

    async def handler(_request, _writer):
        nonlocal at_once
        at_once += 1
        phase = "later" if sending.outcomes["failed"] >= CONNECTIONS else "first"
        most[phase] = max(most[phase], at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return answer(b"", "500 Oops")

    server.handler = handler
    await sending.add(*(f"call-{number}" for number in range(20)))
    sending.start()
    await sending.until(lambda: sending.outcomes["failed"] > 2 * CONNECTIONS)
    assert 1 < most["first"] <= CONNECTIONS
    assert most["later"] == 1


async def test_an_event_that_always_fails_does_not_stop_the_events_of_other_calls(sending, server):
    async def handler(request, _writer):
        return answer(b"", "500 Oops") if call_id_of(request) == "bad" else OK

    server.handler = handler
    await sending.add("bad", "good")
    sending.start()
    await sending.all_sent(3)
    assert sending.accepted()["good"] == list(KINDS)
    assert set(sending.accepted()["bad"]) == {"ringing"}


async def test_nothing_is_sent_in_a_rest_that_the_receiver_has_asked_for_although_the_clock_jumps(
    sending, server, outbox
):
    server.answers = [answer(b"", "429 Too Many Requests", Retry_After="3600"), OK]
    await sending.add("a")
    sending.start()
    await sending.until(lambda: sending.outcomes["failed"] == 1)
    await sending.until(lambda: not sending.sender._busy)
    due = await outbox.next_due(())
    assert due >= sending.clock.now + 3500
    sending.clock.now = due + 60
    await sending.add("b")
    # The clock of this machine has jumped, but the hour is not over.
    assert await sending.sender._send_what_is_due() > 0
    assert len(server.received) == 1
    assert sending.sender._rest_until > time.monotonic() + 3000


async def test_refused_events_are_not_sent_again_and_raise_one_alarm_for_each_call(sending, server):
    async def handler(request, _writer):
        refused = call_id_of(request) != "good" and request.json["type"] != "call.ended"
        return answer(b"", "422 Unprocessable") if refused else OK

    server.handler = handler
    await sending.add("bad")
    sending.start()
    await sending.all_sent(3)
    assert sending.accepted() == {"bad": list(KINDS)}
    assert sending.outcomes == {"refused": 2, "delivered": 1}
    (alarm,) = sending.alarms
    assert (alarm.kind, alarm.call_id, alarm.detail) == (
        "webhook.refused",
        "bad",
        "the receiver answers 422",
    )
    await sending.add("worse")
    await sending.all_sent(6)
    assert len(sending.alarms) == 2


async def test_a_receiver_that_is_down_for_long_has_one_alarm(sending, server):
    server.answers = [answer(b"", "500 Oops")]
    await sending.add("a", "b", "c")
    sending.start()
    await sending.until(lambda: sending.outcomes["failed"] > 20)
    (alarm,) = sending.alarms
    assert (alarm.kind, alarm.detail) == ("webhook.down", "the receiver answers 500")


async def test_dropped_events_have_an_alarm_with_their_number(sending, server):
    server.answers = [OK]
    await sending.add("a", "b")
    sending.clock.now += MAX_AGE_S + 1
    await sending.add("new", kinds=("ringing",))
    sending.start()
    await sending.all_sent(1)
    assert sending.accepted() == {"new": ["ringing"]}
    (alarm,) = sending.alarms
    assert (alarm.kind, alarm.detail) == ("webhook.dropped", "6 events were dropped")
    assert sending.outcomes["dropped"] == 6


async def test_an_event_whose_answer_was_not_stored_is_sent_again_with_the_same_id(sending, server):
    arrived = asyncio.Event()

    async def hang(_request, _writer):
        arrived.set()
        await asyncio.Event().wait()

    server.handler = hang
    await sending.add("a")
    sending.start()
    async with asyncio.timeout(WAIT_S):
        await arrived.wait()
    await sending.stop()
    server.handler, server.answers = None, [OK]
    sending.start()
    await sending.all_sent(3)
    ids = [request.headers["webhook-id"] for request in server.received]
    assert ids == ["a-ringing", "a-ringing", "a-answered", "a-ended"]


async def test_after_failed_writes_to_the_database_all_events_of_a_call_are_sent(
    sending, server, monkeypatch
):
    monkeypatch.setattr(sender_module, "_RETRY_S", 0.01)
    failures = {"settle": 2, "backlog": 2}

    def failing(name):
        method = getattr(sending.outbox, name)

        async def fails_twice(*arguments):
            if failures[name]:
                failures[name] -= 1
                raise OperationalError("", {}, Exception("disk I/O error"))
            return await method(*arguments)

        monkeypatch.setattr(sending.outbox, name, fails_twice)

    failing("settle")
    failing("backlog")
    server.answers = [OK]
    await sending.add("a")
    sending.start()
    await sending.until(lambda: sending.backlog is not None and len(server.received) == 5)
    assert sending.accepted() == {"a": ["ringing", "ringing", *KINDS]}


async def test_an_unexpected_error_while_one_event_is_sent_does_not_stop_the_other_events(
    sending, server, monkeypatch
):
    send = WebhookReceiver.send

    async def fails(receiver, event):
        if event.call.call_id == "bad":
            raise ZeroDivisionError
        return await send(receiver, event)

    monkeypatch.setattr(WebhookReceiver, "send", fails)
    server.answers = [OK]
    await sending.add("bad", "good")
    sending.start()
    await sending.all_sent(3)
    assert sending.accepted() == {"good": list(KINDS)}


def test_the_wait_between_attempts_grows_to_at_most_five_minutes_and_varies():
    jitter = [number / 20 for number in range(20)]
    pauses = [[PAUSES.wait_s(failures, each) for failures in range(40)] for each in jitter]
    for each in pauses:
        assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(each[:8]))
        assert max(each) <= 300
        assert min(each[9:]) >= 150
    assert len({each[0] for each in pauses}) > 10


async def test_a_retry_by_hand_does_not_wait_for_a_rest_that_the_receiver_has_asked_for(
    sending, server
):
    server.answers = [answer(b"", "503 Busy", Retry_After="3600"), OK]
    await sending.add("call-1", kinds=("ringing",))
    sending.start()
    await sending.until(lambda: sending.outcomes["failed"] == 1)
    await sending.until(lambda: not sending.sender._busy)
    (waiting,) = await sending.outbox.undelivered(9)
    assert waiting.due > sending.clock.now + 1000
    assert waiting.reason == "the receiver answers 503"
    await sending.sender.retry(waiting.id)
    await sending.all_sent(1)
    assert sending.accepted() == {"call-1": ["ringing", "ringing"]}


async def test_a_discarded_event_is_not_sent_but_the_next_event_of_its_call_is(sending, server):
    server.answers = [answer(b"", "503 Busy", Retry_After="3600"), OK]
    await sending.add("call-1", kinds=("ringing", "answered"))
    sending.start()
    await sending.until(lambda: sending.outcomes["failed"] == 1)
    await sending.sender.discard("call-1-ringing")
    await sending.sender.retry("call-1-answered")
    await sending.all_sent(1)
    assert sending.accepted() == {"call-1": ["ringing", "answered"]}
    assert sending.outcomes["dropped"] == 1
