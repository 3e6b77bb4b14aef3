"""Users, passwords, tokens and the ends of sessions, and changes made on the server itself.

Covers `galwad/desk/maintenance/administration.py`.
"""

from __future__ import annotations

import hashlib

import pytest
from argon2 import PasswordHasher

from galwad.desk.auth.users import User, UserError, Users
from galwad.desk.maintenance.administration import Administration, poke
from galwad.messages import SetPhones
from recording.audit.log import verify

PASSWORD = "correct horse battery"


@pytest.fixture
async def users(engine):
    users = Users(engine, PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
    await users.add(User("sian", "advisor", extension="201"), PASSWORD, "sip secret")
    return users


async def test_only_the_right_password_of_a_known_user_is_accepted(users):
    assert (await users.check("sian", PASSWORD)).name == "sian"
    assert await users.check("sian", "wrong") is None
    assert await users.check("nobody", PASSWORD) is None
    await users.disable("sian")
    assert await users.check("sian", PASSWORD) is None


async def test_sip_passwords_are_stored_only_as_digests(users):
    (account,) = await users.accounts()
    text = b"201:galwad:sip secret"
    assert account.ha1_md5 == hashlib.md5(text).hexdigest()
    assert account.ha1_sha256 == hashlib.sha256(text).hexdigest()
    await users.disable("sian")
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


async def test_a_machines_token_ends_only_when_the_machine_is_disabled(users, open_sessions, clock):
    await users.add(User("pay", "machine", rights=frozenset({"payments"})), None)
    sessions = open_sessions(idle=100, absolute=200, clock=clock)
    token = await sessions.open("pay", "machine")
    clock.now += 1_000_000
    assert (await sessions.find(token)).user.rights == {"payments"}
    await users.disable("pay")
    assert await sessions.find(token) is None


async def test_a_user_added_on_the_server_reaches_the_switch_at_once(running):
    options = running.options
    admin = Administration(options.database, options.node)
    assert await admin.add_user(User("nia", "advisor", extension="203"), PASSWORD, "s") is None
    token = await admin.add_user(User("pay", "machine", rights=frozenset({"payments"})), None)
    assert await poke(options.desk_socket)
    phones = (await running.switch.until(SetPhones, 2))[-1]
    assert [account.extension for account in phones.accounts] == ["201", "202", "203"]
    client = running.client(headers={"Authorization": f"Bearer {token}"})
    assert (await client.get("/api/v1/me")).json()["role"] == "machine"
    entries = [e for e in await running.desk.audit.entries() if e.kind == "user.added"]
    assert [entry.personal["user"] for entry in entries] == ["nia", "pay"]
    assert (await verify(running.desk.engine, options.node)).is_clean


async def test_notifying_a_desk_that_does_not_run_returns_false(tmp_path):
    assert not await poke(tmp_path / "desk.sock")
