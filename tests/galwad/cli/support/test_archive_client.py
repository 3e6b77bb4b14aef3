"""A rewritten row of the index or the ledger is named by three commands, and changes nothing else.

Covers `galwad/archive/coverage.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest

from galwad.messages import CallEnded
from helpers.cli import index_agrees
from helpers.examples import long_after
from helpers.house import House
from helpers.site import NUMBER, Site
from recording.archive.call_facts import CallFacts
from recording.audit.index_comparison import FACTS_ERASED

FIRST, SECOND = "20260301-090000-abcdefgh", "20260301-090100-bcdefghi"
BEGAN = 1_772_355_600.0
MISSING = "20260301-090200-cdefghij"
TABLES = ("recordings", "gaps", "recording_gap_reasons", "answered_calls")
WITHHELD = "20260301-090300-defghijk"
CALLS = (FIRST, SECOND, WITHHELD)


class Desk:
    """A node with three recordings, and the tables of its index for a person with SQL."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.token = house.token("gwen", "admin")
        house.record(FIRST, SECOND)
        withhold(house)
        for number, call_id in enumerate(CALLS):
            began = BEGAN + number
            ended = CallEnded(call_id, began + 2, True, 2_000_000, began, for_ledger=True)
            house.loop.call_soon_threadsafe(house.desk.calls.ledger.ended, ended)
        while len(self.sql("SELECT * FROM answered_calls")) < len(CALLS):
            time.sleep(0.01)
        # Rows younger than ten minutes may still be on their way, so the checks run an hour later.
        for checker in (house.desk.archive.coverage, house.desk.archive.index_checker):
            checker.clock = lambda: time.time() + 3600
        self.saved = {table: self.sql(f"SELECT * FROM {table}") for table in TABLES}

    def sql(self, statements: str) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.house.site.settings.database)) as connection:
            rows: list[tuple] = []
            for statement in filter(str.strip, statements.split(";")):
                rows = connection.execute(statement).fetchall()
            connection.commit()
            return rows

    def restore(self) -> None:
        """Bring the rows back to the state after the calls."""
        with contextlib.closing(sqlite3.connect(self.house.site.settings.database)) as connection:
            for table, rows in self.saved.items():
                connection.execute(f"DELETE FROM {table}")
                for row in rows:
                    places = ",".join("?" * len(row))
                    connection.execute(f"INSERT INTO {table} VALUES ({places})", row)
            connection.commit()


def withhold(house: House) -> None:
    """Record a call whose number is withheld, with a payment pause."""
    writer = house.site.writer(WITHHELD)
    writer.event("call", {"number": NUMBER, "withheld": True, "line": "main"}, 0)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    gap = {"reason": "payment", "trigger": "page", "actor": "user:sian"}
    writer.event("gap-start", gap, 500_000)
    writer.event("gap-end", {}, 1_000_000)
    writer.event("segment", {"class": "centre", "to": ""}, 1_000_000)
    writer.event("ended", {"cause": "bye"}, 2_000_000)
    writer.close(2_000_000)
    house.loop.call_soon_threadsafe(house.look)
    house.do(house.site.gone(writer.path))


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with House(Site(tmp_path_factory.mktemp("index") / "node")) as house:
        yield Desk(house)


@pytest.fixture
def desk(node, run, monkeypatch):
    """The node, and gwen, an administrator, signed in at it."""
    del run  # it clears the environment first
    monkeypatch.setenv("GALWAD_SERVER", node.house.url)
    monkeypatch.setenv("GALWAD_TOKEN", node.token)
    yield node
    node.restore()


def commands(date="2026-03"):
    return (
        ("recordings", "verify"),
        ("audit", "verify"),
        ("calls", "coverage", "--date", date),
    )


def passed(done):
    """Return whether the command found no fault; `recordings verify` reads no files here."""
    return done.status == 0 or index_agrees(done)


