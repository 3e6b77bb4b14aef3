"""The embedded directory of people: a SQLite file, and the import that replaces it.

The directory has a file of its own beside the desk's database. No import writes into this file. An
import builds a new file, and renames it to the name of the directory when it is complete:

- A lookup sees the directory before the import or after it, never a directory in between.
- An import that fails, is interrupted or is killed leaves the directory as it was.
- The desk's database is not locked, however many people are imported.

For a directory `directory.db`, an import locks `directory.db.lock`, and builds `directory.db.new`.
The replaced file is `directory.db.old` until it is overwritten with zeros, so that removed people
cannot be read from the disk. If an import was killed, the next import removes its files.

`callerid.import_file` reads the CSV file. `callerid.directories.embedded` finds people by number.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from callerid.errors import DirectoryError
from callerid.import_file import MOST_PEOPLE_OF_A_NUMBER, ImportFile, ImportRow

FORMAT = 1
"""The version of the tables, which the file has as its `user_version`."""
# `line` is the person's line in the last import file; NULL if that file did not have the person.
# With AUTOINCREMENT, the id of a removed person is never given to another person, because contact
# notes store these ids.
TABLES = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    kind TEXT NOT NULL,
    shared INTEGER NOT NULL,
    do_not_pop INTEGER NOT NULL,
    address TEXT NOT NULL,
    postcode TEXT NOT NULL,
    email TEXT NOT NULL,
    date_of_birth TEXT NOT NULL,
    notes TEXT NOT NULL,
    line INTEGER
);
CREATE TABLE numbers (
    e164 TEXT NOT NULL,
    extension TEXT NOT NULL,
    person_id INTEGER NOT NULL,
    PRIMARY KEY (e164, extension, person_id)
) WITHOUT ROWID;
"""
_VALUES = (
    *("reference", "name", "language", "kind", "shared", "do_not_pop"),
    *("address", "postcode", "email", "date_of_birth", "notes"),
)
_values_of = itemgetter(*_VALUES)
_COLUMNS = {"people": len(_VALUES) + 2, "numbers": 3}
# The present directory has the schema name `present`.
_LAST_ID = "SELECT coalesce(max(seq), 0) FROM present.sqlite_sequence"
_KNOWN = (
    "SELECT reference, id FROM present.people WHERE reference IN (SELECT value FROM json_each(?))"
)
_ABSENT_PEOPLE = (
    f"SELECT id, {', '.join(_VALUES)}, NULL FROM present.people AS old "  # noqa: S608 - no values
    "WHERE NOT EXISTS (SELECT 1 FROM main.people AS new WHERE new.id = old.id)"
)
_OF_REFERENCES = " AND old.reference IN (SELECT value FROM json_each(?))"
_ABSENT_NUMBERS = (
    "SELECT * FROM present.numbers AS old WHERE EXISTS "
    "(SELECT 1 FROM main.people AS new WHERE new.id = old.person_id AND new.line IS NULL)"
)
_CROWDED = "SELECT e164, extension FROM main.numbers GROUP BY 1, 2 HAVING count(*) > ?"
_LATER = (
    "SELECT line, e164, extension, person_id FROM main.numbers "
    "JOIN main.people ON people.id = person_id WHERE e164 = ? AND extension = ? "
    "ORDER BY line LIMIT -1 OFFSET ?"
)
_REMOVE_NUMBER = "DELETE FROM main.numbers WHERE e164 = ? AND extension = ? AND person_id = ?"
_CHUNK = 1000
"""The number of rows that are read and inserted at a time."""
_ROWS_OF_A_STATEMENT = 10
"""The rows that one statement inserts. With one row each, inserting needs 1.5 times the CPU."""
_CACHE_KB = 65_536
"""The memory for pages of the new file, in KiB.

The two database indexes of a million people fit into it. With less memory, the pages would be
written to the disk many times, because references and numbers are in no sequence.
"""
_PRESENT_CACHE_KB = 32_768
"""The memory for pages of the present file, in KiB. Its index of references fits into it."""
_SYNCED_AT_ONCE = 4 << 20
"""The most bytes brought to the disk at a time. Other processes may have to wait meanwhile."""
_READERS_S = 5.0
"""The longest wait in seconds for a locked file, such as one that lookups still read."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The counts of the people whom an import added, replaced and removed."""

    added: int
    replaced: int
    removed: int


