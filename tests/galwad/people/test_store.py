"""Users, passwords, tokens and the ends of sessions, and changes made on the server itself.

Covers `galwad/administration.py`.
"""

from __future__ import annotations

import hashlib

import pytest

from galwad.administration import Administration, poke
from galwad.messages import SetPhones
from galwad.people.store import Users
from galwad.people.user import User, UserChange, UserError
from helpers.desk import HASHER
from helpers.people import change, remove
from recording.audit.log import verify

PASSWORD = "correct horse battery"


@pytest.fixture
async def users(engine):
    users = Users(engine, HASHER)
    await users.add(User("sian", "advisor", extension="201"), PASSWORD, "sip secret")
    return users


async def test_only_the_right_password_of_a_known_user_is_accepted(users):
    assert (await users.check("sian", PASSWORD)).name == "sian"
    assert await users.check("sian", "wrong") is None
    assert await users.check("nobody", PASSWORD) is None
    await change(users, "sian", disabled=True)
    assert await users.check("sian", PASSWORD) is None


async def test_sip_passwords_are_stored_only_as_digests(users):
    (account,) = await users.accounts()
    text = b"201:galwad:sip secret"
    assert account.ha1_md5 == hashlib.md5(text).hexdigest()
    assert account.ha1_sha256 == hashlib.sha256(text).hexdigest()
    await change(users, "sian", disabled=True)
    assert await users.accounts() == ()


@pytest.mark.parametrize(
    ("user", "password"),
    [
        (User("Sian Jones", "advisor"), PASSWORD),
        (User("huw", "director"), PASSWORD),  # type: ignore[arg-type] # no such role
        (User("huw", "advisor", extension="2 01"), PASSWORD),
        (User("huw", "advisor"), "short"),
        (User("huw", "advisor"), None),
        (User("pay", "machine"), PASSWORD),
        (User("pay", "machine", rights=frozenset({"everything"})), None),
        (User("huw", "advisor", rights=frozenset({"payments"})), PASSWORD),
        (User("sian", "advisor"), PASSWORD),
        (User("huw", "advisor", extension="201"), PASSWORD),
    ],
)
async def test_an_invalid_or_duplicate_user_is_refused(users, user, password):
    with pytest.raises(UserError):
        await users.add(user, password)


async def test_a_session_ends_when_idle_and_at_its_absolute_end(users, open_sessions, clock):
    sessions = open_sessions(idle=100, absolute=350, clock=clock)
    token = await sessions.open("sian", "page")
    for _ in range(3):
        clock.now += 90
        assert await sessions.find(token) is not None
    clock.now += 90
    assert await sessions.find(token) is None
    token = await sessions.open("sian", "page")
    clock.now += 101
    assert await sessions.find(token) is None


async def test_a_user_in_a_call_is_not_idle(users, open_sessions, clock):
    sessions = open_sessions(idle=100, absolute=1000, clock=clock)
    session = await sessions.find(await sessions.open("sian", "page"))
    for _ in range(3):
        clock.now += 60
        assert await sessions.alive(session, busy=True)
    clock.now += 101
    assert not await sessions.alive(session, busy=True)


async def test_checking_a_session_does_not_extend_it(users, open_sessions, clock):
    sessions = open_sessions(idle=100, absolute=1000, clock=clock)
    session = await sessions.find(await sessions.open("sian", "page"))
    clock.now += 60
    assert await sessions.alive(session)
    clock.now += 60
    assert not await sessions.alive(session)


async def test_the_database_stores_only_the_hash_of_a_token(users, engine, open_sessions):
    token = await open_sessions().open("sian", "page")
    async with engine.connect() as connection:
        rows = (await connection.exec_driver_sql("SELECT * FROM sessions")).all()
    assert token not in str(rows)


@pytest.mark.parametrize(
    "user",
    [
        User("4111111111111111", "advisor"),
        User("sian", "advisor", extension="4111-1111-1111-1111"),
    ],
)
async def test_a_user_name_or_extension_that_is_a_card_number_is_refused(users, user):
    before = await users.all()
    with pytest.raises(UserError, match="payment card") as refused:
        await users.add(user, PASSWORD)
    assert "1111" not in str(refused.value)
    assert await users.all() == before


