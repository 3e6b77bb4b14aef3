"""The subject and the text of a contact note in another system."""

from __future__ import annotations

from dataclasses import replace

from callerid.note_text import started_at, subject_of, text_of
from helpers.notes import NOTE


def test_the_text_has_every_fact_of_the_note():
    note = replace(
        NOTE,
        caller_type="family",
        on_behalf_of="Mair Huws",
        authority="power of attorney",
        reference="C-1",
        recording_url="https://galwad.example/api/v1/recordings/20261125-093000-abcdefgh",
    )
    assert text_of(note).splitlines() == [
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
    assert "Outcome" not in text_of(note)
    assert text_of(note).endswith("2026-11-25T09:30:00Z")


def test_the_subject_names_line_purpose_and_call():
    assert subject_of(NOTE) == "Waste: Missed collection [20261125-093000-abcdefgh]"


def test_a_call_that_needs_no_note_says_why():
    note = replace(NOTE, purpose="", no_note_reason="wrong_number")
    assert subject_of(note).startswith("Waste: no note needed (wrong number)")
    assert "No note needed: wrong number" in text_of(note)


def test_the_start_of_the_call_is_in_utc():
    assert started_at(NOTE) == "2026-11-25T09:30:00Z"


def test_a_note_that_the_desk_closed_says_so():
    draft = replace(NOTE, purpose="", unfinished=True)
    assert subject_of(draft) == f"Waste: no purpose (not finished) [{NOTE.call_id}]"
    assert text_of(draft).startswith("Not finished: the advisor did not save this note\n")
    nothing = replace(NOTE, purpose="", no_note_reason="not_written")
    assert subject_of(nothing) == f"Waste: no note was written [{NOTE.call_id}]"
    assert "Not written: no note was written" in text_of(nothing).splitlines()