def assert_named(run, call_id, words, date="2026-03"):
    """Check that each command ends with 1 and prints one line with the call and these words."""
    for command in commands(date):
        done = run(*command, "--json")
        assert done.status == 1, (command, done.out)
        found = done.json()
        match command[0]:
            case "recordings":
                lines = [
                    problem
                    for row in found
                    if row["call_id"] == call_id
                    for problem in row["problems"]
                ]
            case "audit":
                lines = [line for line in found["problems"] if line.startswith(f"{call_id}: ")]
            case _:
                lines = [
                    problem
                    for call in found["amiss"]
                    if call["call_id"] == call_id
                    for problem in call["problems"]
                ]
        fitting = [line for line in lines if words in line]
        assert len(fitting) == 1, (command, words, found)


def where(call_id):
    return f"WHERE call_id = '{call_id}'"


def swapped(*columns):
    """Exchange the values of these columns between two recordings."""
    changes = ", ".join(
        f"{name} = (SELECT {name} FROM copies AS other WHERE other.call_id = "
        f"CASE recordings.call_id WHEN '{FIRST}' THEN '{WITHHELD}' ELSE '{FIRST}' END)"
        for name in columns
    )
    return (
        "CREATE TEMP TABLE copies AS SELECT * FROM recordings; "
        f"UPDATE recordings SET {changes} WHERE call_id IN ('{FIRST}', '{WITHHELD}')"
    )


CHANGED = {
    "number": ("number = '+441970000000'", "number"),
    "number removed": ("number = NULL", "number"),
    "line": ("line = 'other'", "line"),
    "advisor": ("advisor = 'huw'", "advisor"),
    "advisor removed": ("advisor = ''", "advisor"),
    "extension": ("extension = '202'", "extension"),
    "start by a minute": ("started = started + 60", "start"),
    "start by a microsecond": ("started = started + 0.000001", "start"),
    "start by half a year": ("started = started + 15552000", "start"),
    "length": ("talk_us = 1000000", "length"),
    "interruption": ("interrupted = 1", "interruption"),
    "unexplained time": ("unexplained_us = 5", "unexplained time"),
    "undecoded packets": ("raw_size = 5", "undecoded packets"),
    "payload": ("payload_sha256 = '" + "0" * 64 + "'", "payload that was indexed"),
    "payload size": ("payload_size = 1", "payload that was indexed"),
    "pointer to the manifest": (
        "manifest_sha256 = '" + "0" * 64 + "'",
        "not the one that was indexed",
    ),
    "folder": ("folder = '2026/03/02'", "its folder"),
    "folder outside the archive": ("folder = '../../etc'", "its folder"),
    "salt": ("salt = '" + "0" * 64 + "'", "salt"),
    "salt that is no salt": ("salt = 'none'", "salt"),
    "salt removed": ("salt = ''", "salt"),
    "facts and salt removed": (
        "salt = '', number = NULL, line = '', advisor = '', extension = ''",
        "was removed from the index",
    ),
}


@pytest.mark.parametrize("what", long_after(6, CHANGED))
def test_a_changed_value_of_a_row_is_named_by_three_commands(desk, run, what):
    change, words = CHANGED[what]
    desk.sql(f"UPDATE recordings SET {change} {where(FIRST)}")
    assert_named(run, FIRST, words)


@pytest.mark.parametrize(
    ("columns", "words"),
    long_after(
        1,
        [
            (("number",), "number"),
            (("number", "salt"), "salt"),
            (("number", "line", "advisor", "extension", "salt"), "salt"),
            (("manifest_sha256",), "not the one that was indexed"),
        ],
    ),
)
def test_values_exchanged_between_two_rows_are_named_for_both_rows(desk, run, columns, words):
    desk.sql(swapped(*columns))
    assert_named(run, FIRST, words)
    assert_named(run, WITHHELD, words)


