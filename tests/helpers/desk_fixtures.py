"""Fixtures of a real desk with a fake switch, and of parts of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from galwad.messages import SetPhones
from galwad.people.sessions import Sessions
from helpers.database import engine
from helpers.desk import PATIENCE_S, Clock, Running

__all__ = ["clock", "engine", "open_sessions", "running"]


@pytest.fixture
async def running(tmp_path: Path, monkeypatch) -> AsyncIterator[Running]:
    """A started desk with advisors sian (201) and huw (202), supervisor mair, admin gwen.

    Its time limits for the switch and the directory are as long as those of the tests.
    """
    monkeypatch.setattr("galwad.desk.calls.switch_client.REPLY_S", PATIENCE_S)
    running = Running(tmp_path)
    await running.switch.start()
    await running.start()
    await running.add("sian", "advisor", "201")
    await running.add("huw", "advisor", "202")
    await running.add("mair", "supervisor")
    await running.add("gwen", "admin")
    await running.switch.until(SetPhones)
    yield running
    await running.stop()
    await running.switch.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def open_sessions(engine) -> AsyncIterator[Callable[..., Sessions]]:
    """Make `Sessions`; stop their background tasks before the database is closed."""
    made = []

    def open_sessions(database=engine, **options):
        made.append(Sessions(database, **options))
        return made[-1]

    yield open_sessions
    for sessions in made:
        await sessions.stop()
