"""The desk's background tasks are waited for, cancelled and logged as they should be.

The last tests are about the audit entry of what is done already: it is tried again, and the desk
waits for it only for a short time.
"""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from galwad.host import background as background_tasks
from galwad.host.background import BackgroundTasks, audit_done
from recording.errors import AuditError


async def forever():
    await asyncio.Event().wait()


async def fail():
    raise ZeroDivisionError


async def test_loops_run_until_they_are_cancelled():
    tasks, seen = BackgroundTasks(), []

    async def loop():
        try:
            seen.append("began")
            await forever()
        finally:
            seen.append("ended")

    tasks.start(loop(), loop())
    await asyncio.sleep(0)
    assert seen == ["began", "began"]
    await tasks.cancel_loops()
    assert seen == ["began", "began", "ended", "ended"]


async def test_work_that_is_in_time_is_done_when_the_desk_stops_and_late_work_is_cancelled():
    tasks, done = BackgroundTasks(), []

    async def work():
        await asyncio.sleep(0)
        done.append("work")

    tasks.spawn(work())
    await tasks.finish(30)
    assert done == ["work"]

    async def late():
        try:
            await forever()
        finally:
            done.append("cancelled")

    tasks.spawn(late())
    await tasks.finish(0.01)
    assert done == ["work", "cancelled"]


async def test_an_error_of_spawned_work_is_logged():
    tasks = BackgroundTasks()
    with capture_logs() as logs:
        tasks.spawn(fail())
        await tasks.finish(30)
        await asyncio.sleep(0)
    assert [line["event"] for line in logs] == ["desk.task_failed"]


async def test_work_with_a_time_limit_continues_after_the_limit():
    tasks, go, done = BackgroundTasks(), asyncio.Event(), []

    async def work():
        await go.wait()
        done.append("work")

    assert not await tasks.finishes_within(work(), 0.01)
    go.set()
    await tasks.finish(30)
    assert done == ["work"]
    assert await tasks.finishes_within(asyncio.sleep(0), 30)


async def test_an_error_within_the_time_limit_is_raised_and_a_later_error_is_not():
    tasks, go = BackgroundTasks(), asyncio.Event()
    with pytest.raises(ZeroDivisionError):
        await tasks.finishes_within(fail(), 30)

    async def fail_later():
        await go.wait()
        raise ZeroDivisionError

    assert not await tasks.finishes_within(fail_later(), 0.01)
    go.set()
    await tasks.finish(30)


EVENTS = {"refused": "payment.not_audited", "late": "payment.audit_late"}


@pytest.fixture
async def background():
    tasks = BackgroundTasks()
    yield tasks
    await tasks.finish(0)


async def test_an_entry_that_the_database_refuses_is_tried_again_and_logged_once(
    background, monkeypatch
):
    monkeypatch.setattr(background_tasks, "_RETRY_S", 0.001)
    failures, written = [AuditError("full"), AuditError("full")], asyncio.Event()

    async def write():
        if failures:
            raise failures.pop()
        written.set()

    with capture_logs() as logs:
        await audit_done(background, write, **EVENTS, action="hold")
        assert not written.is_set()
        await written.wait()
    assert logs == [{"event": "payment.not_audited", "log_level": "warning", "action": "hold"}]


async def test_a_database_that_hangs_is_waited_for_only_for_a_short_time(background, monkeypatch):
    monkeypatch.setattr(background_tasks, "AUDIT_S", 0.01)
    release, written = asyncio.Event(), []

    async def write():
        await release.wait()
        written.append("entry")

    with capture_logs() as logs:
        await audit_done(background, write, **EVENTS, act="hold")
    assert logs == [{"event": "payment.audit_late", "log_level": "warning", "act": "hold"}]
    release.set()
    await background.finish(5)
    assert written == ["entry"]
