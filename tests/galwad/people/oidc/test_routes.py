"""Signing in with a provider's account, by the API of a real desk.

Covers `galwad/people/oidc/routes.py`.
"""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from helpers.card_numbers import CARDS
from helpers.desk import PASSWORD, changed
from helpers.http_server import answer
from helpers.openid import TENANT, provider, section
from helpers.people import change
from recording.audit.log import AuditFilter

__all__ = ["provider", "section"]

API = "/api/v1"
ORIGIN = "https://galwad.example"


@pytest.fixture
def restart(running, section):
    """Restart the desk with a provider."""

    async def restart(origin=None, **more):
        await running.stop()
        running.settings = changed(
            running.settings, sign_in=section(**more), desk={"public_origin": origin}
        )
        await running.start()

    return restart


@pytest.fixture
async def desk(running, restart):
    await restart()
    return running


async def begin(client):
    reply = await client.post(f"{API}/sign-in/begin", json={"language": "en"})
    assert reply.status_code == 200, reply.text
    return reply.json()["url"]


async def sign_in(client, provider, code="a-code", **more):
    """Return the answer to the browser that the provider has sent back."""
    response = provider.approve(await begin(client), code, **more)
    return await client.get(f"{API}/sign-in/callback", params=response)


async def entries(running, kind):
    found = await running.desk.host.audit.search(AuditFilter(kind=kind), limit=20)
    return [
        {**each.facts, **{name: value for name, (_, value) in each.values.items()}}
        for each in reversed(found)
    ]


async def test_a_person_of_the_provider_is_signed_in_as_a_new_user(desk, provider):
    client = desk.client()
    reply = await sign_in(client, provider)
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    me = (await client.get(f"{API}/me")).json()
    assert (me["user"], me["role"], me["extension"]) == ("sian.parry", "advisor", None)
    (added,) = await entries(desk, "user.added")
    assert added == {"role": "advisor", "rights": "", "user": "sian.parry", "actor": "provider"}
    (accepted,) = await entries(desk, "sign-in.accepted")
    assert (accepted["method"], accepted["user"]) == ("provider", "sian.parry")


async def test_the_sign_in_cookie_is_samesite_lax_and_short_lived_and_the_session_cookie_strict(
    desk, provider
):
    client = desk.client()
    begun = await client.post(f"{API}/sign-in/begin", json={})
    cookie = begun.headers["set-cookie"].lower()
    assert "samesite=lax" in cookie
    assert "httponly" in cookie
    assert "max-age=600" in cookie
    reply = await client.get(
        f"{API}/sign-in/callback", params=provider.approve(begun.json()["url"])
    )
    assert "samesite=strict" in reply.headers["set-cookie"].lower()
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["referrer-policy"] == "no-referrer"


async def test_with_tls_the_cookie_is_bound_to_the_host(running, restart):
    await restart(ORIGIN)
    client = running.client(headers={"Origin": ORIGIN})
    begun = await client.post(f"{API}/sign-in/begin", json={})
    assert begun.headers["set-cookie"].startswith("__Host-galwad-sign-in=")
    assert "secure" in begun.headers["set-cookie"].lower()


async def test_another_site_cannot_begin_a_sign_in(desk):
    client = desk.client(headers={"Origin": "https://evil.example"})
    assert (await client.post(f"{API}/sign-in/begin", json={})).status_code == 403


async def test_without_a_provider_a_sign_in_at_the_provider_gets_404(running):
    client = running.client()
    assert (await client.get(f"{API}/sign-in")).json() == {
        "provider": False,
        "passwords": "everyone",
    }
    assert (await client.post(f"{API}/sign-in/begin", json={})).status_code == 404
    assert (await client.get(f"{API}/sign-in/callback?code=a&state=b")).status_code == 404


async def test_the_page_learns_the_ways_to_sign_in(running, restart):
    await restart(password_users=["gwen"])
    options = (await running.client().get(f"{API}/sign-in")).json()
    assert options == {"provider": True, "passwords": "few"}


