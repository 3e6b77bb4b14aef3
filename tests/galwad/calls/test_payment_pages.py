"""Payment pages: a token for one call and one pause, renewals, and requests of other origins.

Covers `galwad/calls/payment_pages.py`, `galwad/host/request_guard.py` and
`galwad/calls/payments.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from galwad.calls.subject import AlarmNews
from galwad.messages import Party, Pause, Resume
from helpers.desk import Running, changed

CALL = "20261125-101500-aaaaaaaa"
OTHER = "20261125-101600-bbbbbbbb"
PAGE = "/api/v1/payment-page"
TOKENS = "/api/v1/payment-tokens"
ORIGIN = "https://pay.example"


@pytest.fixture
async def sian(running):
    return await running.answered(CALL)


@pytest.fixture
async def crm(running, sian):
    """The CRM, which has the right to pause."""
    return await running.machine("crm", "payments")


@pytest.fixture
async def issued(crm):
    reply = await crm.post(TOKENS, json={"advisor": "sian"})
    assert reply.status_code == 201, reply.text
    return reply.json()


@pytest.fixture
def page(running, issued):
    """The payment page, which has only the token."""
    return running.client(headers={"Authorization": f"Bearer {issued['token']}"})


async def kinds(running):
    return [e.kind for e in await running.desk.host.audit.entries() if e.kind.startswith("payment")]


async def test_a_payment_page_pauses_renews_and_resumes_its_call_and_cannot_pause_it_again(
    running, page, issued
):
    assert issued["call_id"] == CALL
    assert 890 < issued["expires"] - time.time() < 901
    for _ in range(3):
        paused = await page.put(PAGE, json={"heartbeat": 30})
        assert paused.json() == {"state": "paused", "durable": True, "calls": [CALL]}
    assert running.switch.calls[CALL].holders == (issued["holder"],)
    assert (await page.delete(PAGE)).json()["state"] == "recording"
    (hold,) = running.switch.of(Pause)
    (release,) = running.switch.of(Resume)
    assert (hold.holder, hold.actor, hold.trigger, hold.call_id) == (
        *(issued["holder"], "token:crm"),
        *("api", CALL),
    )
    assert release.holder == hold.holder
    assert await kinds(running) == ["payment.token-made", "payment.pause", "payment.resume"]
    again = await page.put(PAGE)
    assert again.status_code == 410
    assert again.json()["hint"] == "request a new one; take no card details yet"
    assert (await page.delete(PAGE)).status_code == 200
    assert running.switch.calls[CALL].recording == "recording"


OPEN_TO_ALL = "/health", "/metrics", "/strings/{language}", "/logout", "/sign-in", "/command-lines"
"""The endings of the paths that answer any client."""


async def test_a_token_does_nothing_but_pause_and_resume_its_call(running, page, sian):
    running.switch.ring(OTHER)
    running.switch.answer(OTHER, "201", "sian")
    await sian.event("call", lambda pop: pop["call_id"] == OTHER and pop["state"] == "answered")
    schema = (await running.client().get("/api/v1/openapi.json")).json()
    tried = 0
    for path, methods in schema["paths"].items():
        if path == PAGE:
            continue
        for method in methods:
            url = path.replace("{call_id}", CALL).replace("{language}", "en")
            reply = await page.request(method.upper(), url, json={})
            open_to_all = path.endswith(OPEN_TO_ALL)
            no_provider = "/sign-in/" in path
            fits = {200, 201, 204} if open_to_all else {404, 422} if no_provider else {401, 422}
            assert reply.status_code in fits, (method, path)
            tried += 1
    assert tried > 25
    await page.put(PAGE)
    assert running.switch.calls[CALL].recording == "paused"
    assert running.switch.calls[OTHER].recording == "recording"


async def test_other_tokens_and_cookies_do_not_work_for_the_payment_page(running, sian, crm):
    for client in (sian.http, crm, running.client()):
        assert (await client.put(PAGE)).status_code == 401
        assert (await client.delete(PAGE)).status_code == 401
    assert running.switch.of(Pause) == []


async def test_only_a_machine_with_the_right_gets_a_token_and_only_for_an_answered_call(
    running, sian, crm
):
    watch, mair = await running.machine("watch", "metrics"), await running.page("mair")
    for client in (watch, mair.http, sian.http):
        assert (await client.post(TOKENS, json={"advisor": "sian"})).status_code == 403
    assert (await crm.post(TOKENS, json={"extension": "201"})).json()["call_id"] == CALL
    assert (await crm.post(TOKENS, json={"call_id": CALL})).json()["call_id"] == CALL
    assert (await crm.post(TOKENS, json={"advisor": "huw"})).status_code == 404
    assert (await crm.post(TOKENS, json={"advisor": ""})).status_code == 404
    assert (await crm.post(TOKENS, json={})).status_code == 422
    both = {"advisor": "sian", "extension": "201"}
    assert (await crm.post(TOKENS, json=both)).status_code == 422
    running.switch.ring(OTHER)
    await sian.filled(OTHER)
    assert (await crm.post(TOKENS, json={"call_id": OTHER})).status_code == 404
    running.switch.answer(OTHER, "201", "sian")
    await sian.event("call", lambda pop: pop["call_id"] == OTHER and pop["state"] == "answered")
    several = await crm.post(TOKENS, json={"advisor": "sian"})
    assert several.status_code == 409
    assert several.json()["hint"] == "send the `call_id` of the call"


async def test_a_token_survives_a_restart_of_the_desk_in_the_middle_of_a_payment(
    running, page, issued
):
    await page.put(PAGE)
    await running.stop()
    running.switch.link = None
    await running.start()
    client = running.client(headers={"Authorization": f"Bearer {issued['token']}"})
    mair = await running.page("mair")
    await mair.first(lambda pop: pop["call_id"] == CALL)
    assert (await client.put(PAGE)).json()["state"] == "paused"
    assert (await client.delete(PAGE)).json()["state"] == "recording"
    assert (await client.put(PAGE)).status_code == 410


async def test_only_a_supervisor_releases_a_payment_pages_pause(running, page, sian, crm, issued):
    await page.put(PAGE)
    url, theirs = f"/api/v1/calls/{CALL}/payment", {"holder": issued["holder"]}
    for client in (sian.http, crm):
        assert (await client.request("DELETE", url, json=theirs)).status_code == 403
    mair = await running.page("mair")
    released = await mair.http.request("DELETE", url, json=theirs)
    assert released.json()["state"] == "recording"
    await sian.event("call", lambda pop: pop["recording"] == "paused")
    await sian.event("call", lambda pop: pop["recording"] == "recording")
    renewed = await page.put(PAGE)
    assert renewed.status_code == 409
    assert renewed.json()["error"] == "the pause was released by another user"
    assert running.switch.calls[CALL].recording == "recording"


async def test_a_payment_page_gets_an_error_after_the_call_or_without_the_switch(
    running, page, sian
):
    await page.put(PAGE)
    await sian.event("call", lambda pop: pop["recording"] == "paused")
    await running.switch.stop()
    await sian.event("alarm", lambda alarm: alarm["kind"] == "switch.lost")
    assert (await page.put(PAGE)).status_code == 503
    assert (await page.delete(PAGE)).status_code == 503
    running.switch.link = None
    await running.switch.start()
    await sian.event("alarm", lambda alarm: alarm["kind"] == "switch.connected")
    assert (await page.delete(PAGE)).json()["state"] == "recording"
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    assert (await page.delete(PAGE)).status_code == 404


async def test_a_failing_database_delays_no_pause_but_refuses_a_resume(running, page, monkeypatch):
    monkeypatch.setattr("galwad.host.background.AUDIT_S", 0.2)
    database = sqlite3.connect(running.settings.database, check_same_thread=False)
    with closing(database):
        # In a thread: the desk may have to end a transaction of its own on this loop first.
        await asyncio.to_thread(database.execute, "BEGIN IMMEDIATE")
        task = asyncio.create_task(page.put(PAGE))
        await running.switch.until(Pause)
        assert running.switch.calls[CALL].recording == "paused"
        database.rollback()
    assert (await task).json()["state"] == "paused"
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE payment_tokens RENAME TO gone")
    assert (await page.delete(PAGE)).status_code == 503
    assert running.switch.of(Resume) == []
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE gone RENAME TO payment_tokens")
    assert (await page.delete(PAGE)).json()["state"] == "recording"


async def test_a_resume_that_overtakes_the_pause_of_a_page_ends_this_pause(
    running, page, issued, monkeypatch
):
    pause = running.desk.host.switch.pause

    async def slow(*arguments):
        overtaking = await page.delete(PAGE)
        assert overtaking.json()["state"] == "recording"
        return await pause(*arguments)

    monkeypatch.setattr(running.desk.host.switch, "pause", slow)
    assert (await page.put(PAGE, json={"heartbeat": 5})).json()["state"] == "recording"
    assert running.switch.calls[CALL].holders == ()
    assert [type(each) for each in running.switch.received[-3:]] == [Resume, Pause, Resume]


async def test_a_page_that_stops_renewing_warns_advisor_and_supervisor_and_stays_paused(
    running, page, sian, monkeypatch
):
    mair, huw = await running.page("mair"), await running.page("huw")
    await mair.open()
    await huw.open()
    await page.put(PAGE, json={"heartbeat": 5})
    clock = time.monotonic()
    monkeypatch.setattr(running.desk.calls.heartbeats, "_clock", lambda: clock + 6)
    for viewer in (sian, mair):
        alarm = await viewer.event("alarm", lambda alarm: alarm["kind"] == "payment.page_lost")
        assert alarm["call_id"] == CALL
    running.desk.page.hub.alarm(AlarmNews("marker", None, None, "everybody"))
    await huw.event("alarm", lambda alarm: alarm["kind"] == "marker")
    assert [kind for kind, _, data in huw.seen if data.get("kind") == "payment.page_lost"] == []
    text = (await running.client().get("/api/v1/metrics")).text
    assert "galwad_desk_lost_payment_pages 1.0" in text
    assert running.switch.calls[CALL].recording == "paused"
    assert running.switch.of(Resume) == []
    assert (await page.delete(PAGE)).json()["state"] == "recording"


async def test_a_payment_system_renews_its_pause_without_further_audit_entries(running, sian, crm):
    for _ in range(3):
        await crm.put("/api/v1/payments", json={"advisor": "sian", "heartbeat": 5})
        await sian.event("call", lambda pop: pop["holders"] == ["token:crm"])
    assert await kinds(running) == ["payment.pause"]
    refused = await crm.put("/api/v1/payments", json={"advisor": "sian", "heartbeat": 4})
    assert refused.status_code == 422
    await crm.put("/api/v1/payments", json={"advisor": "sian"})
    assert await kinds(running) == ["payment.pause"] * 2


@pytest.fixture
async def guests(running: Running):
    """The desk, with a payment page of another origin in its settings."""
    running.settings = changed(running.settings, desk={"payment_page_origins": (ORIGIN,)})
    await running.stop()
    running.switch.link = None
    await running.start()
    return running


async def test_a_page_of_an_origin_in_the_settings_may_use_only_the_payment_page(guests):
    await guests.answered(CALL)
    crm = await guests.machine("crm", "payments")
    token = (await crm.post(TOKENS, json={"advisor": "sian"})).json()["token"]
    page = guests.client(headers={"Authorization": f"Bearer {token}", "Origin": ORIGIN})
    asked = {"Access-Control-Request-Method": "PUT"}
    preflight = await page.options(PAGE, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert preflight.headers["Access-Control-Allow-Methods"] == "PUT, DELETE"
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    for reply in (await page.put(PAGE), await page.delete(PAGE), await page.put(PAGE)):
        assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert reply.headers["Vary"] == "Origin"
    for path in ("/api/v1/health", TOKENS, f"/api/v1/calls/{CALL}/payment"):
        other = await page.options(path, headers=asked)
        assert "Access-Control-Allow-Origin" not in other.headers
    assert (await page.put(f"/api/v1/calls/{CALL}/payment")).status_code == 403
    stranger = {"Origin": "https://evil.example"}
    assert "Access-Control-Allow-Origin" not in (await page.options(PAGE, headers=stranger)).headers
    assert (await page.put(PAGE, headers=stranger)).status_code == 403


async def test_without_the_setting_no_other_origin_may_use_the_payment_page(running, page):
    foreign = {"Origin": ORIGIN}
    assert (await page.put(PAGE, headers=foreign)).status_code == 403
    assert "Access-Control-Allow-Origin" not in (await page.options(PAGE, headers=foreign)).headers
    assert running.switch.of(Pause) == []


async def test_a_payment_token_stays_valid_when_the_call_moves_to_another_advisor(
    running, page, sian, issued
):
    """The token belongs to the call, so a transfer inside the centre does not end the payment."""
    await page.put(PAGE)
    running.switch.change(CALL, advisor=Party("202", "huw"))
    await sian.event("closed")
    assert (await page.put(PAGE)).json()["state"] == "paused"
    assert (await page.delete(PAGE)).json()["state"] == "recording"
