"""Each refusal of the API is JSON with `error` and `hint`, and says what is expected.

A refusal for want of a right leaves an entry in the audit: who tried what, and nothing that was
sent.
"""

from __future__ import annotations

import json
from typing import Annotated, get_args

import httpx2
import pytest
from fastapi import Cookie, FastAPI, Header, Query
from pydantic import BaseModel, Field

from galwad.host import errors
from galwad.host.bodies import RequestBody, field_names
from galwad.host.errors import Refusals
from helpers.desk import Clock
from helpers.endpoints import endpoints
from recording.errors import AuditError

CALL = "20261125-101500-aaaaaaaa"
PREFIX = "/api/v1"
UNFLAG = {"reason": "wrong call"}
FETCH = {"purpose": "crime", "reference": "CMP-12"}
PURGE = {"reason": "retention", "reference": "R-1"}
JSON = {"Content-Type": "application/json"}
SENT = "zzz-sent-by-the-client"
LONG = "x" * 201

# Each line: method, path, headers, body, the status, and what the hint says.
TABLE = [
    ("GET", "/nonsense", {}, None, 404, "check the address"),
    ("GET", f"/calls/{SENT}", {}, None, 404, "the call may have ended"),
    ("GET", f"/recordings/{SENT}", {}, None, 404, ""),
    ("GET", "/strings/fr", {}, None, 422, "look at: path.language (must be 'en' or 'cy')"),
    ("PATCH", "/me", {}, None, 405, "use GET"),
    ("GET", "/login", {}, None, 405, "use POST"),
    ("GET", "/calls", {"Accept": "image/png"}, None, 200, ""),
    (
        "GET",
        "/calls",
        {"Authorization": f"Bearer {SENT}", "Cookie": ""},
        None,
        401,
        "sign in again",
    ),
    (
        "GET",
        "/audit?limit=zzz-sent",
        {},
        None,
        422,
        "look at: query.limit (must be a whole number)",
    ),
    ("GET", "/audit?limit=0", {}, None, 422, "look at: query.limit (must be at least 1)"),
    ("POST", "/recordings/search", JSON, b"{", 422, "look at: body (must be JSON in UTF-8)"),
    ("POST", "/recordings/search", JSON, b"\xff", 400, "send JSON in UTF-8"),
    ("POST", "/recordings/search", JSON, b"[]", 422, "look at: body (must be an object)"),
    ("POST", "/recordings/search", {"Content-Type": "text/plain"}, b"{}", 415, "application/json"),
    (
        "POST",
        "/recordings/search",
        JSON,
        {"zzz-sent": 1},
        422,
        "look at: body (has an unknown field)",
    ),
    (
        *("POST", "/recordings/search", JSON, {"line": LONG}, 422),
        "look at: body.line (at most 200 characters)",
    ),
    ("POST", "/recordings/search", JSON, {"line": 1}, 422, "look at: body.line (must be text)"),
    (
        *("POST", "/recordings/search", JSON, {"limit": "zzz-sent"}, 422),
        "look at: body.limit (must be a whole number)",
    ),
    ("POST", "/me/tokens", JSON, {}, 422, "look at: body.name (is missing)"),
    ("PATCH", "/users/sian", JSON, {}, 422, "look at: body.version (is missing)"),
    ("PATCH", "/users/sian", JSON, b"[]", 422, "look at: body (must be an object)"),
    (
        *("PATCH", "/users/sian", JSON, {"zzz-sent": 1}, 422),
        "look at: body (has an unknown field), body.version (is missing)",
    ),
    (
        *("PATCH", "/users/sian", JSON, {"version": "0" * 16, "rights": "zzz-sent"}, 422),
        "look at: body.rights (must be a list)",
    ),
    (
        *("PATCH", "/users/sian", JSON, {"version": "0" * 16, "rights": ["x"] * 21}, 422),
        "look at: body.rights (at most 20 entries)",
    ),
    (
        "POST",
        "/me/tokens",
        JSON,
        {"name": "x", "days": 0},
        422,
        "look at: body.days (must be at least 1)",
    ),
    (
        *("PUT", f"/calls/{CALL}/payment", JSON, {"heartbeat": 1}, 422),
        "look at: body.heartbeat (must be at least 5)",
    ),
    ("POST", "/me/tokens", JSON, b"x" * 300_000, 413, "send at most 256 kB"),
    ("GET", "/calls?" + "a" * 2048, {}, None, 414, "send long texts in the body"),
]


