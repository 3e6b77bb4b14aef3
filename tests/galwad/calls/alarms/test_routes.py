"""The list of alarms in the API: who sees which, who may handle them, and what pages receive.

Covers `galwad/calls/alarms/store.py`.
"""

from __future__ import annotations

import asyncio

import pytest

from galwad.calls.subject import AlarmNews
from galwad.messages import Alarm
from helpers.desk import WAIT_S
from recording.audit.log import AuditFilter

CALL = "20261125-101500-aaaaaaaa"
PATH = "/api/v1/alarms"
REMARK = "the disk was full"


@pytest.fixture
async def alarms(running):
    """The running desk with a call of sian, an alarm about it, and one about no call."""
    await running.answered(CALL)
    running.switch.link.send(Alarm("recording.fault", CALL, "no space left"))
    running.switch.link.send(Alarm("webhook.refused", None, "401"))
    mair = await running.page("mair")
    await until_listed(mair, {"recording.fault", "webhook.refused"})
    return running


async def listed(page):
    return {each["kind"]: each for each in (await page.http.get(PATH)).json()}


async def until_listed(page, kinds):
    async with asyncio.timeout(WAIT_S):
        while True:
            if (await listed(page)).keys() == kinds:
                return
            await asyncio.sleep(0.02)


async def id_of(page, kind="recording.fault"):
    return (await listed(page))[kind]["id"]


async def post(page, alarm_id, action, body=None):
    return await page.http.post(f"{PATH}/{alarm_id}/{action}", json=body)


async def test_a_supervisor_sees_all_alarms_with_their_details(alarms):
    mair = await alarms.page("mair")
    found = await listed(mair)
    fault = found["recording.fault"]
    assert (fault["state"], fault["severity"], fault["count"]) == ("open", "critical", 1)
    assert (fault["call_id"], fault["line"]) == (CALL, "Council Tax")
    assert (fault["detail"], fault["taken_by"]) == ("no space left", "")
    assert found["webhook.refused"]["severity"] == "warning"
    assert {each["kind"] for each in (await mair.open())["alarms"]} == found.keys()


async def test_an_advisor_sees_only_the_alarms_of_their_own_calls_and_no_details(alarms):
    mair, sian, huw = [await alarms.page(name) for name in ("mair", "sian", "huw")]
    await post(mair, await id_of(mair), "take")
    found = await listed(sian)
    assert found.keys() == {"recording.fault"}
    fault = found["recording.fault"]
    assert (fault["state"], fault["detail"], fault["taken_by"]) == ("taken", "", "")
    assert [each["kind"] for each in (await sian.open())["alarms"]] == ["recording.fault"]
    assert await listed(huw) == {}
    assert (await huw.open())["alarms"] == []


@pytest.mark.parametrize("action", ["take", "release", "close"])
async def test_a_supervisor_handles_alarms_but_an_advisor_a_machine_and_a_stranger_do_not(
    alarms, action
):
    mair, sian = await alarms.page("mair"), await alarms.page("sian")
    alarm_id = await id_of(mair)
    path = f"{PATH}/{alarm_id}/{action}"
    machine = await alarms.machine("crm", "payments")
    stranger = alarms.client(headers={"Origin": alarms.url})
    for client, status in ((sian.http, 403), (machine, 403), (stranger, 401)):
        assert (await client.post(path)).status_code == status
    assert (await machine.get(PATH)).status_code == 403
    assert (await stranger.get(PATH)).status_code == 401
    assert (await listed(mair))["recording.fault"]["state"] == "open"
    assert (await post(mair, alarm_id, action)).status_code == 200


async def test_an_alarm_for_the_advisor_only_cannot_be_handled_by_a_supervisor(alarms):
    sian, mair = await alarms.page("sian"), await alarms.page("mair")
    alarms.switch.link.send(Alarm("payment.forgotten", CALL))
    await until_listed(sian, {"recording.fault", "payment.forgotten"})
    assert "payment.forgotten" not in await listed(mair)
    reply = await post(mair, await id_of(sian, "payment.forgotten"), "take")
    assert (reply.status_code, reply.json()["error"]) == (404, "no alarm has this id")


async def test_of_two_supervisors_the_second_gets_409_with_the_name_of_the_first(alarms):
    mair, gwen = await alarms.page("mair"), await alarms.page("gwen")
    alarm_id = await id_of(mair)
    replies = await asyncio.gather(*(post(page, alarm_id, "take") for page in (mair, gwen)))
    winner, loser = sorted(replies, key=lambda reply: reply.status_code)
    assert (winner.status_code, loser.status_code) == (200, 409)
    assert loser.json()["error"] == f"{winner.json()['taken_by']} has taken this alarm"


