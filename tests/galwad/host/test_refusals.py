"""Refused requests leave an entry in the audit: who tried what, and nothing that was sent."""

from __future__ import annotations

import pytest

from galwad.host.errors import Refusals
from helpers.desk import Clock
from recording.errors import AuditError

CALL = "20261125-101500-abcdefgh"
PREFIX = "/api/v1"
HOLD = {"reason": "claim 17"}
FETCH = {"purpose": "crime", "reference": "CMP-12"}
PURGE = {"reason": "retention", "reference": "R-1"}


async def refusals(running):
    entries = await running.desk.host.audit.entries()
    return [
        ({**each.facts}, each.personal["actor"])
        for each in entries
        if each.kind == "access.refused"
    ]


@pytest.mark.parametrize(
    ("user", "request_line", "body", "facts"),
    [
        ("mair", f"POST /recordings/{CALL}/fetch", FETCH, {"purpose": "crime"}),
        ("mair", f"PUT /recordings/{CALL}/hold", HOLD, {}),
        ("mair", f"DELETE /recordings/{CALL}/hold", HOLD, {}),
        ("mair", f"POST /recordings/{CALL}/purge", PURGE, {}),
        ("gwen", f"POST /recordings/{CALL}/purge", PURGE, {}),
        ("sian", f"POST /recordings/{CALL}/fetch", FETCH, {}),
        ("sian", f"GET /recordings/{CALL}", None, {}),
    ],
)
async def test_a_refused_act_on_a_recording_is_audited(running, user, request_line, body, facts):
    method, path = request_line.split()
    page = await running.page(user)
    assert (await page.http.request(method, PREFIX + path, json=body)).status_code == 403
    act = f"{method} {path.replace(CALL, '{call_id}')}"
    expected = {"act": act, "call_id": CALL, **facts}
    assert await refusals(running) == [(expected, f"user:{user}")]


@pytest.mark.parametrize(
    ("user", "method", "path"),
    [
        ("mair", "GET", "/audit"),
        ("sian", "GET", "/audit/head"),
        ("mair", "GET", "/users"),
        ("sian", "GET", "/recordings"),
        ("sian", "GET", "/captured-cards"),
        ("sian", "POST", "/directories/forget"),
    ],
)
async def test_a_refused_reading_is_audited(running, user, method, path):
    page = await running.page(user)
    reply = await page.http.request(method, PREFIX + path)
    assert reply.status_code == 403
    assert await refusals(running) == [({"act": f"{method} {path}"}, f"user:{user}")]


async def test_a_refused_search_of_the_audit_does_not_enter_what_was_sought(running):
    mair = await running.page("mair")
    body = {"actor": "huw", "call_id": CALL}
    assert (await mair.http.post(f"{PREFIX}/audit/search", json=body)).status_code == 403
    assert await refusals(running) == [({"act": "POST /audit/search"}, "user:mair")]


async def test_a_machine_without_the_right_is_audited_and_a_stranger_is_not(running):
    crm = await running.machine("crm", "payments")
    assert (await crm.get(f"{PREFIX}/audit/head")).status_code == 403
    assert (await running.client().get(f"{PREFIX}/audit/head")).status_code == 401
    assert await refusals(running) == [({"act": "GET /audit/head"}, "token:crm")]


async def test_an_advisor_who_ends_the_pause_of_another_one_is_refused_and_audited(running):
    huw = await running.page("huw")
    running.switch.ring(CALL, at=("201",))
    await huw.open()
    running.switch.answer(CALL, "201", "sian")
    sian = await running.answered("20261125-101500-bcdefghi")
    mine = f"{PREFIX}/calls/20261125-101500-bcdefghi/payment"
    foreign = {"holder": "page:huw"}
    reply = await sian.http.request("DELETE", mine, json=foreign)
    assert reply.status_code == 403
    assert [facts["act"] for facts, _ in await refusals(running)] == [
        "DELETE /calls/{call_id}/payment"
    ]


async def test_a_malformed_call_id_is_left_out_of_the_audit_entry(running):
    sian = await running.page("sian")
    reply = await sian.http.get(f"{PREFIX}/recordings/07700900123")
    assert reply.status_code == 403
    assert await refusals(running) == [({"act": "GET /recordings/{call_id}"}, "user:sian")]


async def test_a_refusal_is_answered_even_if_the_audit_cannot_be_written(running, monkeypatch):
    sian = await running.page("sian")

    async def full(*_arguments, **_named):
        raise AuditError("the disk is full")

    monkeypatch.setattr(running.desk.host.audit, "append", full)
    assert (await sian.http.get(f"{PREFIX}/recordings")).status_code == 403


def test_the_same_refusal_counts_once_in_ten_minutes_and_a_hundred_of_one_user():
    clock = Clock()
    known = Refusals(clock)
    assert [known.is_new("user:sian", ("GET /audit",)) for _ in range(3)] == [True, False, False]
    assert known.is_new("user:huw", ("GET /audit",))
    others = [known.is_new("user:sian", ("GET /recordings", str(n))) for n in range(120)]
    assert others == [True] * 99 + [False] * 21
    clock.now += 600
    assert known.is_new("user:sian", ("GET /audit",))
