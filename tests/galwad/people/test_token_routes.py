"""The endpoints of tokens, and what a personal token can and cannot do."""

from __future__ import annotations

import pytest

from galwad.messages import Party, Pause, Resume
from helpers.desk import changed, until

CALL = "20261125-101500-aaaaaaaa"
OTHER = "20261125-101600-bbbbbbbb"
OWN = "/api/v1/me/tokens"
PAYMENTS = "/api/v1/payments"


@pytest.fixture
async def key(running):
    """A client with a personal token of sian, who talks on a call."""
    sian = await running.answered(CALL)
    made = await sian.http.post(OWN, json={"name": "desktop"})
    assert made.status_code == 201, made.text
    client = running.client(headers={"Authorization": f"Bearer {made.json()['secret']}"})
    client.sian, client.token = sian, made.json()["token"]
    return client


async def test_the_key_and_the_page_are_one_pause_holder(running, key):
    paused = await key.put(PAYMENTS)
    assert paused.json() == {"state": "paused", "durable": True, "calls": [CALL]}
    assert running.switch.calls[CALL].holders == ("page:sian",)
    resumed = await key.sian.http.delete(f"/api/v1/calls/{CALL}/payment")
    assert resumed.json()["state"] == "recording"
    await key.sian.http.put(f"/api/v1/calls/{CALL}/payment")
    assert (await key.delete(PAYMENTS, headers={})).json()["state"] == "recording"
    holds, releases = running.switch.of(Pause), running.switch.of(Resume)
    assert [(each.actor, each.trigger) for each in holds] == [
        ("user:sian", "api"),
        ("user:sian", "page"),
    ]
    assert {each.holder for each in (*holds, *releases)} == {"page:sian"}


async def test_the_key_does_not_end_the_pause_of_another_holder(running, key):
    machine = await running.machine("pay", "payments")
    await machine.put(PAYMENTS, json={"advisor": "sian"})
    await key.put(PAYMENTS)
    assert (await key.delete(PAYMENTS)).json()["state"] == "paused"
    assert running.switch.calls[CALL].holders == ("token:pay",)


async def test_the_key_reaches_each_call_in_which_its_user_talks_and_no_other(running, key):
    running.switch.ring(OTHER)
    await key.sian.filled(OTHER)
    assert (await key.put(PAYMENTS)).json()["calls"] == [CALL]
    assert running.switch.calls[OTHER].holders == ()
    running.switch.answer(OTHER, "201", "sian")
    await key.sian.event("call", lambda pop: pop["call_id"] == OTHER and pop["state"] == "answered")
    assert sorted((await key.put(PAYMENTS)).json()["calls"]) == [CALL, OTHER]
    running.switch.change(OTHER, advisor=Party("202", "huw"))
    await key.sian.event("closed", lambda each: each["call_id"] == OTHER)
    assert (await key.delete(PAYMENTS)).json()["calls"] == [CALL]
    assert running.switch.calls[OTHER].holders == ("page:sian",)


async def test_without_an_answered_call_the_key_gets_404(running, key):
    running.switch.hang_up(CALL)
    await key.sian.event("call", lambda pop: pop["state"] == "wrapup")
    reply = await key.put(PAYMENTS)
    assert (reply.status_code, reply.json()["error"]) == (404, "you have no answered call")


async def test_without_the_switch_the_key_gets_503(running, key):
    await running.switch.stop()
    await until(lambda: not running.desk.host.switch.connected)
    assert (await key.put(PAYMENTS)).status_code == 503


@pytest.mark.parametrize(
    "body", [{"advisor": "huw"}, {"extension": "201"}, {"advisor": "sian", "extension": "202"}]
)
async def test_the_key_cannot_name_another_target(running, key, body):
    for method in ("PUT", "DELETE"):
        reply = await key.request(method, PAYMENTS, json=body)
        assert (reply.status_code, running.switch.of(Pause)) == (403, [])
    assert (await key.put(PAYMENTS, json={"advisor": "sian"})).status_code == 200


OPEN_TO_ALL = {"/health", "/metrics", "/payment-page", "/command-lines"}


async def test_only_the_payments_endpoint_takes_a_personal_token(running, key):
    """Each endpoint refuses the token, or answers as it answers a stranger."""
    seen, stranger = set(), running.client()
    paths = (await stranger.get("/api/v1/openapi.json")).json()["paths"]
    assert PAYMENTS in paths
    for path in sorted(set(paths) - {PAYMENTS}):
        address = path.replace("{call_id}", CALL).replace("{language}", "en")
        for method in map(str.upper, paths[path]):
            seen.add((method, path))
            reply = await key.request(method, address, json={})
            without = await stranger.request(method, address, json={})
            same = (reply.status_code, reply.content) == (without.status_code, without.content)
            fine = reply.status_code in {403, 422} or (same and without.status_code != 401)
            open_to_all = path.removeprefix("/api/v1") in OPEN_TO_ALL
            assert fine or open_to_all, (method, path, reply.status_code)
            assert CALL not in reply.text
    assert len(seen) > 50
    health = await key.get("/api/v1/health")
    assert health.json()["version"] is None


