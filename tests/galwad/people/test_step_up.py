"""The stronger sign-in before sensitive acts (step-up), by the API of a real desk."""

from __future__ import annotations

import json
import re
import time

import pytest

from galwad.api.sign_in import dependencies_of
from galwad.people import access as step_up
from helpers.desk import changed
from helpers.endpoints import endpoints
from helpers.openid import provider, section
from recording.audit.log import AuditFilter

__all__ = ["provider", "section"]

API = "/api/v1"
ADMIN = ["Galwad.Admin"]
NEW = {"name": "eirlys", "role": "advisor"}
CALL = "20261125-101500-aaaaaaaa"
SENSITIVE = {
    "users_add_user",
    "users_remove_user",
    "users_change_user",
    "tokens_make_machine_token",
    "tokens_revoke",
    "command_lines_approve",
    "recordings_newest",
    "recordings_search",
    "recordings_show",
    "recordings_fetch",
    "recordings_listen",
    "recordings_pack_made",
    "contacts_discard",
    "custody_flag",
    "custody_unflag",
    "custody_recover",
    "custody_purge",
    "cases_accesses",
    "cases_calls",
    "cases_change",
    "cases_erase",
    "cases_exclude",
    "cases_listed",
    "cases_open_case",
    "cases_pack_made",
    "cases_remove_search",
    "cases_search",
    "cases_show",
    "cases_take_step",
    "cases_withdraw_step",
    "disclosures_add",
    "disclosures_close",
    "disclosures_decide",
    "disclosures_listed",
    "disclosures_open_disclosure",
    "disclosures_sent",
    "disclosures_show",
    "holds_add",
    "holds_change",
    "holds_listed",
    "holds_open_hold",
    "holds_release",
    "holds_show",
    "retention_approve",
    "retention_confirm_clock",
    "retention_run",
    "audit_entries",
    "audit_search",
}
ENDLESS = {"stream_events"}
"""The endpoints whose answers have no end."""


@pytest.fixture
def restart(running, section):
    """Restart the desk with a provider that knows a stronger sign-in."""

    async def restart(**more):
        await running.stop()
        running.settings = changed(running.settings, sign_in=section(**more))
        await running.start()

    return restart


@pytest.fixture
async def desk(running, restart):
    await restart(step_up="gold", identity="sub", tenant=None)
    return running


@pytest.fixture
async def admin(desk, provider):
    """Sign an administrator in at the provider; return their browser."""
    return await browser(desk, provider)


async def browser(desk, provider, code="first", **claims):
    provider.claims = {"roles": ADMIN, **claims}
    client = desk.client(headers={"Origin": desk.url})
    begun = await client.post(f"{API}/sign-in/begin", json={})
    reply = await come_back(client, provider.approve(begun.json()["url"], code))
    assert reply.headers["location"] == "/"
    return client


async def come_back(client, response):
    """Let the browser follow the provider, without the session's cookie, which is Strict."""
    kept = {name: client.cookies.pop(name) for name in list(client.cookies) if name == "galwad"}
    reply = await client.get(f"{API}/sign-in/callback", params=response)
    for name, value in kept.items():
        client.cookies.set(name, value)
    return reply


async def begin(client, place=""):
    body = {"step_up": True, "place": place}
    return await client.post(f"{API}/sign-in/begin", json=body)


async def prove(client, provider, code="second", place="", **claims):
    """Step up at the provider with these claims; return the answer of the callback."""
    provider.claims = {"roles": ADMIN, "acr": "gold", "auth_time": int(time.time()), **claims}
    begun = await begin(client, place)
    assert begun.status_code == 200, begun.text
    return await come_back(client, provider.approve(begun.json()["url"], code))


async def refused(running):
    kind = AuditFilter(kind="sign-in.step-up-refused")
    found = await running.desk.host.audit.search(kind, limit=9)
    return [(each.facts["reason"], each.values["user"][1]) for each in found]


async def is_refused(client):
    reply = await client.post(f"{API}/tokens", json={"user": "pay", "name": "new"})
    assert reply.status_code in {403, 404}, reply.text
    assert reply.json().get("reason") in {"step_up_needed", None}, reply.text
    return reply.status_code == 403


def test_exactly_the_listed_endpoints_are_sensitive():
    found = {
        name
        for name, route in endpoints().items()
        if step_up.require_step_up.__name__ in marks(route)
    }
    assert found == SENSITIVE


def marks(route):
    """Return the names in the code of the dependencies of an endpoint."""
    calls = [each.__code__ for each in dependencies_of(route)]
    return {name for code in calls for name in code.co_names}


