"""Tokens: their scopes, names, expiry and last use, the warnings, and what a user can have."""

from __future__ import annotations

import re

import pytest
import structlog
from sqlalchemy import event, text

from galwad.people.store import Users
from galwad.people.tokens import DAY_S, MAX_DAYS, MAX_TOKENS, Tokens, TokenWatch
from galwad.people.user import User, UserError
from helpers.people import change

PAY = User("pay", "machine", rights=frozenset({"payments", "metrics"}))
SIAN = User("sian", "advisor")


@pytest.fixture
async def sessions(engine, open_sessions, clock):
    users = Users(engine)
    await users.add(PAY, None)
    await users.add(SIAN, "correct horse battery")
    return open_sessions(clock=clock)


async def test_a_token_is_stored_as_a_digest_and_begins_with_the_prefix(sessions, engine):
    secret, token = await sessions.tokens.make(PAY, "os:root", "spring")
    assert re.fullmatch(r"galwad_[A-Za-z0-9_-]{43}", secret)
    async with engine.connect() as connection:
        rows = (await connection.execute(text("SELECT * FROM sessions"))).all()
    assert secret not in str(rows)
    assert secret[7:] not in str(rows)
    assert await sessions.tokens.all() == [token]
    assert (token.created_by, token.last_used, token.address) == ("os:root", None, "")


async def test_a_token_gives_only_the_rights_that_both_the_token_and_its_machine_have(
    sessions, engine
):
    payments, _ = await sessions.tokens.make(PAY, "os:root", "one", {"payments"})
    every, _ = await sessions.tokens.make(PAY, "os:root", "two")
    assert (await sessions.find(payments)).user.rights == {"payments"}
    assert (await sessions.find(every)).user.rights == {"payments", "metrics"}
    await change(Users(engine), "pay", rights=frozenset({"metrics"}))
    assert (await sessions.find(payments)).user.rights == frozenset()
    assert (await sessions.find(every)).user.rights == {"metrics"}


async def test_a_token_ends_at_its_expiry_and_not_through_lack_of_use(sessions, clock):
    secret, token = await sessions.tokens.make(PAY, "os:root", "short", days=2)
    assert token.expires == clock.now + 2 * DAY_S
    clock.now += 2 * DAY_S
    session = await sessions.find(secret)
    assert session.until == token.expires
    clock.now += 1
    assert await sessions.find(secret) is None
    assert not await sessions.alive(session)
    assert [each.name for each in await sessions.tokens.all("pay")] == ["short"]


async def test_a_second_token_replaces_the_first_without_a_gap(sessions):
    first, old = await sessions.tokens.make(PAY, "os:root", "old")
    second, _ = await sessions.tokens.make(PAY, "os:root", "new")
    assert await sessions.find(first) is not None
    assert await sessions.find(second) is not None
    await sessions.end(old.key)
    assert await sessions.find(first) is None
    assert await sessions.find(second) is not None


async def test_the_first_use_is_stored_at_once_and_further_uses_at_most_every_half_minute(
    sessions, engine, clock
):
    writes = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def executed(_connection, _cursor, statement, *_):
        writes.append(statement) if statement.startswith("UPDATE sessions") else None

    secret, _ = await sessions.tokens.make(PAY, "os:root", "x")
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.2"):
        clock.now += 5
        await sessions.find(secret, address)
        await sessions.stop()
    (token,) = await sessions.tokens.all()
    assert (token.last_used, token.address, len(writes)) == (clock.now - 10, "192.0.2.1", 1)
    clock.now += 31
    await sessions.find(secret, "192.0.2.2")
    await sessions.stop()
    (token,) = await sessions.tokens.all()
    assert (token.last_used, token.address, len(writes)) == (clock.now, "192.0.2.2", 2)


async def test_the_address_of_a_signed_in_person_is_not_stored(sessions, engine, clock):
    secret = await sessions.open("sian", "page")
    clock.now += 60
    await sessions.find(secret, "192.0.2.1")
    await sessions.stop()
    async with engine.connect() as connection:
        (address,) = await connection.scalars(text("SELECT address FROM sessions"))
    assert address == ""


