"""The page in a frame of another site: who may show it, its cookie, and its protection."""

from __future__ import annotations

import pytest

from galwad.host.embedding import COOKIE, CSRF_HEADER, csrf_token, has_csrf_token
from galwad.messages import Pause
from galwad.people.sessions import Session
from galwad.people.user import User
from helpers.desk import changed, until

CALL = "20261125-101500-aaaaaaaa"
ORIGIN = "https://galwad.example"
CRM = "https://crm.example"
LOGIN = {"user": "sian", "password": "correct horse battery", "client": "embedded"}
SIAN = User("sian", "advisor")


@pytest.fixture
async def embeddable(running):
    await running.stop()
    running.settings = changed(
        running.settings,
        desk={"public_origin": ORIGIN, "embed_origins": (CRM, "https://panel.example")},
    )
    await running.start()
    return running


async def signed_in(running):
    """Return a client that sends the embedded page's cookie, and the token of its session."""
    client = running.client(headers={"Origin": ORIGIN})
    reply = await client.post("/api/v1/login", json=LOGIN)
    assert reply.status_code == 200, reply.text
    cookie = reply.headers.get_list("set-cookie")[0].partition(";")[0]
    client.headers["Cookie"] = cookie
    return client, reply.json()["csrf"]


async def test_only_sites_in_the_settings_may_frame_the_page_and_only_at_its_embedded_path(
    embeddable,
):
    client = embeddable.client()
    reply = await client.get("/embedded")
    assert reply.text == (await client.get("/")).text
    policy = reply.headers["content-security-policy"]
    assert policy.endswith("frame-ancestors https://crm.example https://panel.example")
    assert "x-frame-options" not in reply.headers
    for path in ("/", "/static/app.js", "/api/v1/health", "/embedded/"):
        headers = (await client.get(path)).headers
        assert headers["content-security-policy"].endswith("frame-ancestors 'none'")
        assert headers["x-frame-options"] == "DENY"


async def test_without_the_setting_there_is_no_embedded_page_and_no_sign_in_to_it(running):
    client = running.client(headers={"Origin": running.url})
    assert (await client.get("/embedded")).status_code == 404
    reply = await client.post("/api/v1/login", json=LOGIN)
    assert reply.status_code == 403
    assert "set-cookie" not in reply.headers


async def test_an_embedded_page_has_a_partitioned_cookie_of_its_own(embeddable):
    client = embeddable.client(headers={"Origin": ORIGIN})
    reply = await client.post("/api/v1/login", json=LOGIN)
    session, device = reply.headers.get_list("set-cookie")
    assert session.startswith("__Host-galwad-embedded=")
    assert session.endswith("; Path=/; Secure; HttpOnly; SameSite=None; Partitioned")
    assert device.startswith("__Secure-galwad-devices=")
    assert "Max-Age=" in device
    assert device.endswith("; Secure; HttpOnly; SameSite=None; Partitioned")


async def test_a_request_of_an_embedded_session_without_its_csrf_token_changes_nothing(embeddable):
    client, csrf = await signed_in(embeddable)
    assert (await client.get("/api/v1/me")).json()["csrf"] == csrf
    for wrong in ({}, {CSRF_HEADER: "0" * 64}, {CSRF_HEADER: b"\xe9"}):
        reply = await client.post("/api/v1/logout", headers=wrong)
        assert reply.status_code == 403
    assert (await client.get("/api/v1/me")).status_code == 200
    reply = await client.post("/api/v1/logout", headers={CSRF_HEADER: csrf})
    assert reply.status_code == 204
    assert reply.headers["set-cookie"].startswith("__Host-galwad-embedded=; Path=/; Max-Age=0")
    assert (await client.get("/api/v1/me")).status_code == 401


@pytest.mark.parametrize("origin", [CRM, "null", None])
async def test_a_request_of_the_site_around_the_frame_is_refused(embeddable, origin):
    client, csrf = await signed_in(embeddable)
    del client.headers["Origin"]
    headers = {"Sec-Fetch-Site": "cross-site", CSRF_HEADER: csrf}
    headers |= {"Origin": origin} if origin else {}
    assert (await client.post("/api/v1/logout", headers=headers)).status_code == 403
    reply = await client.get("/api/v1/me", headers=headers)
    assert "access-control-allow-origin" not in reply.headers


async def test_a_dead_cookie_of_the_usual_page_does_not_hide_the_embedded_session(embeddable):
    client, _ = await signed_in(embeddable)
    client.headers["Cookie"] += "; __Host-galwad=ended"
    assert (await client.get("/api/v1/me")).json()["user"] == "sian"


async def test_the_usual_page_needs_no_csrf_token(embeddable):
    client = embeddable.client(headers={"Origin": ORIGIN})
    reply = await client.post("/api/v1/login", json={**LOGIN, "client": "page"})
    assert reply.json()["csrf"] is None
    client.headers["Cookie"] = reply.headers.get_list("set-cookie")[0].partition(";")[0]
    assert COOKIE not in client.headers["Cookie"]
    assert (await client.post("/api/v1/logout")).status_code == 204


async def test_a_pause_from_a_panel_has_the_trigger_and_holder_of_a_pause_from_the_page(embeddable):
    client, csrf = await signed_in(embeddable)
    embeddable.switch.ring(CALL)
    embeddable.switch.answer(CALL, "201", "sian")
    await until(lambda: embeddable.desk.calls.live.get(CALL) is not None)
    url = f"/api/v1/calls/{CALL}/payment"
    reply = await client.put(url, headers={CSRF_HEADER: csrf})
    assert reply.json()["state"] == "paused"
    (pause,) = await embeddable.switch.until(Pause)
    assert (pause.trigger, pause.holder) == ("page", "page:sian")


def test_each_embedded_session_has_its_own_csrf_token():
    first, second = (Session(key * 64, SIAN, "embedded") for key in "ab")
    token = csrf_token(first)
    assert token is not None
    assert has_csrf_token(first, token)
    assert not has_csrf_token(second, token)
    assert not has_csrf_token(first, "")
    assert has_csrf_token(Session("a" * 64, SIAN, "cli"), "")