async def test_only_the_sensitive_acts_need_the_stronger_sign_in(desk, admin):
    asked = set()
    for name, route in endpoints().items():
        if name in ENDLESS or name == "accounts_logout":
            continue
        path = re.sub(r"\{\w+\}", CALL, route.path)
        for method in route.methods or ():
            reply = await admin.request(method, f"{API}{path}", json={})
            needs = "step_up_needed" in reply.text
            assert needs == (name in SENSITIVE), (name, reply.status_code, reply.text)
            asked.add(name)
    assert asked > SENSITIVE
    assert len(asked) > 60


async def test_a_person_does_a_sensitive_act_after_a_step_up(desk, admin, provider):
    reply = await admin.post(f"{API}/users", json=NEW)
    assert (reply.status_code, reply.json()["reason"]) == (403, "step_up_needed")
    reply = await prove(admin, provider, place="admin")
    assert (reply.status_code, reply.headers["location"]) == (303, "/#step-up=done,admin")
    assert "set-cookie" not in reply.headers
    assert (await admin.post(f"{API}/users", json=NEW)).status_code == 201
    (entry,) = await desk.desk.host.audit.search(AuditFilter(kind="sign-in.stepped-up"), limit=9)
    values = {name: value for name, (_, value) in entry.values.items()}
    assert values == {"user": "sian.parry", "address": "127.0.0.1"}
    metrics = desk.desk.people.metrics.sign_ins
    assert metrics.labels("stepped_up")._value.get() == 1


@pytest.mark.parametrize("change", [{"role": "admin"}, {"team": "", "disabled": True}, {}])
async def test_any_change_beyond_the_team_needs_a_stronger_sign_in(desk, admin, change):
    listed = (await admin.get(f"{API}/users")).json()["users"]
    sian = next(each for each in listed if each["name"] == "sian")
    url = f"{API}/users/sian"
    reply = await admin.patch(url, json={"version": sian["version"], **change})
    assert (reply.status_code, reply.json()["reason"]) == (403, "step_up_needed")
    (entry,) = await desk.desk.host.audit.search(AuditFilter(kind="access.refused"), limit=9)
    assert json.loads(entry.body)["facts"] == {
        "act": "PATCH /users/{name}",
        "reason": "step_up_needed",
        **({"changes": ",".join(sorted(change))} if change else {}),
    }
    reply = await admin.patch(url, json={"version": sian["version"], "team": "housing"})
    assert (reply.status_code, reply.json()["reason"]) == (409, "team")


async def test_a_step_up_expires_and_survives_a_restart_of_the_desk(desk, admin, provider):
    await prove(admin, provider)
    cookies = dict(admin.cookies)
    await desk.stop()
    await desk.start()
    again = desk.client(headers={"Origin": desk.url}, cookies=cookies)
    assert not await is_refused(again)
    desk.desk.people.sessions.clock = lambda: time.time() + 601
    assert await is_refused(again)


async def test_a_step_up_counts_only_for_its_session(desk, admin, provider):
    other = await browser(desk, provider, "other")
    await prove(admin, provider)
    assert not await is_refused(admin)
    assert await is_refused(other)


async def test_a_session_opened_with_a_password_needs_no_step_up(desk, admin):
    gwen = await desk.page("gwen")
    assert not await is_refused(gwen.http)
    reply = await begin(gwen.http)
    assert (reply.status_code, reply.json()["error"]) == (
        409,
        "this session cannot prove a stronger sign-in",
    )


async def test_without_the_setting_no_act_needs_a_step_up(running, restart, provider):
    await restart()
    client = await browser(running, provider)
    assert not await is_refused(client)
    assert (await begin(client)).status_code == 409


async def test_only_a_signed_in_person_can_begin_a_step_up(desk):
    assert (await begin(desk.client())).status_code == 401


async def test_a_step_up_whose_place_is_an_address_is_refused(desk, admin):
    assert (await begin(admin, "//evil.example")).status_code == 422


FORGED = {
    "no acr": ({"acr": None}, "weak"),
    "another acr": ({"acr": "silver"}, "weak"),
    "an old sign-in": ({"auth_time": int(time.time()) - 3600}, "weak"),
    "no auth_time": ({"auth_time": None}, "token"),
    "another nonce": ({"nonce": "another"}, "token"),
    "another person": ({"sub": "pairwise-2"}, "other_person"),
    "no role any more": ({"roles": []}, "no_role"),
}


@pytest.mark.parametrize(("claims", "reason"), FORGED.values(), ids=FORGED)
async def test_a_step_up_that_is_not_proven_is_refused_and_audited(
    desk, admin, provider, claims, reason
):
    reply = await prove(admin, provider, place="admin", **claims)
    assert reply.headers["location"] == f"/#step-up={reason},admin"
    assert await refused(desk) == [(reason, "sian.parry")]
    reply = await admin.post(f"{API}/users", json=NEW)
    assert reply.status_code == (401 if reason == "no_role" else 403)
    assert desk.desk.people.metrics.sign_ins.labels("step_up_refused")._value.get() == 1