async def test_a_machines_token_does_not_idle_out_and_ends_when_the_machine_is_disabled(
    users, open_sessions, clock
):
    await users.add(User("pay", "machine", rights=frozenset({"payments"})), None)
    sessions = open_sessions(idle=100, absolute=200, clock=clock)
    token = await sessions.open("pay", "machine")
    clock.now += 1_000_000
    assert (await sessions.find(token)).user.rights == {"payments"}
    await change(users, "pay", disabled=True)
    assert await sessions.find(token) is None


async def test_a_user_added_on_the_server_reaches_the_switch_at_once(running):
    settings = running.settings
    admin = Administration(settings.database, settings.node.name)
    async with admin.users() as users:
        assert (await users.add(User("nia", "advisor", extension="203"), PASSWORD)).token is None
        token = (await users.add(User("pay", "machine", rights=frozenset({"payments"})))).token
    assert await poke(settings.desk_socket)
    phones = (await running.switch.until(SetPhones, 2))[-1]
    assert [account.extension for account in phones.accounts] == ["201", "202", "203"]
    client = running.client(headers={"Authorization": f"Bearer {token}"})
    assert (await client.get("/api/v1/me")).json()["role"] == "machine"
    entries = [e for e in await running.desk.host.audit.entries() if e.kind == "user.added"]
    assert [entry.personal["user"] for entry in entries] == ["nia", "pay"]
    assert (await verify(running.desk.host.engine, settings.node.name)).is_clean


async def test_notifying_a_desk_that_does_not_run_returns_false(tmp_path):
    assert not await poke(tmp_path / "desk.sock")


async def test_a_new_password_ends_all_sessions_of_the_user_and_the_old_password(
    users, open_sessions
):
    sessions = open_sessions()
    token = await sessions.open("sian", "page")
    await change(users, "sian", password="another long password")
    assert await sessions.find(token) is None
    assert await users.check("sian", PASSWORD) is None
    assert await users.check("sian", "another long password") is not None
    with pytest.raises(UserError, match="too short"):
        await change(users, "sian", password="short")
    await users.add(User("pay", "machine"), None)
    with pytest.raises(UserError) as refused:
        await change(users, "pay", password=PASSWORD)
    assert "enable" in refused.value.hint


async def test_a_new_sip_password_replaces_the_digests_of_the_extension(users):
    (before,) = await users.accounts()
    done = await change(users, "sian", sip_password="new")
    assert done.user.extension == "201"
    (account,) = await users.accounts()
    assert (
        account.ha1_sha256 == hashlib.sha256(f"201:galwad:{done.sip_password}".encode()).hexdigest()
    )
    assert account.ha1_md5 != before.ha1_md5
    await users.add(User("huw", "advisor"), PASSWORD)
    with pytest.raises(UserError) as refused:
        await change(users, "huw", sip_password="new")
    assert refused.value.hint == "give the user one first: `galwad users move huw EXTENSION`"


async def test_a_moved_user_has_the_new_extension_and_the_old_one_is_free(users):
    done = await change(users, "sian", extension="202")
    (account,) = await users.accounts()
    assert (account.extension, account.user) == ("202", "sian")
    assert account.ha1_md5 == hashlib.md5(f"202:galwad:{done.sip_password}".encode()).hexdigest()
    await users.add(User("huw", "advisor", extension="201"), PASSWORD, "s")
    with pytest.raises(UserError, match='another user has the extension "201"'):
        await change(users, "sian", extension="201")
    with pytest.raises(UserError, match="not valid"):
        await change(users, "sian", extension="2 01")
    with pytest.raises(UserError, match="payment card"):
        await change(users, "sian", extension="4111-1111-1111-1111")
    await change(users, "sian", extension="")
    assert [each.extension for each in await users.accounts()] == ["201"]
    await change(users, "sian", extension="202")
    await change(users, "sian", extension="202")
    assert len(await users.accounts()) == 2


