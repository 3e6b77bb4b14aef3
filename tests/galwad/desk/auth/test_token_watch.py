"""The warnings of tokens that expire: once a day in the log, and in the metric."""

from __future__ import annotations

import pytest
import structlog

from galwad.desk.auth.token_watch import TokenWatch
from galwad.desk.auth.tokens import DAY_S, Tokens
from galwad.desk.auth.users import User, Users

PAY = User("pay", "machine", rights=frozenset({"payments"}))
SIAN = User("sian", "advisor")


@pytest.fixture
async def tokens(engine, clock):
    await Users(engine).add(PAY, None)
    await Users(engine).add(SIAN, "correct horse battery")
    return Tokens(engine, clock)


async def test_a_machines_token_is_logged_once_a_day_before_and_after_its_expiry(tokens, clock):
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
