"""Pauses and sessions while the database is full, hangs, or answers again."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import asynccontextmanager, closing

import pytest
import structlog
from sqlalchemy import event, text, update
from sqlalchemy.exc import OperationalError

from galwad.messages import Pause, Resume
from galwad.people.store import Users, sessions
from galwad.people.user import User
from helpers.people import change

CALL = "20261125-101500-aaaaaaaa"
FULL = "CREATE TRIGGER {} BEFORE {} BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"


@pytest.fixture
async def full_disk(running):
    """Make every session idle for five minutes, then fill the disk for sessions and audit."""

    async def fill():
        async with running.desk.host.engine.begin() as connection:
            await connection.execute(update(sessions).values(seen=sessions.c.seen - 300))
            await connection.execute(text(FULL.format("f1", "UPDATE ON sessions")))
            await connection.execute(text(FULL.format("f2", "INSERT ON audit_entries")))

    return fill


async def test_a_pause_works_on_a_full_disk(running, full_disk):
    sian, payments = await running.answered(CALL), await running.machine("pay", "payments")
    await full_disk()
    url = f"/api/v1/calls/{CALL}/payment"
    for who in (sian.http, payments):
        reply = await who.put(url)
        assert (reply.status_code, reply.json()["state"]) == (200, "paused")
    assert set(running.switch.calls[CALL].holders) == {"page:sian", "token:pay"}


async def test_a_pause_on_a_full_disk_is_audited_once_there_is_space(
    running, full_disk, monkeypatch
):
    monkeypatch.setattr("galwad.host.background._RETRY_S", 0.05)
    payments = await running.machine("pay", "payments")
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201")
    await full_disk()
    with structlog.testing.capture_logs() as logs:
        assert (await payments.put(f"/api/v1/calls/{CALL}/payment")).status_code == 200
        paused = time.time()
        await asyncio.sleep(0.2)  # it is tried again, and logged once
        async with running.desk.host.engine.begin() as connection:
            await connection.execute(text("DROP TRIGGER f2"))
        (entry,) = await audit_of(running, 1, "payment.")
    assert [log["event"] for log in logs].count("payment.not_audited") == 1
    assert (entry.kind, entry.facts["call_id"]) == ("payment.pause", CALL)
    assert entry.at_us <= paused * 1e6


async def test_a_resume_that_a_full_disk_cannot_audit_is_refused(running, full_disk):
    payments = await running.machine("pay", "payments")
    running.switch.ring(CALL)
    running.switch.answer(CALL, "201")
    url = f"/api/v1/calls/{CALL}/payment"
    await payments.put(url)
    await full_disk()
    reply = await payments.delete(url)
    assert reply.status_code == 503
    assert running.switch.calls[CALL].holders == ("token:pay",)


@pytest.fixture
async def stuck_disk(running):
    """A database in which each write waits without an error, as on a disk that hangs."""

    @event.listens_for(running.desk.host.engine.sync_engine, "checkout")
    def patient(connection, _record, _proxy):
        with closing(connection.cursor()) as cursor:
            cursor.execute("PRAGMA busy_timeout = 60000")

    other = sqlite3.connect(
        running.settings.database, isolation_level=None, check_same_thread=False
    )
    with closing(other):

        @asynccontextmanager
        async def stuck():
            # In a thread: the desk, on this loop, may be about to end a transaction of its own.
            await asyncio.to_thread(other.execute, "UPDATE sessions SET seen = seen - 300")
            await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
            try:
                yield
            finally:
                other.execute("ROLLBACK")

        yield stuck


async def test_a_pause_works_while_the_disk_hangs_but_a_resume_is_refused(
    running, stuck_disk, monkeypatch
):
    monkeypatch.setattr("galwad.host.background.AUDIT_S", 0.2)
    sian, payments = await running.answered(CALL), await running.machine("pay", "payments")
    url = f"/api/v1/calls/{CALL}/payment"
    async with stuck_disk():
        for who in (sian.http, payments):
            reply = await who.put(url)
            assert (reply.status_code, reply.json()["state"]) == (200, "paused")
        assert await sian.event("call", lambda pop: len(pop["holders"]) == 2)
        reply = await sian.http.delete(url)
        assert (reply.status_code, reply.json()["error"]) == (503, "the audit does not answer")
    audited = sorted(entry.kind for entry in await audit_of(running, 3, "payment."))
    assert audited == ["payment.pause", "payment.pause", "payment.resume"]
    assert running.switch.of(Resume) == []
    assert len(running.switch.of(Pause)) == 2


async def audit_of(running, count, kind):
    """Wait for `count` audit entries whose kind begins with `kind`, and return them."""
    async with asyncio.timeout(60):
        while True:
            entries = [
                entry
                for entry in await running.desk.host.audit.entries()
                if entry.kind.startswith(kind)
            ]
            if len(entries) >= count:
                return entries
            await asyncio.sleep(0.05)


class Database:
    """An engine whose connections wait until the test releases them, or fail."""

    def __init__(self, engine):
        self._engine = engine
        self.answers = asyncio.Event()
        self.answers.set()
        self.gives = asyncio.Event()
        self.gives.set()
        self.asked = 0
        self.was_read = asyncio.Event()
        self.fails = False

    def execution_options(self, **options):
        return self._engine.execution_options(**options)

    @asynccontextmanager
    async def connect(self):
        self.asked += 1
        await self.answers.wait()
        if self.fails:
            raise OperationalError("", {}, Exception("disk I/O error"))
        async with self._engine.connect() as connection:
            yield connection
            self.was_read.set()
            await self.gives.wait()


@pytest.fixture
async def database(engine):
    await Users(engine).add(User("sian", "advisor"), "correct horse battery")
    return Database(engine)


async def test_a_known_session_stays_valid_until_idle_while_the_database_hangs(
    database, open_sessions, clock
):
    sessions = open_sessions(database, idle=100, absolute=350, clock=clock)
    token, stranger = await sessions.open("sian", "page"), await sessions.open("sian", "page")
    assert await sessions.find(token) is not None
    database.answers.clear()
    waiting = asyncio.create_task(sessions.find(stranger))
    session = await sessions.find(token)
    assert session.user.name == "sian"
    asked = database.asked
    assert await sessions.alive(session)
    assert database.asked == asked  # it is known without another request
    assert not waiting.done()  # this session was never read before
    clock.now += 101
    assert await sessions.find(token) is None
    database.answers.set()
    assert await waiting is None
    await sessions.stop()


async def test_a_session_is_checked_in_the_database_again_once_the_database_answers(
    database, open_sessions
):
    sessions = open_sessions(database)
    token = await sessions.open("sian", "page")
    session = await sessions.find(token)
    database.answers.clear()
    assert await sessions.alive(session)
    database.answers.set()
    await sessions.stop()  # the pending requests are answered
    await sessions.end(session.key)
    assert not await sessions.alive(session)
    assert await sessions.find(token) is None


async def test_a_sign_out_during_a_read_ends_the_session(database, open_sessions):
    sessions = open_sessions(database)
    token = await sessions.open("sian", "page")
    session = await sessions.find(token)
    database.gives.clear()
    database.was_read.clear()
    reading = asyncio.create_task(sessions.find(token))
    await database.was_read.wait()
    await sessions.end(session.key)
    database.gives.set()
    assert await reading is None
    database.answers.clear()
    asking = asyncio.create_task(sessions.find(token))
    await asyncio.wait({asking}, timeout=0.1)
    assert not asking.done()  # the sign-out removed it from memory
    database.answers.set()
    assert await asking is None


async def test_a_sign_out_while_a_read_hangs_ends_the_session(database, open_sessions):
    sessions = open_sessions(database)
    token = await sessions.open("sian", "page")
    session = await sessions.find(token)
    database.answers.clear()
    reading = asyncio.create_task(sessions.find(token))
    await sessions.end(session.key)
    assert await reading is None
    database.answers.set()


async def test_a_disabled_users_session_ends_once_the_database_answers(
    database, engine, open_sessions
):
    sessions = open_sessions(database)
    session = await sessions.find(await sessions.open("sian", "page"))
    database.fails = True
    await change(Users(engine), "sian", disabled=True)
    sessions.recheck()
    assert await sessions.alive(session)
    database.fails = False
    assert not await sessions.alive(session)


async def test_streams_ask_the_database_only_after_a_while_or_after_a_signal_and_share_a_read(
    database, open_sessions, monkeypatch
):
    sessions = open_sessions(database)
    found = [await sessions.find(await sessions.open("sian", "page")) for _ in range(3)]
    asked = database.asked

    async def all_alive():
        return await asyncio.gather(*(sessions.alive(session) for session in found * 100))

    assert all(await all_alive())
    assert database.asked == asked
    sessions.recheck()
    assert all(await all_alive())
    assert database.asked == asked + 1
    monkeypatch.setattr("galwad.people.sessions.RECHECK_S", 0.0)
    assert all(await asyncio.gather(*(sessions.alive(session) for session in found)))
    assert database.asked > asked + 1


async def test_a_change_of_users_during_a_read_of_all_sessions_is_not_missed(
    database, engine, open_sessions
):
    sessions = open_sessions(database)
    session = await sessions.find(await sessions.open("sian", "page"))
    database.gives.clear()
    database.was_read.clear()
    sessions.recheck()
    asking = asyncio.create_task(sessions.alive(session))
    await database.was_read.wait()
    await change(Users(engine), "sian", disabled=True)
    sessions.recheck()
    database.gives.set()
    assert not await asking


async def test_unknown_tokens_leave_connections_to_the_database_for_known_sessions(
    database, open_sessions
):
    sessions = open_sessions(database)
    token = await sessions.open("sian", "page")
    assert await sessions.find(token) is not None
    database.gives.clear()
    asked = database.asked
    strangers = [asyncio.create_task(sessions.find(f"guess {number}")) for number in range(50)]
    await asyncio.sleep(0.05)
    assert database.asked - asked <= 4
    database.gives.set()
    assert await asyncio.gather(*strangers) == [None] * 50


async def test_a_database_error_for_a_session_not_in_memory_is_raised(database, open_sessions):
    sessions = open_sessions(database)
    token = await sessions.open("sian", "page")
    database.fails = True
    with pytest.raises(OperationalError):
        await sessions.find(token)


async def test_session_use_that_cannot_be_stored_still_prevents_idling(
    database, engine, open_sessions, clock
):
    sessions = open_sessions(database, idle=100, absolute=1000, clock=clock)
    token = await sessions.open("sian", "page")
    async with engine.begin() as connection:
        await connection.execute(text(FULL.format("f1", "UPDATE ON sessions")))
    for _ in range(4):
        clock.now += 60
        assert await sessions.find(token) is not None
        await sessions.stop()
