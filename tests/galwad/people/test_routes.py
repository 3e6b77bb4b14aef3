"""The endpoints of users: who may use them, what they refuse, and what the audit says."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest

from galwad.cli import main
from galwad.messages import SetPhones
from galwad.people import totp
from galwad.settings.desk import SignInSection
from galwad.settings.switch import Route
from helpers.desk import PASSWORD, changed, until
from helpers.people import change
from recording.keys.keyring import OfficerKeys

USERS = "/api/v1/users"
ISSUER = "https://login.example/v2.0"
VERSION = {"version": "0" * 16}
CHANGES: tuple[dict[str, Any], ...] = (
    {"role": "admin"},
    {"team": "housing"},
    {"rights": []},
    {"extension": "209"},
    {"password": "new"},
    {"sip_password": "new"},
    {"second_factor": False},
    {"disabled": True},
    {"disabled": False},
    {"link": "oid-1"},
    {"unlink": "oid-1"},
)
REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("POST", "", {"name": "nia"}),
    ("DELETE", "/sian", VERSION),
    *(("PATCH", "/sian", {**VERSION, **change}) for change in CHANGES),
]


@pytest.fixture
async def provided(running):
    """The running desk, started again with a provider and two lines in its settings."""
    await running.stop()
    section = SignInSection.model_validate(
        {
            "issuer": ISSUER,
            "client_id": "galwad",
            "secret_file": str(running.folder / "secret"),
            "roles": {"advisors": "advisor"},
        }
    )
    (running.folder / "secret").write_text("secret")
    lines = (
        Route.model_validate({"called": "1", "ring": ["201"], "line": "Council Tax"}),
        Route.model_validate(
            {"called": "2", "target": "sip:9@192.0.2.1", "advisors": ["sian"], "line": "Housing"}
        ),
    )
    running.settings = changed(
        running.settings, sign_in=section, routes=lines, sip={"advertise": ("192.0.2.10",)}
    )
    await running.start()
    return running


class Admin:
    """An administrator's browser."""

    def __init__(self, page):
        self.http = page.http

    async def user(self, name):
        found = (await self.http.get(USERS)).json()["users"]
        return {each["name"]: each for each in found}[name]

    async def change(self, name, **values):
        """Change a user, based on their present version."""
        return await self.send("PATCH", name, **values)

    async def remove(self, name):
        """Remove a user, based on their present version."""
        return await self.send("DELETE", name)

    async def send(self, method, name, **values):
        body = {"version": (await self.user(name))["version"], **values}
        return await self.http.request(method, f"{USERS}/{name}", json=body)


@pytest.fixture
async def gwen(running):
    return Admin(await running.page("gwen"))


async def entries(running):
    """Return what the audit has about users: kind, facts and personal values."""
    return [
        (each.kind, each.facts, each.personal)
        for each in await running.desk.host.audit.entries()
        if each.kind.startswith("user.")
    ]


@pytest.mark.parametrize("who", ["sian", "mair", "machine", "stranger"])
async def test_only_an_administrator_reaches_an_endpoint_of_users(running, who):
    if who == "machine":
        client = await running.machine("pay", "payments", "metrics")
    else:
        client = running.client() if who == "stranger" else (await running.page(who)).http
    expected = 401 if who == "stranger" else 403
    for method, path, body in REQUESTS:
        reply = await client.request(method, USERS + path, json=body)
        assert reply.status_code == expected, (method, path)
    assert await entries(running) == []


async def test_an_added_user_signs_in_with_the_password_of_the_answer(running, gwen):
    body = {"name": "Nia", "role": "supervisor", "extension": "209", "language": "cy"}
    reply = await gwen.http.post(USERS, json=body)
    assert reply.status_code == 201
    made = reply.json()
    assert made["user"]["name"] == "nia"
    assert made["user"]["has_phone"]
    assert (made["sip"]["extension"], made["token"]) == ("209", None)
    nia = await running.client(headers={"Origin": running.url}).post(
        "/api/v1/login", json={"user": "nia", "password": made["password"]}
    )
    assert (nia.status_code, nia.json()["role"], nia.json()["language"]) == (
        200,
        "supervisor",
        "cy",
    )
    phones = await running.switch.until(SetPhones, 2)
    assert "209" in [each.extension for each in phones[-1].accounts]
    assert (await gwen.user("nia"))["signed_in"] is not None
    listed = await gwen.http.get(USERS)
    assert made["password"] not in listed.text
    assert made["sip"]["password"] not in listed.text