async def test_a_step_up_by_another_person_adds_no_user_and_changes_no_role(desk, admin, provider):
    await prove(admin, provider, sub="pairwise-2", preferred_username="mallory")
    names = [each["name"] for each in (await admin.get(f"{API}/users")).json()["users"]]
    assert "mallory" not in names


async def test_a_known_colleague_cannot_step_up_the_session_of_another(desk, admin, provider):
    await browser(desk, provider, "other", sub="pairwise-2", preferred_username="eleri")
    reply = await prove(admin, provider, sub="pairwise-2")
    assert reply.headers["location"] == "/#step-up=other_person"
    assert await is_refused(admin)


async def test_a_lower_role_from_the_provider_takes_effect_at_the_step_up(desk, admin, provider):
    reply = await prove(admin, provider, roles=["Galwad.Advisor"])
    assert reply.headers["location"] == "/#step-up=done"
    assert (await admin.get(f"{API}/me")).json()["role"] == "advisor"


async def test_the_response_of_a_step_up_counts_once_and_only_in_its_browser(desk, admin, provider):
    provider.claims = {"roles": ADMIN, "acr": "gold", "auth_time": int(time.time())}
    response = provider.approve((await begin(admin)).json()["url"], "second")
    stranger = await come_back(desk.client(), response)
    assert stranger.headers["location"] == "/#sign-in=stale"
    assert await is_refused(admin)
    assert (await come_back(admin, response)).headers["location"] == "/#step-up=done"
    desk.desk.people.sessions.clock = lambda: time.time() + 601
    assert (await come_back(admin, response)).headers["location"] == "/#sign-in=stale"
    assert await is_refused(admin)


async def test_a_step_up_does_not_reopen_a_session_that_has_ended(desk, admin, provider):
    provider.claims = {"roles": ADMIN, "acr": "gold", "auth_time": int(time.time())}
    response = provider.approve((await begin(admin, "admin")).json()["url"], "second")
    cookie = admin.cookies["galwad-sign-in"]
    await admin.post(f"{API}/logout", json={})
    admin.cookies.set("galwad-sign-in", cookie)
    reply = await come_back(admin, response)
    assert reply.headers["location"] == "/#step-up=ended,admin"
    assert (await admin.get(f"{API}/me")).status_code == 401
    assert await refused(desk) == [("ended", "")]


async def test_a_step_up_does_not_reopen_a_session_that_ends_during_the_exchange(
    desk, admin, provider, monkeypatch
):
    sessions = desk.desk.people.sessions
    true = sessions.step_up

    async def late(session):
        await sessions.end(session.key)
        return await true(session)

    monkeypatch.setattr(sessions, "step_up", late)
    reply = await prove(admin, provider)
    assert reply.headers["location"] == "/#step-up=ended"
    assert (await admin.get(f"{API}/me")).status_code == 401


async def test_a_person_who_cancels_at_the_provider_stays_signed_in(desk, admin, provider):
    response = provider.approve((await begin(admin, "admin")).json()["url"], "second")
    denied = {"error": "access_denied", "state": response["state"], "iss": response["iss"]}
    reply = await come_back(admin, denied)
    assert reply.headers["location"] == "/#step-up=denied,admin"
    assert (await admin.get(f"{API}/me")).status_code == 200
    assert await is_refused(admin)


async def test_the_step_up_that_approved_a_command_line_counts_there_until_the_step_up_expires(
    desk, admin, provider
):
    waiting = (await desk.client().post(f"{API}/command-lines")).json()
    code = {"code": waiting["code"]}
    reply = await admin.post(f"{API}/command-lines/approve", json=code)
    assert reply.json()["reason"] == "step_up_needed"
    await prove(admin, provider, place="command-line")
    assert (await admin.post(f"{API}/command-lines/approve", json=code)).status_code == 204
    body = {"secret": waiting["secret"]}
    token = (await desk.client().post(f"{API}/command-lines/token", json=body)).json()["token"]
    bearer = desk.client(headers={"Authorization": f"Bearer {token}"})
    assert not await is_refused(bearer)
    desk.desk.people.sessions.clock = lambda: time.time() + 601
    assert await is_refused(bearer)
    assert (await begin(bearer)).status_code == 409


async def test_a_machine_needs_no_step_up(desk):
    pay = await desk.machine("pay", "payments")
    assert (await pay.get(f"{API}/me")).status_code == 200
    reply = await pay.post(f"{API}/users", json=NEW)
    assert (reply.status_code, reply.json().get("reason")) == (403, None)