def open_directory(path: Path, timeout_s: float = _READERS_S) -> sqlite3.Connection | None:
    """Open the directory for reading. Return None if there is no file at `path`.

    `timeout_s` is the longest time for which a statement waits while the file is locked.

    Raises:
        sqlite3.Error: The file cannot be opened, or is not a database.
        DirectoryError: The file is from a later version of Galwad, or cannot be reached.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DirectoryError(f"cannot read the directory: {error.strerror}") from None
    connection = sqlite3.connect(_read_only(path), uri=True, timeout=timeout_s)
    try:
        _check_format(connection, "main")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_format(connection: sqlite3.Connection, schema: str) -> None:
    (found,) = connection.execute(f"PRAGMA {schema}.user_version").fetchone()
    if found > FORMAT:
        raise DirectoryError("the directory is from a later version of Galwad")


def _read_only(path: Path) -> str:
    return f"{path.resolve().as_uri()}?mode=ro"


class NewDirectory:
    """A directory that an import builds. `put_in_force` makes it the present directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = _beside(path, "new")
        self._old = _beside(path, "old")

    def fill(
        self,
        file: ImportFile,
        absent: Literal["keep", "remove"] = "keep",
        on_progress: Callable[[int], None] = lambda _people: None,
        *,
        least: float = 0.0,
    ) -> ImportResult:
        """Build the new directory from an import file. The present directory does not change.

        A row replaces the person with the same reference, who keeps the id. People who are not in
        the file stay, or are removed if `absent` is "remove". A person whose row is left out stays.
        `on_progress` gets the number of people read so far. `least` is the smallest size of the new
        directory, as a share of the present one. It protects against a file that was cut off.

        Raises:
            ImportFileError: The file has faults.
            DirectoryError: The disk is full or damaged, the present directory is damaged or from a
                later version of Galwad, or too few people would remain.
        """
        os.close(_open(self._new, os.O_CREAT | os.O_EXCL))
        try:
            with closing(sqlite3.connect(self._new, isolation_level=None, uri=True)) as connection:
                result = _fill(connection, self._path, file, absent, on_progress, least=least)
        except sqlite3.Error as error:
            raise DirectoryError(f"the directory cannot be written: {error}") from None
        _sync(self._new)
        return result

    def put_in_force(self) -> None:
        """Replace the present directory by the new one, and erase the replaced file.

        If a lookup reads the replaced file for too long, the next import erases it.
        """
        if self._path.exists():
            os.link(self._path, self._old)
        self._new.rename(self._path)
        _sync_folder(self._path.parent)
        _erase_replaced(self._old)


@contextmanager
def new_directory(path: Path, *, wait: bool = False) -> Iterator[NewDirectory]:
    """Begin an import into the directory at `path`, whose folder must exist.

    At the end of the `with` block, a directory that was not put in force is erased. If another
    import is running and `wait` is true, wait until it ends.

    Raises:
        DirectoryError: Another import is running, and `wait` is false.
        OSError: The folder or a file in it cannot be used.
    """
    with _locked(_beside(path, "lock"), wait=wait):
        _remove_leftovers(path)
        try:
            yield NewDirectory(path)
        finally:
            _erase(_beside(path, "new"))


def _fill(
    connection: sqlite3.Connection,
    present: Path,
    file: ImportFile,
    absent: Literal["keep", "remove"],
    on_progress: Callable[[int], None],
    *,
    least: float,
) -> ImportResult:
    # No other process opens this file before it is complete, so it needs no journal. SQLite must
    # not write people into temporary files in other folders.
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KB}"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.executescript(TABLES)
    _attach(connection, present)
    connection.execute("BEGIN")
    (before,) = connection.execute("SELECT count(*) FROM present.people").fetchone()
    (last_id,) = connection.execute(_LAST_ID).fetchone()
    connection.execute("INSERT INTO main.sqlite_sequence VALUES ('people', ?)", (last_id,))
    read = added = replaced = kept = 0
    rows = file.rows()
    while chunk := list(islice(rows, _CHUNK)):
        known = _known(connection, chunk) if before else {}
        new = [row.reference for row in chunk if row.reference not in known]
        known |= {reference: last_id + n for n, reference in enumerate(new, 1)}
        last_id += len(new)
        inserted = _insert(connection, file, chunk, known)
        added += len(inserted.intersection(new))
        replaced += len(inserted.difference(new))
        read += len(chunk)
        on_progress(read)
    _limit_people_of_numbers(connection, file)
    file.check()
    if absent == "keep":
        kept = _copy(connection, "people", _ABSENT_PEOPLE)
    elif file.left_out:
        left_out = json.dumps(sorted(file.left_out))
        kept = _copy(connection, "people", _ABSENT_PEOPLE + _OF_REFERENCES, left_out)
    if kept:
        _copy(connection, "numbers", _ABSENT_NUMBERS)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")
    remaining = added + replaced + kept
    if remaining < least * before:
        raise DirectoryError(
            f"only {remaining} of {before} people would remain, so the file may be incomplete"
        )
    return ImportResult(added, replaced, before - replaced - kept)


def _attach(connection: sqlite3.Connection, present: Path) -> None:
    """Attach the present directory as the schema `present`; an empty one if there is none."""
    there = present.exists()
    connection.execute("ATTACH ? AS present", (_read_only(present) if there else ":memory:",))
    connection.execute(f"PRAGMA present.cache_size = -{_PRESENT_CACHE_KB}")
    if there:
        _check_format(connection, "present")
    else:
        connection.executescript(TABLES.replace("CREATE TABLE ", "CREATE TABLE present."))