def test_two_rows_whose_call_ids_were_exchanged_are_both_named(desk, run):
    desk.sql(
        f"UPDATE recordings SET call_id = 'x' {where(FIRST)};"
        f"UPDATE recordings SET call_id = '{FIRST}' {where(SECOND)};"
        f"UPDATE recordings SET call_id = '{SECOND}' {where('x')}"
    )
    assert_named(run, FIRST, "not the one that was indexed")
    assert_named(run, SECOND, "not the one that was indexed")


@pytest.mark.parametrize("other", ["x", MISSING, "20260301-090000-\x1b[31mabc"])
def test_a_row_whose_call_id_was_changed_is_named_under_both_call_ids(desk, run, other):
    desk.sql(f"UPDATE recordings SET call_id = '{other}' {where(FIRST)}")
    assert_named(run, FIRST, "its row in the index is gone")
    for command in commands():
        done = run(*command)
        assert done.status == 1
        assert other.replace("\x1b", "") in done.out.replace("\ufffd", ""), command
        assert "\x1b" not in done.out


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM gaps",
        "UPDATE gaps SET reason = 'fault'",
        "UPDATE gaps SET actor = 'user:huw'",
        "UPDATE gaps SET to_us = to_us - 1",
        f"INSERT INTO gaps VALUES ('{WITHHELD}', 1, 'payment', 'page', 'user:sian', 1, 2)",
    ],
)
def test_a_changed_deleted_or_added_gap_of_a_row_is_named(desk, run, change):
    desk.sql(f"{change} {where(WITHHELD)}" if "INSERT" not in change else change)
    assert_named(run, WITHHELD, "gaps")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM recording_gap_reasons",
        "UPDATE recording_gap_reasons SET reason = 'fault'",
        "UPDATE recording_gap_reasons SET started = 5.0",
        f"INSERT INTO recording_gap_reasons VALUES ('erased', 5.0, '{WITHHELD}', 1, 'main')",
    ],
)
def test_a_recording_that_was_hidden_from_searches_by_gap_reason_is_named(desk, run, change):
    desk.sql(change)
    assert_named(run, WITHHELD, "a search by gap reason shows other values")


def test_a_deleted_row_is_named_by_three_commands(desk, run):
    desk.sql("; ".join(f"DELETE FROM {table} {where(WITHHELD)}" for table in TABLES[2::-1]))
    assert_named(run, WITHHELD, "its row in the index is gone")
    done = run("recordings", "verify", WITHHELD)
    assert done.status == 1
    assert f"{WITHHELD}  NOT WHOLE: the audit has it, but its row in the index is gone" in done.out


def test_an_added_row_is_named_by_three_commands(desk, run):
    columns = [row[1] for row in desk.sql("PRAGMA table_info(recordings)")][1:]
    desk.sql(
        f"INSERT INTO recordings SELECT '{MISSING}', {', '.join(columns)} FROM recordings "
        f"{where(FIRST)}"
    )
    assert_named(run, MISSING, "manifest is missing from the archive")


@pytest.mark.parametrize(
    ("change", "words"),
    long_after(
        1,
        [
            ("answered = 1, ended = 2, talk_us = 3", "its answer and end and length:"),
            ("answered = answered + 1", "its answer:"),
            ("ended = ended + 1", "its end:"),
            ("ended = NULL", "its end:"),
            ("talk_us = 1999999", "its length:"),
            ("talk_us = NULL", "its length:"),
        ],
    ),
)
def test_a_changed_row_of_the_ledger_is_named_by_three_commands(desk, run, change, words):
    desk.sql(f"UPDATE answered_calls SET {change} {where(SECOND)}")
    assert_named(run, SECOND, f"ledger and audit do not agree on {words}")


def test_a_deleted_row_of_the_ledger_is_named_by_three_commands(desk, run):
    desk.sql(f"DELETE FROM answered_calls {where(SECOND)}")
    assert_named(run, SECOND, "its row in the ledger is gone")