async def test_a_machine_gets_a_token_with_its_rights(running, gwen):
    body = {"name": "pay", "role": "machine", "rights": ["payments"]}
    made = (await gwen.http.post(USERS, json=body)).json()
    assert (made["password"], made["user"]["tokens"]) == (None, 1)
    session = await running.desk.people.sessions.find(made["token"])
    assert session.user.rights == {"payments"}
    again = await gwen.http.post(USERS, json=body)
    assert (again.status_code, again.json()["reason"]) == (409, "taken")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"name": "nia jones"}, "name"),
        ({"name": "nia", "extension": "2/1"}, "extension"),
        ({"name": "nia", "extension": "201"}, "taken"),
        ({"name": "nia", "rights": ["purge"]}, "rights"),
    ],
)
async def test_an_invalid_user_is_refused_with_a_reason(running, gwen, body, reason):
    reply = await gwen.http.post(USERS, json=body)
    assert (reply.status_code, reply.json()["reason"]) == (409, reason)
    assert await entries(running) == []


async def test_the_sessions_of_a_disabled_user_end_and_so_does_the_stream(running, gwen):
    sian = await running.page("sian")
    await sian.open()
    reply = await gwen.change("sian", disabled=True)
    assert reply.json()["user"]["disabled"]
    while await sian.next() is not None:
        pass
    assert (await sian.http.get("/api/v1/me")).status_code == 401
    phones = await running.switch.until(SetPhones, 2)
    assert [each.extension for each in phones[-1].accounts] == ["202"]
    reply = await gwen.change("sian", disabled=False)
    assert (reply.json()["user"]["disabled"], reply.json()["token"]) == (False, None)
    await running.page("sian")


@pytest.mark.parametrize(
    "values", [{"password": "new"}, {"disabled": True}, {"role": "supervisor"}, None], ids=str
)
async def test_a_new_password_disabling_another_role_and_removal_end_the_users_sessions(
    running, gwen, values
):
    sian = await running.page("sian")
    if values is None:
        assert (await gwen.remove("sian")).status_code == 204
    else:
        reply = await gwen.change("sian", **values)
        assert reply.status_code == 200
        assert reply.json()["user"]["role"] == values.get("role", "advisor")
    assert (await sian.http.get("/api/v1/me")).status_code == 401


async def test_one_request_can_make_several_changes(provided, running):
    gwen = Admin(await running.page("gwen"))
    reply = await gwen.change("sian", role="supervisor", extension="209", link="oid-1")
    user = reply.json()["user"]
    assert (user["role"], user["extension"], user["subjects"]) == ("supervisor", "209", ["oid-1"])
    assert reply.json()["sip"]["extension"] == "209"
    assert [kind for kind, _, _ in await entries(running)] == [
        *("user.role-set", "user.moved", "user.linked")
    ]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"disabled": True, "extension": "202"}, "taken"),
        ({"role": "supervisor", "rights": ["payments"]}, "rights"),
        ({"password": "new", "team": "unknown"}, "team"),
        ({"link": "oid-1", "unlink": "oid-2"}, "changed"),
        ({"role": "supervisor", "second_factor": False}, "no_factor"),
    ],
    ids=str,
)
async def test_a_request_with_one_change_that_is_refused_changes_nothing(
    provided, running, values, reason
):
    gwen, sian = Admin(await running.page("gwen")), await running.page("sian")
    before = await gwen.user("sian")
    reply = await gwen.change("sian", **values)
    assert (reply.status_code, reply.json()["reason"]) == (409, reason)
    assert await gwen.user("sian") == before
    assert (await sian.http.get("/api/v1/me")).status_code == 200
    assert await running.desk.people.users.check("sian", PASSWORD) is not None
    assert await entries(running) == []


async def test_a_request_without_a_change_leaves_the_user_as_they_are(running, gwen):
    reply = await gwen.change("sian")
    assert (reply.status_code, reply.json()["user"]) == (200, await gwen.user("sian"))
    assert await entries(running) == []


@pytest.mark.parametrize(
    "values", [{"password": "mine"}, {"second_factor": True}, {"language": "cy"}]
)
async def test_a_request_with_a_chosen_password_or_an_impossible_change_is_not_valid(
    running, gwen, values
):
    assert (await gwen.change("sian", **values)).status_code == 422
    assert await entries(running) == []


