"""Pauses over the HTTP API: from the page and from a payment system, and their audit.

Covers `galwad/host/switch_client.py` and `galwad/calls/payments.py`.
"""

from __future__ import annotations

import asyncio
import time
from itertools import product

import pytest
import structlog

from galwad.messages import Party, Pause, Resume
from galwad.people.session_layer import Pacer

CALL = "20261125-101500-aaaaaaaa"
URL = f"/api/v1/calls/{CALL}/payment"
COARSE_S = 0.022
"""How exactly the kernel knows when data arrived."""
AT_HUW = Party("202", "huw")


@pytest.fixture
async def sian(running):
    """Sian's page, on an answered call."""
    page = await running.page("sian")
    await page.open()
    running.switch.ring(CALL)
    await page.filled(CALL)
    running.switch.answer(CALL, "201", "sian")
    await page.event("call", lambda pop: pop["state"] == "answered")
    return page


async def test_the_page_pauses_and_resumes_the_recording(running, sian):
    paused = await sian.http.put(URL, json={})
    assert paused.json() == {"state": "paused", "durable": True, "calls": [CALL]}
    pop = await sian.event("call", lambda pop: pop["recording"] == "paused")
    assert pop["holders"] == ["page:sian"]
    assert (await sian.http.delete(URL)).json()["state"] == "recording"
    (hold,) = running.switch.of(Pause)
    (release,) = running.switch.of(Resume)
    assert (hold.actor, hold.trigger, hold.call_id) == ("user:sian", "page", CALL)
    assert release.holder == hold.holder == "page:sian"


async def test_a_pause_that_is_not_durable_is_reported_as_such(running, sian):
    running.switch.durable = False
    assert (await sian.http.put(URL)).json()["durable"] is False


@pytest.fixture
async def placed(running):
    """Sian's page, on a recorded call that her phone has placed."""
    page = await running.page("sian")
    await page.open()
    running.switch.ring(CALL, number="201", at=("900",))
    running.switch.change(CALL, outgoing=True, called="+441632960123")
    running.switch.answer(CALL, "900")
    return page


async def test_a_recorded_call_that_the_user_has_placed_has_a_screen_pop_and_can_be_paused(
    running, placed
):
    pop = await placed.event("call")
    assert (pop["mine"], pop["state"], pop["called"]) == (True, "answered", "01632 960123")
    assert pop["talking_since"]
    assert pop["caller"]["number_display"] is None
    assert (await placed.http.put(URL)).json()["state"] == "paused"
    paused = await placed.event("call", lambda pop: pop["recording"] == "paused")
    assert paused["holders"] == ["page:sian"]
    assert (await placed.http.delete(URL)).json()["state"] == "recording"
    confirm = await placed.http.post(f"/api/v1/calls/{CALL}/confirm", json={"outcome": "confirmed"})
    assert confirm.status_code == 403
    running.switch.hang_up(CALL)
    assert await placed.event("closed") == {"call_id": CALL}


async def test_the_global_key_pauses_a_recorded_call_that_its_user_has_placed(running, placed):
    await placed.event("call")
    made = await placed.http.post("/api/v1/me/tokens", json={"name": "key"})
    key = running.client(headers={"Authorization": f"Bearer {made.json()['secret']}"})
    paused = await key.put("/api/v1/payments")
    assert paused.json() == {"state": "paused", "durable": True, "calls": [CALL]}


async def test_a_placed_call_is_not_shown_if_it_is_not_recorded_or_is_another_users(
    running, placed
):
    await placed.event("call")
    huw = await running.page("huw")
    assert (await huw.open())["calls"] == []
    assert (await huw.http.put(URL)).status_code == 404
    running.switch.change(CALL, recorded=False)
    assert await placed.event("closed") == {"call_id": CALL}
    assert (await placed.http.put(URL)).status_code == 404


async def test_another_advisor_may_not_pause_but_a_supervisor_may(running, sian):
    huw, mair = await running.page("huw"), await running.page("mair")
    assert (await huw.http.put(URL)).status_code == 404
    assert (await mair.http.put(URL)).json()["state"] == "paused"
    assert (await mair.http.delete(URL)).json()["state"] == "recording"


MATRIX = [
    # the holder, and who may end its pause: the advisor in the call, another advisor at whom the
    # call rings, a supervisor, a payment system
    ("page:sian", {"sian", "mair"}),
    ("page:huw", {"mair"}),
    ("page:mair", {"mair"}),
    ("page", {"sian", "mair"}),
    ("phone:201", {"sian", "mair"}),
    ("phone:202", {"sian", "mair"}),
    ("token:pay", {"mair", "pay"}),
    ("token:till", {"mair"}),
    ("something new", {"mair"}),
]


