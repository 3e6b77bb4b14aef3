"""The audit entry of what is done already: tried again, and waited for only for a short time."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from galwad.host import background as background_tasks
from galwad.host.background import BackgroundTasks, audit_done
from recording.errors import AuditError

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

    with structlog.testing.capture_logs() as logs:
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

    with structlog.testing.capture_logs() as logs:
        await audit_done(background, write, **EVENTS, act="hold")
    assert logs == [{"event": "payment.audit_late", "log_level": "warning", "act": "hold"}]
    release.set()
    await background.finish(5)
    assert written == ["entry"]