def _known(connection: sqlite3.Connection, rows: Sequence[ImportRow]) -> dict[str, int]:
    """Return the ids by reference, for those rows whose people are in the present directory."""
    references = json.dumps([row.reference for row in rows])
    return dict(connection.execute(_KNOWN, (references,)).fetchall())


def _insert(
    connection: sqlite3.Connection, file: ImportFile, rows: Sequence[ImportRow], ids: dict[str, int]
) -> set[str]:
    """Insert the people of the rows; return the references of the people that were inserted."""
    people = [(ids[row.reference], *_values_of(row.values), row.line) for row in rows]
    if _add(connection, "people", people) != len(rows):
        rows = _first_rows(connection, file, rows)
    numbers = [
        (number.e164, number.extension, ids[row.reference])
        for row in rows
        for number in row.numbers
    ]
    _add(connection, "numbers", numbers)
    return {row.reference for row in rows}


def _add(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows into a table of the new directory, and return how many had a new key."""
    added, marks = 0, f"({', '.join('?' * _COLUMNS[table])})"
    in_full = len(rows) - len(rows) % _ROWS_OF_A_STATEMENT
    for size, part in ((_ROWS_OF_A_STATEMENT, rows[:in_full]), (1, rows[in_full:])):
        places = ", ".join([marks] * size)
        statement = f"INSERT OR IGNORE INTO main.{table} VALUES {places}"  # noqa: S608 - no values
        values = (tuple(chain(*part[at : at + size])) for at in range(0, len(part), size))
        added += connection.executemany(statement, values).rowcount
    return added


def _first_rows(
    connection: sqlite3.Connection, file: ImportFile, rows: Sequence[ImportRow]
) -> list[ImportRow]:
    """Return the rows whose references did not occur before; add a fault for each other row."""
    query, first = "SELECT line FROM main.people WHERE reference = ?", []
    for row in rows:
        (line,) = connection.execute(query, (row.reference,)).fetchone()
        if line == row.line:
            first.append(row)
        else:
            file.fault(row.line, "reference", f"is the same as in line {line}")
            file.leave_out(row.reference)
    return first


def _limit_people_of_numbers(connection: sqlite3.Connection, file: ImportFile) -> None:
    """Add a fault for each row with a number that too many earlier rows have; remove the number."""
    for number in connection.execute(_CROWDED, (MOST_PEOPLE_OF_A_NUMBER,)).fetchall():
        later = connection.execute(_LATER, (*number, MOST_PEOPLE_OF_A_NUMBER)).fetchall()
        for line, *_ in later:
            problem = f"has a number that {MOST_PEOPLE_OF_A_NUMBER} earlier rows have too"
            file.fault(line, "numbers", problem)
        connection.executemany(_REMOVE_NUMBER, ([*own] for _, *own in later))


def _copy(connection: sqlite3.Connection, table: str, query: str, *values: str) -> int:
    """Insert what `query` finds into a table, and return the number of rows.

    With one statement, SQLite would first store all rows in memory.
    """
    found, added = connection.execute(query, values), 0
    while rows := found.fetchmany(_CHUNK):
        added += _add(connection, table, rows)
    return added


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Lock the file at `path`, which is created if it is missing, until the block ends."""
    descriptor = _open(path, os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise DirectoryError("another import into the directory is running") from None
        yield
    finally:
        os.close(descriptor)


def _open(path: Path, more: int = 0) -> int:
    """Open a file for reading and writing. A new file belongs to the owner of its folder.

    An import that runs as root must not leave files that the desk cannot read.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | more, 0o600)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _sync(path: Path) -> None:
    """Bring a file to the disk in parts, so that a sync of the desk waits for one part at most."""
    descriptor = _open(path)
    try:
        with mmap.mmap(descriptor, 0) as pages:
            for start in range(0, len(pages), _SYNCED_AT_ONCE):
                pages.flush(start, min(_SYNCED_AT_ONCE, len(pages) - start))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Erase the files of an import that was killed."""
    _erase(_beside(path, "new"))
    old = _beside(path, "old")
    if old.exists() and path.exists() and old.samefile(path):
        old.unlink()  # the import was killed before the new directory was in force
    _erase_replaced(old)


def _erase_replaced(old: Path) -> None:
    """Erase a replaced directory, or leave it to the next import if a lookup still reads it."""
    if not old.exists():
        return
    with closing(sqlite3.connect(old, isolation_level=None, timeout=_READERS_S)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname == "SQLITE_BUSY":
                return
            # An import that was killed has erased a part of it, so no lookup can read it.
        _erase(old)


def _erase(path: Path) -> None:
    """Overwrite a file with zeros, and remove it. If there is no file, do nothing."""
    if not path.exists():
        return
    descriptor = _open(path)
    try:
        left = os.fstat(descriptor).st_size
        while left > 0:
            left -= os.write(descriptor, bytes(min(left, _SYNCED_AT_ONCE)))
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
