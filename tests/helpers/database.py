"""A database as the service makes and opens it, for whatever keeps its tables there."""

import functools
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.host.database import open_engine, upgrade


def open_patiently(path: Path) -> AsyncEngine:
    """However slow the disk is, many transactions are brought to it one after the other."""
    engine = open_engine(path)
    event.listen(engine.sync_engine, "connect", _wait_for_a_minute)
    return engine


def _wait_for_a_minute(connection, _record) -> None:
    with closing(connection.cursor()) as cursor:
        cursor.execute("PRAGMA busy_timeout = 60000")


def create_database(path: Path) -> None:
    """Create an empty database with the newest schema, as `upgrade` does, but faster.

    A database that exists is not changed.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if path.exists():
        return
    path.touch(mode=0o600)
    path.write_bytes(_empty_database())


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "galwad.db"
        upgrade(path)
        return path.read_bytes()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty one."""
    create_database(tmp_path / "galwad.db")
    engine = open_patiently(tmp_path / "galwad.db")
    yield engine
    await engine.dispose()
