"""`galwad cases erase`: what is erased of a call, and what must stay.

Covers the endpoint of the same name in `galwad/cases/routes.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time

import pytest

from callerid.errors import ContactError
from callerid.person import Person
from galwad.notes.rules import NoteDraft, OpenNote
from galwad.notes.store import NoteDrafts
from helpers.house import House
from helpers.notes import written
from helpers.site import NUMBER, Site

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(3)]
ERASED, RETAINED, EXCLUDED = CALLS
OPEN = ("--reference", "E 4", "--name", "Mair Evans", "--language", "cy")
BY_LETTER = ("--received", "2026-03-02", "--channel", "letter")


async def saved(house, call_id, note):
    """End the wrap-up of a call, as the advisor's page does."""
    house.desk.calls.live.note_saved(call_id, note)


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """Three recordings with notes; gwen may dispose of recordings, and nia may not."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(*CALLS)
        notes, now = house.desk.notes.contacts, time.time()
        note = written("Council Tax", "cy", "asked", notes="Mair is ill")
        for call in CALLS:
            mair = Person("crm:1042", "Mair Evans", details=(("reference", "CT-1"),))
            house.do(notes.save_confirmation(call, mair, "confirmed", now))
            house.do(notes.save(call, note, now))
            house.do(saved(house, call, note))
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
        yield house


@pytest.fixture
def case(house, run):
    """A request for erasure of three calls: one is retained for a legal hold, and one excluded."""
    run("cases", "open", "erasure", *OPEN, *BY_LETTER)
    run("cases", "search", "1", "--number", NUMBER)
    hold = ("--reference", "Claim 1", "--reason", "a fall", "--review", "2099-01-01")
    assert run("holds", "open", RETAINED, *hold).status == 0
    run("cases", "exclude", "1", EXCLUDED, "--reason", "needed for a legal claim")
    return house


def stored(house, call_id):
    """Return all values that the database has about a call, as one text."""
    with contextlib.closing(sqlite3.connect(house.site.settings.database)) as database:
        database.row_factory = sqlite3.Row
        tables = ("recordings", "contacts", "contact_outbox", "contact_drafts", "logged_calls")
        rows = [
            dict(row)
            for table in tables
            for row in database.execute(f"SELECT * FROM {table} WHERE call_id = ?", (call_id,))
        ]
    return str(rows)


PERSONAL = (NUMBER, "Mair", "crm:1042", "CT-1", "asked", "sian")


def test_an_erasure_leaves_nothing_about_the_person_except_in_what_must_stay(case, run):
    assert all(text in stored(case, ERASED) for text in PERSONAL[:5])
    done = run("cases", "erase", "1", "--yes")
    assert done.status == 0, done.err
    assert done.out.startswith("Calls erased: 1\n")
    assert RETAINED in done.out
    assert "the recording is retained" in done.out
    assert EXCLUDED not in done.out
    left = stored(case, ERASED)
    assert not [text for text in PERSONAL if text in left.replace("'advisor': 'sian'", "")]
    assert "Council Tax" in left
    for call in (RETAINED, EXCLUDED):
        assert all(text in stored(case, call) for text in (NUMBER, "Mair is ill", "crm:1042"))
        assert case.path(call, "header").exists()
    assert not case.path(ERASED, "header").exists()
    assert "disposed of" in run("recordings", "show", ERASED).out
    kinds = [kind for kind, facts in case.audit() if facts.get("call_id") == ERASED]
    assert {"recording.purged", "case.call-erased", "recording.facts-erased"} <= set(kinds)
    # The row and the proof still agree, and a repetition changes nothing.
    assert run("calls", "coverage", "--date", "2026-03-01").status == 0
    assert run("cases", "erase", "1", "--yes").out.startswith("Calls erased: 1\n")
    # A page that is still open cannot write the person again.
    notes, note = case.desk.notes.contacts, written("Council Tax", "cy", notes="Mair is ill")
    with pytest.raises(ContactError, match="was erased"):
        case.do(notes.save(ERASED, note, 1.0))
    case.do(notes.save_confirmation(ERASED, Person("crm:1042", "Mair Evans"), "confirmed", 1.0))
    with pytest.raises(ContactError, match="was erased"):
        case.do(
            NoteDrafts(case.desk.host.engine).save(NoteDraft(ERASED, "sian", "w", 1, note), 1.0)
        )
    assert stored(case, ERASED) == left


def test_a_call_whose_note_is_not_finished_is_not_erased(case, run):
    contact = OpenNote(ERASED, 1.0, "main", "sian", "201", NUMBER)

    async def reopen():
        case.desk.calls.live.add_without_note(contact)

    case.do(reopen())
    done = run("cases", "erase", "1", "--yes")
    assert "Calls erased: 0" in done.out
    assert "the call is in progress, or its note is not finished" in done.out
    assert case.path(ERASED, "header").exists()


def test_only_an_open_request_for_erasure_can_erase_and_only_with_the_right(case, run, monkeypatch):
    run("cases", "open", "access", *OPEN, *BY_LETTER)
    run("cases", "search", "2", "--number", NUMBER)
    for words, error in (
        (("2", "--yes"), "the case is not a request for erasure"),
        (("1",), "confirmation is required, and there is no terminal to ask"),
    ):
        assert run("cases", "erase", *words).err.startswith(f"error: {error}\n")
    monkeypatch.setenv("GALWAD_TOKEN", case.token("nia", "admin"))
    refused = run("cases", "erase", "1", "--yes")
    assert refused.err.startswith("error: disposing of recordings needs the right `purge`\n")
    assert case.path(ERASED, "header").exists()
    assert "Mair is ill" in stored(case, ERASED)
