"""A desk sends the events of its calls: in order, and each once, whatever dies in between.

Covers `galwad/events/webhooks.py` and `galwad/events/receiver.py`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sqlite3
from collections import defaultdict
from subprocess import DEVNULL

import msgspec
import pytest
from standardwebhooks.webhooks import Webhook

from galwad.events import webhooks
from galwad.messages import CallEnded, LedgerHas, SetPhones
from galwad.settings import load
from helpers.desk import FakeSwitch, changed, until
from helpers.http_server import answer
from helpers.loopback import free_port
from helpers.processes import GALWAD, Child

CALL = "20261125-101500-abcdefgh"
KEY = b"k" * 32
OK = answer(b"")
PATIENCE_S = 120.0


class Accepted:
    """The events that a receiver has accepted. It fails as long as `up` is false."""

    def __init__(self, server):
        self.up = True
        self.requests = []
        server.handler = self._handle

    async def _handle(self, request, _writer):
        if not self.up:
            return answer(b"", "503 Unavailable")
        Webhook(KEY).verify(request.body, request.headers)
        self.requests.append(request)
        return OK

    def kinds(self, call_id=CALL):
        """Return the kinds of the events of a call in their order; a repeated event counts once."""
        found: dict[str, str] = {}
        for request in self.requests:
            document = json.loads(request.body)
            if document["data"]["call_id"] == call_id:
                found.setdefault(document["id"], document["type"].removeprefix("call."))
        return list(found.values())

    def of(self, kind):
        (found,) = (
            document["data"]
            for document in (json.loads(request.body) for request in self.requests)
            if document["type"] == f"call.{kind}"
        )
        return found


@pytest.fixture
async def accepted(running, section, server):
    """The events of a desk that has `server` as its receiver."""
    accepted = Accepted(server)
    await running.stop()
    running.settings = changed(running.settings, webhook=section())
    await running.start()
    await running.switch.until(SetPhones, 2)
    return accepted


async def restart(running):
    links = len(running.switch.of(SetPhones))
    await running.stop()
    await running.start()
    await running.switch.until(SetPhones, links + 1)


async def test_the_events_of_a_call_with_a_pause_and_of_its_recording_are_sent_in_order(
    running, accepted, sealed
):
    switch = running.switch
    switch.ring(CALL)
    switch.answer(CALL, "201", "sian")
    switch.change(CALL, recording="paused", recording_since=1_800_000_010.0)
    switch.change(CALL, recording="recording", recording_since=1_800_000_020.0)
    switch.hang_up(CALL)
    kinds = ["ringing", "answered", "paused", "resumed", "ended"]
    await until(lambda: accepted.kinds() == kinds)
    await running.seal(msgspec.structs.replace(sealed, call_id=CALL))
    await until(lambda: accepted.kinds() == [*kinds, "sealed"])
    assert len(accepted.requests) == 6
    assert accepted.of("answered")["advisor"] == "sian"
    assert accepted.of("answered")["caller"] == "+441632960001"
    text = (await running.client().get("/api/v1/metrics")).text
    assert 'galwad_desk_webhook_events_total{outcome="delivered"} 6.0' in text


async def test_a_transfer_is_sent_with_the_class_of_its_destination(running, accepted):
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201", "sian")
    running.switch.change(CALL, transfers=1, destination="department", recording="ceased")
    await until(lambda: accepted.kinds() == ["ringing", "answered", "transferred"])
    assert accepted.of("transferred")["destination"] == "department"


async def test_a_withheld_number_is_in_no_event(running, accepted):
    running.switch.ring(CALL, privacy=("id",), asserted=("01632960001",), trusted=True)
    running.switch.answer(CALL, "201", "sian")
    running.switch.hang_up(CALL)
    await until(lambda: accepted.kinds() == ["ringing", "answered", "ended"])
    assert all(b'"caller":"anonymous"' in request.body for request in accepted.requests)
    assert not any(b"1632960001" in request.body for request in accepted.requests)


async def test_a_restart_of_the_desk_repeats_no_event_and_misses_no_end(running, accepted):
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201", "sian")
    await until(lambda: accepted.kinds() == ["ringing", "answered"])
    await restart(running)
    running.switch.change(CALL, recording="paused")
    await until(lambda: accepted.kinds()[2:] == ["paused"])
    await running.stop()
    del running.switch.calls[CALL]  # the call ends while the desk is down
    await running.start()
    end = CallEnded(CALL, 1_800_000_099.0, answered=True, for_ledger=True)
    await running.switch.until(SetPhones, 4)
    running.switch.link.send(end)
    await running.switch.until(LedgerHas)
    await until(lambda: accepted.kinds()[3:] == ["ended"])
    assert len(accepted.requests) == 4
    (timestamp,) = (each.json["timestamp"] for each in accepted.requests[3:])
    assert timestamp == "2027-01-15T08:01:39.000Z"


async def test_metrics_show_the_depth_of_the_outbox_while_the_receiver_is_down(running, accepted):
    accepted.up = False
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201", "sian")

    def value(name):
        return running.desk.host.metrics.registry.get_sample_value(f"galwad_desk_webhook_{name}")

    await until(lambda: value("waiting") == 2)
    assert value("oldest_seconds") > 0
    accepted.up = True
    await until(lambda: accepted.kinds() == ["ringing", "answered"], PATIENCE_S)


def waiting(running):
    """Return the number of events that wait to be sent, as the metrics show it."""
    return running.desk.host.metrics.registry.get_sample_value("galwad_desk_webhook_waiting")


async def test_without_a_receiver_the_outbox_is_emptied(running, accepted):
    accepted.up = False
    running.switch.ring(CALL)
    await until(lambda: waiting(running) == 1)
    running.settings = changed(running.settings, webhook=None)
    await restart(running)
    count = "SELECT (SELECT count(*) FROM webhook_calls) + (SELECT count(*) FROM webhook_events)"
    with contextlib.closing(sqlite3.connect(running.settings.database)) as database:
        await until(lambda: database.execute(count).fetchone() == (0,), PATIENCE_S)
    assert accepted.kinds() == []


async def test_an_error_in_the_events_changes_no_call_on_the_page(running, accepted, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(webhooks, "follow", fails)
    running.switch.ring(CALL)
    await until(lambda: running.desk.calls.live.get(CALL) is not None)
    running.switch.hang_up(CALL)
    await until(lambda: running.desk.calls.live.get(CALL) is None)
    assert running.desk.host.switch.connected


async def test_an_old_recording_that_is_indexed_again_has_no_event(running, accepted, sealed):
    old = msgspec.structs.replace(sealed, started=sealed.started - 1_000_000_000)
    await running.seal(old)
    await running.seal(sealed)
    await until(lambda: accepted.kinds(sealed.call_id) == ["sealed"])
    assert len(accepted.requests) == 1


class DeskProcess:
    """A desk as a process of its own, which a test kills and starts again."""

    def __init__(self, folder, settings, switch):
        self.folder, self.settings, self.switch = folder, settings, switch
        self._process = None

    async def start(self):
        """Start the desk; return when it is connected to the switch."""
        links = len(self.switch.of(SetPhones))
        self._process = Child(
            [*GALWAD, "serve", "--only", "desk", "--config", self.settings], stderr=DEVNULL
        )
        await until(lambda: len(self.switch.of(SetPhones)) > links, PATIENCE_S)

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
async def desk_process(tmp_path, server, section):
    """A desk in a process, with a fake switch and `server` as its receiver."""
    run = tmp_path / "run"
    run.mkdir()
    settings = tmp_path / "galwad.toml"
    settings.write_text(
        f'[node]\nname = "killed"\nstate = "{tmp_path}/state"\nruntime = "{run}"\n'
        '[sip]\nlisten = ["udp:127.0.0.1:0"]\n'
        '[[retention]]\ncategory = "general"\nkeep = "by hand"\n'
        '[recording]\nofficer_key = "'
        f'{base64.b64encode(bytes([1]) * 32).decode()}"\n'
        f'[desk]\nlisten = "127.0.0.1:{free_port()}"\n'
        f'[webhook]\nurl = "{server.url}"\nsecret_file = "{section().secret_file}"\n'
    )
    switch = FakeSwitch(load(settings).switch_socket)
    await switch.start()
    desk = DeskProcess(tmp_path, settings, switch)
    yield desk
    desk.kill()
    await switch.stop()


@pytest.mark.slow
async def test_a_desk_that_is_killed_twice_loses_no_event_and_changes_no_id(desk_process, server):
    accepted, switch = Accepted(server), desk_process.switch
    first, second = (f"20261125-101500-{letter * 8}" for letter in "ab")
    handle = server.handler
    hanging = asyncio.Event()

    async def hang(_request, _writer):
        hanging.set()
        await asyncio.Event().wait()

    server.handler = hang
    await desk_process.start()
    switch.ring(first)
    switch.answer(first, "201", "sian")
    async with asyncio.timeout(PATIENCE_S):
        await hanging.wait()
    desk_process.kill()  # the receiver has read the first event, and has not answered

    server.handler, accepted.up = handle, False
    switch.ring(second)
    switch.answer(second, "202", "huw")
    await desk_process.start()
    await until(lambda: len(server.received) >= 3, PATIENCE_S)
    desk_process.kill()  # the receiver is down

    del switch.calls[first]  # this call ends while the desk is down
    accepted.up = True
    await desk_process.start()
    kinds = ["ringing", "answered", "ended"]
    await until(lambda: accepted.kinds(first) == kinds, PATIENCE_S)
    await until(lambda: accepted.kinds(second) == kinds[:2], PATIENCE_S)
    switch.hang_up(second)
    await until(lambda: accepted.kinds(second) == kinds, PATIENCE_S)
    bodies = defaultdict(set)
    for request in server.received:
        bodies[request.headers["webhook-id"]].add(request.body)
    assert {len(each) for each in bodies.values()} == {1}, "an id with two contents"
    assert len(accepted.requests) == len(bodies) == 6, "an event arrived twice"
    assert len(server.received) > len(accepted.requests)
