"""Control of a user's own calls and phone over HTTP: who may do what, and what the switch receives.

Covers `galwad/calls/phones.py` and the acts in `galwad/host/switch_client.py`.
"""

import asyncio

import pytest

from galwad.messages import ActState, DialNumber, Party, PhoneAct
from helpers.desk import changed, until
from recording.audit.log import AuditFilter
from recording.errors import AuditError

CALL = "20261125-101500-aaaaaaaa"
URL = f"/api/v1/calls/{CALL}/phone"
DIAL = "/api/v1/phone/dial"
ACTS = (ActState("hangup"), ActState("hold"), ActState("transfer", "transferring"))


async def audited(desk):
    entries = await desk.host.audit.search(AuditFilter(kind="phone.act"), limit=9)
    values = [{name: value for name, (_, value) in each.values.items()} for each in entries]
    return [(each.facts, personal) for each, personal in zip(entries, values, strict=True)]


async def set_up(running, **desk):
    await running.stop()
    running.settings = changed(running.settings, desk=desk)
    await running.start()


@pytest.mark.parametrize("act", ["hold", "resume", "hangup"])
async def test_an_act_reaches_the_switch_and_the_audit_says_who_asked(running, act):
    sian = await running.answered(CALL)
    reply = await sian.http.post(URL, json={"act": act})
    assert reply.status_code == 204
    (sent,) = running.switch.of(PhoneAct)
    assert (sent.call_id, sent.act, sent.number) == (CALL, act, "")
    assert (sent.user, sent.extension, sent.actor) == ("sian", "201", "user:sian")
    assert await audited(running.desk) == [({"call_id": CALL, "act": act}, {"actor": "user:sian"})]


async def test_a_transfer_is_sent_with_its_number_which_the_audit_has_as_a_personal_fact(running):
    sian = await running.answered(CALL)
    reply = await sian.http.post(URL, json={"act": "transfer", "number": " 01970 111111 "})
    assert reply.status_code == 204
    (sent,) = running.switch.of(PhoneAct)
    assert (sent.act, sent.number) == ("transfer", "01970 111111")
    facts, personal = (await audited(running.desk))[0]
    assert "number" not in facts
    assert personal["number"] == "01970 111111"


async def test_a_body_that_is_not_a_valid_act_is_refused(running):
    sian = await running.answered(CALL)
    for body in (
        {"act": "transfer"},
        {"act": "transfer", "number": ""},
        {"act": "transfer", "number": "sip:a@b"},
        {"act": "transfer", "number": "1" * 65},
        {"act": "transfer", "number": "4111 1111 1111 1111"},
        {"act": "explode"},
        {"act": "hold", "user": "huw"},
    ):
        assert (await sian.http.post(URL, json=body)).status_code == 422, body
    assert running.switch.of(PhoneAct) == []


async def test_only_the_advisor_of_a_call_controls_it(running):
    await running.answered(CALL)
    huw, mair, gwen = [await running.page(name) for name in ("huw", "mair", "gwen")]
    machine = await running.machine("pay", "payments")
    stranger = running.client(headers={"Origin": running.url})
    asked = [(huw.http, 404), (mair.http, 403), (gwen.http, 403), (machine, 403), (stranger, 401)]
    for act in ("hangup", "hold", "transfer", "welsh", "answer"):
        for client, status in asked:
            body = {"act": act, "number": "301"}
            assert (await client.post(URL, json=body)).status_code == status
    assert running.switch.of(PhoneAct) == []


async def test_a_personal_token_cannot_control_a_call_or_dial(running):
    sian = await running.answered(CALL)
    made = await sian.http.post("/api/v1/me/tokens", json={"name": "desktop"})
    token = running.client(headers={"Authorization": f"Bearer {made.json()['secret']}"})
    assert (await token.post(URL, json={"act": "hangup"})).status_code == 403
    assert (await token.post(DIAL, json={"number": "301"})).status_code == 403
    assert running.switch.of(PhoneAct) == running.switch.of(DialNumber) == []


