"""`galwad users remove-second-factor`: a person who has lost the phone signs in again."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest


@pytest.fixture
def database(run, settings_file):
    """The database, in which sian has a second factor and a session."""
    run("users", "add", "sian", "--generate", "--config", settings_file)
    path = settings_file.parent / "state" / "desk" / "galwad.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO second_factors (user, secret, last_step, created) "
            "VALUES ('sian', '', 0, 0)"
        )
        connection.execute("INSERT INTO recovery_codes (digest, user) VALUES ('00', 'sian')")
        connection.execute(
            "INSERT INTO sessions (token_sha256, user, kind, created, seen) "
            "VALUES ('11', 'sian', 'page', 0, 0)"
        )
    return path


def rows(database, table):
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_second_factor_is_removed_with_its_codes_and_sessions_and_audited(
    run, settings_file, database
):
    listed = run("users", "list", "--json", "--config", settings_file).json()
    assert [each["second_factor"] for each in listed] == [True]
    done = run("users", "remove-second-factor", "sian", "--json", "--config", settings_file)
    assert done.status == 0, done.err
    assert done.json() == {"user": "sian", "second_factor": False}
    assert [rows(database, name) for name in ("second_factors", "recovery_codes", "sessions")] == [
        *(0, 0, 0)
    ]
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (kind,) = connection.execute(
            "SELECT kind FROM audit_entries ORDER BY seq DESC LIMIT 1"
        ).fetchone()
    assert kind == "user.second-factor-removed"


@pytest.mark.parametrize("name", ["huw", "sian"])
def test_an_unknown_user_or_a_user_without_a_second_factor_is_refused(run, settings_file, name):
    run("users", "add", "sian", "--generate", "--config", settings_file)
    done = run("users", "remove-second-factor", name, "--config", settings_file)
    assert done.status == 1
    assert f'there is no user "{name}" with a second factor' in done.err
