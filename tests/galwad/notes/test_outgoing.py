"""The note that another system gets: the person's id there, the purpose's code, the link."""

from __future__ import annotations

import json

import pytest

from callerid.note import EarlierDelivery
from galwad.notes.delivery import NoteForm, QueuedVersion

CALL = "20261125-101500-aaaaaaaa"
FIELDS: dict[str, object] = {
    "call_id": CALL,
    "version": 2,
    "started": 1000.0,
    "line": "Waste",
    "advisor": "sian",
    "person_id": "directory:1",
    "entries": json.dumps(["directory:1", "crm:a:b", "crm-2:9"]),
    "reference": "C-1",
    "confirmation": "confirmed",
    "purpose": "Casgliad a fethwyd",
    "language": "cy",
    "outcome": "",
    "caller_type": "self",
    "on_behalf_of": "",
    "authority": "",
    "notes": "",
    "no_note_reason": "",
}
CODES = {"Missed collection": "waste-1", "Casgliad a fethwyd": "waste-1"}


def queued(**changed):
    fields = {**FIELDS, **changed}
    return QueuedVersion(CALL, 2, fields, 0, EarlierDelivery())


@pytest.mark.parametrize(
    ("directory", "person_id"),
    [("crm", "a:b"), ("crm-2", "9"), ("housing", ""), ("directory", "1")],
)
def test_the_person_of_a_note_has_the_id_of_the_entry_in_the_receiving_directory(
    directory, person_id
):
    assert NoteForm(directory).note(queued()).person_id == person_id


def test_a_person_who_is_only_in_another_system_has_a_reference_and_no_person_id():
    note = NoteForm("housing").note(queued())
    assert (note.person_id, note.reference) == ("", "C-1")


@pytest.mark.parametrize(
    ("purpose", "code"),
    [("Casgliad a fethwyd", "waste-1"), ("Missed collection", "waste-1"), ("Other", "")],
)
def test_a_listed_purpose_has_its_code_in_both_languages(purpose, code):
    form = NoteForm("crm", lambda text: CODES.get(text, ""))
    assert form.note(queued(purpose=purpose)).purpose_code == code


def test_the_reason_for_no_note_has_the_words_of_the_page():
    form = NoteForm("crm", no_note_words=lambda reason: f"words of {reason}")
    note = form.note(queued(purpose="", no_note_reason="test"))
    assert note.subject == f"Waste: no note needed (words of test) [{CALL}]"
    assert "No note needed: words of test" in note.text
    usual = NoteForm("crm").note(queued(purpose="", no_note_reason="test"))
    assert usual.subject == f"Waste: no note needed (a test call) [{CALL}]"


def test_the_link_to_the_recording_is_sent_only_if_it_is_wanted():
    assert NoteForm("crm").note(queued()).recording_url == ""
    form = NoteForm("crm", recordings="https://galwad.example/api/v1/recordings/")
    assert form.note(queued()).recording_url.endswith("/recordings/20261125-101500-aaaaaaaa")


def test_a_version_that_an_earlier_release_queued_can_be_delivered():
    old = {name: FIELDS[name] for name in FIELDS if name not in {"entries", "reference"}}
    fields: dict[str, object] = {**old, "person_id": "crm:7"}
    version = QueuedVersion(CALL, 2, fields, 0, EarlierDelivery())
    assert NoteForm("crm").note(version).person_id == "7"