REFUSED = {
    "no role": ({"roles": ["Other"]}, "no_role"),
    "another tenant": ({"tid": "another"}, "token"),
    "a wrong clock": ({"iat": 4_000_000_000}, "clock"),
}


@pytest.mark.parametrize(("claims", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_person_who_is_refused_gets_a_reason_and_no_session(desk, provider, claims, reason):
    provider.claims = claims
    client = desk.client()
    reply = await sign_in(client, provider)
    assert (reply.status_code, reply.headers["location"]) == (303, f"/#sign-in={reason}")
    assert "galwad" not in client.cookies
    (refused,) = await entries(desk, "sign-in.refused")
    assert (refused["method"], refused["reason"], refused["user"]) == ("provider", reason, "")
    assert await entries(desk, "user.added") == []


async def test_a_response_that_belongs_to_no_sign_in_is_refused_without_an_entry(desk, provider):
    url = await begin(desk.client())
    other = desk.client()
    for response in (
        provider.approve(url),
        {"code": "a", "state": "b"},
        {},
        {"code": ["a", "b"], "state": "c"},
    ):
        reply = await other.get(f"{API}/sign-in/callback", params=response)
        assert reply.headers["location"] == "/#sign-in=stale"
    assert await entries(desk, "sign-in.refused") == []


async def test_responses_without_a_code_use_up_no_state_and_a_flood_of_codes_raises_an_alarm(
    desk, provider, monkeypatch
):
    monkeypatch.setattr("galwad.people.oidc.pending.MOST_USED_OF_A_NETWORK", 2)
    monkeypatch.setattr("galwad.people.oidc.pending.MOST_USED", 4)
    for _ in range(10):
        reply = await sign_in(desk.client(), provider, code="", error="access_denied")
        assert reply.headers["location"] == "/#sign-in=denied"
    assert desk.desk.calls.alarms.open() == []
    with capture_logs() as logs:
        for number in range(5):
            await sign_in(desk.client(), provider, f"code-{number}")
    floods = [each for each in logs if each["event"] == "sign_in.flooded"]
    assert [each["network"] for each in floods] == ["127.0.0.1"]
    (alarm,) = desk.desk.calls.alarms.open()
    assert (alarm.kind, alarm.detail, alarm.count) == ("sign_in.flooded", "127.0.0.1", 1)
    reply = await sign_in(desk.client(), provider)
    assert reply.headers["location"] == "/"


async def test_the_parameters_next_and_redirect_uri_do_not_lead_the_browser_elsewhere(
    desk, provider
):
    reply = await sign_in(
        desk.client(), provider, next="https://evil.example", redirect_uri="https://evil.example"
    )
    assert reply.headers["location"] == "/"


async def test_a_code_that_is_long_or_looks_like_a_card_number_is_passed_on(desk, provider):
    for code in ("a" * 3000, CARDS[1]):
        client = desk.client()
        reply = await sign_in(client, provider, code)
        assert reply.headers["location"] == "/"
    too_long = await desk.client().get(f"{API}/sign-in/callback?code={'a' * 9000}")
    assert too_long.status_code == 414


async def test_the_code_and_the_state_of_a_sign_in_are_neither_in_the_log_nor_in_the_database(
    desk, provider
):
    with capture_logs() as logs:
        url = await begin(desk.client())
        response = provider.approve(url, code="the-code")
        provider.broken = {"/token": answer({"error": "the-code"}, "400 Bad Request")}
        client = desk.client()
        await sign_in(client, provider, "the-code")
    assert logs
    kept = str(logs) + desk.settings.database.read_bytes().decode("latin-1")
    assert not any(secret in kept for secret in ("the-code", response["state"]))


async def test_a_role_that_changed_takes_effect_in_all_sessions(desk, provider):
    provider.claims = {"roles": ["Galwad.Admin"]}
    first, second = desk.client(), desk.client()
    await sign_in(first, provider)
    assert (await first.get(f"{API}/unindexed")).status_code == 200
    provider.claims = {"roles": ["Galwad.Advisor"]}
    await sign_in(second, provider, "second")
    assert (await first.get(f"{API}/unindexed")).status_code == 403
    (changed,) = await entries(desk, "user.role-set")
    assert (changed["before"], changed["role"]) == ("admin", "advisor")


async def test_a_person_who_has_lost_the_role_is_refused_and_all_their_sessions_end(desk, provider):
    first = desk.client()
    await sign_in(first, provider)
    provider.claims = {"roles": []}
    reply = await sign_in(desk.client(), provider, "second")
    assert reply.headers["location"] == "/#sign-in=no_role"
    assert (await first.get(f"{API}/me")).status_code == 401
    (refused,) = await entries(desk, "sign-in.refused")
    assert refused["user"] == "sian.parry"


async def test_a_disabled_user_is_refused(desk, provider):
    client = desk.client()
    await sign_in(client, provider)
    await change(desk.desk.people.users, "sian.parry", disabled=True)
    assert (await client.get(f"{API}/me")).status_code == 401
    reply = await sign_in(desk.client(), provider, "second")
    assert reply.headers["location"] == "/#sign-in=disabled"
    (refused,) = await entries(desk, "sign-in.refused")
    assert (refused["reason"], refused["user"]) == ("disabled", "sian.parry")


async def test_a_user_of_the_provider_has_no_password_to_change(desk, provider):
    client = desk.client(headers={"Origin": desk.url})
    await sign_in(client, provider)
    assert (await client.get(f"{API}/me")).json()["changes_password"] is False
    body = {"current": "!", "new": "tatws pum munud"}
    assert (await client.put(f"{API}/me/password", json=body)).status_code == 409


async def test_signing_out_leads_to_the_sign_out_of_the_provider(desk, provider):
    client = desk.client(headers={"Origin": desk.url})
    await sign_in(client, provider)
    reply = await client.post(f"{API}/logout", json={})
    assert reply.json()["url"].startswith(f"{provider.issuer}/logout?client_id=galwad&")
    assert (await client.get(f"{API}/me")).status_code == 401


async def test_signing_out_after_a_password_does_not_lead_to_the_provider(desk, provider):
    await begin(desk.client())
    gwen = await desk.page("gwen")
    assert (await gwen.http.post(f"{API}/logout")).status_code == 204


async def test_while_the_provider_is_down_only_a_listed_user_signs_in_and_raises_an_alarm(
    running, restart, provider
):
    await restart(password_users=["gwen"])
    client = running.client(headers={"Origin": running.url})
    await sign_in(client, provider)
    await provider.server.stop()
    for _ in range(2):
        reply = await client.post(f"{API}/sign-in/begin", json={})
        running.desk.people.provider.flow.provider._read_at = float("-inf")
    assert (reply.status_code, reply.json()["error"]) == (
        503,
        "the provider of the sign-in cannot be reached",
    )
    assert (await client.get(f"{API}/me")).status_code == 200
    mair = {"user": "mair", "password": PASSWORD}
    assert (await client.post(f"{API}/login", json=mair)).status_code == 401
    with capture_logs() as logs:
        assert (await running.page("gwen")).http.cookies
    assert [each["kind"] for each in logs if each["event"] == "alarm"] == ["sign_in.break_glass"]
    assert [each["user"] for each in await entries(running, "sign-in.accepted")][1:] == ["gwen"]


async def test_a_provider_that_fails_during_the_exchange_gives_the_reason_provider(desk, provider):
    client = desk.client()
    response = provider.approve(await begin(client))
    provider.broken = {"/token": answer(b"[" * 11_000_000)}
    reply = await client.get(f"{API}/sign-in/callback", params=response)
    assert reply.headers["location"] == "/#sign-in=provider"
    assert TENANT not in reply.text
