"""The log of real calls: answered with a pause, missed, answered by a colleague, transferred.

The desk is killed in the middle of the last call, and the caller hangs up while it is down.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from playwright.sync_api import expect

from helpers.peers.programs import Callee, Caller
from helpers.peers.service import PASSWORD
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

LINE = "01970000500"
OTHER_CALLER = "01632960124"
ROUTE = f'\n[[routes]]\ncalled = "{LINE}"\nring = ["201", "202"]\nline = "Waste"\n'


@pytest.fixture
def service(start):
    """All three processes, with the advisors sian at 201 and huw at 202."""
    service = start("switch", "desk", "finaliser", users=True, more=ROUTE)
    add = ("users", "add", "huw", "--extension", "202", "--password-stdin", "--json")
    made = json.loads(service.galwad(*add, stdin=PASSWORD + "\n"))
    service.huws_password = made["sip"]["password"]
    service.log.wait("phones.set", 2)
    return service


def rows(service):
    """Return the rows of the log, in the sequence of the calls."""
    with closing(sqlite3.connect(service.state / "desk" / "galwad.db")) as database:
        database.row_factory = sqlite3.Row
        found = database.execute("SELECT * FROM logged_calls ORDER BY started").fetchall()
    return [dict(row) for row in found]


def today(service, user):
    with service.sign_in(user) as page:
        return page.get("/api/v1/today").json()


async def place_calls(service, phone, make):
    """Place the four calls; the desk is killed in the last one, and is down at its end."""
    sians: asyncio.Queue = asyncio.Queue()
    huws: asyncio.Queue = asyncio.Queue()
    huw = phone(huws, "202", service.huws_password)
    async with asyncio.timeout(240), phone(sians), huw:
        await answer_with_a_pause(service, sians, huws, make)
        missed = make(Caller, service, LINE, scenario="uac_cancelled")
        await asyncio.to_thread(missed.wait)
        await sians.get(), await huws.get()
        third = make(Caller, service, LINE)
        await sians.get()
        await (await huws.get()).answer()
        await asyncio.to_thread(third.hang_up)
        department = make(Callee, service.folder, "uas", "127.0.0.4", port=service.department_port)
        fourth = make(Caller, service, LINE)
        call = await sians.get()
        await call.answer()
        await call.transfer("500")
        await asyncio.to_thread(wait_until, lambda: rows(service)[-1]["transfers"], what="transfer")
        await asyncio.to_thread(service.kill, "desk")
        await asyncio.to_thread(fourth.hang_up)
        await asyncio.to_thread(department.wait)
        await asyncio.to_thread(service.start, "desk")
        last = make(Caller, service, LINE, scenario="uac_cancelled", caller=OTHER_CALLER)
        await asyncio.to_thread(last.wait)


async def answer_with_a_pause(service, sians, huws, make):
    caller = make(Caller, service, LINE)
    await (await sians.get()).answer()
    await huws.get()
    call_id = service.call_id()

    def pause():
        with service.sign_in() as page:
            path = f"/api/v1/calls/{call_id}/payment"
            wait_until(lambda: page.put(path, json={}).status_code == 200, what="a pause")
            assert page.request("DELETE", path).status_code == 200

    await asyncio.to_thread(pause)
    await asyncio.to_thread(caller.hang_up)


def test_real_calls_are_right_in_the_log_and_on_the_page_after_the_desk_was_killed(
    service, phone, ended, chromium
):
    def make(kind, *arguments, **named):
        return ended(kind(*arguments, **named))

    # The browser's own event loop runs in this thread.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, place_calls(service, phone, make)).result()

    def complete():
        found = rows(service)
        sealed = [row["gaps"] for row in found if row["outcome"] == "answered"]
        return len(found) == 5 and all(row["ended"] for row in found) and sealed[-1] and sealed[0]

    wait_until(complete, what="the complete rows")
    paused, missed, colleagues, transferred, last = rows(service)
    assert [row["outcome"] for row in rows(service)] == [
        *("answered", "abandoned", "answered", "answered", "abandoned")
    ]
    assert (paused["advisor"], paused["pauses"], paused["gaps"]) == ("sian", 1, 1)
    assert paused["paused_us"] > 0
    assert (missed["advisor"], missed["answered"]) == ("", 0)
    assert (colleagues["advisor"], colleagues["pauses"]) == ("huw", 0)
    assert (transferred["transfers"], transferred["destination"]) == (1, "department")
    assert transferred["talk_us"] > 0
    sian, huw = today(service, "sian"), today(service, "huw")
    assert [call["call_id"] for call in sian["calls"]] == [
        transferred["call_id"],
        paused["call_id"],
    ]
    assert [call["call_id"] for call in huw["calls"]] == [colleagues["call_id"]]
    assert [(each["destination"], each["result"]) for each in sian["transfers"]] == [
        ("department", "answered")
    ]
    # The first missed caller was talked to later, so only the second must be rung back.
    assert [each["call_id"] for each in sian["missed"]] == [last["call_id"]]
    assert sian["missed"] == huw["missed"]
    page = chromium.new_context(locale="en-GB").new_page()
    page.goto(service.url)
    page.get_by_label("User name").fill("sian")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    calls = page.get_by_role("list", name="My calls").get_by_role("listitem")
    expect(calls).to_have_count(2)
    expect(calls.first).to_contain_text("Note missing")
    expect(page.get_by_role("list", name="My transfers")).to_contain_text("To a department")
    rang = page.get_by_role("list", name="Missed calls").get_by_role("listitem")
    expect(rang).to_have_count(1)
    expect(rang.locator("[data-number]")).to_have_text("01632 960124")
