"""The earlier contacts of a caller: a note that was delivered to a directory is shown once."""

from __future__ import annotations

import pytest

from callerid.earlier_contacts import DirectoryContact
from callerid.limited_source import LimitedSource, SourceLimits
from callerid.lookup import Lookup
from callerid.person import Person
from galwad.notes.delivery import NoteOutbox
from galwad.notes.earlier import EarlierContacts
from galwad.notes.rules import OpenNote
from galwad.notes.store import NoteStore
from helpers.fake_directory import DirectoryWithContacts
from helpers.notes import written

CALL, NOW = "20261125-101500-aaaaaaaa", "20261125-111500-bbbbbbbb"
ELIN = Person("crm:7", "Elin Fictitious")
OURS = DirectoryContact(1060.0, "Bins", record_id="T-7")
THEIRS = DirectoryContact(2000.0, "Street light", record_id="T-8")
UNNAMED = DirectoryContact(500.0, "Letter")


@pytest.fixture
async def notes(engine):
    """The contact notes, with one that was delivered as the record T-7."""
    notes, outbox = NoteStore(engine), NoteOutbox(engine)
    await notes.open_note(OpenNote(CALL, 1000.0, "Council Tax", "sian", "201"))
    await notes.save_confirmation(CALL, ELIN, "confirmed", 1000.0)
    await notes.save(CALL, written("Bins", "cy"), 1060.0)
    version = await outbox.next_version(1100.0)
    assert version is not None
    await outbox.delivered(version, "T-7", 1100.0)
    return notes


def earlier(engine, notes, notes_to, *found):
    crm = DirectoryWithContacts("crm", contacts={"7": list(found)})
    lookup = Lookup([LimitedSource(crm, SourceLimits())])
    return EarlierContacts(notes, NoteOutbox(engine), lookup, notes_to).find(ELIN, NOW)


def shown(view):
    return [(each.directory, each.purpose) for each in view.contacts]


async def test_the_record_of_our_own_note_is_left_out_and_others_stay(engine, notes):
    view = await earlier(engine, notes, "crm", THEIRS, OURS, UNNAMED)
    assert shown(view) == [("crm", "Street light"), ("", "Bins"), ("crm", "Letter")]


async def test_a_record_with_the_same_id_in_a_directory_that_gets_no_notes_stays(engine, notes):
    view = await earlier(engine, notes, "other", OURS)
    assert sorted(shown(view)) == [("", "Bins"), ("crm", "Bins")]