async def test_only_the_users_in_the_table_of_the_docs_release_a_holders_pause(running, sian):
    people = {name: (await running.page(name)).http for name in ("sian", "huw", "mair")}
    users = {**people, "pay": await running.machine("pay", "payments")}
    for (holder, allowed), (name, client) in product(MATRIX, users.items()):
        paused = {"holders": (holder,), "recording": "paused", "ringing": (AT_HUW,)}
        running.switch.change(CALL, **paused)
        await sian.event("call", lambda pop, holder=holder: pop["holders"] == [holder])
        reply = await client.request("DELETE", URL, json={"holder": holder})
        assert (reply.status_code == 200) == (name in allowed), (holder, name, reply.text)
        assert reply.status_code in {200, 403}
        left = running.switch.calls[CALL].holders
        assert left == (() if name in allowed else (holder,)), (holder, name)
        running.switch.change(CALL, holders=(), recording="recording")
        await sian.event("call", lambda pop: pop["holders"] == [])


async def test_two_people_pause_one_call_and_each_releases_their_own(running, sian):
    mair = await running.page("mair")
    for page in (sian, mair):
        await page.http.put(URL)
    assert running.switch.calls[CALL].holders == ("page:mair", "page:sian")
    assert (await mair.http.delete(URL)).json()["state"] == "paused"
    assert running.switch.calls[CALL].holders == ("page:sian",)
    assert (await mair.http.delete(URL)).json()["state"] == "paused"
    assert (await sian.http.delete(URL)).json()["state"] == "recording"


async def test_a_pause_that_an_older_version_began_is_released_without_naming_its_holder(
    running, sian
):
    for name in ("sian", "mair"):
        running.switch.change(CALL, holders=("page",), recording="paused")
        await sian.event("call", lambda pop: pop["holders"] == ["page"])
        page = await running.page(name)
        assert (await page.http.delete(URL)).json()["state"] == "recording"
        await sian.event("call", lambda pop: pop["holders"] == [])
    assert [release.holder for release in running.switch.of(Resume)] == ["page", "page"]


async def test_a_payment_system_pauses_by_advisor_or_extension(running, sian):
    pay = await running.machine("pay", "payments")
    held = await pay.put("/api/v1/payments", json={"advisor": "sian"})
    assert held.json()["calls"] == [CALL]
    released = await pay.request("DELETE", "/api/v1/payments", json={"extension": "201"})
    assert released.json()["state"] == "recording"
    (hold,) = running.switch.of(Pause)
    assert (hold.holder, hold.actor, hold.trigger) == ("token:pay", "token:pay", "api")
    entries = await running.desk.host.audit.entries()
    (entry,) = [each for each in entries if each.kind == "payment.pause"]
    assert (entry.facts["call_id"], entry.facts["calls"]) == ("", CALL)
    nobody = await pay.put("/api/v1/payments", json={"advisor": "huw"})
    assert nobody.status_code == 404
    both = await pay.put("/api/v1/payments", json={"advisor": "a", "extension": "b"})
    assert both.status_code == 422


async def test_a_machine_without_the_payments_right_is_refused(running, sian):
    watch = await running.machine("watch", "metrics")
    assert (await watch.put("/api/v1/payments", json={"advisor": "sian"})).status_code == 403
    assert (await watch.put(URL)).status_code == 404
    assert (await sian.http.put("/api/v1/payments", json={"advisor": "sian"})).status_code == 403


async def test_only_a_supervisor_releases_a_payment_systems_pause(running, sian):
    pay = await running.machine("pay", "payments")
    await pay.put("/api/v1/payments", json={"advisor": "sian"})
    theirs = {"holder": "token:pay"}
    refused = await sian.http.request("DELETE", URL, json=theirs)
    assert refused.status_code == 403
    mair = await running.page("mair")
    released = await mair.http.request("DELETE", URL, json=theirs)
    assert released.json()["state"] == "recording"


async def test_the_present_advisor_can_release_the_pause_of_the_transferring_phone(running, sian):
    running.switch.change(CALL, holders=("phone:202",), recording="paused")
    await sian.event("call", lambda pop: pop["holders"] == ["phone:202"])
    assert (await sian.http.delete(URL)).json()["state"] == "paused"
    theirs = {"holder": "phone:202"}
    released = await sian.http.request("DELETE", URL, json=theirs)
    assert released.json()["state"] == "recording"
    entries = [e for e in await running.desk.host.audit.entries() if e.kind == "payment.resume"]
    assert entries[-1].personal == {"actor": "user:sian", "holder": "phone:202"}


async def test_a_phones_pause_cannot_be_released_by_other_advisors(running, sian):
    """An advisor at whom the call only rings, the transferring advisor and others are refused."""
    theirs = {"holder": "phone:201"}
    huw = await running.page("huw")
    await huw.open()
    assert (await huw.http.request("DELETE", URL, json=theirs)).status_code == 404
    running.switch.change(CALL, holders=("phone:201",), recording="paused", ringing=(AT_HUW,))
    await huw.event("call", lambda pop: pop["state"] == "ringing")
    assert (await huw.http.request("DELETE", URL, json=theirs)).status_code == 403
    running.switch.change(CALL, advisor=Party("301"), ringing=())
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert (await sian.http.request("DELETE", URL, json=theirs)).status_code == 403
    assert running.switch.of(Resume) == []


