"""The fields of a contact note, which of them a note needs, and its form in another system."""

from __future__ import annotations

from dataclasses import asdict, replace
from uuid import UUID

import pytest

from callerid.errors import ContactError
from callerid.note import Note
from helpers.notes import NOTE, written


def test_a_note_is_read_from_values_that_include_other_fields():
    note = written("Waste", "cy", notes="Bin")
    assert Note.of({**asdict(note), "version": 3, "window": "0" * 16}) == note


def test_a_note_lists_only_its_texts_that_are_not_empty():
    assert written("", "cy", outcome="Done", notes="Bin").texts == ("Done", "Bin")


def test_a_draft_may_lack_a_purpose_but_may_not_contain_a_card_number():
    written("", "cy", caller_type="family").check_cards()
    with pytest.raises(ContactError, match="outcome seems to contain a payment card"):
        written("", "cy", outcome="4111 1111 1111 1111").check_cards()


def test_all_versions_of_a_note_have_the_same_id():
    assert NOTE.note_id == UUID("356f4bd2-5700-58df-92e0-c45c0cb9b4c0")
    assert replace(NOTE, version=2, notes="Ring back").note_id == NOTE.note_id


def test_the_notes_of_two_calls_have_different_ids():
    assert replace(NOTE, call_id="20261125-093001-abcdefgh").note_id != NOTE.note_id


def test_the_text_has_every_fact_of_the_note():
    note = replace(
        NOTE,
        caller_type="family",
        on_behalf_of="Mair Huws",
        authority="power of attorney",
        reference="C-1",
        recording_url="https://galwad.example/api/v1/recordings/20261125-093000-abcdefgh",
    )
    assert note.text.splitlines() == [
        "Purpose: Missed collection",
        "Outcome: New bin ordered",
        "Caller: a family member",
        "On behalf of: Mair Huws",
        "Authority: power of attorney",
        "Language: Welsh",
        "Line: Waste",
        "Advisor: elin",
        "Call: 20261125-093000-abcdefgh, 2026-11-25T09:30:00Z",
        "Reference: C-1",
        "Recording: https://galwad.example/api/v1/recordings/20261125-093000-abcdefgh",
        "",
        "Green bin.",
        "Rings again on Monday.",
    ]


def test_a_fact_that_is_not_known_has_no_line():
    note = replace(NOTE, outcome="", notes="")
    assert "Outcome" not in note.text
    assert note.text.endswith("2026-11-25T09:30:00Z")


def test_the_subject_names_line_purpose_and_call():
    assert NOTE.subject == "Waste: Missed collection [20261125-093000-abcdefgh]"


def test_the_subject_and_text_for_a_call_without_a_note_have_the_reason():
    note = replace(NOTE, purpose="", no_note_reason="wrong_number")
    assert note.subject.startswith("Waste: no note needed (wrong number)")
    assert "No note needed: wrong number" in note.text


def test_the_start_of_the_call_is_in_utc():
    assert NOTE.started_at == "2026-11-25T09:30:00Z"


def test_a_note_that_the_desk_closed_says_not_finished_or_not_written():
    draft = replace(NOTE, purpose="", unfinished=True)
    assert draft.subject == f"Waste: no purpose (not finished) [{NOTE.call_id}]"
    assert draft.text.startswith("Not finished: the advisor did not save this note\n")
    nothing = replace(NOTE, purpose="", no_note_reason="not_written")
    assert nothing.subject == f"Waste: no note was written [{NOTE.call_id}]"
    assert "Not written: no note was written" in nothing.text.splitlines()
