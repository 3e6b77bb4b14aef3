"""Fixtures of a real desk with a fake switch, and of parts of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from galwad.messages import Sealed, SetPhones
from galwad.people.sessions import Sessions
from helpers.database import engine
from helpers.desk import PATIENCE_S, Clock, Running, create_team_database

__all__ = ["clock", "engine", "open_sessions", "running", "sealed"]


@pytest.fixture
async def running(tmp_path: Path, monkeypatch) -> AsyncIterator[Running]:
    """A started desk with advisors sian (201) and huw (202), supervisor mair, admin gwen.

    Its time limits for the switch, the audit and the directory are as long as those of the tests.
    """
    monkeypatch.setattr("galwad.host.switch_client.REPLY_S", PATIENCE_S)
    monkeypatch.setattr("galwad.host.background.AUDIT_S", PATIENCE_S)
    running = Running(tmp_path)
    await running.switch.start()
    await create_team_database(running.settings.database)
    await running.start()
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


@pytest.fixture
def sealed(running: Running) -> Sealed:
    """A recording in the archive, with dummy bytes for its header and payload."""
    folder = running.archive / "2026" / "11" / "25"
    folder.mkdir(parents=True)
    call_id = "20261125-101500-abcdefgh"
    (folder / f"{call_id}.header").write_bytes(b"age-encryption.org/v1\n--- mac\n")
    (folder / f"{call_id}.payload").write_bytes(bytes(range(256)) * 1000)
    (folder / f"{call_id}.manifest").write_text('{"call_id":"x"}')
    return Sealed(
        call_id=call_id,
        folder="2026/11/25",
        started=1_800_000_000.0,
        talk_us=60_000_000,
        interrupted=False,
        number="01632960001",
        line="Council Tax",
        advisor="sian",
        extension="201",
        gaps=(),
        payload_size=256_000,
        payload_sha256="a" * 64,
        manifest_sha256="b" * 64,
    )