async def test_a_pause_in_the_name_of_another_holder_is_refused(running, sian):
    mair = await running.page("mair")
    for page in (sian, mair):
        reply = await page.http.put(URL, json={"holder": "phone:202"})
        assert reply.status_code == 403
    assert running.switch.of(Pause) == []


async def test_a_pause_without_the_switch_gives_503(running, sian):
    await running.switch.stop()
    await sian.event("alarm", lambda alarm: alarm["kind"] == "switch.lost")
    reply = await sian.http.put(URL)
    assert reply.status_code == 503
    assert reply.json()["error"] == "the switch cannot be reached"


async def test_a_lost_switch_is_logged_and_counted_as_an_alarm(running, sian):
    with structlog.testing.capture_logs() as logged:
        await running.switch.stop()
        await sian.event("alarm", lambda alarm: alarm["kind"] == "switch.lost")
        running.switch.link = None
        await running.switch.start()
        await sian.event("alarm", lambda alarm: alarm["kind"] == "switch.connected")
    told = [entry["kind"] for entry in logged if entry["event"] == "alarm"]
    assert told == ["switch.lost", "switch.connected"]
    text = (await running.client().get("/api/v1/metrics")).text
    for kind in told:
        assert f'galwad_desk_alarms_total{{kind="{kind}"}} 1.0' in text


@pytest.fixture
def check_often(monkeypatch):
    """Let the desk look for forgotten pauses often; this comes before the desk starts."""
    monkeypatch.setattr("galwad.calls.pause_warnings._INTERVAL_S", 0.05)


async def test_a_forgotten_pause_is_logged_and_counted_as_an_alarm(check_often, running, sian):
    since = time.time() - running.settings.desk.pause_reminder
    with structlog.testing.capture_logs() as logged:
        running.switch.change(CALL, recording="paused", recording_since=since)
        await sian.event("alarm", lambda alarm: alarm["kind"] == "payment.forgotten")
    assert [(e["event"], e["kind"], e["call_id"]) for e in logged if "kind" in e] == [
        ("alarm", "payment.forgotten", CALL)
    ]
    text = (await running.client().get("/api/v1/metrics")).text
    assert 'galwad_desk_alarms_total{kind="payment.forgotten"} 1.0' in text


async def test_a_pause_that_the_switch_does_not_answer_gives_503(running, sian, monkeypatch):
    monkeypatch.setattr("galwad.host.switch_client.REPLY_S", 0.05)
    running.switch.silent = True
    reply = await sian.http.put(URL)
    assert reply.status_code == 503


async def test_pauses_and_resumes_are_audited(running, sian):
    await sian.http.put(URL)
    await sian.http.delete(URL)
    entries = [e for e in await running.desk.host.audit.entries() if e.kind.startswith("payment")]
    assert [entry.kind for entry in entries] == ["payment.pause", "payment.resume"]
    assert {entry.personal["actor"] for entry in entries} == {"user:sian"}
    assert {entry.facts["call_id"] for entry in entries} == {CALL}


async def send_split(running, page, *, wait):
    """Send a request to pause in two parts with a break; return when the last part was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
    request = page.http.build_request("PUT", URL, json={})
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"PUT {URL} HTTP/1.1\r\n{fields}\r\n"
    writer.write(head.encode() + b"{")
    await wait()
    sent = time.monotonic()
    writer.write(b"}")
    answer = await reader.readline()
    writer.close()
    return sent, answer


async def test_a_pause_counts_from_the_arrival_of_the_requests_last_byte(
    running, sian, monkeypatch
):
    turn = Pacer.turn
    begun = asyncio.Event()
    turns = []

    async def late(self, client):
        begun.set()
        await asyncio.sleep(0.3)  # other users have their turns first
        turns.append(time.monotonic())
        await turn(self, client)

    monkeypatch.setattr(Pacer, "turn", late)
    sent, answer = await send_split(running, sian, wait=begun.wait)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    [pause] = running.switch.of(Pause)
    assert sent - COARSE_S <= pause.arrived_mono < turns[0]


async def test_a_client_that_holds_back_its_request_cannot_backdate_the_pause(running, sian):
    sent, answer = await send_split(running, sian, wait=lambda: asyncio.sleep(0.3))
    assert answer.startswith(b"HTTP/1.1 200"), answer
    [pause] = running.switch.of(Pause)
    assert pause.arrived_mono >= sent - COARSE_S


async def test_a_pause_counts_from_its_arrival_although_the_desk_read_it_late(running, sian):
    async def stand_still():
        await asyncio.sleep(0.1)  # the desk reads the first part
        asyncio.get_running_loop().call_soon(time.sleep, 0.3)

    sent, answer = await send_split(running, sian, wait=stand_still)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    [pause] = running.switch.of(Pause)
    assert sent - COARSE_S <= pause.arrived_mono < sent + 0.2
