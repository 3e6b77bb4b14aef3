"""Checks of the database, of the directory, and of the result of the nightly coverage check."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from callerid.directory import open_directory
from callerid.errors import DirectoryError
from galwad.archive.periodic import COVERAGE_CHECKED, next_time
from galwad.archive.rules import fix_of
from galwad.cli.checks import CheckResult, fault, fine, warning
from galwad.cli.checks.contradictions import dialled_codes
from galwad.cli.support.console import date_and_time
from galwad.host.database import revisions
from galwad.people.tokens import WARNED_S
from galwad.settings import Settings

_MAX_SHOWN: Final = 10
_LATE_S: Final = 3600.0
"""The seconds that the nightly check may take without a warning. A large archive takes long."""
_CALLS: Final = {
    "recording.missing": (
        "was answered, but has no recording",
        "`galwad calls coverage` shows if a spool waits; else see `recording.fault` in the journal",
    ),
    "index.changed": (
        "has a row that was changed",
        "`galwad calls coverage` names the value; keep the database and the journal, and report it",
    ),
    "recording.stored_in_gap": (
        "has packets that were stored in a pause or after a transfer",
        "`galwad calls coverage` names the gap; keep the journal and the spool, and report it",
    ),
    "recording.trigger_ignored": (
        "has a trigger of a pause or transfer without its effect",
        "`galwad calls coverage` names the trigger; keep the journal, and report it",
    ),
    "recording.miscounted": (
        "has packet counts that do not add up",
        "`galwad calls coverage` names the numbers; keep the journal, and report it",
    ),
    "recording.unexplained": (
        "has unexplained seconds",
        "`galwad calls coverage` draws them; keep the journal, and report it",
    ),
}


def check_database(settings: Settings) -> Iterator[CheckResult]:
    """Check the database and the directory, which are opened only for reading.

    In the database, this checks the schema, damage, users, tokens, and the names in the settings.
    """
    yield from _database(settings)
    yield from _directory(settings)


def _database(settings: Settings) -> Iterator[CheckResult]:
    database = settings.database
    if not database.exists():
        yield warning(
            "database",
            f"{database} does not exist yet",
            "the desk creates it at its first start, or `galwad users add` does",
        )
        return
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            yield _version(connection)
            yield from _sound(connection)
            yield from _users(connection)
            yield from _tokens(connection)
            yield from _routes(connection, settings)
    except sqlite3.Error as error:
        yield fault(
            "database",
            f"{database} cannot be read ({error.sqlite_errorname or type(error).__name__})",
            "run this as the service's user or as root; if the file is damaged, restore the last "
            "backup",
        )


def _version(connection: sqlite3.Connection) -> CheckResult:
    known = revisions()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    found, newest = (row[0] if row else ""), known[-1]
    if found == newest:
        return fine("database", f"the schema of the database is current ({newest})")
    if found in known:
        return warning(
            "database",
            f"the schema of the database is {found}",
            "the desk updates it at its next start",
        )
    return fault(
        "database",
        "the schema of the database is newer than this program",
        "install the newer Galwad again",
    )


def _sound(connection: sqlite3.Connection) -> Iterator[CheckResult]:
    """Check the file by quick_check: normal use may not read a damaged page for years."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        yield fault(
            "database",
            f"the database is damaged: {' '.join(str(verdict).split())}",
            "keep the file, and restore the last backup; then: galwad recordings reindex",
        )


