"""The identities of people at a provider: only issuer and subject decide which user it is.

Covers `galwad/people/oidc/provider_accounts.py`.
"""

from __future__ import annotations

import asyncio

import pytest

from galwad.people.identities import Identities
from galwad.people.oidc.id_token import IdToken
from galwad.people.oidc.provider_accounts import ProviderAccounts, RefusedError
from galwad.people.store import Users
from galwad.people.user import PURGE, ProviderIdentity, User, UserError
from helpers.desk import HASHER
from helpers.openid import provider, section
from helpers.people import change, remove

__all__ = ["provider", "section"]

ISSUER = "https://login.example/v2.0"
SIAN = ProviderIdentity(ISSUER, "oid-1")
PASSWORD = "correct horse battery"


@pytest.fixture
def users(engine):
    return Users(engine, HASHER)


@pytest.fixture
def known(engine):
    return Identities(engine)


async def test_the_first_sign_in_adds_a_user_and_a_later_sign_in_finds_the_same_user(known, users):
    first = await known.sign_in(SIAN, "advisor", "sian.parry@council.example", "cy")
    assert first.created
    assert first.user == User("sian.parry", "advisor", "cy")
    second = await known.sign_in(SIAN, "advisor", "another.name@council.example")
    assert (second.user, second.created) == (first.user, False)
    assert await known.user_of(SIAN) == first.user
    assert [each.name for each in await users.all()] == ["sian.parry"]


async def test_a_new_user_has_no_extension_no_rights_and_no_password(known, users):
    await known.sign_in(SIAN, "admin", "sian")
    (user,) = await users.all()
    assert (user.extension, user.rights) == (None, frozenset())
    assert await users.check("sian", "!") is None
    assert await users.check("sian", "") is None


@pytest.mark.parametrize(
    "identity",
    [ProviderIdentity(ISSUER, "oid-2"), ProviderIdentity("https://other.example", "oid-1")],
)
async def test_a_person_whose_suggested_name_is_taken_gets_a_user_of_their_own(
    known, users, identity
):
    await users.add(User("gwen", "admin"), PASSWORD)
    await known.sign_in(SIAN, "supervisor", "sian")
    stranger = await known.sign_in(identity, "advisor", "sian@evil.example")
    assert (stranger.user.name, stranger.user.role) == ("sian-2", "advisor")
    local = await known.sign_in(ProviderIdentity(ISSUER, "oid-3"), "advisor", "gwen")
    assert (local.user.name, local.user.role) == ("gwen-2", "advisor")
    assert (await users.get("gwen")) == User("gwen", "admin")


@pytest.mark.parametrize(
    ("suggested", "name"),
    [
        ("Siân Pugh", "sian-pugh"),
        ("", "user"),
        ("@@@", "user"),
        ("...", "user"),
        ("\u202egwen<script>", "gwen-script"),
        ("日本", "user"),
        ("4242424242424242", "user"),
        ("a" * 100_000, "a" * 56),
        ("x\x00y", "x-y"),
    ],
)
async def test_a_suggested_name_becomes_a_name_that_a_user_can_have(known, users, suggested, name):
    found = await known.sign_in(SIAN, "advisor", suggested)
    assert found.user.name == name
    await change(users, name, password=PASSWORD)  # which checks the name again


async def test_first_sign_ins_at_the_same_time_add_one_user(known, users):
    found = await asyncio.gather(*(known.sign_in(SIAN, "advisor", "sian") for _ in range(5)))
    assert {each.user.name for each in found} == {"sian"}
    assert sum(each.created for each in found) == 1


async def test_a_new_role_from_the_provider_replaces_the_former_role_and_its_rights(known, users):
    await known.sign_in(SIAN, "admin", "sian")
    await change(users, "sian", rights=frozenset({PURGE}))
    kept = await known.sign_in(SIAN, "admin", "sian")
    assert (kept.user.rights, kept.role_before) == ({PURGE}, "")
    less = await known.sign_in(SIAN, "advisor", "sian")
    assert (less.user.role, less.user.rights, less.role_before) == ("advisor", frozenset(), "admin")


async def test_a_disabled_user_stays_disabled_and_keeps_the_role(known, users):
    await known.sign_in(SIAN, "advisor", "sian")
    await change(users, "sian", disabled=True)
    found = await known.sign_in(SIAN, "admin", "sian")
    assert (found.user.disabled, found.user.role) == (True, "advisor")


async def test_an_administrator_links_an_identity_to_a_local_user(known, users, open_sessions):
    await users.add(User("gwen", "advisor", extension="201"), PASSWORD)
    sessions = open_sessions()
    token = await sessions.open("gwen", "page")
    await change(users, "gwen", link=SIAN)
    assert await sessions.find(token) is None
    found = await known.sign_in(SIAN, "supervisor", "sian")
    assert (found.user.name, found.user.role, found.user.extension) == ("gwen", "supervisor", "201")


async def test_an_identity_is_linked_once_and_only_to_a_person(known, users):
    await users.add(User("pay", "machine"), None)
    await known.sign_in(SIAN, "advisor", "sian")
    for name, reason in (
        ("nobody", "no user"),
        ("pay", "machine"),
        ("sian", 'linked to the user "sian"'),
    ):
        with pytest.raises(UserError, match=reason):
            await change(users, name, link=SIAN)


async def test_a_removed_user_can_sign_in_as_a_new_user(known, users):
    await known.sign_in(SIAN, "admin", "sian")
    await remove(users, "sian")
    again = await known.sign_in(SIAN, "advisor", "sian")
    assert (again.created, again.user.role) == (True, "advisor")


@pytest.fixture
async def accounts(engine, section):
    accounts = ProviderAccounts.opened(section(), "https://galwad.example", engine)
    assert accounts is not None
    yield accounts
    await accounts.flow.close()


async def test_without_a_provider_in_the_settings_there_are_no_provider_accounts(engine):
    assert ProviderAccounts.opened(None, "https://galwad.example", engine) is None


async def test_a_person_without_a_role_is_refused_and_no_user_is_added(accounts, users):
    with pytest.raises(RefusedError) as refused:
        await accounts.enter(IdToken("oid-1", frozenset({"Other"}), "sian"), "en")
    assert (refused.value.reason, refused.value.user) == ("no_role", "")
    assert await users.all() == []


async def test_the_refusal_of_a_user_without_a_role_or_disabled_names_the_user(accounts, users):
    token = IdToken("oid-1", frozenset({"Galwad.Advisor"}), "sian")
    assert (await accounts.enter(token, "en")).user.name == "sian"
    with pytest.raises(RefusedError) as refused:
        await accounts.enter(IdToken("oid-1", frozenset(), "sian"), "en")
    assert (refused.value.reason, refused.value.user) == ("no_role", "sian")
    await change(users, "sian", disabled=True)
    with pytest.raises(RefusedError) as refused:
        await accounts.enter(token, "en")
    assert (refused.value.reason, refused.value.user) == ("disabled", "sian")


def test_without_a_list_every_user_may_sign_in_with_a_password_and_none_is_break_glass(accounts):
    assert accounts.takes_password_of("sian")
    assert not accounts.is_break_glass("sian")