async def test_each_decision_is_idempotent_and_audited_once(alarms):
    mair = await alarms.page("mair")
    alarm_id = await id_of(mair)
    for action, state in (("take", "taken"), ("release", "open"), ("close", "closed")):
        for _ in range(2):
            body = {"remark": REMARK} if action == "close" else None
            reply = await post(mair, alarm_id, action, body)
            assert (reply.status_code, reply.json()["state"]) == (200, state)
    assert (reply.json()["closed_by"], reply.json()["remark"]) == ("mair", REMARK)
    for kind in ("alarm.taken", "alarm.released", "alarm.closed"):
        (entry,) = await alarms.desk.host.audit.search(AuditFilter(kind=kind), limit=9)
        assert (entry.facts["kind"], entry.facts["call_id"]) == ("recording.fault", CALL)
        assert entry.values["actor"][1] == "user:mair"
    assert entry.values["remark"][1] == REMARK
    assert (await post(mair, alarm_id, "take")).status_code == 409


async def test_a_closed_alarm_stays_in_the_list_of_today_but_not_in_the_snapshot(alarms):
    mair = await alarms.page("mair")
    await post(mair, await id_of(mair), "close")
    assert (await listed(mair))["recording.fault"]["state"] == "closed"
    assert [each["kind"] for each in (await mair.open())["alarms"]] == ["webhook.refused"]


@pytest.mark.parametrize("remark", ["x" * 201, "two\nlines", "paid with 4242 4242 4242 4242"])
async def test_a_remark_that_is_not_valid_is_refused(alarms, remark):
    mair = await alarms.page("mair")
    reply = await post(mair, await id_of(mair), "close", {"remark": remark})
    assert reply.status_code == 422
    assert (await listed(mair))["recording.fault"]["state"] == "open"


async def test_pages_receive_each_change_of_an_alarm(alarms):
    mair, gwen, sian, huw = [await alarms.page(name) for name in ("mair", "gwen", "sian", "huw")]
    for page in (gwen, sian, huw):
        await page.open()
    await post(mair, await id_of(mair), "take")
    assert (await gwen.event("alarm_changed"))["taken_by"] == "mair"
    seen = await sian.event("alarm_changed")
    assert (seen["state"], seen["taken_by"]) == ("taken", "")
    alarms.switch.change(CALL, recording="fault")
    alarms.switch.change(CALL, recording="recording")
    for page in (gwen, sian):
        closed = await page.event("alarm_changed", lambda alarm: alarm["state"] == "closed")
        assert (closed["kind"], closed["closed_by"]) == ("recording.fault", "")
    alarms.desk.page.hub.alarm(AlarmNews("marker", None, None, "everybody"))
    await huw.event("alarm", lambda alarm: alarm["kind"] == "marker")
    assert "alarm_changed" not in {kind for kind, _, _ in huw.seen}


async def test_alarms_and_who_has_taken_them_survive_a_restart_of_the_desk(alarms):
    mair = await alarms.page("mair")
    await post(mair, await id_of(mair, "webhook.refused"), "take")
    await alarms.stop()
    await alarms.start()
    mair = await alarms.page("mair")
    found = (await listed(mair))["webhook.refused"]
    assert (found["state"], found["taken_by"], found["detail"]) == ("taken", "mair", "401")


async def test_a_lost_switch_is_an_alarm_until_it_is_connected_again(running):
    mair, sian = await running.page("mair"), await running.page("sian")
    await mair.open()
    await running.switch.stop()
    lost = await mair.event("alarm", lambda alarm: alarm["kind"] == "switch.lost")
    assert lost["alarm"]["state"] == "open"
    assert (await listed(sian))["switch.lost"]["state"] == "open"
    await running.switch.start()
    ended = await mair.event("alarm_changed", lambda alarm: alarm["kind"] == "switch.lost")
    assert (ended["state"], ended["closed_by"]) == ("closed", "")


async def test_the_metrics_show_a_taken_alarm_and_no_closed_one(alarms):
    mair, gwen = await alarms.page("mair"), await alarms.page("gwen")
    await post(mair, await id_of(mair), "take")
    await post(mair, await id_of(mair, "webhook.refused"), "close")
    shown = (await gwen.http.get("/api/v1/metrics")).text
    (line,) = [each for each in shown.splitlines() if each.startswith("galwad_desk_open_alarms{")]
    assert line == (
        'galwad_desk_open_alarms{kind="recording.fault",severity="critical",state="taken"} 1.0'
    )