async def test_a_new_password_replaces_the_old_one(running, gwen):
    reply = await gwen.change("sian", password="new")
    assert await running.desk.people.users.check("sian", PASSWORD) is None
    assert await running.desk.people.users.check("sian", reply.json()["password"]) is not None


async def test_a_new_sip_password_and_an_extension_are_shown_once(provided, running):
    gwen = Admin(await running.page("gwen"))
    (before,) = [e for e in await running.desk.people.users.accounts() if e.user == "sian"]
    sip = (await gwen.change("sian", sip_password="new")).json()["sip"]
    assert (sip["server"], sip["extension"], sip["realm"]) == ("192.0.2.10:5060", "201", "galwad")
    (after,) = [e for e in await running.desk.people.users.accounts() if e.user == "sian"]
    assert after.ha1_sha256 != before.ha1_sha256
    moved = (await gwen.change("sian", extension="209")).json()
    assert (moved["user"]["extension"], moved["sip"]["extension"]) == ("209", "209")
    gone = (await gwen.change("sian", extension="")).json()
    assert (gone["user"]["extension"], gone["sip"]) == (None, None)
    refused = await gwen.change("sian", sip_password="new")
    assert (refused.status_code, refused.json()["reason"]) == (409, "no_extension")


async def test_the_list_names_the_lines_and_the_provider(provided, running):
    gwen = Admin(await running.page("gwen"))
    found = (await gwen.http.get(USERS)).json()
    assert (found["issuer"], found["rights"]["admin"]) == (ISSUER, ["purge"])
    assert (await gwen.user("sian"))["lines"] == ["Council Tax", "Housing"]
    assert (await gwen.user("huw"))["lines"] == []


async def test_an_account_of_the_provider_is_linked_and_unlinked(provided, running):
    gwen = Admin(await running.page("gwen"))
    linked = await gwen.change("sian", link="oid-1")
    assert linked.json()["user"]["subjects"] == ["oid-1"]
    other = await gwen.change("huw", link="oid-1")
    assert (other.status_code, other.json()["reason"]) == (409, "linked")
    unlinked = await gwen.change("sian", unlink="oid-1")
    assert unlinked.json()["user"]["subjects"] == []


async def test_without_a_provider_no_account_can_be_linked(gwen):
    refused = await gwen.change("sian", link="oid-1")
    assert (refused.status_code, refused.json()["reason"]) == (409, "provider")


async def test_a_change_of_an_outdated_version_of_a_user_gets_409(running, gwen):
    seen = (await gwen.user("sian"))["version"]
    await gwen.change("sian", extension="209")
    for method, path, body in REQUESTS:
        if path and "link" not in body:
            reply = await gwen.http.request(method, USERS + path, json={**body, "version": seen})
            assert (reply.status_code, reply.json()["reason"]) == (409, "changed"), body
    assert (await gwen.user("sian"))["extension"] == "209"
    assert [kind for kind, _, _ in await entries(running)] == ["user.moved"]


async def test_administrators_cannot_change_or_remove_themselves(running, gwen):
    replies = [
        await gwen.remove("gwen"),
        await gwen.change("gwen", role="advisor"),
        await gwen.change("gwen", rights=["purge"]),
        await gwen.change("gwen", disabled=True),
        await gwen.change("gwen", password="new"),
    ]
    assert [(each.status_code, each.json()["reason"]) for each in replies] == [(409, "self")] * 5
    assert await entries(running) == []
    assert (await gwen.http.get("/api/v1/me")).status_code == 200


async def test_an_administrator_without_the_purge_right_cannot_gain_it_through_another_user(
    running, gwen
):
    await running.add("nia", "admin", rights=["purge"])
    new = {"name": "non", "role": "admin", "rights": ["purge"]}
    replies = [await gwen.http.post(USERS, json=new)]
    await running.add("ffion", "admin")
    replies.append(await gwen.change("ffion", rights=["purge"]))
    replies += [
        await gwen.change("nia", password="new"),
        await gwen.change("nia", disabled=True),
        await gwen.change("nia", rights=[]),
        await gwen.remove("nia"),
    ]
    assert [(each.status_code, each.json()["reason"]) for each in replies] == [(409, "purge")] * 6
    assert await entries(running) == []
    nia = Admin(await running.page("nia"))
    assert (await nia.change("ffion", rights=["purge"])).status_code == 200
    assert (await nia.http.post(USERS, json=new)).status_code == 201


