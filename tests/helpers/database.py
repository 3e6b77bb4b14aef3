"""A database as the service makes and opens it.

All engines of a test process share the compiled forms of their SQL statements. Otherwise, each test
with a desk of its own would compile about fifty statements again, which is a third of its CPU time.
"""

import functools
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.host.database import open_engine, upgrade

_COMPILED: dict[object, object] = {}


@event.listens_for(Engine, "engine_connect")
def _share_compiled_statements(connection: Connection) -> None:
    if isinstance(connection.dialect, SQLiteDialect_aiosqlite):
        connection.execution_options(compiled_cache=_COMPILED)


# A key of the cache has the dialect of the engine. Those of this driver compile all in one way.
SQLiteDialect_aiosqlite.__eq__ = lambda one, other: type(one) is type(other)  # type: ignore[method-assign]
SQLiteDialect_aiosqlite.__hash__ = lambda one: hash(type(one))  # type: ignore[assignment]


def open_patiently(path: Path) -> AsyncEngine:
    """Return an engine whose transactions wait for each other for a minute, on a slow disk too."""
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
    """The engine of an empty database."""
    create_database(tmp_path / "galwad.db")
    engine = open_patiently(tmp_path / "galwad.db")
    yield engine
    await engine.dispose()
