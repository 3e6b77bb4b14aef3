"""The calls of today: who sees which, and until when a missed call is in the list.

Covers `galwad/calls/log/today.py`.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from msgspec.structs import replace

from galwad.calls.log.logged_call import CallPart, LoggedCall
from galwad.messages import CallEnded, Party
from helpers.followed_calls import log_calls

CALL = "20261125-101500-aaaaaaaa"
NUMBER = "+441632960001"


def call(name, *parts, ago=60.0, **more) -> LoggedCall:
    """Return a call that began `ago` seconds ago; a part is "ROLE USER"."""
    started = time.time() - ago
    words: Any = [part.split() for part in parts]
    made = tuple(CallPart(role, user, "201", started) for role, user in words)
    fields = {"ended": started + 30, "line": "Council Tax", "number": NUMBER, **more}
    return LoggedCall(f"20261125-101500-{name:a<8}", started, parts=made, **fields)


def taken(name, user="sian", **more):
    more = {"answered": 1.0, "outcome": "answered", "talk_us": 25_000_000, **more}
    return call(name, f"had {user}", **more)


def missed(name, *users, **more):
    more = {"outcome": "missed", **more}
    return call(name, *(f"rang {user}" for user in users or ("sian",)), **more)


@pytest.fixture
async def log(running):
    """Write these calls into the log."""

    async def log(*calls):
        await log_calls(running.desk.host.engine, *calls)

    return log


async def today(running, user="sian"):
    page = await running.page(user)
    reply = await page.http.get("/api/v1/today")
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_an_advisor_sees_their_own_ended_calls_of_today_the_newest_first(running, log):
    await log(
        taken("first", ago=90),
        taken("second", number="", withheld=True),
        taken("other", "huw"),
        taken("old", ago=3 * 86_400),
        taken("live", ended=0.0, outcome=""),
    )
    calls = (await today(running))["calls"]
    assert [each["call_id"][-8:] for each in calls] == ["secondaa", "firstaaa"]
    assert calls[1]["number"] == NUMBER
    assert calls[1]["number_display"] == "01632 960001"
    assert (calls[1]["length"], calls[1]["line"]) == (25.0, "Council Tax")
    assert (calls[0]["number"], calls[0]["withheld"]) == (None, True)


async def test_a_call_shows_the_purpose_of_the_advisors_note_or_that_the_note_is_missing(
    running, log
):
    sian = await running.answered(CALL)
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    await log(replace(taken("x"), call_id=CALL))
    assert [each["note"] for each in (await today(running))["calls"]] == ["missing"]
    note = {"purpose": "Rates", "language": "en"}
    await sian.http.put(f"/api/v1/calls/{CALL}/contact", json=note)
    (shown,) = (await today(running))["calls"]
    assert (shown["note"], shown["purpose"]) == ("saved", "Rates")


async def test_a_missed_call_is_shown_to_each_advisor_whose_phone_rang(running, log):
    await log(missed("a", "sian", "huw"), missed("b", "huw", outcome="abandoned", number="1"))
    assert [each["outcome"] for each in (await today(running))["missed"]] == ["missed"]
    assert len((await today(running, "huw"))["missed"]) == 2


async def test_a_call_that_a_colleague_answered_is_not_missed(running, log):
    await log(call("a", "rang sian", "had huw", answered=1.0, outcome="answered"))
    shown = await today(running)
    assert (shown["missed"], shown["calls"]) == ([], [])


@pytest.mark.parametrize("outgoing", [True, False])
async def test_a_missed_call_leaves_the_list_once_an_advisor_has_talked_to_the_caller(
    running, log, outgoing
):
    await log(missed("a", ago=600), taken("earlier", "huw", ago=900))
    assert len((await today(running))["missed"]) == 1
    await log(taken("later", "huw", ago=60, outgoing=outgoing))
    assert (await today(running))["missed"] == []


async def test_missed_calls_with_withheld_numbers_stay_in_the_list(running, log):
    await log(missed("a", number="", withheld=True, ago=600), taken("b", "huw", number=""))
    assert [each["withheld"] for each in (await today(running))["missed"]] == [True]


async def test_a_call_that_the_advisors_phone_made_is_outgoing(running, log):
    made = call("a", outcome="answered", outgoing=True)
    part = CallPart("made", "", "201", made.started)
    await log(replace(made, parts=(part,)))
    assert [each["outgoing"] for each in (await today(running))["calls"]] == [True]
    assert (await today(running, "huw"))["calls"] == []


async def test_transfers_have_their_destination_and_result(running, log):
    row = taken("a")
    sent = CallPart("sent", "sian", "201", row.started + 5, "department", "returned")
    await log(replace(row, parts=(*row.parts, sent)))
    (transfer,) = (await today(running))["transfers"]
    assert (transfer["destination"], transfer["result"]) == ("department", "returned")


async def test_a_list_of_more_than_200_calls_is_cut_and_says_so(running, log):
    await log(*(taken(f"{number:05}", ago=10 + number / 100) for number in range(201)))
    shown = await today(running)
    assert (len(shown["calls"]), shown["cut"]) == (200, True)


async def test_a_stranger_and_a_machine_get_no_list_of_today(running):
    assert (await running.client().get("/api/v1/today")).status_code == 401
    machine = await running.machine("pay", "payments")
    assert (await machine.get("/api/v1/today")).status_code == 403


async def test_only_the_pages_of_users_whose_phone_rang_are_notified_of_a_missed_call(running):
    sian = await running.page("sian")
    await sian.open()
    huw = await running.page("huw")
    await huw.open()
    running.switch.ring(CALL)
    running.switch.change(CALL, ringing=(Party("201", "sian"),))
    await sian.event("call")
    running.switch.calls.pop(CALL)
    running.switch.link.send(CallEnded(CALL, 1_800_000_020.0, answered=False))
    assert await sian.event("day") == {}
    assert [kind for kind, _, _ in huw.seen] == ["snapshot"]
