from __future__ import annotations

import pytest
from sqlalchemy import text, update

from galwad.desk.tables import sessions

CALL = "20261125-101500-aaaaaaaa"
FULL = "CREATE TRIGGER {} BEFORE {} BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"


@pytest.fixture
async def full_disk(running):
    """A disk that takes no row more, once every session has been idle for five minutes."""

    async def fill():
        async with running.desk.engine.begin() as connection:
            await connection.execute(update(sessions).values(seen=sessions.c.seen - 300))
            await connection.execute(text(FULL.format("f1", "UPDATE ON sessions")))
            await connection.execute(text(FULL.format("f2", "INSERT ON audit_entries")))

    return fill


async def test_a_full_disk_keeps_nobody_from_pausing(running, full_disk):
    sian, payments = await running.page("sian"), await running.machine("pay", "payments")
    await sian.open()
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    await full_disk()
    url = f"/api/v1/calls/{CALL}/payment"
    for who in (sian.http, payments):
        reply = await who.put(url)
        assert (reply.status_code, reply.json()["state"]) == (200, "paused")
    assert set(running.switch.calls[CALL].holders) == {"page", "token:pay"}


async def test_what_a_full_disk_cannot_audit_stays_paused(running, full_disk):
    payments = await running.machine("pay", "payments")
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201")
    url = f"/api/v1/calls/{CALL}/payment"
    await payments.put(url)
    await full_disk()
    reply = await payments.delete(url)
    assert reply.status_code == 503
    assert running.switch.calls[CALL].holders == ("token:pay",)