async def test_a_personal_token_ends_when_revoked_and_another_advisor_cannot_revoke_it(
    running, key
):
    huw = await running.page("huw")
    place = f"{OWN}/{key.token['id']}"
    assert (await huw.http.delete(place)).status_code == 404
    assert (await huw.http.get(OWN)).json() == {"allowed": True, "tokens": []}
    assert (await key.put(PAYMENTS)).status_code == 200
    assert (await key.sian.http.delete(place)).status_code == 204
    assert (await key.put(PAYMENTS)).status_code == 401
    assert (await key.sian.http.delete(place)).status_code == 404
    entries = [
        (entry.kind, entry.facts["scopes"], entry.personal["user"], entry.personal["actor"])
        for entry in await running.desk.host.audit.entries()
        if entry.kind.startswith("token.")
    ]
    assert entries == [
        ("token.made", "pause", "sian", "user:sian"),
        ("token.revoked", "pause", "sian", "user:sian"),
    ]


async def test_the_list_of_personal_tokens_has_the_last_use_and_no_secret(running, key):
    await key.put(PAYMENTS)

    await running.desk.people.sessions.stop()  # the time of the use is stored in the background
    (token,) = (await key.sian.http.get(OWN)).json()["tokens"]
    assert token["last_used"] >= token["created"]
    assert (token["name"], token["address"]) == ("desktop", "127.0.0.1")
    assert "secret" not in token


async def test_an_administrator_can_switch_personal_tokens_off(running, key):
    secret = key.headers["Authorization"]
    await running.stop()
    running.settings = changed(running.settings, desk={"personal_tokens": False})
    await running.start()
    old = running.client(headers={"Authorization": secret})
    assert (await old.put(PAYMENTS)).status_code == 401
    sian = (await running.page("sian")).http
    assert (await sian.post(OWN, json={"name": "second"})).status_code == 403
    shown = (await sian.get(OWN)).json()
    assert (shown["allowed"], [token["name"] for token in shown["tokens"]]) == (False, ["desktop"])


@pytest.mark.parametrize("who", ["sian", "mair", "machine", "stranger"])
async def test_only_an_administrator_manages_the_tokens_of_machines(running, who):
    client = (
        await running.machine("pay", "payments")
        if who == "machine"
        else running.client()
        if who == "stranger"
        else (await running.page(who)).http
    )
    expected = 401 if who == "stranger" else 403
    body = {"user": "pay", "name": "x"}
    assert (await client.get("/api/v1/tokens")).status_code == expected
    assert (await client.post("/api/v1/tokens", json=body)).status_code == expected
    assert (await client.delete("/api/v1/tokens/0123456789abcdef")).status_code == expected
    if who in {"machine", "stranger"}:
        assert (await client.get(OWN)).status_code == expected
        assert (await client.post(OWN, json={"name": "x"})).status_code == expected


async def test_an_administrator_rotates_the_token_of_a_machine(running):
    gwen = (await running.page("gwen")).http
    old = await running.machine("pay", "payments", "metrics")
    body = {"user": "pay", "name": "spring", "rights": ["payments"], "days": 30}
    made = await gwen.post("/api/v1/tokens", json=body)
    assert made.status_code == 201
    new = running.client(headers={"Authorization": f"Bearer {made.json()['secret']}"})
    assert (await new.put(PAYMENTS, json={"extension": "201"})).status_code == 404
    assert (await new.get("/api/v1/me")).json()["until"] == made.json()["token"]["expires"]
    first, second = (await gwen.get("/api/v1/tokens")).json()
    assert (first["rights"], second["rights"]) == (None, ["payments"])
    assert second["created_by"] == "user:gwen"
    assert (await gwen.delete(f"/api/v1/tokens/{first['id']}")).status_code == 204
    assert (await old.get("/api/v1/me")).status_code == 401
    assert (await new.get("/api/v1/me")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"user": "sian", "name": "x"}, 404),
        ({"user": "nobody", "name": "x"}, 404),
        ({"user": "pay", "name": "x", "rights": ["purge"]}, 409),
        ({"user": "pay", "name": "x", "days": 0}, 422),
        ({"user": "pay", "name": ""}, 422),
    ],
)
async def test_a_token_that_cannot_be_made_is_refused_with_the_reason(running, body, status):
    gwen = (await running.page("gwen")).http
    await running.machine("pay", "payments")
    reply = await gwen.post("/api/v1/tokens", json=body)
    assert reply.status_code == status
    assert reply.json()["error"]
    assert reply.json()["hint"]


async def test_the_list_of_tokens_has_no_digest(running, key):
    gwen = await running.page("gwen")
    (listed,) = (await gwen.http.get("/api/v1/tokens")).json()
    assert listed == key.token
    assert not {"key", "kind"} & set(listed)
