"""The result of the most recent nightly coverage check: unexplained time of calls, and orphans.

An orphan is a file, row or spool whose counterpart is missing, such as a recording without its
database row. This module does not check the coverage itself, because that would read the whole
archive. The command `galwad calls coverage` checks the coverage.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.cli.support.console import date_and_time
from galwad.desk.coverage.nightly import COVERAGE_CHECKED, next_time
from galwad.desk.coverage.orphan_fixes import fix_of
from galwad.settings import Settings

_MAX_SHOWN: Final = 10
_LATE_S: Final = 3600.0
"""The time limit for the nightly check, in seconds after its planned start. If the check has not
ended by then, a warning is given. The limit is long, because a large archive takes long to check.
"""
_CALLS: Final = {
    "recording.missing": (
        "was answered, but has no recording",
        "`galwad calls coverage` shows if a spool waits; else see `recording.fault` in the log",
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


def check(settings: Settings) -> Iterator[CheckResult]:
    """Read the findings of the most recent nightly coverage check from the database.

    If the database cannot be read, yield nothing: `checks/database.py` reports this fault. The
    database is not changed.
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
            f"they were last checked {date_and_time(checked)}",
            "galwad-desk does it when it runs: its journal has `coverage.checked`, or why",
        )
    elif not facts["amiss"] and not facts["orphans"]:
        yield fine("books", f"every second was explained {date_and_time(checked)}")


def _first(connection: sqlite3.Connection, settings: Settings, now: float) -> Iterator[CheckResult]:
    """Yield a result for a node whose coverage was never checked.

    If the first nightly check should have ended before `now`, the result is a warning. Otherwise,
    the result shows when the first check is due. If the node has no recordings, there is no result.
    """
    if not connection.execute("SELECT 1 FROM recordings LIMIT 1").fetchone():
        return
    query = "SELECT min(at_us) FROM audit_entries WHERE node = ?"
    (made,) = connection.execute(query, (settings.node.name,)).fetchone()
    desk = settings.desk
    due = next_time(desk.nightly, (made or 0) / 1e6, desk.time_zone)
    if now > due + _LATE_S:
        fix = f"the desk does it at {desk.nightly}: check that it runs"
        yield warning("books", "they were never checked", fix)
    else:
        yield fine("books", f"the first check is {date_and_time(due)}")


def _open_findings(connection: sqlite3.Connection) -> Iterator[CheckResult]:
    """Yield one result for each unresolved finding, at most `_MAX_SHOWN` of them.

    If there are more findings, one further result gives their number.
    """
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
