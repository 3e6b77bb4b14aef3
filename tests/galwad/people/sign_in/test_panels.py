"""The sign-in of a panel that a person approves, in `galwad/people/sign_in/approval_routes.py`."""

from __future__ import annotations

import time

import pytest

from galwad.host.embedding import CSRF_HEADER
from galwad.people.sign_in.approvals import CODES
from helpers.desk import changed
from recording.audit.log import AuditFilter

URL = "/api/v1/panels"
ORIGIN = "https://galwad.example"
CRM = "https://crm.example"
LOGIN = {"user": "sian", "password": "correct horse battery"}


@pytest.fixture
async def embeddable(running):
    await running.stop()
    running.settings = changed(
        running.settings, desk={"public_origin": ORIGIN, "embed_origins": (CRM,)}
    )
    await running.start()
    return running


@pytest.fixture
def panel(embeddable):
    """A client with the origin of the page, and without a session."""
    return embeddable.client(headers={"Origin": ORIGIN})


async def signed_in(running, **more):
    """Return a client with the session of a page, or of another client."""
    client = running.client(headers={"Origin": ORIGIN})
    reply = await client.post("/api/v1/login", json={**LOGIN, **more})
    assert reply.status_code == 200, reply.text
    return client, reply


@pytest.fixture
async def sian(embeddable):
    client, reply = await signed_in(embeddable)
    client.headers["Cookie"] = reply.headers.get_list("set-cookie")[0].partition(";")[0]
    return client


async def begun(panel, site=CRM):
    reply = await panel.post(URL, json={"site": site})
    assert reply.status_code == 201, reply.text
    return reply.json()


async def collect(panel, waiting):
    return await panel.post(f"{URL}/session", json={"secret": waiting["secret"]})


async def approve(client, waiting):
    return await client.post(f"{URL}/approve", json={"code": waiting["code"]})


async def test_an_approved_panel_gets_a_partitioned_cookie_and_its_csrf_token_once(panel, sian):
    waiting = await begun(panel)
    assert waiting["page"] == f"{ORIGIN}/#panel"
    early = await collect(panel, waiting)
    assert (early.status_code, early.json()["reason"]) == (409, "waiting")
    assert "set-cookie" not in early.headers
    shown = await sian.post(f"{URL}/show", json={"code": waiting["code"]})
    assert shown.json() == {"site": CRM, "address": "127.0.0.1", "same_network": True}
    assert (await approve(sian, waiting)).status_code == 204
    reply = await collect(panel, waiting)
    (cookie,) = reply.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-galwad-embedded=")
    assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=None; Partitioned")
    me = reply.json()
    assert (me["user"], me["token"]) == ("sian", None)
    panel.headers["Cookie"] = cookie.partition(";")[0]
    assert (await panel.get("/api/v1/me")).json()["csrf"] == me["csrf"]
    assert (await panel.put("/api/v1/presence")).status_code == 403
    assert (await collect(panel, waiting)).status_code == 403
    again = panel.headers | {CSRF_HEADER: me["csrf"]}
    assert (
        await panel.post(f"{URL}/session", json={"secret": waiting["secret"]}, headers=again)
    ).status_code == 410


async def test_the_session_of_a_panel_ends_at_the_latest_with_the_sign_in_that_approved_it(
    embeddable, panel, sian
):
    waiting = await begun(panel)
    until = (await sian.get("/api/v1/me")).json()["until"]
    await approve(sian, waiting)
    me = (await collect(panel, waiting)).json()
    assert me["until"] == pytest.approx(until)
    assert until < time.time() + embeddable.desk.people.sessions.absolute


async def test_the_approval_and_the_sign_in_are_audited_with_the_site_and_both_addresses(
    embeddable, panel, sian
):
    waiting = await begun(panel)
    await approve(sian, waiting)
    await collect(panel, waiting)
    audit = embeddable.desk.host.audit
    (approved,) = await audit.search(AuditFilter(kind="sign-in.approved"), limit=9)
    assert approved.facts == {"client": "panel", "site": CRM}
    values = {name: value for name, (_, value) in approved.values.items()}
    assert values == {"user": "sian", "address": "127.0.0.1", "approved_at": "127.0.0.1"}
    newest = (await audit.search(AuditFilter(kind="sign-in.accepted"), limit=1))[0]
    assert newest.facts == {"client": "panel", "site": CRM, "method": "page"}
    assert waiting["code"] not in str([approved, newest])


async def test_a_panel_of_a_provider_account_offers_no_password_change_and_signs_out_only_itself(
    embeddable, panel
):
    token = await embeddable.desk.people.sessions.open("sian", "page", provider=True)
    page = embeddable.client(headers={"Origin": ORIGIN, "Cookie": f"__Host-galwad={token}"})
    waiting = await begun(panel)
    assert (await approve(page, waiting)).status_code == 204
    reply = await collect(panel, waiting)
    assert reply.json()["changes_password"] is False
    cookie = reply.headers.get_list("set-cookie")[0].partition(";")[0]
    session = await embeddable.desk.people.sessions.find(cookie.partition("=")[2])
    assert (session.kind, session.provider) == ("embedded", True)
    headers = {"Cookie": cookie, CSRF_HEADER: reply.json()["csrf"]}
    assert (await panel.post("/api/v1/logout", headers=headers)).status_code == 204
    assert (await page.get("/api/v1/me")).status_code == 200


