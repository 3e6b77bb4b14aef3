"""Second factors in the database: setup, one use of each code, recovery codes, removal."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from galwad.people import totp
from galwad.people.second_factor import SETUP_S, CodeVerdict, SecondFactors, SecretBox, SetupError
from galwad.people.store import Users
from galwad.people.tokens import Tokens
from galwad.people.user import User, UserError
from helpers.people import change, remove

SIAN = User("sian", "advisor")


def code_at(secret, now):
    return totp.code_of(secret, totp.step_at(now))


@pytest.fixture
async def sessions(engine, open_sessions, clock):
    await Users(engine).add(SIAN, "correct horse battery")
    await Users(engine).add(User("huw", "advisor"), "correct horse battery")
    return open_sessions(clock=clock)


@pytest.fixture
def factors(engine, tmp_path, clock):
    return SecondFactors(engine, SecretBox(tmp_path / "second-factor.key"), clock)


@pytest.fixture
async def session(sessions):
    return await sessions.find(await sessions.open("sian", "page"))


@pytest.fixture
async def set_up(factors, session, clock):
    """Sian's second factor: its secret and her recovery codes. The clock is a step later then."""
    secret = factors.begin(session)
    codes = await factors.confirm(session, code_at(secret, clock.now))
    clock.now += totp.STEP_S
    return secret, codes


async def test_a_setup_is_in_force_only_after_its_first_code(factors, session, engine, clock):
    secret = factors.begin(session)
    assert await factors.status("sian") is None
    with pytest.raises(SetupError, match="wrong"):
        await factors.confirm(session, "not a code")
    codes = await factors.confirm(session, code_at(secret, clock.now))
    assert len(codes) == 10
    status = await factors.status("sian")
    assert (status.since, status.recovery_left, status.recovery_used) == (clock.now, 10, None)
    assert {each.name: each.second_factor for each in await Users(engine).facts()} == {
        "sian": True,
        "huw": False,
    }
    with pytest.raises(SetupError, match="none"):
        await factors.confirm(session, code_at(secret, clock.now))


async def test_the_code_that_confirmed_a_setup_is_used_up(factors, session, clock):
    secret = factors.begin(session)
    await factors.confirm(session, code_at(secret, clock.now))
    assert await factors.check("sian", code_at(secret, clock.now)) is CodeVerdict.USED


async def test_a_setup_expires_and_a_second_setup_replaces_the_first(factors, session, clock):
    first = factors.begin(session)
    second = factors.begin(session)
    with pytest.raises(SetupError, match="wrong"):
        await factors.confirm(session, code_at(first, clock.now))
    clock.now += SETUP_S + 1
    with pytest.raises(SetupError, match="none"):
        await factors.confirm(session, code_at(second, clock.now))


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_a_phone_clock_ten_minutes_off_is_reported_at_the_setup(
    factors, session, clock, seconds
):
    secret = factors.begin(session)
    with pytest.raises(SetupError, match="clock") as refused:
        await factors.confirm(session, code_at(secret, clock.now + seconds))
    assert refused.value.seconds == seconds
    assert await factors.status("sian") is None


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (-90, CodeVerdict.WRONG),
        (-30, CodeVerdict.ACCEPTED),
        (0, CodeVerdict.ACCEPTED),
        (30, CodeVerdict.ACCEPTED),
        (90, CodeVerdict.WRONG),
        (600, CodeVerdict.WRONG),
    ],
)
async def test_a_phone_may_be_half_a_minute_off_and_not_more(
    factors, set_up, clock, seconds, verdict
):
    clock.now += 600
    secret, _ = set_up
    assert await factors.check("sian", code_at(secret, clock.now + seconds)) is verdict


async def test_after_an_accepted_code_that_code_and_older_ones_are_refused_also_after_a_restart(
    factors, set_up, clock, engine, tmp_path
):
    secret, _ = set_up
    clock.now += 600
    older, newer = (code_at(secret, clock.now + seconds) for seconds in (0, 30))
    assert await factors.check("sian", newer) is CodeVerdict.ACCEPTED
    again = SecondFactors(engine, SecretBox(tmp_path / "second-factor.key"), clock)
    assert await again.check("sian", newer) is CodeVerdict.USED
    assert await again.check("sian", older) is CodeVerdict.USED