def test_an_added_row_of_the_ledger_is_named_by_three_commands(desk, run):
    now = time.time()
    added = time.strftime("%Y%m%d-%H%M%S-zzzzzzzz", time.gmtime(now))
    desk.sql(f"INSERT INTO answered_calls VALUES ('{added}', {now + 5}, {now + 9}, 4000000)")
    date = time.strftime("%Y", time.gmtime(now))
    assert_named(run, added, "the audit has no entry of its end", date)


def test_a_value_of_another_type_names_the_row_and_ends_with_an_error(desk, run):
    for table, column in (("recordings", "started"), ("recordings", "number")):
        desk.sql(f"UPDATE {table} SET {column} = x'ff00' {where(FIRST)}")
        for command in commands():
            done = run(*command)
            assert done.status == 1
            assert f"the row of {FIRST} was changed" in done.err, (command, done.err)
        desk.restore()


def test_each_command_prints_one_line_with_the_call_and_the_value(desk, run):
    desk.sql(f"UPDATE recordings SET number = '1' {where(FIRST)}")
    for command in commands():
        done = run(*command)
        assert done.status == 1
        (line,) = (line for line in done.out.splitlines() if "do not agree on its number" in line)
        assert FIRST in line or done.out.splitlines()[0].startswith(FIRST)


def test_an_unchanged_index_passes_and_needs_no_note(desk, run):
    for command in commands():
        done = run(*command)
        assert passed(done), (command, done.out)
        assert "committed" not in done.out
    for call_id in CALLS:
        assert index_agrees(run("recordings", "verify", call_id))


def test_rows_that_were_reindexed_or_erased_on_record_raise_no_alarm(desk, run):
    desk.sql("; ".join(f"DELETE FROM {table} {where(FIRST)}" for table in TABLES[2::-1]))
    assert run("recordings", "reindex", FIRST, "--reference", "RESTORE-1").status == 0
    empty = "salt = '', number = NULL, line = '', advisor = '', extension = ''"
    desk.sql(f"UPDATE recordings SET {empty} {where(SECOND)}")
    desk.house.do(desk.house.desk.host.audit.append(FACTS_ERASED, {"call_id": SECOND}))
    for command in commands():
        assert passed(run(*command)), command
    desk.sql(f"UPDATE recordings SET {empty} {where(WITHHELD)}")
    assert_named(run, WITHHELD, "was removed from the index")


def test_retained_and_disposed_recordings_raise_no_alarm_unless_their_row_was_changed(
    tmp_path, run, monkeypatch
):
    with House(Site(tmp_path / "node")) as house:
        house.record(FIRST, SECOND)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
        case = ("--reference", "C-17", "--reason", "claim", "--review", "2099-01-01")
        assert run("holds", "open", FIRST, *case).status == 0
        why = ("--reason", "retention", "--reference", "R-2026", "--yes")
        assert run("recordings", "purge", SECOND, *why).status == 0
        for command in commands():
            assert passed(run(*command)), command
        with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
            connection.execute(f"UPDATE recordings SET number = '1' {where(SECOND)}")
            connection.commit()
        assert_named(run, SECOND, "number")


def test_a_recording_of_an_older_release_passes_with_a_note(tmp_path, run, monkeypatch):
    monkeypatch.setattr(CallFacts, "begin_spool", lambda *_: None)
    with House(Site(tmp_path / "node")) as house:
        house.record(FIRST)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin"))
        assert b'"index":null' in house.path(FIRST, "manifest").read_bytes()
        for command in commands():
            done = run(*command)
            assert passed(done), done.out
            assert "not committed: older software sealed" in done.out
        assert index_agrees(run("recordings", "verify", FIRST))
        with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
            assert connection.execute("SELECT salt FROM recordings").fetchall() == [("",)]
            connection.execute("UPDATE recordings SET talk_us = 5")
            connection.commit()
        assert_named(run, FIRST, "length")
