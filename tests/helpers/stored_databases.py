"""The databases that earlier versions left, to be written into a folder of a test.

`tests/galwad/migrations/databases/REVISION.sql` has the statements that the revision ran when it
was the newest, and rows that Galwad wrote then. `REVISION.directory.sql` is the directory's file if
the revision made it, and `REVISION.key` the audit's key if it was new. These files never change.
"""

from __future__ import annotations

import functools
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from galwad.host.database import revisions

STORED = Path(__file__).parents[1] / "galwad" / "migrations" / "databases"


def write_database(revision: str, path: Path) -> None:
    """Write the database of a node that installed each revision in turn, up to this one.

    The directory of people and the audit's key are written beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_content(revision, ".sql"))
    if directory := _content(revision, ".directory.sql"):
        path.with_name("directory.db").write_bytes(directory)
    shutil.copy(_stored(revision, ".key")[-1], path.with_name("audit.key"))


@functools.cache
def _content(revision: str, ending: str) -> bytes:
    """Return the file that SQLite makes of the stored statements; without any, it is empty."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for each in _stored(revision, ending):
            connection.executescript(each.read_text("utf-8"))
        return connection.serialize()


def _stored(revision: str, ending: str) -> list[Path]:
    """Return the stored files with this ending up to the revision, the newest last."""
    known = revisions()
    files = [STORED / f"{each}{ending}" for each in known[: known.index(revision) + 1]]
    return [each for each in files if each.exists()]