async def test_another_site_cannot_control_a_call_or_dial(running):
    sian = await running.answered(CALL)
    foreign = {"Origin": "https://evil.example"}
    for url, body in ((URL, {"act": "hangup"}), (DIAL, {"number": "301"})):
        assert (await sian.http.post(url, json=body, headers=foreign)).status_code == 403
    assert running.switch.of(PhoneAct) == running.switch.of(DialNumber) == []


async def test_a_refusal_of_the_switch_has_its_reason_and_no_audit_entry(running):
    sian = await running.answered(CALL)
    running.switch.refuses = "unknown_number"
    reply = await sian.http.post(URL, json={"act": "transfer", "number": "999"})
    assert (reply.status_code, reply.json()["reason"]) == (409, "unknown_number")
    running.switch.refuses = "full"
    reply = await sian.http.post(URL, json={"act": "hold"})
    assert reply.json() == {
        "error": "all lines are busy",
        "hint": "try again in a minute",
        "reason": "full",
    }
    running.switch.refuses = "something newer"
    reply = await sian.http.post(URL, json={"act": "hold"})
    assert (reply.status_code, reply.json()["reason"]) == (409, "something newer")
    assert await audited(running.desk) == []


async def test_an_act_is_done_and_audited_later_if_the_database_refuses(running, monkeypatch):
    monkeypatch.setattr("galwad.host.background._RETRY_S", 0.01)
    sian = await running.answered(CALL)
    append, failures = running.desk.host.audit.append, [AuditError("full")]
    written = asyncio.Event()

    async def refuse_once(*arguments, **named):
        if failures:
            raise failures.pop()
        await append(*arguments, **named)
        written.set()

    monkeypatch.setattr(running.desk.host.audit, "append", refuse_once)
    assert (await sian.http.post(URL, json={"act": "hangup"})).status_code == 204
    await until(written.is_set)
    assert len(await audited(running.desk)) == 1


async def test_an_act_or_dialling_without_the_switch_gives_503(running):
    sian = await running.answered(CALL)
    await running.switch.stop()
    await until(lambda: not running.desk.host.switch.connected)
    assert (await sian.http.post(URL, json={"act": "hangup"})).status_code == 503
    assert (await sian.http.post(DIAL, json={"number": "301"})).status_code == 503


async def test_a_ringing_call_is_answered_only_by_a_user_whose_phone_rings(running):
    sian, huw = await running.page("sian"), await running.page("huw")
    await sian.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    assert (await huw.http.post(URL, json={"act": "answer"})).status_code == 404
    assert (await sian.http.post(URL, json={"act": "hangup"})).status_code == 409
    assert (await sian.http.post(URL, json={"act": "answer"})).status_code == 204
    (sent,) = running.switch.of(PhoneAct)
    assert (sent.act, sent.user, sent.extension) == ("answer", "sian", "201")


