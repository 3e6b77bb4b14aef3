"""The desk's one database: opening it, and bringing its schema up to date.

It is SQLite in WAL mode, fully synchronous. SQLAlchemy begins and ends the transactions, not the
driver. An engine with the execution option `immediate` takes the write lock at the start of each
transaction, which a transaction that reads before it writes needs; PostgreSQL ignores the option.
Parameters never reach a log or an exception's text.

All missing revisions run in one transaction. So an interrupted upgrade leaves either the old or the
new schema, and the next start continues from there.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA secure_delete = ON",
)
_OTHERS_S = 20.0
"""The seconds that another process's upgrade may take; the desk's unit has 30 s to start."""


class SchemaError(Exception):
    """The database cannot be brought up to date, and was not changed; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def open_engine(path: Path) -> AsyncEngine:
    """Open the database file, which `upgrade` has made."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, record: object) -> None:
    _leave_transactions_to_sqlalchemy(connection, record)
    # Closed at once: otherwise a failed statement keeps the file open until garbage collection.
    with closing(connection.cursor()) as cursor:
        for pragma in _PRAGMAS:
            cursor.execute(pragma)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def scripts() -> ScriptDirectory:
    """Return the schema revisions of this version."""
    return ScriptDirectory.from_config(_config())


def upgrade(path: Path) -> None:
    """Bring the schema up to date; create the file (0600) if it is missing. Blocking.

    Raises:
        SchemaError: The database is from a later version, or cannot be used.
        OSError: The file cannot be created.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
    patient = {"timeout": _OTHERS_S}
    engine = create_engine(f"sqlite:///{path}", connect_args=patient, hide_parameters=True)
    event.listen(engine, "connect", _leave_transactions_to_sqlalchemy)
    event.listen(engine, "begin", _begin)
    try:
        if not _is_newest(engine, path):
            _run_revisions(engine)
    except SQLAlchemyError as error:
        # The cause is SQLite's own text, such as "database is locked", which quotes no value.
        cause = getattr(error, "orig", None) or type(error).__name__
        raise SchemaError(
            f"cannot upgrade the database {path}: {cause}", "run `galwad check`"
        ) from None
    finally:
        engine.dispose()


def _is_newest(engine: Engine, path: Path) -> bool:
    """Return whether the schema is up to date; this only reads, and so blocks no writer.

    Raises:
        SchemaError: The database is from a later version.
    """
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = scripts()
    if found is not None and found not in {each.revision for each in known.walk_revisions()}:
        raise SchemaError(
            f"{path} is from a later version of Galwad", "install that version: nothing has changed"
        )
    return found == known.get_current_head()


def _run_revisions(engine: Engine) -> None:
    """Run the missing revisions.

    If two processes do so, the second waits at its first BEGIN, and then finds nothing to do.
    """
    with engine.execution_options(immediate=True).connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "galwad:migrations")
    return config


def _leave_transactions_to_sqlalchemy(connection: Any, _record: object) -> None:
    """Stop Python's driver from committing before each change of the schema."""
    connection.isolation_level = None
