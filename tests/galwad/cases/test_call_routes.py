"""An advisor opens a case in a call: who may, what the register has then, and what pages show.

Covers `galwad/cases/call_routes.py`.
"""

from __future__ import annotations

import pytest

from galwad.cases import subject
from galwad.host.limits import Rate, Window
from helpers.desk import until
from recording.audit.log import AuditFilter

CALL = "20261125-101500-aaaaaaaa"
ACCESS = {"kind": "access", "name": "Mair Evans", "details": "every call", "language": "cy"}


async def ask(page, call_id=CALL, **changes):
    return await page.http.post(f"/api/v1/calls/{call_id}/cases", json={**ACCESS, **changes})


async def register(running):
    """Return the open cases, as an administrator sees them."""
    gwen = await running.page("gwen")
    reply = await gwen.http.get("/api/v1/cases")
    assert reply.status_code == 200, reply.text
    return reply.json()["rows"]


async def test_a_caller_who_asks_for_their_data_opens_a_case_with_this_call(running):
    sian = await running.answered(CALL)
    reply = await ask(sian)
    assert reply.status_code == 201, reply.text
    assert reply.json()["cases"] == [{"case_id": 1, "kind": "access"}]
    (row,) = await register(running)
    assert (row["call_id"], row["channel"], row["owner"]) == (CALL, "telephone", "")
    assert (row["name"], row["details"], row["language"]) == ("Mair Evans", "every call", "cy")
    assert row["received"] == str(running.desk.cases.today())  # the call of this test is in 2027
    assert row["answer_by"] > row["received"]
    (alarm,) = [each for each in running.desk.calls.alarms.open() if each.kind == "case.opened"]
    assert alarm.detail == "1: access"
    (entry,) = await running.desk.host.audit.search(AuditFilter("case.opened"))
    assert entry.facts["call_id"] == CALL
    assert entry.values["actor"][1] == "user:sian"
    found = await running.desk.cases.store.calls(1, 10)
    assert [each.call_id for each in found] == [CALL]


async def test_the_clock_of_a_case_starts_on_the_day_of_the_call(running, monkeypatch):
    sian = await running.answered(CALL)
    later = running.desk.cases.day_of(1_800_600_000.0)
    monkeypatch.setattr(running.desk.cases, "today", lambda: later)
    await ask(sian)
    (row,) = await register(running)
    assert row["received"] == "2027-01-15"
    assert row["answer_by"] == "2027-02-15"


async def test_a_repeated_request_does_not_open_a_second_case(running):
    sian = await running.answered(CALL)
    await ask(sian)
    again = await ask(sian, details="once more")
    assert again.status_code == 409
    assert again.json()["error"] == "the call has this request already: 1"
    gwen = await running.page("gwen")
    today = str(running.desk.cases.today())
    body = {**ACCESS, "reference": "SAR 4", "call_id": CALL, "received": today}
    assert (await gwen.http.post("/api/v1/cases", json=body)).status_code == 409
    assert (await ask(sian, kind="complaint")).status_code == 201
    assert (await ask(sian, name="Elin Evans")).status_code == 201
    await gwen.http.post("/api/v1/cases/1/steps", json={"kind": "closed", "outcome": "granted"})
    assert (await ask(sian)).status_code == 201
    opened = {(row["case_id"], row["kind"]) for row in await register(running)}
    assert opened == {(2, "complaint"), (3, "access"), (4, "access")}


async def test_only_the_advisor_of_the_call_opens_a_case(running):
    sian = await running.page("sian")
    await sian.open()
    running.switch.ring(CALL)
    await sian.filled(CALL)
    assert (await ask(sian)).status_code == 409
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    for name, status in (("huw", 404), ("mair", 403), ("gwen", 403)):
        reply = await ask(await running.page(name))
        assert reply.status_code == status, (name, reply.text)
    assert await register(running) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"representative": "Ann Evans"},
        {"authority": "power of attorney"},
        {"name": " "},
        {"kind": "threat"},
        {"details": "card 4929 4212 3460 0821"},
    ],
)
async def test_an_invalid_request_opens_no_case(running, wrong):
    sian = await running.answered(CALL)
    assert (await ask(sian, **wrong)).status_code == 422
    assert await register(running) == []


async def test_one_user_cannot_flood_the_register(running):
    sian = await running.answered(CALL)
    running.desk.cases.opened_by_users = Window(Rate(1, 600.0))
    assert (await ask(sian)).status_code == 201
    reply = await ask(sian, kind="complaint")
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0


async def test_a_case_is_shown_with_its_call_after_a_restart(running):
    sian = await running.answered(CALL)
    await ask(sian)
    await running.stop()
    await running.start()
    sian = await running.page("sian")
    pop = await sian.first(lambda pop: pop["call_id"] == CALL and pop["cases"])
    assert pop["cases"] == [{"case_id": 1, "kind": "access"}]


async def test_only_those_who_have_the_call_see_its_cases(running):
    sian = await running.answered(CALL)
    await ask(sian)
    mair = await running.page("mair")
    pop = (await mair.http.get(f"/api/v1/calls/{CALL}")).json()
    assert (pop["call_id"], pop["cases"]) == (CALL, [])


async def test_a_case_without_an_owner_is_reported_each_night_until_it_has_one(running):
    sian = await running.answered(CALL)
    await ask(sian)

    def counts():
        alarms = running.desk.calls.alarms.all()
        return [each.count for each in alarms if each.kind == subject.OPENED]

    await running.desk.cases.warn()
    await until(lambda: counts() == [2])
    gwen = await running.page("gwen")
    reply = await gwen.http.put("/api/v1/cases/1", json={"version": 1, "owner": "gwen"})
    assert reply.status_code == 200, reply.text
    await running.desk.cases.warn()
    assert counts() == [2]