async def test_the_pop_lists_the_possible_acts_and_why_others_are_not_possible(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    pop = await sian.filled(CALL)
    assert pop["acts"] == {"answer": "answer_on_phone"}
    running.switch.change(CALL, answerable=(Party("201"),))
    await sian.event("call", lambda pop: pop["acts"] == {"answer": ""})
    running.switch.answer(CALL, "201", "sian")
    running.switch.change(CALL, acts=ACTS, transferring="department", transfers_begun=1)
    pop = await sian.event("call", lambda pop: bool(pop["acts"]) and pop["transfers_begun"])
    assert pop["acts"] == {"hangup": "", "hold": "", "transfer": "transferring"}
    assert pop["transferring"] == "department"
    running.switch.change(CALL, acts=(), transferring="", transfer_failed=486)
    pop = await sian.event("call", lambda pop: pop["transfer_failed"] == 486)
    assert pop["acts"] == {}


async def test_a_supervisor_sees_no_acts_for_the_call_of_an_advisor(running):
    await running.answered(CALL)
    running.switch.change(CALL, acts=ACTS, transfer_failed=486, transferring="department")
    mair = await running.page("mair")
    pops = (await mair.open())["calls"]
    assert [pop["acts"] for pop in pops] == [{}]
    assert [(pop["transfer_failed"], pop["transferring"]) for pop in pops] == [(0, "")]


async def test_the_key_for_welsh_transfers_to_the_destination_of_the_settings(running):
    sian = await running.answered(CALL)
    reply = await sian.http.post(URL, json={"act": "welsh"})
    assert (reply.status_code, reply.json()["reason"]) == (409, "no_welsh")
    assert (await sian.open())["welsh"] is False
    await set_up(running, welsh_destination="600")
    sian = await running.page("sian")
    assert (await sian.open())["welsh"] is True
    await until(lambda: running.desk.host.switch.connected and len(running.desk.calls.live) == 1)
    assert (await sian.http.post(URL, json={"act": "welsh"})).status_code == 204
    (sent,) = running.switch.of(PhoneAct)
    assert (sent.act, sent.number) == ("transfer", "600")
    assert (await audited(running.desk))[0][0]["act"] == "welsh"


async def test_a_number_is_dialled_for_the_users_own_phone(running):
    sian = await running.page("sian")
    assert (await sian.open())["dials"] is True
    assert (await sian.http.post(DIAL, json={"number": "+44 1970 111111"})).status_code == 204
    (sent,) = running.switch.of(DialNumber)
    assert (sent.user, sent.extension, sent.number) == ("sian", "201", "+44 1970 111111")
    assert not sent.answers_itself
    facts, personal = (await audited(running.desk))[0]
    assert facts == {"call_id": "", "act": "dial"}
    assert personal == {"actor": "user:sian", "number": "+44 1970 111111"}


async def test_the_settings_decide_whether_the_phone_answers_itself(running):
    await set_up(running, dial_answers_itself=True)
    sian = await running.page("sian")
    await until(lambda: running.desk.host.switch.connected)
    await sian.http.post(DIAL, json={"number": "301"})
    assert (await running.switch.until(DialNumber))[0].answers_itself


async def test_a_user_without_a_phone_cannot_dial(running):
    mair = await running.page("mair")
    assert (await mair.open())["dials"] is False
    reply = await mair.http.post(DIAL, json={"number": "301"})
    assert (reply.status_code, reply.json()["reason"]) == (409, "no_phone")


async def test_a_switch_of_another_version_never_gets_an_act(running):
    running.switch.version = ""
    await set_up(running)
    sian = await running.answered(CALL)
    for act in ("hangup", "hold", "resume"):
        reply = await sian.http.post(URL, json={"act": act})
        assert reply.status_code == 503
        assert "restart" in reply.json()["error"]
    assert running.switch.of(PhoneAct) == []


async def test_a_switch_of_another_version_is_never_asked_to_dial(running):
    running.switch.version = ""
    await set_up(running)
    await until(lambda: not running.desk.host.switch.dials)
    sian = await running.page("sian")
    assert (await sian.open())["dials"] is False
    reply = await sian.http.post(DIAL, json={"number": "301"})
    assert reply.status_code == 503
    assert "restart" in reply.json()["error"]
    assert running.switch.of(DialNumber) == []


async def test_a_user_dials_at_most_thirty_times_a_minute(running):
    sian, huw = await running.page("sian"), await running.page("huw")
    await until(lambda: running.desk.host.switch.connected)
    for _ in range(30):
        assert (await sian.http.post(DIAL, json={"number": "301"})).status_code == 204
    reply = await sian.http.post(DIAL, json={"number": "301"})
    assert (reply.status_code, int(reply.headers["Retry-After"]) <= 60) == (429, True)
    assert (await huw.http.post(DIAL, json={"number": "301"})).status_code == 204
    assert len(running.switch.of(DialNumber)) == 31