def _directory(settings: Settings) -> Iterator[CheckResult]:
    path = settings.directory_file
    people, verdict = 0, "ok"
    try:
        opened = open_directory(path)
        if opened is not None:
            with closing(opened) as connection:
                (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                people = _count(connection, "SELECT count(*) FROM people")
    except (sqlite3.Error, DirectoryError) as error:
        verdict = str(error)
    if verdict != "ok":
        yield fault(
            "directory",
            f"{path} cannot be read: {' '.join(str(verdict).split())}",
            "run this as the service's user or as root; if the file is damaged, restore the last "
            "backup",
        )
    elif people:
        yield fine("directory", f"{people} people")
    else:
        yield warning(
            "directory",
            "the directory of people is empty: no caller can be identified",
            "galwad directory import people.csv",
        )


def _users(connection: sqlite3.Connection) -> Iterator[CheckResult]:
    users = _count(connection, "SELECT count(*) FROM users WHERE NOT disabled")
    if not users:
        yield warning(
            "users",
            "there are no users, so no one can sign in",
            "galwad users add NAME --role advisor",
        )


def _tokens(connection: sqlite3.Connection) -> Iterator[CheckResult]:
    names = {row[1] for row in connection.execute("PRAGMA table_info(sessions)")}
    if "expires" not in names:
        return
    rows = connection.execute(
        "SELECT user, name, expires FROM sessions WHERE kind = 'machine' AND expires < ?"
        " ORDER BY expires",
        (time.time() + WARNED_S,),
    )
    for user, name, expires in rows:
        passed = "has expired" if expires < time.time() else f"expires on {date_and_time(expires)}"
        yield warning(
            "tokens",
            f"the token {name} of {user} {passed}",
            f"galwad users tokens add {user} NAME; give {user} the new token; then "
            f"galwad users tokens revoke {user} {name}",
        )


def _routes(connection: sqlite3.Connection, settings: Settings) -> Iterator[CheckResult]:
    """Yield a warning for each route and phone that names a missing phone or user.

    Disabled users and their extensions count as missing. Also yield a fault for each payment code
    that is a user's extension.
    """
    rows = connection.execute("SELECT name, extension FROM users WHERE NOT disabled").fetchall()
    extensions = {row[1] for row in rows if row[1]}
    yield from dialled_codes(settings, extensions)
    phones = extensions | {p.extension for p in settings.phones}
    names = {row[0] for row in rows}
    for route in settings.routes:
        missing = [extension for extension in route.ring or () if extension not in phones]
        if missing:
            yield warning(
                "routes",
                f"{route.called} rings {', '.join(missing)}, which no phone has",
                "galwad users add NAME --extension …; or, for a disabled user, galwad users enable "
                "NAME; or change ring",
            )
        unknown = [name for name in route.advisors if name not in names]
        if unknown:
            yield warning(
                "routes",
                f"{route.called} has the advisors {', '.join(unknown)}, who are disabled or not "
                "users",
                "galwad users add NAME, or galwad users enable NAME; or change advisors",
            )
    for phone in settings.phones:
        if phone.user and phone.user not in names:
            yield warning(
                "phones",
                f"{phone.extension} belongs to {phone.user}, who is disabled or not a user",
                "galwad users add NAME, or galwad users enable NAME; or change user",
            )


def _count(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def check_coverage(settings: Settings) -> Iterator[CheckResult]:
    """Yield the age and the open findings of the nightly coverage check, such as unexplained time.

    If the database cannot be read, yield nothing: `check_database` reports this fault.
    """
    if not settings.database.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{settings.database}?mode=ro", uri=True)) as connection:
            yield from _age(connection, settings)
            yield from _open_findings(connection)
    except sqlite3.Error:
        return  # The check of the database has already reported this error.


def _age(connection: sqlite3.Connection, settings: Settings) -> Iterator[CheckResult]:
    now = time.time()
    query = (
        "SELECT at_us, body FROM audit_entries WHERE node = ? AND kind = ? AND at_us <= ? "
        "ORDER BY seq DESC LIMIT 1"
    )
    row = connection.execute(
        query, (settings.node.name, COVERAGE_CHECKED, int(now * 1e6))
    ).fetchone()
    desk = settings.desk
    if row is None:
        yield from _first(connection, settings, now)
        return
    checked, facts = row[0] / 1e6, json.loads(row[1])["facts"]
    due = next_time(desk.nightly, checked, desk.time_zone)
    if now > due + _LATE_S:
        yield warning(
            "books",
            f"coverage was last checked {date_and_time(checked)}",
            "galwad-desk checks it each night; if it failed, the journal of galwad-desk says why",
        )
    elif not facts["amiss"] and not facts["orphans"]:
        yield fine("books", f"the check of {date_and_time(checked)} explained every second")


def _first(connection: sqlite3.Connection, settings: Settings, now: float) -> Iterator[CheckResult]:
    """Yield the result for coverage that was never checked: a warning if the check is late.

    If the node has no recordings, there is no result.
    """
    if not connection.execute("SELECT 1 FROM recordings LIMIT 1").fetchone():
        return
    query = "SELECT min(at_us) FROM audit_entries WHERE node = ?"
    (made,) = connection.execute(query, (settings.node.name,)).fetchone()
    desk = settings.desk
    due = next_time(desk.nightly, (made or 0) / 1e6, desk.time_zone)
    if now > due + _LATE_S:
        fix = f"the desk checks it at {desk.nightly}: see that the desk is running then"
        yield warning("books", "coverage was never checked", fix)
    else:
        yield fine("books", f"the first check of coverage is {date_and_time(due)}")


def _open_findings(connection: sqlite3.Connection) -> Iterator[CheckResult]:
    found = connection.execute(
        "SELECT key FROM coverage_findings ORDER BY key LIMIT ?", (_MAX_SHOWN,)
    ).fetchall()
    for (key,) in found:
        kind, _, name = key.partition(" ")
        if kind in _CALLS:
            text, fix = _CALLS[kind]
            yield fault("books", f"{name} {text}", fix)
        else:
            orphan, _, where = name.rpartition(" ")
            yield fault("orphans", f"{orphan}: {where}", fix_of(orphan))
    (count,) = connection.execute("SELECT count(*) FROM coverage_findings").fetchone()
    if count > len(found):
        yield fault("books", f"and {count - len(found)} more", "`galwad calls coverage` lists all")
