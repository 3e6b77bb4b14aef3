"""The changes that administrators make to users, and the rules of the page."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from galwad.people import totp
from galwad.people.identities import Identities
from galwad.people.rules import PageRules, UserAdministration
from galwad.people.second_factor import SecondFactors, SecretBox
from galwad.people.store import Users, version_of
from galwad.people.store import identities as identity_rows
from galwad.people.store import users as user_rows
from galwad.people.user import ProviderIdentity, UnknownUserError, User, UserChange, UserError
from galwad.texts.rules import TextEntry
from galwad.texts.store import StoredTexts, TextStore
from helpers.desk import HASHER
from recording.audit.log import AuditLog

PASSWORD = "correct horse battery"
ISSUER = "https://login.example"


@pytest.fixture
async def users(engine):
    users = Users(engine, HASHER)
    await users.add(User("sian", "advisor", extension="201"), PASSWORD, "sip secret")
    await users.add(User("gwen", "admin"), PASSWORD)
    await users.add(User("nia", "admin"), PASSWORD)
    return users


@pytest.fixture
def audit(engine, tmp_path):
    return AuditLog(engine, "test", tmp_path / "audit.key")


@pytest.fixture
def factors(engine, tmp_path):
    return SecondFactors(engine, SecretBox(tmp_path / "second-factor.key"))


@pytest.fixture(autouse=True)
async def teams(engine):
    """Two teams in the list of teams."""
    entries = (TextEntry("housing", "Housing", "Tai"), TextEntry("tax", "Tax", "Treth"))
    await TextStore(engine).save("teams", StoredTexts(entries, (), 1.0, "gwen"))


@pytest.fixture
def server(engine, audit, users):
    """The changes of root on the server."""
    return UserAdministration(engine, audit, "os:root", "galwad", users=users)


@pytest.fixture
def page(engine, audit, users):
    """Return a function that makes the changes of gwen on the page, for a version of a user."""

    def page(version):
        rules = PageRules(User("gwen", "admin"), version)
        return UserAdministration(engine, audit, "user:gwen", "galwad", users=users, rules=rules)

    return page


@pytest.fixture
def version(engine):
    """Return a function that reads the present version of a user."""

    async def version(name):
        found = await Users(engine).facts()
        return {each.name: each.version for each in found}[name]

    return version


CHANGES = {
    "disable": UserChange(disabled=True),
    "password": UserChange(password="new"),
    "sip-password": UserChange(sip_password="new"),
    "move": UserChange(extension="209"),
    "role": UserChange(role="supervisor"),
    "team": UserChange(team="housing"),
    "link": UserChange(link="oid-1"),
}
MOVE = UserChange(extension="210")


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_based_on_an_earlier_state_is_refused(server, page, version, change):
    seen = await version("sian")
    await server.change("sian", CHANGES[change], issuer=ISSUER)
    assert await version("sian") != seen
    with pytest.raises(UserError, match="changed meanwhile") as refused:
        await page(seen).change("sian", MOVE)
    assert refused.value.reason == "changed"
    await page(await version("sian")).change("sian", MOVE)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_refused_change_of_the_page_leaves_no_trace(engine, page, users, audit, change):
    before = await Users(engine).facts()
    with pytest.raises(UserError, match="changed meanwhile"):
        await page("0" * 16).change("sian", CHANGES[change], issuer=ISSUER)
    assert await Users(engine).facts() == before
    assert await audit.entries() == []
    assert await users.check("sian", PASSWORD) is not None


async def test_two_changes_of_one_version_cannot_both_take_place(page, version):
    seen = await version("sian")
    await page(seen).change("sian", UserChange(password="new"))
    with pytest.raises(UserError, match="changed meanwhile"):
        await page(seen).change("sian", UserChange(password="new"))


async def test_the_last_administrator_who_can_sign_in_cannot_be_removed_disabled_or_demoted(
    page, server, version
):
    await server.change(
        "gwen", UserChange(disabled=True)
    )  # an administrator whose page is still open
    for change in (
        lambda changes: changes.remove("nia"),
        lambda changes: changes.change("nia", UserChange(disabled=True)),
        lambda changes: changes.change("nia", UserChange(role="advisor")),
    ):
        with pytest.raises(UserError, match="last administrator") as refused:
            await change(page(await version("nia")))
        assert refused.value.reason == "last_admin"
    await server.change("gwen", UserChange(disabled=False))
    await page(await version("nia")).remove("nia")


async def test_a_command_on_the_server_can_remove_the_last_administrator(server, users):
    await server.remove("gwen")
    await server.remove("nia")
    assert [each.name for each in await users.all()] == ["sian"]


async def test_administrators_cannot_change_themselves(page, version):
    with pytest.raises(UserError, match="your own account") as refused:
        await page(await version("gwen")).change("gwen", UserChange(rights=("purge",)))
    assert refused.value.reason == "self"


async def test_an_unknown_user_is_refused_by_the_rules(page):
    with pytest.raises(UnknownUserError):
        await page("0" * 16).change("mair", UserChange(disabled=True))


async def test_a_machine_whose_token_cannot_be_stored_is_not_added(
    server, users, audit, monkeypatch
):
    async def fail(*_values, **_more):
        raise UserError("the token cannot be stored")

    monkeypatch.setattr(server.tokens, "make_in", fail)
    with pytest.raises(UserError, match="cannot be stored"):
        await server.add(User("pay", "machine"))
    assert await users.get("pay") is None
    assert await audit.entries() == []


async def test_a_person_belongs_to_a_listed_team_or_to_none(server, users, audit):
    await server.change("sian", UserChange(team="housing"))
    await server.change("sian", UserChange(team="tax"))
    assert await users.get("sian") == User("sian", "advisor", extension="201", team="tax")
    for team, text in (("tax", 'belongs to the team "tax" already'), ("nap", 'no team "nap"')):
        with pytest.raises(UserError, match=text):
            await server.change("sian", UserChange(team=team))
    await server.change("sian", UserChange(team=""))
    with pytest.raises(UserError, match="belongs to no team already"):
        await server.change("sian", UserChange(team=""))
    await server.add(User("pay", "machine"))
    with pytest.raises(UserError, match="a machine belongs to no team"):
        await server.change("pay", UserChange(team="tax"))
    with pytest.raises(UnknownUserError):
        await server.change("mair", UserChange(team="tax"))
    entries = [each for each in await audit.entries() if each.kind == "user.team-set"]
    assert [(each.facts["team"], each.facts["before"]) for each in entries] == [
        ("housing", ""),
        ("tax", "housing"),
        ("", "tax"),
    ]
    assert entries[0].personal == {"user": "sian", "actor": "os:root"}


async def test_another_role_ends_the_sessions_and_removes_the_rights(server, users, open_sessions):
    await server.change("nia", UserChange(rights=("purge",)))
    sessions = open_sessions()
    token = await sessions.open("nia", "page")
    await server.change("nia", UserChange(role="supervisor"))
    assert await users.get("nia") == User("nia", "supervisor")
    assert await sessions.find(token) is None
    with pytest.raises(UserError, match="has this role already"):
        await server.change("nia", UserChange(role="supervisor"))
    with pytest.raises(UserError, match="cannot become a machine"):
        await server.change("nia", UserChange(role="machine"))
    await server.add(User("pay", "machine"))
    with pytest.raises(UserError, match="nor a machine a person"):
        await server.change("pay", UserChange(role="admin"))
    with pytest.raises(UnknownUserError):
        await server.change("mair", UserChange(role="admin"))


async def test_a_second_factor_is_removed_only_with_the_users_present_version(
    page, factors, version, audit, open_sessions
):
    sessions = open_sessions()
    session = await sessions.find(await sessions.open("sian", "page"))
    secret = factors.begin(session)
    await factors.confirm(session, totp.code_of(secret, totp.step_at(time.time())))
    with pytest.raises(UserError) as refused:
        await page("0" * 16).change("sian", UserChange(second_factor=False))
    assert refused.value.reason == "changed"
    assert await factors.status("sian") is not None
    await page(await version("sian")).change("sian", UserChange(second_factor=False))
    assert await factors.status("sian") is None
    assert (await audit.entries())[-1].kind == "user.second-factor-removed"
    with pytest.raises(UserError) as refused:
        await page(await version("sian")).change("sian", UserChange(second_factor=False))
    assert refused.value.reason == "no_factor"


async def test_unlinking_an_identity_ends_the_users_sessions_and_frees_the_identity(
    server, engine, open_sessions
):
    identity = ProviderIdentity(ISSUER, "oid-1")
    await server.change("sian", UserChange(link="oid-1"), issuer=ISSUER)
    token = await open_sessions().open("sian", "page")
    await server.change("sian", UserChange(unlink="oid-1"))
    assert await open_sessions().find(token) is None
    assert await Identities(engine).user_of(identity) is None
    with pytest.raises(UserError, match="no such identity"):
        await server.change("sian", UserChange(unlink="oid-1"))
    await server.change("nia", UserChange(link="oid-1"), issuer=ISSUER)


async def test_the_list_has_identities_tokens_and_the_newest_sign_in(
    server, engine, open_sessions, clock
):
    await server.add(User("pay", "machine", rights=frozenset({"payments"})))
    await server.change("sian", UserChange(link="oid-1"), issuer=ISSUER)
    await open_sessions(clock=clock).open("sian", "page")
    found = {e.name: e for e in await Users(engine).facts(clock.now - 1, clock.now - 1)}
    assert found["sian"].signed_in == clock.now
    assert found["sian"].subjects == ["oid-1"]
    assert (found["sian"].has_phone, found["gwen"].has_phone) == (True, False)
    assert (found["pay"].tokens, found["pay"].signed_in) == (1, None)
    later = await Users(engine).facts(clock.now - 1, clock.now + 1)
    assert {each.signed_in for each in later} == {None}


async def test_a_version_does_not_depend_on_the_order_of_the_identities(server, engine):
    for subject in ("oid-2", "oid-1"):
        await server.change("sian", UserChange(link=subject), issuer=ISSUER)
    async with engine.connect() as connection:
        row = (await connection.execute(select(user_rows).where(user_rows.c.name == "sian"))).one()
        linked = (await connection.execute(select(identity_rows))).all()
    assert version_of(row, linked) == version_of(row, linked[::-1])


async def test_secrets_are_in_no_audit_entry(server, audit):
    changed = await server.change("sian", UserChange(password="new", sip_password="new"))
    added = await server.add(User("huw", "advisor", extension="209"))
    chosen = "a very secret password"
    await server.change("sian", UserChange(password="new"), password=chosen)
    token = (await server.add(User("pay", "machine"))).token
    secrets = [chosen, token, *(done.password for done in (changed, added))]
    secrets += [done.sip_password for done in (changed, added)]
    assert all(secrets)
    text = str([(each.facts, each.personal) for each in await audit.entries()])
    assert not any(secret in text for secret in secrets)
