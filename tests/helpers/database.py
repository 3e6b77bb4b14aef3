"""A database as the service makes and opens it, for whatever keeps its tables there."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.desk.database import open_engine, upgrade


def open_patiently(path: Path) -> AsyncEngine:
    """However slow the disk is, many transactions are brought to it one after the other."""
    engine = open_engine(path)
    event.listen(engine.sync_engine, "connect", _wait_for_a_minute)
    return engine


def _wait_for_a_minute(connection, _record) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA busy_timeout = 60000")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty one."""
    upgrade(tmp_path / "galwad.db")
    engine = open_patiently(tmp_path / "galwad.db")
    yield engine
    await engine.dispose()