async def test_a_person_gets_a_token_that_only_pauses_and_ends_when_the_person_is_disabled(
    sessions, engine
):
    secret, token = await sessions.tokens.make(SIAN, "user:sian", "desktop")
    session = await sessions.find(secret)
    assert (session.kind, session.actor, session.only_pauses) == ("pause", "user:sian", True)
    assert token.rights == {"pause"}
    await change(Users(engine), "sian", disabled=True)
    assert await sessions.find(secret) is None
    await change(Users(engine), "sian", disabled=False)
    assert await sessions.find(secret) is None


async def test_a_new_password_ends_a_personal_token(sessions, engine):
    secret, _ = await sessions.tokens.make(SIAN, "user:sian", "desktop")
    await change(Users(engine), "sian", password="another long password")
    assert await sessions.find(secret) is None


async def test_no_personal_token_is_in_force_while_the_setting_is_off(sessions, open_sessions):
    own, _ = await sessions.tokens.make(SIAN, "user:sian", "desktop")
    machine, _ = await sessions.tokens.make(PAY, "os:root", "x")
    off = open_sessions(personal=False, clock=sessions.clock)
    assert await off.find(own) is None
    assert await off.find(machine) is not None


@pytest.mark.parametrize(
    ("user", "values", "error"),
    [
        (PAY, ("Spring 2027",), "name is not valid"),
        (PAY, ("4111-1111-1111-1111",), "payment card"),
        (PAY, ("x", {"anchors"}), "does not have the right anchors"),
        (PAY, ("x", {"pause"}), "does not have the right pause"),
        (PAY, ("x", ()), "has no right"),
        (PAY, ("x", None, 0), "lifetime"),
        (PAY, ("x", None, MAX_DAYS + 1), "lifetime"),
        (SIAN, ("x", {"payments"}), "can only pause"),
        (User("old", "machine", disabled=True), ("x",), "is disabled"),
    ],
)
async def test_a_token_with_a_wrong_value_is_refused(sessions, user, values, error):
    with pytest.raises(UserError, match=error):
        await sessions.tokens.make(user, "os:root", *values)
    assert await sessions.tokens.all() == []


async def test_two_tokens_of_one_user_cannot_have_the_same_name_but_tokens_of_two_users_can(
    sessions,
):
    await sessions.tokens.make(PAY, "os:root", "x")
    with pytest.raises(UserError, match='token named "x" already'):
        await sessions.tokens.make(PAY, "os:root", "x")
    await sessions.tokens.make(SIAN, "user:sian", "x")


async def test_a_user_can_have_at_most_twenty_tokens(sessions):
    for number in range(MAX_TOKENS):
        await sessions.tokens.make(PAY, "os:root", f"t{number}")
    with pytest.raises(UserError, match="has 20 tokens"):
        await sessions.tokens.make(PAY, "os:root", "more")


@pytest.fixture
async def tokens(engine, clock):
    await Users(engine).add(PAY, None)
    await Users(engine).add(SIAN, "correct horse battery")
    return Tokens(engine, clock)


async def test_a_machines_token_is_logged_once_a_day_when_it_expires_soon_and_when_it_has_expired(
    tokens, clock
):
    await tokens.make(PAY, "os:root", "soon", days=31)
    await tokens.make(PAY, "os:root", "never", days=None)
    await tokens.make(SIAN, "user:sian", "desktop", days=1)
    metric: list[float] = []
    watch = TokenWatch(tokens, metric.append, clock)
    begun = clock.now
    with structlog.testing.capture_logs() as logs:
        await watch.check()
        assert logs == []
        clock.now += 2 * DAY_S
        await watch.check()
        await watch.check()
        clock.now += DAY_S
        await watch.check()
        clock.now += 30 * DAY_S
        await watch.check()
    assert [(each["event"], each["token"], each["days"]) for each in logs] == [
        ("token.expires_soon", "soon", 29.0),
        ("token.expires_soon", "soon", 28.0),
        ("token.expired", "soon", -2.0),
    ]
    assert set(metric) == {begun + 31 * DAY_S}


async def test_the_metric_is_zero_if_no_token_expires(tokens, clock):
    await tokens.make(PAY, "os:root", "never", days=None)
    metric: list[float] = []
    await TokenWatch(tokens, metric.append, clock).check()
    assert metric == [0.0]
