"""The one database: how it is opened, and how its schema is brought up to date.

SQLite in WAL mode, fully synchronous. SQLAlchemy's own transactions are used, not the
driver's: an engine with the execution option `immediate` takes the write lock at the start of
each transaction, which is what a transaction that reads before it writes needs; PostgreSQL
ignores the option. Parameters never reach a log or an exception's text.

All revisions that are missing are one transaction: whatever ends an upgrade, the schema is the old
one or the new one, and the next start goes on from there.
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
"""How long another process may take with an upgrade; the desk's unit may take thirty to start."""


class SchemaError(Exception):
    """The database cannot be brought up to date, and was not changed; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def open_engine(path: Path) -> AsyncEngine:
    """Open the database file; `upgrade` has made it."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", hide_parameters=True)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _prepare(connection: Any, record: object) -> None:
    _leave_transactions_to_sqlalchemy(connection, record)
    # Closed at once: a statement that failed keeps the file open until the collector comes.
    with closing(connection.cursor()) as cursor:
        for pragma in _PRAGMAS:
            cursor.execute(pragma)


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def scripts() -> ScriptDirectory:
    """The revisions that this program has."""
    return ScriptDirectory.from_config(_config())


def upgrade(path: Path) -> None:
    """Bring the schema up to date, making the file (0600) where there is none. Blocking.

    Raises:
        SchemaError: The database is a later version's, or cannot be used.
        OSError: The file cannot be made.
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
        # The cause is SQLite's own word, such as "database is locked": it quotes no value.
        cause = getattr(error, "orig", None) or type(error).__name__
        raise SchemaError(
            f"{path} cannot be brought up to date: {cause}", "`galwad check` names the fault"
        ) from None
    finally:
        engine.dispose()


def _is_newest(engine: Engine, path: Path) -> bool:
    """Whether nothing is to be done, as a reader sees it: nobody is kept from writing."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = scripts()
    if found is not None and found not in {each.revision for each in known.walk_revisions()}:
        raise SchemaError(
            f"{path} is of a later version of Galwad", "install that version again: it is unchanged"
        )
    return found == known.get_current_head()


def _run_revisions(engine: Engine) -> None:
    """Who comes second waits at the first BEGIN, and finds nothing to do."""
    with engine.execution_options(immediate=True).connect() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "galwad:migrations")
    return config


def _leave_transactions_to_sqlalchemy(connection: Any, _record: object) -> None:
    """Python's driver would commit before each change of the schema."""
    connection.isolation_level = None
