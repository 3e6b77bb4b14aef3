"""Tokens of payment pages: stored as digests, used for one pause, expired and removed in time."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from galwad.calls.payment_tokens import LIFETIME_S, PaymentTokens
from galwad.people.store import Users, payment_tokens
from galwad.people.user import User
from helpers.people import change

CALL = "20261125-101500-aaaaaaaa"


@pytest.fixture
async def users(engine):
    users = Users(engine)
    await users.add(User("crm", "machine", rights=frozenset({"payments"})), None)
    return users


@pytest.fixture
def tokens(engine, clock, users):
    return PaymentTokens(engine, clock)


async def rows(engine):
    async with engine.connect() as connection:
        return (await connection.execute(select(payment_tokens))).all()


async def test_only_the_digest_of_a_token_is_stored(tokens, engine):
    secret, token = await tokens.make("crm", CALL)
    assert secret not in str(await rows(engine))
    assert await tokens.find(secret) == token
    assert await tokens.find(token.key) is None
    assert await tokens.find("") is None
    assert token.holder == f"payment:crm-{token.key[:8]}"
    assert secret[:8] not in token.holder


async def test_an_unused_token_expires_and_a_used_token_does_not(tokens, clock):
    unused, _ = await tokens.make("crm", CALL)
    used, token = await tokens.make("crm", CALL)
    await tokens.paused(token)
    clock.now += LIFETIME_S
    assert tokens.may_pause(await tokens.find(unused))
    clock.now += 1
    assert not tokens.may_pause(await tokens.find(unused))
    assert tokens.may_pause(await tokens.find(used))


async def test_a_released_token_never_pauses_again(tokens):
    secret, token = await tokens.make("crm", CALL)
    await tokens.released(token)
    await tokens.paused(token)
    assert not tokens.may_pause(await tokens.find(secret))


@pytest.mark.parametrize("action", ["disable", "take the right away"])
async def test_tokens_of_a_machine_that_lost_its_right_cannot_begin_a_pause_but_can_end_one(
    tokens, users, action
):
    unused, _ = await tokens.make("crm", CALL)
    used, token = await tokens.make("crm", CALL)
    await tokens.paused(token)
    if action == "disable":
        await change(users, "crm", disabled=True)
    else:
        await change(users, "crm", rights=frozenset({"metrics"}))
    assert await tokens.find(unused) is None
    found = await tokens.find(used)
    assert found is not None
    assert found.used


async def test_tokens_are_removed_a_day_after_their_end_and_those_without_an_end_after_a_week(
    tokens, engine, clock
):
    _, released = await tokens.make("crm", CALL)
    await tokens.released(released)
    _, standing = await tokens.make("crm", CALL)
    await tokens.paused(standing)
    await tokens.make("crm", CALL)
    clock.now += LIFETIME_S + 86400 + 1
    _, new = await tokens.make("crm", CALL)
    assert {row.token_sha256 for row in await rows(engine)} == {standing.key, new.key}
    clock.now += 7 * 86400
    _, newest = await tokens.make("crm", CALL)
    assert {row.token_sha256 for row in await rows(engine)} == {newest.key}
