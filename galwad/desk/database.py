"""The one database: how it is opened, and how its schema is brought up to date.

SQLite in WAL mode, fully synchronous. SQLAlchemy's own transactions are used, not the
driver's: an engine with the execution option `immediate` takes the write lock at the start of
each transaction, which is what a transaction that reads before it writes needs; PostgreSQL
ignores the option. Parameters never reach a log or an exception's text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA secure_delete = ON",
)


def open_engine(path: Path) -> AsyncEngine:
    """Open the database file; `upgrade` has made it."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def upgrade(path: Path) -> None:
    """Bring the schema up to date, making the file (0600) where there is none. Blocking."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    engine = create_engine(f"sqlite:///{path}", hide_parameters=True)
    try:
        with engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", "galwad:migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