@pytest.mark.parametrize("action", ["show", "approve"])
async def test_only_a_session_of_the_page_itself_can_approve_a_panel(embeddable, panel, action):
    waiting = await begun(panel)
    body = {"code": waiting["code"]}
    machine = await embeddable.machine("pay", "payments")
    assert (await machine.post(f"{URL}/{action}", json=body)).status_code == 403
    assert (await panel.post(f"{URL}/{action}", json=body)).status_code == 401
    cli, reply = await signed_in(embeddable, client="cli")
    bearer = {"Authorization": f"Bearer {reply.json()['token']}"}
    assert (await cli.post(f"{URL}/{action}", json=body, headers=bearer)).status_code == 403
    other, reply = await signed_in(embeddable, client="embedded")
    headers = {
        "Cookie": reply.headers.get_list("set-cookie")[0].partition(";")[0],
        CSRF_HEADER: reply.json()["csrf"],
    }
    refused = await other.post(f"{URL}/{action}", json=body, headers=headers)
    assert (refused.status_code, "tab of its own" in refused.json()["hint"]) == (403, True)
    assert (await collect(panel, waiting)).status_code == 409


@pytest.mark.parametrize("action", ["", "/show", "/approve", "/session"])
async def test_a_request_of_the_site_around_the_panel_is_refused(panel, sian, action):
    waiting = await begun(panel)
    bodies = {"": {"site": CRM}, "/session": {"secret": waiting["secret"]}}
    body = bodies.get(action, {"code": waiting["code"]})
    reply = await sian.post(f"{URL}{action}", json=body, headers={"Origin": CRM})
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers
    assert (await collect(panel, waiting)).status_code == 409


@pytest.mark.parametrize("site", ["", "https://evil.example", "https://crm.example/", "null"])
async def test_a_panel_of_a_site_that_the_settings_do_not_name_cannot_begin(panel, site):
    assert (await panel.post(URL, json={"site": site})).status_code == 403


async def test_without_the_setting_no_panel_can_begin(running):
    assert (await running.client().post(URL, json={"site": CRM})).status_code == 403


async def test_the_code_of_a_panel_does_not_approve_a_command_line_nor_the_reverse(panel, sian):
    waiting = await begun(panel)
    line = (await panel.post("/api/v1/command-lines")).json()
    body = {"code": waiting["code"]}
    assert (await sian.post("/api/v1/command-lines/approve", json=body)).status_code == 404
    assert (await approve(sian, line)).status_code == 404
    secret = {"secret": waiting["secret"]}
    assert (await panel.post("/api/v1/command-lines/token", json=secret)).status_code == 410


async def test_a_panel_in_another_network_than_the_page_is_shown_as_such(embeddable, panel, sian):
    panel.headers["X-Forwarded-For"] = "198.51.100.7"
    waiting = await begun(panel)
    shown = await sian.post(f"{URL}/show", json={"code": waiting["code"]})
    assert shown.json() == {"site": CRM, "address": "198.51.100.7", "same_network": False}


async def test_a_panel_gets_no_session_if_the_approving_session_ends_first(panel, sian):
    waiting = await begun(panel)
    await approve(sian, waiting)
    assert (await sian.post("/api/v1/logout")).status_code == 204
    reply = await collect(panel, waiting)
    assert reply.status_code == 401
    assert "set-cookie" not in reply.headers


async def test_a_user_who_guesses_codes_of_panels_must_wait(panel, sian):
    for _ in range(CODES.most):
        await sian.post(f"{URL}/show", json={"code": "BCDF-GHJK"})
    reply = await sian.post(f"{URL}/approve", json={"code": "BCDF-GHJK"})
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0


async def test_panels_that_never_ask_do_not_shut_out_another_panel_of_the_same_network(
    panel, sian, monkeypatch
):
    monkeypatch.setattr("galwad.people.sign_in.approvals.MOST_OF_A_NETWORK", 20)
    for _ in range(30):
        await begun(panel)
    waiting = await begun(panel)
    for _ in range(3):
        reply = await panel.post(f"{URL}/session", json={"secret": waiting["secret"]})
        assert (reply.status_code, reply.json()["reason"]) == (409, "waiting")
        for _ in range(9):
            await begun(panel)
    reply = await sian.post(f"{URL}/approve", json={"code": waiting["code"]})
    assert reply.status_code == 204
    reply = await panel.post(f"{URL}/session", json={"secret": waiting["secret"]})
    assert (reply.status_code, reply.json()["user"]) == (200, "sian")