async def test_of_simultaneous_checks_of_one_code_exactly_one_accepts_the_code(
    factors, set_up, clock
):
    secret, codes = set_up
    for code, right in (
        (code_at(secret, clock.now), CodeVerdict.ACCEPTED),
        (codes[0], CodeVerdict.RECOVERY),
    ):
        verdicts = await asyncio.gather(*(factors.check("sian", code) for _ in range(8)))
        assert verdicts.count(right) == 1
        assert len(set(verdicts)) == 2


async def test_a_recovery_code_works_once_and_leaves_a_notice(factors, set_up, clock):
    _, codes = set_up
    assert await factors.check("sian", codes[3].upper()) is CodeVerdict.RECOVERY
    assert await factors.check("sian", codes[3]) is CodeVerdict.WRONG
    status = await factors.status("sian")
    assert (status.recovery_left, status.recovery_used) == (9, clock.now)
    await factors.seen("sian")
    assert (await factors.status("sian")).recovery_used is None


async def test_a_recovery_code_of_another_user_is_wrong(factors, set_up):
    _, codes = set_up
    assert await factors.check("huw", codes[0]) is CodeVerdict.WRONG
    assert await factors.check("huw", "123456") is CodeVerdict.WRONG
    assert (await factors.status("sian")).recovery_left == 10


async def test_new_recovery_codes_replace_all_earlier_ones(factors, set_up):
    _, old = set_up
    new = await factors.renew_codes("sian")
    assert await factors.check("sian", old[0]) is CodeVerdict.WRONG
    assert await factors.check("sian", new[0]) is CodeVerdict.RECOVERY
    assert (await factors.status("sian")).recovery_left == 9


async def test_a_setup_ends_other_sessions_opened_with_a_password_and_unlocks_its_own_session(
    factors, sessions, engine, clock
):
    tokens = {
        "own": await sessions.open("sian", "page", needs_second_factor=True),
        "other": await sessions.open("sian", "cli"),
        "provider": await sessions.open("sian", "page", provider=True),
        "huw": await sessions.open("huw", "page"),
    }
    tokens["personal"], _ = await Tokens(engine, clock).make(SIAN, "user:sian", "key", days=1)
    own = await sessions.find(tokens["own"])
    assert own.needs_second_factor
    secret = factors.begin(own)
    await factors.confirm(own, code_at(secret, clock.now))
    found = {name: await sessions.find(token) for name, token in tokens.items()}
    assert {name for name, each in found.items() if each is None} == {"other"}
    assert not found["own"].needs_second_factor


async def test_a_removal_ends_sessions_opened_with_a_password_and_keeps_tokens(
    factors, set_up, sessions, engine, clock
):
    page = await sessions.open("sian", "page")
    personal, _ = await Tokens(engine, clock).make(SIAN, "user:sian", "key", days=1)
    await change(Users(engine), "sian", second_factor=False)
    assert await factors.status("sian") is None
    assert not any(each.second_factor for each in await Users(engine).facts())
    assert await sessions.find(page) is None
    assert await sessions.find(personal) is not None
    assert await factors.check("sian", set_up[1][0]) is CodeVerdict.WRONG
    with pytest.raises(UserError, match="second factor"):
        await change(Users(engine), "sian", second_factor=False)


async def test_switching_the_second_factor_off_ends_no_session(factors, set_up, sessions):
    page = await sessions.open("sian", "page")
    await factors.switch_off("sian")
    assert await factors.status("sian") is None
    assert await sessions.find(page) is not None


async def test_a_removed_user_leaves_neither_secret_nor_codes(factors, set_up, engine):
    await remove(Users(engine), "sian")
    async with engine.connect() as connection:
        for table in ("second_factors", "recovery_codes"):
            assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0


async def test_the_database_has_neither_the_secret_nor_a_recovery_code(factors, set_up, engine):
    secret, codes = set_up
    async with engine.connect() as connection:
        rows = [
            *(await connection.execute(text("SELECT * FROM second_factors"))).all(),
            *(await connection.execute(text("SELECT * FROM recovery_codes"))).all(),
        ]
    stored = repr(rows)
    assert len(rows) == 11
    assert totp.text_of(secret) not in stored
    for code in codes:
        assert code not in stored
        assert code.replace("-", "") not in stored


async def test_without_the_key_file_codes_cannot_be_checked_but_recovery_codes_can(
    engine, set_up, clock, tmp_path
):
    secret, codes = set_up
    restored = SecondFactors(engine, SecretBox(tmp_path / "lost.key"), clock)
    assert await restored.check("sian", code_at(secret, clock.now)) is CodeVerdict.UNREADABLE
    assert await restored.check("sian", codes[0]) is CodeVerdict.RECOVERY
