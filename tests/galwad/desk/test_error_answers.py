"""Each refusal of the API is JSON with `error` and `hint`, and says what is expected."""

from __future__ import annotations

import json

import pytest

CALL = "20261125-101500-aaaaaaaa"
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
    ("POST", "/recordings/search", JSON, {"line": 1}, 422, "look at: body.line (must be a text)"),
    (
        *("POST", "/recordings/search", JSON, {"limit": "zzz-sent"}, 422),
        "look at: body.limit (must be a whole number)",
    ),
    ("POST", "/me/tokens", JSON, {}, 422, "look at: body.name (is missing)"),
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
    ("GET", "/calls?" + "a" * 2048, {}, None, 414, "send texts in the body"),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case[0]} {case[1][:30]} {case[4]}")
async def test_a_refusal_is_json_that_says_what_is_expected_and_not_what_was_sent(running, case):
    method, path, headers, body, status, hint = case
    gwen = (await running.page("gwen")).http
    content = json.dumps(body) if isinstance(body, dict) else body
    reply = await gwen.request(method, f"/api/v1{path}", headers=headers, content=content)
    assert reply.status_code == status, reply.text
    if status == 200:
        return
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    assert set(answer) >= {"error", "hint"}
    assert answer["error"]
    assert hint in answer["hint"]
    assert answer["hint"]
    assert "zzz" not in reply.text
    if status == 405:
        assert reply.headers["allow"]