async def test_a_second_factor_is_listed_and_removed_and_its_sessions_end(running, gwen):
    sian = await running.page("sian")
    body = {"password": PASSWORD}
    setup = (await sian.http.post("/api/v1/me/second-factor/setup", json=body)).json()
    code = totp.code_of(base64.b32decode(setup["secret"]), totp.step_at(time.time()))
    confirmed = await sian.http.post("/api/v1/me/second-factor/confirm", json={"code": code})
    assert confirmed.status_code == 200, confirmed.text
    assert (await gwen.user("sian"))["second_factor"] is True
    reply = await gwen.change("sian", second_factor=False)
    assert reply.json()["user"]["second_factor"] is False
    assert (await sian.http.get("/api/v1/me")).status_code == 401
    again = await gwen.change("sian", second_factor=False)
    assert (again.status_code, again.json()["reason"]) == (409, "no_factor")
    kind, _, personal = (await entries(running))[-1]
    assert kind == "user.second-factor-removed"
    assert personal == {"user": "sian", "actor": "user:gwen"}


async def test_an_unknown_user_gets_404(gwen):
    reply = await gwen.http.patch(f"{USERS}/nia", json={**VERSION, "disabled": True})
    assert (reply.status_code, reply.json()["reason"]) == (404, "unknown")


async def test_the_page_and_the_commands_write_the_same_audit_entries(provided, running):
    """Each act is done by the page for nia, and by the command for non."""
    await change(running.desk.people.users, "gwen", rights=frozenset({"purge"}))
    gwen = Admin(await running.page("gwen"))
    new = {"role": "advisor", "extension": "301"}
    assert (await gwen.http.post(USERS, json={"name": "nia", **new})).status_code == 201
    for values in (
        {"role": "admin"},
        {"rights": ["purge"]},
        {"extension": "302"},
        {"extension": ""},
        {"extension": "302"},
        {"sip_password": "new"},
        {"password": "new"},
        {"link": "oid-7"},
        {"unlink": "oid-7"},
        {"disabled": True},
        {"disabled": False},
    ):
        reply = await gwen.change("nia", **values)
        assert reply.status_code == 200, reply.text
    assert (await gwen.remove("nia")).status_code == 204
    settings = running.folder / "galwad.toml"
    settings.write_text(
        f'[node]\nname = "{running.settings.node.name}"\nstate = "{running.folder}"\n'
        f'runtime = "{running.folder}"\n[sip]\nlisten = ["udp:127.0.0.1:0"]\n'
        '[media]\nlisten = "127.0.0.1"\nports = "20000-20099"\n'
        '[[retention]]\ncategory = "general"\nkeep = "by hand"\n'
        f'[recording]\nofficer_key = "{OfficerKeys.generate().public_key}"\n'
        '[desk]\nlisten = "127.0.0.1:0"\n'
    )
    for words in (
        ("add", "non", "--extension", "301", "--generate"),
        ("role", "non", "admin"),
        ("rights", "non", "--right", "purge"),
        ("move", "non", "302"),
        ("move", "non", "--none"),
        ("move", "non", "302"),
        ("sip-password", "non"),
        ("password", "non", "--generate"),
        ("link", "non", "--issuer", ISSUER, "--subject", "oid-7"),
        ("unlink", "non", "--subject", "oid-7"),
        ("disable", "non"),
        ("enable", "non"),
        ("remove", "non"),
    ):
        command = ["users", *words, "--config", str(settings)]
        assert await asyncio.to_thread(main.run, command) == 0, words
    found: dict[str, list] = {"nia": [], "non": []}
    actors: dict[str, set] = {"nia": set(), "non": set()}
    for kind, facts, personal in await entries(running):
        user = personal.pop("user")
        actors[user].add(personal.pop("actor").partition(":")[0])
        found[user].append((kind, facts, personal))
    assert found["nia"] == found["non"]
    assert len(found["nia"]) == 13
    assert actors == {"nia": {"user"}, "non": {"os"}}


async def test_no_password_of_a_new_user_reaches_the_log(running, gwen, capfd):
    made = (await gwen.http.post(USERS, json={"name": "nia", "extension": "209"})).json()
    await until(lambda: len(running.switch.of(SetPhones)) > 1)
    out, err = capfd.readouterr()
    for secret in (made["password"], made["sip"]["password"]):
        assert secret not in out + err
