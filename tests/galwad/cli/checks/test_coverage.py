"""`galwad check` reports the findings of the nightly coverage check, and when it ran.

Covers `galwad/cli/checks/database.py`.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time

import pytest

from helpers.house import House
from helpers.site import Site

CALL, OTHER = "20260301-090000-abcdefgh", "20260301-091000-bcdefghi"


@pytest.fixture
def house(tmp_path):
    """A node with an old recording."""
    with House(Site(tmp_path / "node")) as house:
        house.record(CALL)
        for path in house.site.settings.archive.rglob("*.*"):
            os.utime(path, (1_772_355_600, 1_772_355_600))
        yield house


def checked(run, house):
    """The findings of `check` about coverage and orphans, without the others."""
    done = run("check", "--json", "--config", house.site.config)
    return [
        (each["grade"], each["name"], each["text"], each["fix"])
        for each in done.json()
        if each["name"] in {"books", "orphans"}
    ]


def of_the_night(house, now=None):
    if now is not None:
        house.desk.archive.nightly.clock = house.desk.archive.coverage.clock = lambda: now
        house.desk.host.audit.clock = lambda: now
    house.do(house.desk.archive.nightly.check())


def test_a_new_node_shows_when_its_first_nightly_check_is(run, house):
    [(grade, name, text, fix)] = checked(run, house)
    assert (grade, name, fix) == ("fine", "books", "")
    assert re.fullmatch("the first check of coverage is 20..-..-.. 03:00:00 UTC", text)


def test_a_node_whose_nightly_check_never_ran_gets_a_warning(run, house):
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
        connection.execute("UPDATE audit_entries SET at_us = at_us - 172800000000")
        connection.commit()
    [(grade, name, text, fix)] = checked(run, house)
    assert (grade, name, text) == ("warning", "books", "coverage was never checked")
    assert fix == "the desk checks it at 03:00: see that the desk is running then"


def test_a_nightly_check_without_findings_is_fine(run, house):
    of_the_night(house)
    [(grade, name, text, fix)] = checked(run, house)
    assert (grade, name, fix) == ("fine", "books", "")
    assert re.fullmatch("the check of 20.* explained every second", text)


def test_each_orphan_of_the_nightly_check_is_named_with_its_fix(run, house):
    house.path(CALL, "payload").unlink()
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
        connection.execute("INSERT INTO answered_calls VALUES (?, ?, ?, ?)", late_call())
        connection.commit()
    of_the_night(house)
    found = checked(run, house)
    assert {each[0] for each in found} == {"fault"}
    assert ("orphans", f"manifest without payload: 2026/03/01/{CALL}") in [e[1:3] for e in found]
    assert ("books", f"{OTHER} was answered, but has no recording") in [e[1:3] for e in found]
    fixes = [fix for *_, fix in found]
    assert "restore the missing file from a copy of the archive" in fixes
    assert all(fixes)


def late_call():
    now = time.time()
    return OTHER, now - 7200, now - 7100, 100_000_000


def test_a_repaired_finding_disappears_after_the_next_nightly_check(run, house):
    data = house.path(CALL, "payload").read_bytes()
    house.path(CALL, "payload").unlink()
    of_the_night(house)
    house.path(CALL, "payload").write_bytes(data)
    assert checked(run, house)[0][0] == "fault"
    of_the_night(house)
    assert [each[0] for each in checked(run, house)] == ["fine"]


def test_many_findings_are_shortened_to_a_few_lines(run, house):
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as connection:
        connection.executemany(
            "INSERT INTO coverage_findings VALUES (?, 0)",
            [(f"recording.missing {index:03}",) for index in range(300)],
        )
        connection.commit()
    found = checked(run, house)
    assert len(found) == 12
    assert found[-1][2:] == ("and 290 more", "`galwad calls coverage` lists all")


def test_a_missed_nightly_check_is_a_warning(run, house):
    of_the_night(house, time.time() - 3 * 86_400)
    [(grade, _, text, fix)] = checked(run, house)
    assert grade == "warning"
    assert text.startswith("coverage was last checked ")
    assert "galwad-desk checks it each night" in fix