@pytest.mark.parametrize("how", ["add", "move"])
async def test_a_disabled_users_extension_is_free_and_stays_with_its_new_user(users, how):
    await change(users, "sian", disabled=True)
    if how == "add":
        await users.add(User("huw", "advisor", extension="201"), PASSWORD, "s")
    else:
        await users.add(User("huw", "advisor"), PASSWORD)
        await change(users, "huw", extension="201")
    enabled = (await change(users, "sian", disabled=False)).user
    assert (enabled.extension, enabled.disabled) == (None, False)
    assert [(each.extension, each.user) for each in await users.accounts()] == [("201", "huw")]


async def test_an_enabled_user_signs_in_and_registers_with_the_old_passwords(users):
    before = await users.accounts()
    await change(users, "sian", disabled=True)
    assert (await change(users, "sian", disabled=False)).user.extension == "201"
    assert await users.check("sian", PASSWORD) is not None
    assert await users.accounts() == before


async def test_a_removed_user_leaves_no_session_and_a_free_name(users, open_sessions):
    sessions = open_sessions()
    token = await sessions.open("sian", "page")
    await remove(users, "sian")
    assert await sessions.find(token) is None
    assert await users.check("sian", PASSWORD) is None
    assert await users.accounts() == ()
    await users.add(User("sian", "advisor", extension="201"), PASSWORD, "s")
    assert await sessions.find(token) is None


@pytest.mark.parametrize(
    "values",
    [
        {"disabled": False},
        {"disabled": True},
        {"password": PASSWORD},
        {"sip_password": "new"},
        {"extension": "209"},
        {"rights": frozenset()},
    ],
)
async def test_a_change_of_an_unknown_user_is_refused(users, values):
    with pytest.raises(UserError, match='there is no user "nia"'):
        await change(users, "nia", **values)


async def test_the_removal_of_an_unknown_user_is_refused(users):
    with pytest.raises(UserError, match='there is no user "nia"'):
        await remove(users, "nia")


async def test_each_change_reaches_the_switch_and_the_audit(running):
    settings = running.settings
    admin = Administration(settings.database, settings.node.name)
    async with admin.users() as users:
        await users.add(User("nia", "advisor", extension="203"), PASSWORD)
        await users.change("nia", UserChange(extension="204"))
    assert await poke(settings.desk_socket)
    phones = (await running.switch.until(SetPhones, 2))[-1]
    assert [account.extension for account in phones.accounts] == ["201", "202", "204"]
    async with admin.users() as users:
        await users.change("nia", UserChange(sip_password="new"))
        await users.change("nia", UserChange(password="new"), password=PASSWORD)
        await users.change("nia", UserChange(disabled=True))
        enabled = await users.change("nia", UserChange(disabled=False))
        assert (enabled.user.extension, enabled.token) == ("204", None)
        await users.remove("nia")
    assert await poke(settings.desk_socket)
    phones = (await running.switch.until(SetPhones, 3))[-1]
    assert [account.extension for account in phones.accounts] == ["201", "202"]
    entries = [
        e for e in await running.desk.host.audit.entries() if e.personal.get("user") == "nia"
    ]
    assert [entry.kind for entry in entries] == [
        "user.added",
        "user.moved",
        "user.sip-password-set",
        "user.password-set",
        "user.disabled",
        "user.enabled",
        "user.removed",
    ]
    assert all(entry.personal["actor"].startswith("os:") for entry in entries)
    assert "204" not in str([entry.facts for entry in entries])


async def test_a_machine_that_is_enabled_again_gets_a_new_token(running):
    admin = Administration(running.settings.database, running.settings.node.name)
    async with admin.users() as users:
        old = (await users.add(User("pay", "machine", rights=frozenset({"payments"})))).token
        await users.change("pay", UserChange(disabled=True))
        token = (await users.change("pay", UserChange(disabled=False))).token
    assert await running.desk.people.sessions.find(old) is None
    assert (await running.desk.people.sessions.find(token)).user.rights == {"payments"}
