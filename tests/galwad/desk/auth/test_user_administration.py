"""The changes that administrators make to users, and the rules of the page."""

from __future__ import annotations

import time

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from galwad.desk.auth import totp
from galwad.desk.auth.identities import Identities, ProviderIdentity
from galwad.desk.auth.second_factors import SecondFactors
from galwad.desk.auth.secret_box import SecretBox
from galwad.desk.auth.tables import identities as identity_rows
from galwad.desk.auth.tables import users as user_rows
from galwad.desk.auth.user_administration import (
    PageRules,
    UserAccounts,
    UserAdministration,
    version_of,
)
from galwad.desk.auth.users import UnknownUserError, User, UserError, Users
from galwad.desk.texts.lists import TextEntry
from galwad.desk.texts.store import StoredTexts, TextStore
from recording.audit.log import AuditLog

PASSWORD = "correct horse battery"
ISSUER = "https://login.example"


@pytest.fixture
async def users(engine):
    users = Users(engine, PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
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
def server(engine, audit, users, factors):
    """The changes of root on the server."""
    return UserAdministration(engine, audit, "os:root", "galwad", factors=factors, users=users)


@pytest.fixture
def page(engine, audit, users, factors):
    """Return a function that makes the changes of gwen on the page, for a version of a user."""

    def page(version, *, takes_access=False):
        rules = PageRules(User("gwen", "admin"), version, takes_access)
        return UserAdministration(
            *(engine, audit, "user:gwen", "galwad"), factors=factors, users=users, rules=rules
        )

    return page


@pytest.fixture
def version(engine):
    """Return a function that reads the present version of a user."""

    async def version(name):
        found = await UserAccounts(engine).all(0, 0)
        return {each.user.name: each.version for each in found}[name]

    return version


CHANGES = {
    "disable": lambda changes: changes.disable("sian"),
    "password": lambda changes: changes.set_password("sian", "another long password"),
    "sip-password": lambda changes: changes.set_sip_password("sian", "other"),
    "move": lambda changes: changes.move("sian", "209", "other"),
    "role": lambda changes: changes.set_role("sian", "supervisor"),
    "team": lambda changes: changes.set_team("sian", "housing"),
    "link": lambda changes: changes.link("sian", ProviderIdentity(ISSUER, "oid-1")),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_based_on_an_earlier_state_is_refused(server, page, version, change):
    seen = await version("sian")
    await CHANGES[change](server)
    assert await version("sian") != seen
    with pytest.raises(UserError, match="changed meanwhile") as refused:
        await page(seen).move("sian", "210", "secret")
    assert refused.value.reason == "changed"
    await page(await version("sian")).move("sian", "210", "secret")


@pytest.mark.parametrize("change", CHANGES)
async def test_a_refused_change_of_the_page_leaves_no_trace(engine, page, users, audit, change):
    before = await UserAccounts(engine).all(0, 0)
    with pytest.raises(UserError, match="changed meanwhile"):
        await CHANGES[change](page("0" * 16))
    assert await UserAccounts(engine).all(0, 0) == before
    assert await audit.entries() == []
    assert await users.check("sian", PASSWORD) is not None


async def test_two_changes_of_one_version_cannot_both_take_place(page, version):
    seen = await version("sian")
    await page(seen).set_password("sian", "the first new password")
    with pytest.raises(UserError, match="changed meanwhile"):
        await page(seen).set_password("sian", "the second new password")


async def test_the_last_administrator_who_can_sign_in_stays_one(page, server, version):
    await server.disable("gwen")  # an administrator whose page is still open
    for change in (
        lambda changes: changes.remove("nia"),
        lambda changes: changes.disable("nia"),
        lambda changes: changes.set_role("nia", "advisor"),
    ):
        with pytest.raises(UserError, match="last administrator") as refused:
            await change(page(await version("nia"), takes_access=True))
        assert refused.value.reason == "last_admin"
    await server.enable("gwen")
    await page(await version("nia"), takes_access=True).remove("nia")


async def test_a_command_on_the_server_can_remove_the_last_administrator(server, users):
    await server.remove("gwen")
    await server.remove("nia")
    assert [each.name for each in await users.all()] == ["sian"]


async def test_administrators_cannot_change_themselves(page, version):
    with pytest.raises(UserError, match="your own account") as refused:
        await page(await version("gwen")).set_rights("gwen", frozenset({"purge"}))
    assert refused.value.reason == "self"


async def test_an_unknown_user_is_refused_by_the_rules(page):
    with pytest.raises(UnknownUserError):
        await page("0" * 16).disable("mair")


async def test_a_person_belongs_to_a_listed_team_or_to_none(server, users, audit):
    await server.set_team("sian", "housing")
    await server.set_team("sian", "tax")
    assert await users.get("sian") == User("sian", "advisor", extension="201", team="tax")
    for team, text in (("tax", 'belongs to the team "tax" already'), ("nap", 'no team "nap"')):
        with pytest.raises(UserError, match=text):
            await server.set_team("sian", team)
    await server.set_team("sian", "")
    with pytest.raises(UserError, match="belongs to no team already"):
        await server.set_team("sian", "")
    await server.add(User("pay", "machine"), None)
    with pytest.raises(UserError, match="a machine belongs to no team"):
        await server.set_team("pay", "tax")
    with pytest.raises(UnknownUserError):
        await server.set_team("mair", "tax")
    entries = [each for each in await audit.entries() if each.kind == "user.team-set"]
    assert [(each.facts["team"], each.facts["before"]) for each in entries] == [
        ("housing", ""),
        ("tax", "housing"),
        ("", "tax"),
    ]
    assert entries[0].personal == {"user": "sian", "actor": "os:root"}


async def test_another_role_ends_the_sessions_and_takes_the_rights(server, users, open_sessions):
    await server.set_rights("nia", frozenset({"purge"}))
    sessions = open_sessions()
    token = await sessions.open("nia", "page")
    await server.set_role("nia", "supervisor")
    assert await users.get("nia") == User("nia", "supervisor")
    assert await sessions.find(token) is None
    with pytest.raises(UserError, match="has this role already"):
        await server.set_role("nia", "supervisor")
    with pytest.raises(UserError, match="cannot become a machine"):
        await server.set_role("nia", "machine")
    await server.add(User("pay", "machine"), None)
    with pytest.raises(UserError, match="nor a machine a person"):
        await server.set_role("pay", "admin")
    with pytest.raises(UnknownUserError):
        await server.set_role("mair", "admin")


async def test_a_second_factor_is_removed_under_the_rules_of_the_page(
    page, factors, version, audit, open_sessions
):
    sessions = open_sessions()
    session = await sessions.find(await sessions.open("sian", "page"))
    secret = factors.begin(session)
    await factors.confirm(session, totp.code_of(secret, totp.step_at(time.time())))
    with pytest.raises(UserError) as refused:
        await page("0" * 16).remove_second_factor("sian")
    assert refused.value.reason == "changed"
    assert await factors.users() == {"sian"}
    await page(await version("sian")).remove_second_factor("sian")
    assert await factors.users() == frozenset()
    assert (await audit.entries())[-1].kind == "user.second-factor-removed"
    with pytest.raises(UserError) as refused:
        await page(await version("sian")).remove_second_factor("sian")
    assert refused.value.reason == "no_factor"


async def test_an_unlinked_identity_ends_the_sessions_and_is_free(server, engine, open_sessions):
    identity = ProviderIdentity(ISSUER, "oid-1")
    await server.link("sian", identity)
    token = await open_sessions().open("sian", "page")
    await server.unlink("sian", "oid-1")
    assert await open_sessions().find(token) is None
    assert await Identities(engine).user_of(identity) is None
    with pytest.raises(UserError, match="no such identity"):
        await server.unlink("sian", "oid-1")
    await server.link("nia", identity)


async def test_the_list_has_identities_tokens_and_the_newest_sign_in(
    server, engine, open_sessions, clock
):
    await server.add(User("pay", "machine", rights=frozenset({"payments"})), None)
    await server.link("sian", ProviderIdentity(ISSUER, "oid-1"))
    await open_sessions(clock=clock).open("sian", "page")
    found = {e.user.name: e for e in await UserAccounts(engine).all(clock.now - 1, clock.now - 1)}
    assert found["sian"].signed_in == clock.now
    assert found["sian"].identities == (ProviderIdentity(ISSUER, "oid-1"),)
    assert (found["sian"].has_phone, found["gwen"].has_phone) == (True, False)
    assert (found["pay"].tokens, found["pay"].signed_in) == (1, None)
    later = await UserAccounts(engine).all(clock.now - 1, clock.now + 1)
    assert {each.signed_in for each in later} == {None}


async def test_a_version_does_not_depend_on_the_order_of_the_identities(server, engine):
    for subject in ("oid-2", "oid-1"):
        await server.link("sian", ProviderIdentity(ISSUER, subject))
    async with engine.connect() as connection:
        row = (await connection.execute(select(user_rows).where(user_rows.c.name == "sian"))).one()
        linked = (await connection.execute(select(identity_rows))).all()
    assert version_of(row, linked) == version_of(row, linked[::-1])


async def test_secrets_are_in_no_audit_entry(server, audit):
    await server.set_password("sian", "a very secret password")
    await server.set_sip_password("sian", "a very secret password")
    token = await server.add(User("pay", "machine"), None)
    text = str([(each.facts, each.personal) for each in await audit.entries()])
    assert "a very secret password" not in text
    assert token not in text