async def test_a_refusal_is_json_that_says_what_is_expected_and_not_what_was_sent(running):
    gwen = (await running.page("gwen")).http
    for method, path, headers, body, status, hint in TABLE:
        case = f"{method} {path[:30]} {status}"
        content = json.dumps(body) if isinstance(body, dict) else body
        reply = await gwen.request(method, f"/api/v1{path}", headers=headers, content=content)
        assert reply.status_code == status, f"{case}: {reply.text}"
        if status == 200:
            continue
        assert reply.headers["content-type"] == "application/json", case
        answer = reply.json()
        assert answer["error"], case
        assert answer["hint"], case
        assert hint in answer["hint"], case
        assert "zzz" not in reply.text, case
        if status == 405:
            assert reply.headers["allow"], case


class Part(BaseModel):
    limit: int


class Whole(RequestBody):
    name: str = ""
    parts: list[Part] = Field(default_factory=list)


@pytest.fixture
async def strict():
    """A client of an application whose one endpoint has a parameter of each kind."""
    app = FastAPI()
    errors.install(app)

    @app.post("/things/{number}")
    async def endpoint(
        number: int,
        body: Whole,
        size: Annotated[int, Query(alias="page-size")] = 1,
        x_count: Annotated[int, Header()] = 1,
        color: Annotated[int, Cookie()] = 1,
    ) -> None: ...

    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://desk"
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"url": f"/things/{SENT}"}, "path.number (must be a whole number)"),
        ({"params": {"page-size": SENT}}, "query.page-size (must be a whole number)"),
        ({"headers": {"X-Count": SENT}}, "header.x-count (must be a whole number)"),
        ({"headers": {"Cookie": f"color={SENT}"}}, "cookie.color (must be a whole number)"),
        ({"json": {"name": 1}}, "body.name (must be text)"),
        ({"json": {"parts": [{"limit": 1}, {"limit": SENT}]}}, "body.parts.limit (must be a whole"),
        ({"json": {"parts": SENT}}, "body.parts (must be a list)"),
        ({"json": {SENT: 1}}, "body (has an unknown field)"),
        ({"json": []}, "body (must be an object)"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
async def test_the_error_422_names_the_invalid_field_in_each_part_of_a_request(
    strict, request_, named
):
    reply = await strict.request("POST", **{"url": "/things/1", "json": {}, **request_})
    assert reply.status_code == 422, reply.text
    assert f"look at: {named}" in reply.json()["hint"]
    assert SENT not in reply.text


def models_of(annotation):
    """Yield the pydantic models in an annotation, and those in their fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_of(field.annotation)
    for argument in get_args(annotation):
        yield from models_of(argument)


def test_the_error_422_can_name_each_field_of_each_body():
    bodies = [route.body_field for route in endpoints().values() if route.body_field is not None]
    assert len(bodies) > 20
    fields = {
        field
        for body in bodies
        for model in models_of(body.field_info.annotation)
        for field in model.model_fields
    }
    assert fields - field_names() == set()


async def test_an_endpoint_that_refuses_a_value_names_the_field_in_the_error_422(running):
    gwen = (await running.page("gwen")).http
    for method, path, body, named in (
        ("PUT", "/payments", {}, "`advisor` or `extension`"),
        ("POST", "/recordings/search", {"since": "once"}, "`since`"),
        ("POST", "/recordings/search", {"after": "once"}, "body.after"),
        ("POST", "/recordings/search", {"min_length_s": 2, "max_length_s": 1}, "`min_length_s`"),
        ("GET", "/figures?when=once", None, "`when`"),
        ("PUT", "/presence", {"state": "break", "reason": "once"}, "`reason`"),
        ("PUT", "/me/password", {"current": "correct horse battery", "new": "short"}, "`new`"),
    ):
        reply = await gwen.request(method, f"/api/v1{path}", json=body)
        assert reply.status_code == 422, f"{method} {path}: {reply.text}"
        assert named in reply.json()["error"] + reply.json()["hint"], f"{method} {path}"


# Entries in the audit


async def refusals(running):
    entries = await running.desk.host.audit.entries()
    return [
        ({**each.facts}, each.personal["actor"])
        for each in entries
        if each.kind == "access.refused"
    ]


async def test_a_refused_act_on_a_recording_is_audited(running):
    pages = {user: await running.page(user) for user in ("mair", "gwen", "sian")}
    for user, request_line, body, facts in (
        ("mair", f"POST /recordings/{CALL}/fetch", FETCH, {"purpose": "crime"}),
        ("mair", f"DELETE /recordings/{CALL}/flags/sensitive", UNFLAG, {}),
        ("mair", f"POST /recordings/{CALL}/purge", PURGE, {}),
        ("gwen", f"POST /recordings/{CALL}/purge", PURGE, {}),
        ("sian", f"POST /recordings/{CALL}/fetch", FETCH, {}),
        ("sian", f"GET /recordings/{CALL}", None, {}),
    ):
        before = await refusals(running)
        method, path = request_line.split()
        reply = await pages[user].http.request(method, PREFIX + path, json=body)
        assert reply.status_code == 403, request_line
        act = f"{method} {path.replace(CALL, '{call_id}').replace('sensitive', '{flag}')}"
        expected = {"act": act, "call_id": CALL, **facts}
        assert await refusals(running) == [*before, (expected, f"user:{user}")]


async def test_a_refused_reading_is_audited(running):
    pages = {user: await running.page(user) for user in ("mair", "sian")}
    for user, method, path in (
        ("mair", "GET", "/audit"),
        ("mair", "GET", "/holds"),
        ("sian", "GET", "/audit/head"),
        ("mair", "GET", "/users"),
        ("sian", "GET", "/recordings"),
        ("sian", "GET", "/captured-cards"),
        ("sian", "POST", "/directories/forget"),
    ):
        before = await refusals(running)
        reply = await pages[user].http.request(method, PREFIX + path)
        assert reply.status_code == 403, path
        assert await refusals(running) == [*before, ({"act": f"{method} {path}"}, f"user:{user}")]


async def test_the_entry_of_a_refused_audit_search_does_not_have_what_was_searched_for(running):
    mair = await running.page("mair")
    body = {"actor": "huw", "call_id": CALL}
    assert (await mair.http.post(f"{PREFIX}/audit/search", json=body)).status_code == 403
    assert await refusals(running) == [({"act": "POST /audit/search"}, "user:mair")]


async def test_the_refusal_of_a_machine_without_the_right_is_audited_and_that_of_a_stranger_is_not(
    running,
):
    crm = await running.machine("crm", "payments")
    assert (await crm.get(f"{PREFIX}/audit/head")).status_code == 403
    assert (await running.client().get(f"{PREFIX}/audit/head")).status_code == 401
    assert await refusals(running) == [({"act": "GET /audit/head"}, "token:crm")]


async def test_the_refusal_of_an_advisor_who_ends_the_pause_of_another_advisor_is_audited(running):
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


def test_a_refusal_is_new_once_in_ten_minutes_and_each_user_has_at_most_a_hundred_new_refusals():
    clock = Clock()
    known = Refusals(clock)
    assert [known.is_new("user:sian", ("GET /audit",)) for _ in range(3)] == [True, False, False]
    assert known.is_new("user:huw", ("GET /audit",))
    others = [known.is_new("user:sian", ("GET /recordings", str(n))) for n in range(120)]
    assert others == [True] * 99 + [False] * 21
    clock.now += 600
    assert known.is_new("user:sian", ("GET /audit",))
